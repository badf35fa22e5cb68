//! An imported document, served by the program: what passes, and what does not, as its table says.

use serde_json::json;

use crate::import_credentials::{Credential, credentials, key_of};
use crate::import_table::{Expected, Table};
use crate::support::{Client, Key, Process, Request, Upstream};

/// Every method that a path is tried with: those of API Gateway, and two that it does not know.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
];

/// A page whose origin no document names.
const ELSEWHERE: &str = "https://elsewhere.example";

/// A running gateway with the configuration that was made of a document.
pub(crate) struct Served<'a> {
    table: &'a Table,
    gateway: Process,
    upstream: Upstream,
    /// Set if an upstream is a function, of which the test's answer is not a good one.
    has_functions: bool,
    wrong: Vec<String>,
}

/// What became of a request.
#[derive(Debug)]
struct Found {
    status: u16,
    /// The target at the upstream, if it arrived there.
    target: Option<String>,
    /// The origin whose pages may read the answer.
    allows: Option<String>,
}

impl<'a> Served<'a> {
    pub(crate) fn start(table: &'a Table, toml: &str) -> Self {
        let upstream = Upstream::start();
        Self {
            table,
            gateway: Process::run(&reachable(toml, &upstream.url(), |url| key_of(table, url))),
            upstream,
            has_functions: toml.contains("lambda = "),
            wrong: Vec::new(),
        }
    }

    /// Sends every method to every path with every credential, and returns what is not as the table
    /// says.
    pub(crate) fn probe(mut self) -> Vec<String> {
        let credentials = credentials(self.table);
        for path in self.table.paths() {
            for method in METHODS {
                self.try_method(method, path, &credentials);
            }
            self.try_preflight(path, ELSEWHERE);
        }
        for preflight in &self.table.preflights {
            self.try_preflight(&preflight.path, &preflight.origin);
        }
        self.wrong
    }

    fn try_method(&mut self, method: &str, path: &str, credentials: &[Credential]) {
        let place = self.table.place(path);
        let mut client = Client::connect(self.gateway.address());
        let mut accepted = None;
        let mut is_open = false;
        for credential in credentials {
            let expected = self.table.expected(method, path, credential);
            is_open |= credential.is_empty() && expected != Expected::Refused;
            if expected == Expected::Passes {
                accepted = Some(credential);
            }
            let mut requests = credential.requests(method, path, &place);
            if expected == Expected::Refused {
                requests.truncate(1);
            }
            for request in requests {
                let found = self.send(&mut client, &request);
                let what = format!("{method} {path}, {}", credential.name);
                self.compare(&what, method, path, expected, &found);
            }
        }
        let Some(credential) = accepted.filter(|_| !is_open) else {
            return;
        };
        for request in credential.misplaced(method, path, &place) {
            let found = self.send(&mut client, &request);
            let what = format!("{method} {path}, misplaced {}", credential.name);
            self.compare(&what, method, path, Expected::Refused, &found);
        }
    }

    fn send(&self, client: &mut Client, request: &Request) -> Found {
        let before = self.upstream.arrived();
        let answer = client.send(request);
        if answer.field("connection") == Some("close") {
            *client = Client::connect(self.gateway.address());
        }
        let has_arrived = self.upstream.arrived() > before;
        Found {
            status: answer.status,
            target: has_arrived.then(|| self.upstream.last().target),
            allows: answer
                .field("access-control-allow-origin")
                .map(str::to_owned),
        }
    }

    fn compare(&mut self, what: &str, method: &str, path: &str, expected: Expected, found: &Found) {
        let row = self.table.row(method, path);
        let is_answered = row.is_some_and(|row| row.is_answered);
        let has_passed = match is_answered {
            true => found.target.is_none() && found.status < 400,
            false => found.target.is_some(),
        };
        let is_right = match expected {
            Expected::Passes => has_passed && (self.has_functions || found.status < 400),
            Expected::MayPass => has_passed || found.is_refused(),
            Expected::Refused => found.is_refused() || self.is_preflight(method, path, found),
        };
        if !is_right {
            self.wrong
                .push(format!("{what}: {expected:?}, but {found:?}"));
        }
        let target = row.and_then(|row| row.target.as_ref());
        if let (Some(target), Some(arrived)) = (target, &found.target)
            && target != arrived
        {
            self.wrong
                .push(format!("{what}: to {arrived}, not {target}"));
        }
    }

    /// Returns whether this is an answer to OPTIONS that lets pages of some origin in, and nothing
    /// else.
    fn is_preflight(&self, method: &str, path: &str, found: &Found) -> bool {
        let mut preflights = self.table.preflights.iter();
        let is_listed = preflights.any(|preflight| preflight.path == path && preflight.is_allowed);
        method == "OPTIONS" && is_listed && found.target.is_none()
    }

    fn try_preflight(&mut self, path: &str, origin: &str) {
        let mut preflights = self.table.preflights.iter();
        let listed = preflights.find(|listed| listed.path == path && listed.origin == origin);
        let is_allowed = listed.is_some_and(|listed| listed.is_allowed);
        let is_forwarded = self
            .table
            .row("OPTIONS", path)
            .is_some_and(|row| !row.is_answered);
        if listed.is_none() && is_forwarded {
            return;
        }
        let request = Request::new("OPTIONS", path)
            .field("Origin", origin)
            .field("Access-Control-Request-Method", "GET");
        let found = self.send(&mut Client::connect(self.gateway.address()), &request);
        let allows = found.allows.as_deref();
        let has_allowed = allows == Some("*") || allows == Some(origin);
        if has_allowed != is_allowed || found.target.is_some() {
            self.wrong
                .push(format!("preflight of {origin} for {path}: {found:?}"));
        }
    }
}

impl Found {
    fn is_refused(&self) -> bool {
        self.target.is_none() && (400..500).contains(&self.status)
    }
}

/// Replaces what tests cannot reach: the upstreams by one at `url`, and the keys of the issuers by
/// those that sign the tests' tokens.
pub(crate) fn reachable(toml: &str, url: &str, key: impl Fn(&str) -> Key) -> String {
    let mut text = String::new();
    let mut header = "";
    for line in toml.lines() {
        if line.starts_with('[') {
            header = line;
        }
        let is_in = |table: &str| header.starts_with(table);
        match line.split('=').next().unwrap_or_default().trim() {
            "url" if is_in("[upstreams.") => {
                text.push_str(&format!("url = \"{url}\"\n"));
                continue;
            }
            "ca_file" | "server_name" | "verify" if is_in("[upstreams.") => continue,
            "issuer" if is_in("[issuers.") => {
                let issuer = line.split('"').nth(1).unwrap();
                let keys = json!({ "keys": [key(issuer).jwk()] });
                text.push_str(&format!("jwks = '{keys}'\n"));
            }
            _ => {}
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}
