//! The gateway's own log, on standard error: a slow or absent reader blocks nothing.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::support::{Issuer, Process, Request, Upstream, raw, scopegate, wait_until};

const DROPPED: &str = "scopegate_log_dropped_total";
const FAILED: &str = "scopegate_reloads_total{result=\"failure\"}";

const ROUTE: &str = "[[routes]]\npath = \"/p/**\"\nupstream = \"orders\"\npublic = true\n";

/// A configuration with as many problems, each of which is an event of its own when it is loaded
/// again.
fn broken(toml: &str, problems: usize) -> String {
    (0..problems).fold(toml.to_owned(), |toml, number| {
        format!("{toml}\nunknown_key_{number} = 1")
    })
}

/// Has the configuration loaded again, to no avail.
#[track_caller]
fn fail_to_reload(process: &Process) {
    let before = process.metric(FAILED);
    process.signal("HUP");
    wait_until("the reload has failed", || process.metric(FAILED) > before);
}

#[track_caller]
fn end(process: &mut Process) {
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

// The control thread logs reloads, and workers log ejections.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_is_stuck_from_the_start_holds_nothing_up() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let (mut reader, mut errors) = io::pipe().unwrap();
    // As much as a pipe holds: the first line of the log has no room.
    errors.write_all(&[b'\n'; 64 << 10]).unwrap();
    let head = "[server]\ndrain = \"2s\"\n[reload]\nwatch = false\n[log]\naccess = \"all\"\n";
    let keys = "refresh = \"50ms\"\nrefresh_min = \"50ms\"\ncooldown = \"50ms\"\n";
    // Nobody listens at port 1.
    let endpoints = format!(
        "[upstreams.orders]\nendpoints = [\"{}\", \"http://127.0.0.1:1\"]\n",
        upstream.url()
    );
    let toml = format!("{head}{}{keys}{endpoints}{ROUTE}", issuer.toml());
    let mut process = Process::run_telling(errors, &toml);
    fs::write(process.file(), broken("", 500)).unwrap();
    let mut reloads = 0;
    while process.metric(DROPPED) < 1.0 {
        fail_to_reload(&process);
        reloads += 1;
        assert!(reloads < 100, "there is a bound");
    }
    let live = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(process.admin(), live).starts_with("HTTP/1.1 200 "));
    for number in 0..40 {
        assert_eq!(process.send(&Request::get("/p/x")).status, 200, "{number}");
    }
    let ejected = "scopegate_upstream_ejections_total{upstream=\"orders\"}";
    assert!(process.metric(ejected) >= 1.0, "a worker has logged it");
    let fetches = issuer.fetches();
    wait_until("keys are fetched", || issuer.fetches() > fetches + 2);
    let dropped = process.metric(DROPPED);
    end(&mut process);
    // What was kept for the reader is whole.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(
        dropped >= 1.0 && text.trim().is_empty(),
        "it was stuck until the end: {text}"
    );
}

// A reader that goes on gets what was kept, and is told that something is missing.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_goes_on_gets_whole_lines_and_the_last_ones() {
    let upstream = Upstream::start();
    let (mut reader, errors) = io::pipe().unwrap();
    let toml = format!(
        "[reload]\nwatch = false\n{}{ROUTE}",
        upstream.toml("orders")
    );
    let mut process = Process::run_telling(errors, &toml);
    fs::write(process.file(), broken("", 500)).unwrap();
    while process.metric(DROPPED) < 1.0 {
        fail_to_reload(&process);
    }
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    wait_until("there is room again", || {
        let before = process.metric(DROPPED);
        fail_to_reload(&process);
        process.metric(DROPPED) <= before
    });
    end(&mut process);
    let text = reading.join().unwrap();
    assert!(
        text.contains("lines of this log were dropped: standard error was not read count="),
        "{text:.2000}"
    );
    let is_whole =
        |line: &str| ["INFO", "WARN", "ERROR"].contains(&line.split_whitespace().nth(1).unwrap());
    assert!(text.lines().all(is_whole), "every line is whole");
    assert!(
        text.lines().last().unwrap().ends_with(" repeated=1") || text.contains("draining"),
        "{text:.2000}"
    );
}

#[test]
fn an_output_that_is_gone_or_full_costs_lines_and_no_request() {
    let upstream = Upstream::start();
    let (reader, gone) = io::pipe().unwrap();
    drop(reader);
    let mut outputs = vec![std::process::Stdio::from(gone)];
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        outputs.push(full.into());
    }
    for output in outputs {
        let mut process =
            Process::run_telling(output, &format!("{}{ROUTE}", upstream.toml("orders")));
        assert_eq!(process.send(&Request::get("/p/x")).status, 200);
        wait_until("the first lines are counted", || {
            process.metric(DROPPED) >= 2.0
        });
        end(&mut process);
    }
}

// What an operator does again and again is told each time; what goes on is told as one.
#[test]
fn a_flood_of_one_event_is_folded() {
    const RELOADS: usize = 20;
    let upstream = Upstream::start();
    let toml = format!(
        "[reload]\nwatch = false\n{}{ROUTE}",
        upstream.toml("orders")
    );
    let mut process = Process::run(&toml);
    fs::write(process.file(), broken(&toml, 1)).unwrap();
    for _ in 0..RELOADS {
        fail_to_reload(&process);
    }
    end(&mut process);
    let errors = process.errors();
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("unknown_key_0"))
        .collect();
    let repeated = lines
        .iter()
        .filter_map(|line| line.rsplit_once(" repeated=")?.1.parse::<usize>().ok());
    let (told, repeated): (usize, usize) =
        repeated.fold((0, 0), |(told, sum), count| (told + 1, sum + count));
    assert!(told >= 1 && repeated > 0, "{errors}");
    assert_eq!(
        lines.len() - told + repeated,
        RELOADS,
        "each of them is told once: {errors}"
    );
}

// Exit code 3 comes with all that was said before, and why.
#[test]
fn what_keeps_it_from_starting_is_never_lost() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let toml =
        format!("[upstreams.orders]\nurl = \"https://127.0.0.1:1\"\nverify = false\n{ROUTE}");
    fs::write(&file, toml).unwrap();
    let arguments = [
        "run",
        "--listen",
        &address,
        "--admin",
        "off",
        "--config",
        file.to_str().unwrap(),
    ];
    for _ in 0..10 {
        let output = scopegate(&arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{errors}");
        let lines: Vec<_> = errors.lines().collect();
        assert!(
            lines[0].contains(" WARN the upstream's certificate is not verified"),
            "{errors}"
        );
        assert!(
            lines[1].starts_with("error: cannot listen on ") && lines[1].contains(&address),
            "{errors}"
        );
    }
}
