//! Runs `tests/vectors/decisions`: each file is a configuration and requests with their verdicts.
//! Every case is decided in this process and also sent over a socket, and both must agree (see
//! `support::Pair`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{ISS, Key, Pair, Request, Token};

const DIRECTORY: &str = "tests/vectors/decisions";

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    /// More of the issuer's entry.
    #[serde(default)]
    issuer: String,
    /// Routes and groups; their upstream is `up` by default.
    configuration: String,
    cases: Vec<Case>,
}

/// One request and its verdict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Method and target.
    request: String,
    host: Option<String>,
    /// Claims beside those of a good token without scopes; without it there is no token.
    token: Option<Map<String, Value>>,
    /// The target as the upstream gets it…
    forwarded: Option<String>,
    /// … or the reason why it does not get it.
    refused: Option<String>,
    /// The label of the route that speaks for it.
    route: Option<String>,
    /// The scopes that the challenge names.
    needs: Option<String>,
    /// The scopes that the token lacks, if they are fewer.
    missing: Option<String>,
    /// The value of `Allow`.
    allow: Option<String>,
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Vector {
    let text = fs::read_to_string(file).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Case {
    fn request(&self, key: &Key) -> Request {
        let (method, target) = self
            .request
            .split_once(' ')
            .expect("a request is a method and a target");
        let mut request = Request::new(method, target);
        if let Some(host) = &self.host {
            request = request.field("Host", host);
        }
        let Some(claims) = &self.token else {
            return request;
        };
        let mut token = Token::of(ISS, "").with("scope", Value::Null);
        for (name, value) in claims {
            token = token.with(name, value.clone());
        }
        request.bearer(&token.signed(key))
    }

    /// What is not as it should be.
    fn run(&self, pair: &Pair) -> Option<String> {
        assert!(
            self.forwarded.is_some() != self.refused.is_some(),
            "one verdict to a case: {self:?}"
        );
        let verdict = pair.ask(&self.request(&pair.key));
        let forwarded = verdict
            .arrival
            .as_ref()
            .map(|arrival| arrival.target.as_str());
        let method = verdict
            .arrival
            .as_ref()
            .map(|arrival| arrival.method.as_str());
        let seen = (
            forwarded,
            verdict.reason,
            verdict.needs.as_deref(),
            verdict.missing.as_deref(),
            verdict.answer.field("allow"),
        );
        let is_denied = self.refused.as_deref() == Some("insufficient_scope");
        let missing = self.missing.as_deref();
        let expected = (
            self.forwarded.as_deref(),
            self.refused.as_deref(),
            self.needs.as_deref(),
            missing.or(self.needs.as_deref().filter(|_| is_denied)),
            self.allow.as_deref(),
        );
        let same_route = self.route.is_none() || self.route == verdict.route;
        let same_method =
            method.is_none_or(|method| self.request.starts_with(&format!("{method} ")));
        (seen != expected || !same_route || !same_method).then(|| {
            format!(
                "{}\n  expected {self:?}\n  seen {seen:?} by {:?}",
                self.request, verdict.route
            )
        })
    }
}

#[test]
fn every_decision_is_as_written_asked_and_over_a_socket() {
    let mut wrong = Vec::new();
    for file in files() {
        let vector = read(&file);
        let pair = Pair::start(
            &Key::ed25519("key-1"),
            &vector.issuer,
            &vector.configuration,
        );
        let found = vector.cases.iter().filter_map(|case| case.run(&pair));
        wrong.extend(found.map(|what| format!("{}: {what}", file.display())));
        pair.check_counts();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A configuration without a request that passes would pass if nothing did, and the other way
/// around.
#[test]
fn every_vector_has_both_verdicts() {
    let files = files();
    assert!(files.len() >= 9, "vectors went missing");
    for file in files {
        let cases = read(&file).cases;
        assert!(
            cases.iter().any(|case| case.forwarded.is_some()),
            "{}",
            file.display()
        );
        assert!(
            cases.iter().any(|case| case.refused.is_some()),
            "{}",
            file.display()
        );
    }
}
