//! Counts the instructions of a request. Times vary between runs and machines, instruction counts
//! repeat: they show the cost of a change that is far too small to be timed.
//!
//!     tests/bench/budget.sh              # installs Valgrind where it is missing; CI runs it
//!
//! Counts, under callgrind, the instructions of `decide` with a cached token, those of the whole
//! program for one forwarded request, and those of a reload for each of its routes, compares them
//! with `budget.toml`, and fails if one is exceeded. Start and end cancel out: each figure is the
//! difference of a long run and a short one. The kernel's instructions are not counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout
)]

#[path = "../../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;
#[path = "../stage.rs"]
mod stage;

mod callgrind;
mod peers;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use scopegate::clock::now;
use scopegate::config::Config;
use scopegate::decision::{Reason, Verdict, admit, decide};
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::{Label as _, Metrics};
use scopegate::token::{RequestContext, SharedCache, WorkerCache};

use callgrind::Callgrind;
use keys::{Key, Token};
use peers::{Client, Upstream};

/// The percentage by which a figure may exceed its budget. Repetitions differ by a tenth of that at
/// most; another compiler or another release of a library may move it by one or two.
const TOLERANCE: u64 = 3;

/// The number of measurements, of which the median counts. The layout of the heap, which is random,
/// changes the count by a few thousandths.
const ROUNDS: usize = 3;

/// The number of requests, or decisions, of the short run and of the long one.
const FORWARDED: (u64, u64) = (500, 2_500);
const DECIDED: (u64, u64) = (1_000, 11_000);

/// The number of routes of the small reload and of the large one. Work that grows with the square
/// of the routes exceeds the budget at once.
const RELOADED: (u64, u64) = (500, 2_000);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, directory, count] = &*arguments {
        let count = count.parse().unwrap();
        match &**command {
            DECIDE => decide_often(Path::new(directory), count),
            RELOAD => reload_once(count),
            other => panic!("there is no measurement \"{other}\""),
        }
        return ExitCode::SUCCESS;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    if arguments.iter().any(|argument| argument == "--profile") {
        decided(directory, 10 * DECIDED.1).profile();
        forwarded(directory, 2 * FORWARDED.1).profile();
    }
    let figures = [
        (
            "decide",
            per_one(DECIDED, |count| decided(directory, count).instructions()),
        ),
        (
            "forwarded",
            per_one(FORWARDED, |count| {
                forwarded(directory, count).instructions()
            }),
        ),
        (
            "reloaded",
            per_one(RELOADED, |routes| {
                again(directory, RELOAD, routes).instructions()
            }),
        ),
    ];
    let budget = fs::read_to_string(budget_file())
        .unwrap()
        .parse::<toml::Table>()
        .unwrap();
    println!("{:<12} {:>10} {:>10}", "instructions", "measured", "budget");
    let mut within = true;
    for (name, measured) in figures {
        let budget = u64::try_from(budget[name].as_integer().unwrap()).unwrap();
        let percent = 100.0 * (measured as f64 / budget as f64 - 1.0);
        println!("{name:<12} {measured:>10} {budget:>10} {percent:>+7.2}%");
        within &= measured * 100 <= budget * (100 + TOLERANCE);
        if measured * (100 + TOLERANCE) < budget * 100 {
            println!(
                "{name}: it has become cheaper; write the new figure into {}",
                budget_file().display()
            );
        }
    }
    if within {
        return ExitCode::SUCCESS;
    }
    println!(
        "over the budget by more than {TOLERANCE} %. `tests/bench/budget.sh --profile` shows where \
         they go."
    );
    ExitCode::FAILURE
}

fn budget_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/budget.toml")
}

fn per_one((short, long): (u64, u64), count: impl Fn(u64) -> u64) -> u64 {
    let mut figures = [0; ROUNDS].map(|_: u64| (count(long) - count(short)) / (long - short));
    figures.sort_unstable();
    figures[ROUNDS / 2]
}

// The gateway has one worker; one client and one upstream take turns on connections that stay open.

fn forwarded(directory: &Path, requests: u64) -> Callgrind {
    let upstream = Upstream::start();
    let (config, token) = stage(directory, &upstream.url());
    let gateway = Path::new(env!("CARGO_BIN_EXE_scopegate"));
    let mut gateway = Callgrind::start(
        directory,
        gateway,
        &["run", "--config", config.to_str().unwrap()],
    );
    upstream.gateway.store(gateway.pid(), Ordering::SeqCst);
    let mut client = Client::connect(gateway.address(), gateway.pid());
    for _ in 0..requests {
        client.get("/orders", &token);
    }
    drop(client);
    gateway.stop();
    gateway
}

// `decide` alone: this program runs itself under callgrind, with `decide DIRECTORY COUNT` as its
// arguments.

const DECIDE: &str = "decide";

fn decided(directory: &Path, count: u64) -> Callgrind {
    let (_, token) = stage(directory, "http://127.0.0.1:9");
    // The number of instructions for generating a key is random, so the other process gets a token.
    fs::write(directory.join(TOKEN), token).unwrap();
    again(directory, DECIDE, count)
}

/// Runs this program again under callgrind.
fn again(directory: &Path, command: &str, count: u64) -> Callgrind {
    let program = std::env::current_exe().unwrap();
    let arguments = [command, directory.to_str().unwrap(), &count.to_string()];
    let mut run = Callgrind::start(directory, &program, &arguments);
    run.wait();
    run
}

fn decide_often(directory: &Path, count: u64) {
    let config = fs::read_to_string(directory.join(CONFIG)).unwrap();
    let snapshot = stage::snapshot(&config);
    let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 16);
    let request = stage::request(
        "/orders",
        &fs::read_to_string(directory.join(TOKEN)).unwrap(),
    );
    let (mut head, ()) = request.into_parts();
    let facts = admit(&mut head, None, 100).unwrap();
    let context = RequestContext::at(now().unix);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for _ in 0..count {
            let verdict = decide(&snapshot, black_box(facts), Some(&cache), context).await;
            assert!(matches!(black_box(verdict), Ok(Verdict::Forward(_))));
        }
    });
}

// Reloads to as many routes, upstreams and resources as before, all with other names.

const RELOAD: &str = "reload";

fn reload_once(routes: u64) {
    let parse = |name| Config::parse(&stage::many_routes(routes, name), "gateway.toml").unwrap();
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    let before = Snapshot::compile(parse("before"), &metrics, None).unwrap();
    let after = Snapshot::compile(parse("after"), &metrics, Some(&before)).unwrap();
    after.prune(&metrics);
    assert_eq!(black_box(after).routes.len() as u64, routes);
}

const CONFIG: &str = "gateway.toml";
const TOKEN: &str = "token";

/// Writes a configuration, and makes a token that it accepts.
fn stage(directory: &Path, upstream: &str) -> (PathBuf, String) {
    let key = Key::rsa("bench", 0);
    let config = directory.join(CONFIG);
    fs::write(&config, stage::toml(&key, upstream)).unwrap();
    (config, Token::of(stage::ISSUER, stage::SCOPES).signed(&key))
}
