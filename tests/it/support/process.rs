//! The program as a process of its own, on ports of the system's choice.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{Answer, Client, PATIENCE, Request, free_address, wait_until, wait_within};

const ANY: &str = "127.0.0.1:0";

/// The program with these arguments and none of the environment's settings: the one that was built
/// with the tests, or, to hold another build to them, the one that `SCOPEGATE_TEST_PROGRAM` names.
pub(crate) fn scopegate(arguments: &[&str]) -> Command {
    let built = || env!("CARGO_BIN_EXE_scopegate").into();
    let mut command =
        Command::new(std::env::var_os("SCOPEGATE_TEST_PROGRAM").unwrap_or_else(built));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "CONFIG",
        "LISTEN",
        "ADMIN",
        "WORKERS",
        "LOG",
        "ISSUER_LISTEN",
    ] {
        command.env_remove(format!("SCOPEGATE_{name}"));
    }
    command
}

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    directory: tempfile::TempDir,
    out: Stream,
    errors: Stream,
    /// Its address and the admin's, where no log tells them.
    places: Option<[SocketAddr; 2]>,
}

/// What the program has written so far.
struct Stream {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command, such as `["run"]`, with a configuration; its listeners are on any port.
    #[track_caller]
    pub(crate) fn start(command: &[&str], toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        Self::spawn(directory, scopegate(&[command, &config].concat()))
    }

