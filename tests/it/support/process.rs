//! The program as a separate process, on ports that the system chooses.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use super::{Answer, Client, PATIENCE, Request, free_address, wait_until, wait_within};

const ANY: &str = "127.0.0.1:0";

/// Returns the program with these arguments and without settings from the environment: the one that
/// was built with the tests or, to test another build, the one that `SCOPEGATE_TEST_PROGRAM` names.
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
        "CONTROL",
        "ISSUER_LISTEN",
    ] {
        command.env_remove(format!("SCOPEGATE_{name}"));
    }
    // Those of a service manager that runs the tests.
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("RUNTIME_DIRECTORY");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

/// A running program, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    directory: tempfile::TempDir,
    out: Stream,
    errors: Stream,
    /// The addresses of the gateway and the admin listener, if no log states them.
    places: Option<[SocketAddr; 2]>,
}

/// The output of the program so far.
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

    /// Starts `scopegate run` with a listening socket that is passed as by a supervisor
    /// (`sd_listen_fds`). The text decides whether it is used.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn activated(socket: impl Into<std::os::fd::OwnedFd>, toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let program = scopegate(&["run", "--config", file.to_str().unwrap()]);
        let mut command = Command::new("sh");
        // The shell's process becomes the program's.
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

    /// Starts a command as [`Self::start`] does, with variables in its environment.
    #[track_caller]
    pub(crate) fn start_with(command: &[&str], variables: &[(&str, &str)], toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let mut command = scopegate(&[command, &config].concat());
        command.envs(variables.iter().copied());
        Self::spawn(directory, command)
    }

    /// Starts `scopegate run` with a variable in its environment, and waits until it has logged its
    /// addresses.
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

    /// Starts `scopegate run` with a limit of open descriptors.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn limited(descriptors: u32, toml: &str) -> Self {
        Self::with_ulimit(&format!("-n {descriptors}"), toml)
    }

    /// Starts `scopegate run` after a `ulimit` with these arguments.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn with_ulimit(arguments: &str, toml: &str) -> Self {
        let process = Self::try_with_ulimit(arguments, toml);
        process.wait_for_log("listening address=");
        process
    }

    /// Starts `scopegate run` after a `ulimit`, and does not require that it serves.
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

    /// Starts `scopegate run` with this standard output, which the test may leave unread.
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

    /// Starts `scopegate run` with this standard error, which the test may leave unread.
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

    /// Starts `scopegate run`, and waits until it has logged its addresses.
    #[track_caller]
    pub(crate) fn run(toml: &str) -> Self {
        let process = Self::start(
            &["run", "--listen", ANY, "--admin", ANY, "--workers", "2"],
            toml,
        );
        process.wait_for_log("listening address=");
        process
    }

    /// Starts `scopegate run` with one worker, which all connections share.
    #[track_caller]
    pub(crate) fn run_alone(toml: &str) -> Self {
        let process = Self::start(
            &["run", "--listen", ANY, "--admin", ANY, "--workers", "1"],
            toml,
        );
        process.wait_for_log("listening address=");
        process
    }

    /// Returns the largest resident memory so far, in bytes, on Linux; 0 elsewhere.
    pub(crate) fn peak_memory(&self) -> usize {
        self.resident("VmHWM:")
    }

    /// Returns the resident memory, in bytes, on Linux; 0 elsewhere.
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

    /// Returns the value of a metric, with its labels written as in the exposition; 0 if it is
    /// absent.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        super::gateway::metric(self.admin(), series)
    }

    /// Returns all metrics.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        super::gateway::metrics(self.admin())
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        wait_until(&format!("{series} {value}"), || {
            (self.metric(series) - value).abs() < f64::EPSILON
        });
    }

    /// Starts `scopegate dev`, and waits until it has printed its first text.
    #[track_caller]
    pub(crate) fn dev(toml: &str) -> Self {
        Self::dev_with(&[], toml)
    }

    /// Starts `scopegate dev` with options, and waits until it has printed its first text.
    #[track_caller]
    pub(crate) fn dev_with(options: &[&str], toml: &str) -> Self {
        let addresses = [
            "dev",
            "--listen",
            ANY,
            "--admin",
            ANY,
            "--issuer-listen",
            ANY,
        ];
        let process = Self::start(&[&addresses, options].concat(), toml);
        // It first generates every kind of key that the configuration names, which takes a while.
        wait_within(3 * PATIENCE, "dev has said its welcome", || {
            process.out().contains("Ctrl-C")
        });
        process
    }

    /// Returns the gateway's address, which the log states first.
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

    /// Returns the address with this name in the first text of `dev`.
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

    /// Returns the process id.
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

    /// Returns the standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.text.lock().unwrap().clone()
    }

    /// Returns the standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.text.lock().unwrap().clone()
    }

    /// Waits for the line of the access log about a request for this path, and returns it.
    #[track_caller]
    pub(crate) fn line(&self, path: &str) -> Value {
        let find = || {
            let out = self.out();
            let lines = out.lines().map(serde_json::from_str::<Value>);
            lines.flatten().find(|line| line["path"] == path)
        };
        wait_until(&format!("{path} is logged"), || find().is_some());
        find().unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} is logged"), || {
            self.errors().contains(text)
        });
    }

    /// Returns the process id, for signals that are sent without a shell.
    #[cfg(unix)]
    pub(crate) fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Limits the number of descriptors to the open ones plus `free`.
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
        // Every POSIX shell has `kill`; the standard library cannot send signals.
        let process = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended by itself and its output was read completely.
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
