//! A gateway in this process, with a configuration file of its own.

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
    /// Starts a gateway on free ports with two workers. The text holds everything but `[server]`'s
    /// addresses, which come as flags do.
    #[track_caller]
    pub(crate) fn start(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        Self::start_in(directory, file)
    }

    /// Starts a gateway that lets everybody through to one upstream, for what comes after the
    /// decision. `more` begins in the upstream's table and may go on with others.
    #[track_caller]
    pub(crate) fn open(upstream: &Upstream, more: &str) -> Self {
        let route =
            "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
        Self::start(&format!("{}{more}\n{route}", upstream.toml("orders")))
    }

    /// The same, but requests are taken where the text says.
    #[track_caller]
    pub(crate) fn start_on_its_own_addresses(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        Self::start_with(directory, file, Vec::new())
    }

    /// Starts a gateway with a file that is there already, in a directory that goes when the
    /// gateway does.
    #[track_caller]
    pub(crate) fn start_in(directory: tempfile::TempDir, file: PathBuf) -> Self {
        Self::start_with(directory, file, vec!["127.0.0.1:0".parse().unwrap()])
    }

    #[track_caller]
    fn start_with(directory: tempfile::TempDir, file: PathBuf, listen: Vec<SocketAddr>) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let overrides = Overrides {
            listen,
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

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.connect().send(request)
    }

    /// Asks as SIGHUP does.
    pub(crate) fn reload(&self) {
        self.running.as_ref().unwrap().reload();
    }

    /// Writes the configuration in place.
    pub(crate) fn rewrite(&self, toml: &str) {
        fs::write(self.file(), toml).unwrap();
    }

    /// Stops it and waits until it has.
    pub(crate) fn shutdown(mut self) {
        self.running.take().unwrap().shutdown();
    }

    /// The status and text of a path of the admin listener.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> (u16, String) {
        ask_admin(self.admin, path)
    }

    /// The value of a metric, its labels written as the exposition has them; 0 when it is not
    /// there.
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

    /// Waits until every issuer has been asked for its keys once.
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
            // In the background: the drain waits for connections that the test may still hold.
            std::thread::spawn(move || running.shutdown());
        }
    }
}

/// The status and text of a path of an admin listener.
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

/// The value of a metric that an admin listener tells; 0 when it is not there.
#[track_caller]
pub(super) fn metric(admin: SocketAddr, series: &str) -> f64 {
    let (status, text) = ask_admin(admin, "/metrics");
    assert_eq!(status, 200);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a metric is a number"))
}
