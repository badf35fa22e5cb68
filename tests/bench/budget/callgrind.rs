//! A program under callgrind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// The number of lines of a profile that are shown.
const PROFILE_LINES: usize = 90;

pub(super) struct Callgrind {
    child: Child,
    errors: BufReader<ChildStderr>,
    counts: PathBuf,
}

impl Callgrind {
    pub(super) fn start(directory: &Path, program: &Path, arguments: &[&str]) -> Self {
        let counts = directory.join("callgrind.out");
        let log = directory.join("valgrind.log");
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", counts.display()));
        command.arg(format!("--log-file={}", log.display()));
        // Settings from the environment must not affect the count.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SCOPEGATE_")) {
            command.env_remove(name);
        }
        command
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("Valgrind is installed");
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            errors,
            counts,
        }
    }

    /// Returns the process id, which is both Valgrind's and the program's.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address of the gateway, from its log.
    pub(super) fn address(&mut self) -> SocketAddr {
        let mut log = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.errors.read_line(&mut line).unwrap() > 0,
                "the gateway did not start:\n{log}"
            );
            if let Some((_, address)) = line.split_once("listening address=") {
                return address.trim().parse().unwrap();
            }
            log += &line;
        }
    }

    /// Ends a gateway as a supervisor does.
    pub(super) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait();
    }

    pub(super) fn wait(&mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Returns the number of instructions of all threads.
    pub(super) fn instructions(&self) -> u64 {
        let text = fs::read_to_string(&self.counts).unwrap();
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("totals: "))
            .unwrap();
        total.trim().parse().unwrap()
    }

    /// Prints the functions with the most instructions.
    pub(super) fn profile(&self) {
        let annotate = Command::new("callgrind_annotate")
            .arg("--threshold=97")
            .arg(&self.counts)
            .output();
        for line in String::from_utf8_lossy(&annotate.unwrap().stdout)
            .lines()
            .take(PROFILE_LINES)
        {
            println!("{line}");
        }
    }
}
