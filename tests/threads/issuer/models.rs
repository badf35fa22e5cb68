use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use scopegate::issuer::{FetchPolicy, KeyAccess};

use super::jwks::KeySet;
use super::keys::Issuer;
use super::{IssuerSettings, Key, KeyError, KeySource};
use crate::net::Url;
use crate::{Model, block_on};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "requests_that_wait_get_the_key_that_one_fetch_brings",
        switches: Some(2),
        steps: requests_that_wait_get_the_key_that_one_fetch_brings,
    },
    Model {
        name: "a_request_waits_for_no_fetch_of_an_issuer_that_has_left",
        switches: None,
        steps: a_request_waits_for_no_fetch_of_an_issuer_that_has_left,
    },
    Model {
        name: "a_key_that_a_fetch_withdraws_is_retired",
        switches: None,
        steps: a_key_that_a_fetch_withdraws_is_retired,
    },
];

/// Returns an issuer without keys, whose keys are fetched. Cool-downs and waits are longer than any execution, since the clock
/// stands still.
pub(crate) fn issuer() -> Arc<Issuer> {
    let settings = IssuerSettings {
        issuer: "https://idp.example.com/".into(),
        keys: KeySource::Uri(Url::parse("https://idp.example.com/keys").unwrap()),
        algorithms: vec![Key::ALGORITHM],
        access: KeyAccess::default(),
        fetch: FetchPolicy {
            timeout: Duration::from_secs(10),
            cooldown: Duration::from_secs(600),
            wait: Duration::from_secs(10),
            refresh: Duration::from_secs(3600),
            refresh_min: Duration::from_secs(3600),
            refresh_max: Duration::from_secs(3600),
            keep_stale: Duration::from_secs(3600),
            keep_file: None,
            max_bytes: 1024,
            max_keys: 8,
            allow_http: false,
        },
    };
    Issuer::new(settings, Vec::new()).unwrap()
}

/// Ends a fetch with keys of these ids. Those that the issuer has already stay the same.
pub(crate) fn publish(issuer: &Issuer, kids: &[&str]) {
    issuer.end_fetch(Some(KeySet::of(kids)));
}

fn ask(issuer: &Issuer) -> Result<(), KeyError> {
    block_on(issuer.candidates(Some("a"), Key::ALGORITHM)).map(|_| ())
}

/// Two requests come for a key that is missing, at any time before, during and after the fetch that brings it. Each gets it,
/// none waits for ever, and no second fetch is asked for.
fn requests_that_wait_get_the_key_that_one_fetch_brings() {
    let issuer = issuer();
    let mut requests = Vec::new();
    for _ in 0..2 {
        let issuer = issuer.clone();
        requests.push(thread::spawn(move || ask(&issuer)));
    }
    block_on(issuer.demand().notified());
    assert!(issuer.is_asked(), "a notification without a request");
    issuer.begin_fetch();
    publish(&issuer, &["a"]);
    for request in requests {
        assert_eq!(request.join().unwrap(), Ok(()));
    }
    assert!(!issuer.is_asked());
}

/// A request waits for a key when a reload removes the issuer.
fn a_request_waits_for_no_fetch_of_an_issuer_that_has_left() {
    let issuer = issuer();
    let asked = issuer.clone();
    let request = thread::spawn(move || ask(&asked));
    issuer.retire_all();
    let refusal = request.join().unwrap().unwrap_err();
    assert!(matches!(refusal, KeyError::Unavailable { .. }), "{refusal}");
}

/// A worker looks for a key while a fetch replaces it. When the fetch has ended, the key that the worker may have got is
/// retired, and the new one is not.
fn a_key_that_a_fetch_withdraws_is_retired() {
    let issuer = issuer();
    publish(&issuer, &["old", "stays"]);
    let looked = issuer.clone();
    let worker = thread::spawn(move || looked.find(Some("old"), Key::ALGORITHM));
    let stays = issuer.find(Some("stays"), Key::ALGORITHM).unwrap();
    publish(&issuer, &["new", "stays"]);
    if let Some(old) = worker.join().unwrap() {
        assert!(!old.is_live());
    }
    assert!(issuer.find(Some("old"), Key::ALGORITHM).is_none());
    assert!(issuer.find(Some("new"), Key::ALGORITHM).unwrap().is_live());
    let found = issuer.find(Some("stays"), Key::ALGORITHM).unwrap();
    assert!(found.is_live() && Arc::ptr_eq(&found, &stays));
}
