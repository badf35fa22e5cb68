//! The gateway as a service: what it tells its service manager, and `scopegate reload`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{Client, PATIENCE, Process, Request, free_address, scopegate, wait_until};

/// The end of a service manager's socket that it reads.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap())
    }

    fn of(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The next message, without the status for people.
    #[track_caller]
    fn next(&self) -> String {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).expect("a message comes");
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("STATUS="));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn expect_reload(&self) {
        let reloading = self.next();
        let time = reloading.strip_prefix("RELOADING=1 MONOTONIC_USEC=");
        let time = time.unwrap_or_else(|| panic!("no beginning of a reload: {reloading}"));
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(self.next(), "READY=1");
    }

    fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv(&mut [0; 512]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }
}

/// A directory with the sockets of a service.
struct Runtime(tempfile::TempDir);

impl Runtime {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn notify(&self) -> PathBuf {
        self.0.path().join("notify")
    }

    fn control(&self) -> PathBuf {
        self.0.path().join("control.sock")
    }

    /// Starts a gateway in the way of the unit: with the variables that systemd sets.
    fn start(&self, toml: &str) -> Process {
        let notify = self.notify().display().to_string();
        let directory = self.0.path().display().to_string();
        let variables = [
            ("NOTIFY_SOCKET", notify.as_str()),
            ("RUNTIME_DIRECTORY", directory.as_str()),
        ];
        Process::start_with(&["run"], &variables, toml)
    }

    /// `scopegate reload`, in the way of the unit's `ExecReload=`.
    fn reload(&self) -> Output {
        scopegate(&["reload"])
            .env("RUNTIME_DIRECTORY", self.0.path())
            .output()
            .unwrap()
    }
}

fn route(path: &str) -> String {
    format!(
        "[[routes]]\npath = \"{path}\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n"
    )
}

/// A gateway that reads its files only when it is asked to.
fn toml(server: &str, routes: &str) -> String {
    format!(
        "[server]\nworkers = 1\n{server}\n[reload]\nwatch = false\n\
         [upstreams.up]\nurl = \"http://127.0.0.1:1\"\n{routes}"
    )
}

fn on_any_port(routes: &str) -> String {
    toml("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"", routes)
}

#[track_caller]
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_service_manager_hears_of_the_start_of_reloads_and_of_the_end() {
    let runtime = Runtime::new();
    let manager = Manager::at(&runtime.notify());
    let mut process = runtime.start(&on_any_port(&route("/a")));
    assert_eq!(manager.next(), "READY=1");
    // It serves when it says so.
    assert_eq!(process.send(&Request::get("/none")).status, 404);
    for text in [
        on_any_port(&format!("{}{}", route("/a"), route("/b"))),
        "broken".to_owned(),
        on_any_port(&route("/a")),
    ] {
        fs::write(process.file(), text).unwrap();
        process.signal("HUP");
        manager.expect_reload();
    }
    process.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1");
    assert_eq!(process.wait().code(), Some(0));
    assert!(manager.is_silent());
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let runtime = Runtime::new();
    let manager = Manager::at(&runtime.notify());
    let mut broken = runtime.start("nothing = 1");
    assert_eq!(broken.wait().code(), Some(1));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "listen = \"{}\"\nadmin = \"off\"",
        taken.local_addr().unwrap()
    );
    let mut refused = runtime.start(&toml(&listen, &route("/a")));
    assert_eq!(refused.wait().code(), Some(3));
    assert!(manager.is_silent());
    assert!(!runtime.control().exists(), "no socket is left behind");
}

#[test]
fn an_abstract_socket_is_a_service_managers_too() {
    let name = format!("scopegate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::of(UnixDatagram::bind_addr(&address).unwrap());
    let variables = [("NOTIFY_SOCKET", format!("@{name}"))];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let _process = Process::start_with(&["run"], &variables, &on_any_port(&route("/a")));
    assert_eq!(manager.next(), "READY=1");
}

// A service manager that has gone away is no reason to stop.
#[test]
fn a_gateway_serves_without_a_listening_manager() {
    let runtime = Runtime::new();
    let process = runtime.start(&on_any_port(&route("/a")));
    process.wait_for_log("the service manager cannot be told");
    assert_eq!(process.send(&Request::get("/none")).status, 404);
}

#[test]
fn reload_returns_when_the_configuration_is_in_force_or_refused() {
    let runtime = Runtime::new();
    let manager = Manager::at(&runtime.notify());
    let mut process = runtime.start(&on_any_port(&route("/a")));
    assert_eq!(manager.next(), "READY=1");
    let mode = runtime.control().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let unchanged = runtime.reload();
    assert_eq!(unchanged.status.code(), Some(0), "{unchanged:?}");
    assert!(text(&unchanged.stdout).contains("the files are unchanged"));
    manager.expect_reload();

    // The upstream is not there: what matters is that the route is, at once.
    let both = on_any_port(&format!("{}{}", route("/a"), route("/b")));
    fs::write(process.file(), &both).unwrap();
    let changed = runtime.reload();
    assert_eq!(changed.status.code(), Some(0), "{changed:?}");
    assert_eq!(
        text(&changed.stdout),
        "the changed configuration is in force (routes: 2)\n"
    );
    assert_eq!(process.send(&Request::get("/b")).status, 502);
    // It was told to the manager before the command ended.
    manager.expect_reload();
    assert!(manager.is_silent());

    fs::write(process.file(), both.replace("public", "publik")).unwrap();
    let refused = runtime.reload();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    let errors = text(&refused.stderr);
    let place = format!("\n{}:", process.file().display());
    assert!(
        errors.contains(&place) && errors.contains("unknown key \"publik\""),
        "{errors}"
    );
    assert_eq!(process.send(&Request::get("/b")).status, 502);

    // What only the running gateway can tell: the address is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "listen = [\"127.0.0.1:0\", \"{}\"]\nadmin = \"127.0.0.1:0\"",
        taken.local_addr().unwrap()
    );
    fs::write(process.file(), toml(&listen, &route("/a"))).unwrap();
    let refused = runtime.reload();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("cannot listen on"));

    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(!runtime.control().exists());
    let nobody = runtime.reload();
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    let errors = text(&nobody.stderr);
    assert!(
        errors.contains("no gateway can be asked at")
            && errors.contains("--control")
            && errors.contains("kill -HUP"),
        "{errors}"
    );
}

