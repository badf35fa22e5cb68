//! A gateway in this process, with its own configuration file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use scopegate::config::{Config, Overrides};
use scopegate::gateway::Gateway as Running;

use super::{Answer, Client, Request, Upstream, wait_until};

/// A running gateway. Dropping it shuts it down.
pub(crate) struct Gateway {
    directory: tempfile::TempDir,
    running: Option<Running>,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway on free ports with two workers. The text contains everything but the
    /// addresses of `[server]`, which are passed like flags.
    #[track_caller]
    pub(crate) fn start(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        Self::start_in(directory, file)
    }

    /// Starts a gateway with a public route to one upstream, for tests of the part after the
    /// decision. `more` continues the upstream's table and may add others.
    #[track_caller]
    pub(crate) fn open(upstream: &Upstream, more: &str) -> Self {
        let route =
            "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
        Self::start(&format!("{}{more}\n{route}", upstream.toml("orders")))
    }

    /// Starts a gateway that listens on the addresses in the text.
    #[track_caller]
    pub(crate) fn start_on_its_own_addresses(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        Self::start_with(directory, file, Vec::new())
    }

    /// Starts a gateway with an existing file, in a directory that is removed with the gateway.
    #[track_caller]
    pub(crate) fn start_in(directory: tempfile::TempDir, file: PathBuf) -> Self {
        Self::start_with(directory, file, vec!["127.0.0.1:0".parse().unwrap()])
    }

    #[track_caller]
    fn start_with(directory: tempfile::TempDir, file: PathBuf, listen: Vec<SocketAddr>) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let overrides = Overrides {
            listen: listen.into_iter().map(Into::into).collect(),
            admin: Some(Some(any)),
            workers: std::num::NonZeroUsize::new(2),
            ..Overrides::default()
        };
        let running = match Running::start(Box::new(move || Config::load(&file, &overrides))) {
            Ok(running) => running,
            Err(error) => panic!("the gateway does not start: {error}"),
        };
        let (address, admin) = (running.addresses()[0], running.admin_address().unwrap());
        Self {
            directory,
            running: Some(running),
            address,
            admin,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("gateway.toml")
    }

    /// Opens a new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request on a new connection.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.connect().send(request)
    }

    /// Reloads, like SIGHUP.
    pub(crate) fn reload(&self) {
        self.running.as_ref().unwrap().reload();
    }

    /// Overwrites the configuration in place.
    pub(crate) fn rewrite(&self, toml: &str) {
        fs::write(self.file(), toml).unwrap();
    }

    /// Shuts the gateway down and waits for its end.
    pub(crate) fn shutdown(mut self) {
        self.running.take().unwrap().shutdown();
    }

    /// Returns the status and the body of a path of the admin listener.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> (u16, String) {
        ask_admin(self.admin, path)
    }

    /// Returns the value of a metric, with its labels written as in the exposition; 0 if it is
    /// absent.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        metric(self.admin, series)
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        wait_until(&format!("{series} {value}"), || {
            (self.metric(series) - value).abs() < f64::EPSILON
        });
    }

    /// Waits until the keys of every issuer have been requested once.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        wait_until("the gateway is ready", || {
            self.ask_admin("/readyz").0 == 200
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // In the background, because the drain waits for connections that the test may still
            // hold.
            std::thread::spawn(move || running.shutdown());
        }
    }
}

/// Returns the status and the body of a path of an admin listener.
#[track_caller]
fn ask_admin(admin: SocketAddr, path: &str) -> (u16, String) {
    let text = super::raw(
        admin,
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    let (head, body) = text
        .split_once("\r\n\r\n")
        .expect("the admin listener answers");
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Returns all metrics of an admin listener.
#[track_caller]
pub(super) fn metrics(admin: SocketAddr) -> String {
    let (status, text) = ask_admin(admin, "/metrics");
    assert_eq!(status, 200);
    text
}

/// Returns the value of a metric from an admin listener; 0 if it is absent.
#[track_caller]
pub(super) fn metric(admin: SocketAddr, series: &str) -> f64 {
    let text = metrics(admin);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a metric is a number"))
}