    /// Starts `scopegate run` with a listening socket as a supervisor passes it (`sd_listen_fds`),
    /// on which it serves if the text says so.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn activated(socket: impl Into<std::os::fd::OwnedFd>, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let program = scopegate(&["run", "--config", file.to_str().unwrap()]);
        let mut command = Command::new("sh");
        // The shell's own process becomes the program's.
        command.args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"",
        ]);
        command
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::from(socket.into()));
        for (name, _) in program.get_envs() {
            command.env_remove(name);
        }
        Self::spawn(directory, command)
    }

    /// `scopegate run` with a variable in its environment, once it has said where it listens.
    #[track_caller]
    pub(crate) fn run_with(name: &str, value: &Path, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let mut command =
            scopegate(&["run", "--listen", ANY, "--admin", ANY, config[0], config[1]]);
        command.env(name, value);
        let process = Self::spawn(directory, command);
        process.wait_for_log("listening address=");
        process
    }

    /// `scopegate run` with at most so many descriptors.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn limited(descriptors: u32, toml: &str) -> Self {
        Self::with_ulimit(&format!("-n {descriptors}"), toml)
    }

    /// `scopegate run` after a `ulimit` with these arguments.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn with_ulimit(arguments: &str, toml: &str) -> Self {
        let process = Self::try_with_ulimit(arguments, toml);
        process.wait_for_log("listening address=");
        process
    }

    /// The same, whether it starts or not.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn try_with_ulimit(arguments: &str, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let program = scopegate(&[
            "run",
            "--listen",
            ANY,
            "--admin",
            ANY,
            "--workers",
            "2",
            "--config",
            file.to_str().unwrap(),
        ]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {arguments}; exec \"$0\" \"$@\"")]);
        command
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::null());
        for (name, _) in program.get_envs() {
            command.env_remove(name);
        }
        Self::spawn(directory, command)
    }

    /// `scopegate run`, whose standard output nobody reads but whoever has the other end of it.
    #[track_caller]
    pub(crate) fn run_into(out: impl Into<Stdio>, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let command = scopegate(&[
            "run",
            "--listen",
            ANY,
            "--admin",
            ANY,
            "--workers",
            "2",
            config[0],
            config[1],
        ]);
        let process = Self::spawn_into(out.into(), directory, command);
        process.wait_for_log("listening address=");
        process
    }

    /// `scopegate run`, whose standard error nobody reads but whoever has the other end of it.
    #[track_caller]
    pub(crate) fn run_telling(errors: impl Into<Stdio>, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let places = [free_address(), free_address()];
        let [listen, admin] = places.map(|place| place.to_string());
        let config = ["--config", file.to_str().unwrap()];
        let command = scopegate(&[
            "run",
            "--listen",
            &listen,
            "--admin",
            &admin,
            "--workers",
            "2",
            config[0],
            config[1],
        ]);
        let mut process = Self::spawn_with(Stdio::piped(), errors.into(), directory, command);
        process.places = Some(places);
        wait_until("it listens", || {
            places.iter().all(|place| TcpStream::connect(place).is_ok())
        });
        process
    }

    fn spawn(directory: tempfile::TempDir, command: Command) -> Self {
        Self::spawn_into(Stdio::piped(), directory, command)
    }

    fn spawn_into(out: Stdio, directory: tempfile::TempDir, command: Command) -> Self {
        Self::spawn_with(out, Stdio::piped(), directory, command)
    }

    fn spawn_with(
        out: Stdio,
        errors: Stdio,
        directory: tempfile::TempDir,
        mut command: Command,
    ) -> Self {
        let mut child = command.stdout(out).stderr(errors).spawn().unwrap();
        let out = child
            .stdout
            .take()
            .map_or_else(|| Stream::of(std::io::empty()), Stream::of);
        let errors = child
            .stderr
            .take()
            .map_or_else(|| Stream::of(std::io::empty()), Stream::of);
        Self {
            child,
            directory,
            out,
            errors,
            places: None,
        }
    }

    /// `scopegate run`, which has said where it listens.
    #[track_caller]
    pub(crate) fn run(toml: &str) -> Self {
        let process = Self::start(
            &["run", "--listen", ANY, "--admin", ANY, "--workers", "2"],
            toml,
        );
        process.wait_for_log("listening address=");
        process
    }

    /// The same with one worker, so that every connection shares it with every other.
    #[track_caller]
    pub(crate) fn run_alone(toml: &str) -> Self {
        let process = Self::start(
            &["run", "--listen", ANY, "--admin", ANY, "--workers", "1"],
            toml,
        );
        process.wait_for_log("listening address=");
        process
    }

    /// The most memory that it ever had resident, in bytes. Linux tells; elsewhere it is 0 and
    /// nothing is known.
    pub(crate) fn peak_memory(&self) -> usize {
        self.resident("VmHWM:")
    }

    /// The memory that it has resident, in bytes, likewise.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> usize {
        self.resident("VmRSS:")
    }

    fn resident(&self, name: &str) -> usize {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.map(|line| {
            line.trim()
                .trim_end_matches(" kB")
                .parse::<usize>()
                .unwrap()
        });
        kib.unwrap_or_default() * 1024
    }

    /// The value of a metric, its labels written as the exposition has them; 0 when it is not
    /// there.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        super::gateway::metric(self.admin(), series)
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        wait_until(&format!("{series} {value}"), || {
            (self.metric(series) - value).abs() < f64::EPSILON
        });
    }

    /// `scopegate dev`, which has said all that it says at the start.
    #[track_caller]
    pub(crate) fn dev(toml: &str) -> Self {
        let process = Self::start(
            &[
                "dev",
                "--listen",
                ANY,
                "--admin",
                ANY,
                "--issuer-listen",
                ANY,
            ],
            toml,
        );
        // It makes keys of every kind that the configuration names first, which is work.
        wait_within(3 * PATIENCE, "dev has said its welcome", || {
            process.out().contains("Ctrl-C")
        });
        process
    }

    /// Where requests are taken: what the log says first.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.places.map_or_else(
            || self.logged_address("listening address="),
            |[address, _]| address,
        )
    }

    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        self.places.map_or_else(
            || self.logged_address("listening for the admin address="),
            |[_, admin]| admin,
        )
    }

    #[track_caller]
    fn logged_address(&self, before: &str) -> SocketAddr {
        self.wait_for_log(before);
        let errors = self.errors();
        let (_, after) = errors.split_once(before).unwrap();
        after
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .expect("an address is logged")
    }

    /// The place of that name in the welcome of `dev`.
    #[track_caller]
    pub(crate) fn place(&self, name: &str) -> SocketAddr {
        let out = self.out();
        let line = out
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(' '));
        let url = line
            .expect("the welcome has the place")
            .trim_start()
            .strip_prefix("http://")
            .unwrap();
        url.split([' ', ',', '/']).next().unwrap().parse().unwrap()
    }

    /// Its number among the processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn number(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("gateway.toml")
    }

    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Answer {
        Client::connect(self.address()).send(request)
    }

    /// Standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.text.lock().unwrap().clone()
    }

    /// Standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.text.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} is logged"), || {
            self.errors().contains(text)
        });
    }

    /// Its id, for whoever has no time for a shell.
    #[cfg(unix)]
    pub(crate) fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Leaves it so many descriptors beside those that are open.
    #[cfg(target_os = "linux")]
    pub(crate) fn leave_descriptors(&self, free: u64) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count() as u64;
        let limit = Rlimit {
            current: Some(open + free),
            maximum: Some(open + free),
        };
        prlimit(Some(self.id()), Resource::Nofile, limit).unwrap();
    }

    /// Sends a signal, such as `TERM`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        // Every POSIX shell has `kill`, and the standard library has no way to do it.
        let process = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended by itself, and all that it wrote was read.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        for stream in [&mut self.out, &mut self.errors] {
            stream.reader.take().map(JoinHandle::join);
        }
        status.unwrap()
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its process said"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "--- standard output\n{}--- standard error\n{}---",
                self.out(),
                self.errors()
            );
        }
    }
}

impl Stream {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let written = text.clone();
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                written
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }
}