#[test]
fn the_control_socket_may_be_anywhere() {
    let runtime = Runtime::new();
    let path = runtime.0.path().join("own.sock").display().to_string();
    let process = Process::start(&["run", "--control", &path], &on_any_port(&route("/a")));
    process.wait_for_log("listening address=");
    wait_until("the socket is there", || Path::new(&path).exists());
    for arguments in [&["reload", "--control", &path][..], &["reload"]] {
        let output = scopegate(arguments)
            .env("SCOPEGATE_CONTROL", &path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn a_file_in_the_place_of_the_control_socket_is_kept() {
    let runtime = Runtime::new();
    fs::write(runtime.control(), "mine").unwrap();
    let mut process = runtime.start(&on_any_port(&route("/a")));
    assert_eq!(process.wait().code(), Some(3));
    assert!(process.errors().contains("no control socket at"));
    assert_eq!(fs::read_to_string(runtime.control()).unwrap(), "mine");
}

// Whoever can connect is the same user; a defect of such a program must not stop reloads.
#[test]
fn clients_that_break_the_protocol_do_not_stop_reloads() {
    let runtime = Runtime::new();
    let _manager = Manager::at(&runtime.notify());
    let process = runtime.start(&on_any_port(&route("/a")));
    process.wait_for_log("listening address=");
    let connect = || UnixStream::connect(runtime.control()).unwrap();
    wait_until("the socket is there", || runtime.control().exists());
    let silent: Vec<_> = (0..20).map(|_| connect()).collect();
    let mut other = connect();
    other.write_all(b"restart").unwrap();
    let output = runtime.reload();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "unknown command\n");
    drop(silent);
    assert_eq!(
        Client::connect(process.address())
            .send(&Request::get("/none"))
            .status,
        404
    );
}

// The process that a service manager watches ends after a handover; it must watch the other one.
#[test]
fn a_handover_names_the_process_that_serves_now() {
    let runtime = Runtime::new();
    let manager = Manager::at(&runtime.notify());
    let handover = runtime.0.path().join("handover.sock");
    let server = format!(
        "listen = \"{}\"\nadmin = \"off\"\nhandover = \"{}\"",
        free_address(),
        handover.display()
    );
    let text = toml(&server, &route("/a"));
    let mut old = runtime.start(&text);
    assert_eq!(manager.next(), "READY=1");
    let mut new = runtime.start(&text);
    assert_eq!(old.wait().code(), Some(0));
    // The order of the two processes' messages is not fixed.
    let mut told = [manager.next(), manager.next()];
    told.sort();
    assert_eq!(
        told,
        [format!("MAINPID={}", new.number()), "READY=1".to_owned()]
    );
    assert!(manager.is_silent());
    let output = runtime.reload();
    assert_eq!(
        output.status.code(),
        Some(0),
        "it asks the new one: {output:?}"
    );
    new.signal("TERM");
    assert_eq!(new.wait().code(), Some(0));
    assert!(!runtime.control().exists());
}

// A key that waits is named by every reload until it has its old value again.
#[test]
fn reload_names_the_keys_that_wait_for_the_next_start() {
    let runtime = Runtime::new();
    let one = on_any_port(&route("/a"));
    let two = one.replace("workers = 1", "workers = 2");
    let more = format!("{two}[token_cache]\nbytes = \"1 MiB\"\n");
    let manager = Manager::at(&runtime.notify());
    let process = runtime.start(&one);
    assert_eq!(manager.next(), "READY=1");
    let reload = |file: &str| {
        fs::write(process.file(), file).unwrap();
        let output = runtime.reload();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    };
    let changed = "the changed configuration is in force (routes: 1)\n";
    let workers = "server.workers takes effect at the next start\n";
    let cache = "token_cache takes effect at the next start\n";
    assert_eq!(reload(&two), format!("{changed}{workers}"));
    process.wait_for_log("this setting takes effect at the next start key=\"server.workers\"");
    let unchanged = "the files are unchanged: the configuration in force stays\n";
    assert_eq!(reload(&two), format!("{unchanged}{workers}"));
    assert_eq!(reload(&more), format!("{changed}{workers}{cache}"));
    assert_eq!(reload(&one), changed);
}
