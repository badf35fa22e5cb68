//! The gateway as a process: its start, its end, and what it holds.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running gateway.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a gateway and waits until it listens.
    pub(crate) fn start(config: &Path, address: SocketAddr) -> Self {
        let log = fs::File::create(config.with_extension("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_scopegate"))
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the gateway does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the resident memory in KiB when it has stopped changing.
    pub(crate) fn settled_memory(&self) -> usize {
        let mut last = Held::by(self.id()).memory;
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(250));
            let now = Held::by(self.id()).memory;
            if now == last {
                break;
            }
            last = now;
        }
        last
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The resident memory, in KiB.
    pub(crate) memory: usize,
    /// What is no part of a file of it: heap and stacks, in KiB. The rest is the program, of which
    /// a page becomes resident when it runs for the first time.
    pub(crate) anonymous: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

impl Held {
    pub(crate) fn by(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        Self {
            memory: number(&status, "VmRSS:"),
            anonymous: number(&status, "RssAnon:"),
            descriptors: descriptors.map(Iterator::count).unwrap_or_default(),
            threads: number(&status, "Threads:"),
        }
    }
}

/// Returns the number in the line of the status that begins with a name.
fn number(status: &str, name: &str) -> usize {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let text = line.unwrap_or_default().trim().trim_end_matches(" kB");
    text.parse().unwrap_or(0)
}
