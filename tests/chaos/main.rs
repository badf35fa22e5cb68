//! Constant load while everything around the gateway fails: upstreams are killed, paused and reset,
//! the issuer goes away and replaces its signing key, the configuration is rewritten each second,
//! with errors in between, and certificates are rotated.
//!
//! At the end no request is lost that was safe to send again, no verdict was wrong, no POST arrived
//! twice, and the memory is back to its first size.
//!
//!     cargo test --test chaos              # 60 seconds; CHAOS_SECONDS says otherwise
//!
//! With SOAK_SECONDS the same goes on for hours, at a moderate rate, and shows whether anything
//! grows: `tests/chaos/soak.sh`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout
)]

#[path = "../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;

mod backend;
mod issuer;
mod latency;
mod load;
mod process;
mod scene;
mod soak;
mod trend;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use http::Version;
use rustls::{ClientConfig, RootCertStore};

use backend::Mode;
use latency::Windows;
use load::{Client, Seen};
use process::Process;
use scene::Scene;

/// The requests that each client of a soak sends in a second, unless SOAK_RATE says otherwise.
const SOAK_RATE: u32 = 25;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::new(directory.path());
    scene.write_certificate();
    scene.write_config(0);
    let gateway = Process::start(&directory.path().join("gateway.toml"), scene.address);
    match number("SOAK_SECONDS") {
        Some(seconds) => {
            let rate = number("SOAK_RATE").unwrap_or(SOAK_RATE);
            soak::soak(&scene, &gateway, Duration::from_secs(seconds.into()), rate);
        }
        None => chaos(&scene, &gateway, number("CHAOS_SECONDS").unwrap_or(60)),
    }
    let status = gateway.terminate();
    println!("exit: {status}");
    assert!(status.success());
}

/// Returns the number in a variable of the environment.
fn number(name: &str) -> Option<u32> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs as much load as the clients can make.
fn chaos(scene: &Scene, gateway: &Process, seconds: u32) {
    let load = Load::calm(Duration::from_secs(5));
    load.run(scene);
    let before = gateway.settled_memory();
    let load = Load::in_trouble(Duration::from_secs(seconds.into()));
    let seen = load.run(scene);
    let after = gateway.settled_memory();

    println!("{} requests in {seconds} s:", seen.total());
    seen.print();
    println!("resident memory: {before} KiB before, {after} KiB after");
    check(scene, &seen);
    assert!(after <= before * 5 / 4 + 8 * 1024, "memory has grown");
}

/// Panics if a request was lost or mixed up, a verdict was wrong, or a POST was repeated.
fn check(scene: &Scene, seen: &Seen) {
    let (posts, repeated) = scene.posts.lock().unwrap().counts();
    println!("POSTs that arrived: {posts}; more than once: {repeated}");
    assert!(seen.total() > 1000, "too little load to tell anything");
    let counters = [
        (&seen.lost, "requests that were safe to repeat were lost"),
        (&seen.wrong, "verdicts were wrong"),
        (&seen.mixed, "answers reached another request"),
    ];
    for (counter, fault) in counters {
        assert_eq!(counter.load(Ordering::Relaxed), 0, "{fault}");
    }
    assert_eq!(repeated, 0, "POSTs were repeated");
}

/// A load for some time, from four clients of HTTP/1.1 and four of HTTP/2.
struct Load {
    /// The prefix of the ids of its requests.
    name: &'static str,
    time: Duration,
    /// Whether everything around the gateway fails meanwhile.
    has_trouble: bool,
    /// The time from one request of a client to the next; zero for as many as it can make.
    interval: Duration,
    windows: Option<Arc<Windows>>,
}

impl Load {
    fn calm(time: Duration) -> Self {
        Self {
            name: "calm",
            time,
            has_trouble: false,
            interval: Duration::ZERO,
            windows: None,
        }
    }

    fn in_trouble(time: Duration) -> Self {
        Self {
            name: "trouble",
            has_trouble: true,
            ..Self::calm(time)
        }
    }

    fn run(&self, scene: &Scene) -> Arc<Seen> {
        let seen = Arc::new(Seen {
            run: self.name,
            ..Seen::default()
        });
        let tls = Arc::new(trust(scene));
        let versions = [Version::HTTP_11, Version::HTTP_2];
        let mut clients = Vec::new();
        for number in 0..8 {
            let client = Client {
                number,
                version: versions[number % versions.len()],
                address: scene.address,
                tls: tls.clone(),
                tokens: scene.issuer.tokens(),
                seen: seen.clone(),
                interval: self.interval,
                windows: self.windows.clone(),
            };
            clients.push(client.start());
        }
        self.wait(scene);
        seen.stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        seen
    }

    /// Makes trouble once a second until the time is over.
    fn wait(&self, scene: &Scene) {
        let until = Instant::now() + self.time;
        for second in 0.. {
            let next = Instant::now() + Duration::from_secs(1);
            if self.has_trouble {
                scene.trouble(second);
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if Instant::now() >= until {
                break;
            }
        }
        for backend in &scene.backends {
            backend.set(Mode::Serve);
        }
    }
}

/// Returns a configuration of TLS that trusts the authority of the scene.
fn trust(scene: &Scene) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(scene.authority.der().clone()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
