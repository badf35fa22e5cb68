//! A gateway with hostile and other clients on one worker, and the cost of both.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::frames::{Flooded, Frames};
use super::{PATIENCE, Process, Request, Secured, Upstream};

/// The memory that a flood may add to the gateway (requirements.md#f6).
const MEMORY: usize = 16 * 1024 * 1024;

/// A gateway with one worker in its own process, with one upstream for hostile clients and one for
/// the others.
pub(crate) struct Scene {
    pub(crate) process: Process,
    pub(crate) victim: Upstream,
    #[expect(dead_code, reason = "it is there to answer the innocent")]
    upstream: Upstream,
    /// The gateway's memory before the attack.
    before: usize,
}

impl Scene {
    pub(crate) fn open(more: &str) -> Self {
        Self::open_with(more, Frames::connect)
    }

    /// Starts the same scene over TLS.
    pub(crate) fn secured(secured: &Secured) -> Self {
        Self::open_with(&secured.server_toml(), |address| {
            let socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            Frames::over(secured.over(socket, true))
        })
    }

    fn open_with(more: &str, connect: impl FnOnce(SocketAddr) -> Frames) -> Self {
        let (victim, upstream) = (Upstream::start(), Upstream::start());
        let route = |path: &str, upstream: &str| {
            format!(
                "[[routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\nmethods = \"ANY\"\n\
                 public = true\n"
            )
        };
        let process = Process::run_alone(
            &[
                more,
                &victim.toml("victim"),
                &upstream.toml("orders"),
                &route("/guilty", "victim"),
                &route("/innocent", "orders"),
            ]
            .concat(),
        );
        // Memory that the first requests allocate does not count.
        let mut client = connect(process.address());
        for number in 0..50 {
            client.get(2 * number + 1, "/innocent");
            assert_eq!(client.status(2 * number + 1), 200);
        }
        let before = process.peak_memory();
        Self {
            process,
            victim,
            upstream,
            before,
        }
    }

    pub(crate) fn guilty(&self) -> Frames {
        Frames::connect(self.process.address())
    }

    /// Runs an attack while other clients send requests, all of which must be answered.
    pub(crate) fn beside_others<T>(&self, bad: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            let innocent = scope.spawn(|| {
                let mut client = Frames::connect(self.process.address());
                let mut stream = 1;
                while !is_over.load(Ordering::SeqCst) {
                    client.get(stream, "/innocent");
                    assert_eq!(client.status(stream), 200);
                    assert_eq!(client.body(stream), b"ok");
                    stream += 2;
                }
            });
            let guard = Over(&is_over);
            let result = bad();
            drop(guard);
            innocent.join().expect("others are answered");
            result
        });
        let other = self.process.send(&Request::get("/innocent"));
        assert_eq!(other.status, 200, "over HTTP/1.1, too");
        result
    }

    /// Runs a flood of frames as the attack.
    pub(crate) fn flood(
        &self,
        client: Frames,
        pieces: impl IntoIterator<Item = Vec<u8>>,
    ) -> Flooded {
        self.beside_others(|| client.flood(pieces))
    }

    /// Returns the number of requests that reached the upstream, including those that were cut.
    pub(crate) fn disturbed(&self) -> u32 {
        let count = |what: &str| {
            self.process.metric(&format!(
                "scopegate_upstream_connections_{what}_total{{upstream=\"victim\"}}"
            ))
        };
        (count("opened") + count("reused")) as u32
    }

    #[track_caller]
    pub(crate) fn check_memory(&self, what: &str) {
        self.check_memory_of(what, MEMORY);
    }

    #[track_caller]
    pub(crate) fn check_memory_of(&self, what: &str, bound: usize) {
        let grown = self.process.peak_memory().saturating_sub(self.before);
        assert!(grown <= bound, "{what}: {} KiB more", grown / 1024);
    }
}

/// Sets a flag when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
