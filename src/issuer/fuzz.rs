//! Fuzz targets: JWK Sets and the metadata of issuers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::discovery::{Metadata, jwks_uri};
use super::fixture::entry;
use super::{Algorithm, IssuerSettings, JwksError, Key, KeySet, KeySource};
use crate::fuzz::check;
use crate::net::{Nearness, Url};

const MAX_KEYS: usize = 4;

/// The members of private keys (RFC 7518 §6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

#[test]
fn jwk_set() {
    check("jwk_set", |input| {
        // The other parser takes no number beyond 64 bits, and nothing that is nested deeply.
        let Ok(document) = serde_json::from_slice::<Value>(input) else {
            drop(KeySet::parse(input, MAX_KEYS));
            return;
        };
        let entries = document["keys"].as_array();
        let count = entries.map_or(0, Vec::len);
        let skips = match KeySet::parse(input, MAX_KEYS) {
            Ok(set) => {
                assert!((1..=MAX_KEYS).contains(&set.keys.len()));
                assert_eq!(set.keys.len() + set.skips.total, count);
                let usable: BTreeSet<_> =
                    entries.unwrap().iter().filter_map(kid_of_public).collect();
                for key in &set.keys {
                    assert!(usable.contains(&key.kid()), "{:?}", key.kid());
                    verifies_nothing_foreign(key);
                }
                set.skips
            }
            Err(JwksError::NoUsableKey(skips)) => {
                assert_eq!(skips.total, count);
                skips
            }
            Err(error) => return is_a_line(&error.to_string()),
        };
        assert!(skips.reported.len() <= skips.total);
        if skips.total > 0 {
            is_a_line(&skips.to_string());
        }
    });
}

/// Returns the `kid` of an entry that may be a public key for signatures.
fn kid_of_public(entry: &Value) -> Option<Option<&str>> {
    let is_kind = ["RSA", "EC", "OKP"].iter().any(|kty| entry["kty"] == *kty);
    let is_filled = |name: &&str| {
        !matches!(&entry[name], Value::Null)
            && entry[name] != ""
            && entry[name] != Value::Array(Vec::new())
    };
    let is_private = PRIVATE.iter().any(is_filled);
    let is_for_signatures = entry["use"].is_null() || entry["use"] == "sig";
    (is_kind && !is_private && is_for_signatures).then(|| entry["kid"].as_str())
}

/// A key of a document takes no signature that another key made.
fn verifies_nothing_foreign(key: &Key) {
    assert!(key.signature_bytes() > 0);
    assert!(
        Algorithm::ALL
            .iter()
            .any(|algorithm| key.allows(*algorithm))
    );
    for algorithm in Algorithm::ALL {
        assert!(!key.verify(algorithm, b"message", ""));
        assert!(!key.verify(algorithm, b"message", "c2ln"));
    }
}

fn is_a_line(message: &str) {
    assert!(
        !message.is_empty() && !message.contains(char::is_control),
        "{message:?}"
    );
}

const ISSUER: &str = "https://issuer.example.com/";

#[test]
fn issuer_metadata() {
    check("issuer_metadata", |input| {
        let Ok(metadata) = serde_json::from_slice::<Metadata>(input) else {
            return;
        };
        let base = Url::parse(ISSUER).unwrap();
        let settings = IssuerSettings {
            issuer: ISSUER.into(),
            ..entry(KeySource::Discovery(base))
        };
        for nearness in [Nearness::Machine, Nearness::Public] {
            match jwks_uri(&metadata, &settings, nearness) {
                Ok(url) => {
                    assert_eq!(metadata.issuer, ISSUER);
                    is_what_it_says(&url, &metadata.jwks_uri);
                    assert!(
                        url.is_tls() || settings.fetch.allow_http || nearness == Nearness::Machine
                    );
                }
                Err(error) => {
                    is_a_line(&error.to_string());
                    assert!(error.to_string().len() < 4096);
                }
            }
        }
    });
}

/// The address is written as it was read, and another reader finds the same host in it.
fn is_what_it_says(url: &Url, text: &str) {
    assert_eq!(Url::parse(&url.to_string()).unwrap(), *url);
    let uri: http::Uri = text.parse().expect("another reader takes the address");
    let host = uri.host().unwrap();
    assert!(
        url.to_string()
            .to_ascii_lowercase()
            .contains(&host.to_ascii_lowercase()),
        "{url} {text}"
    );
    assert!(
        !url.path_and_query()
            .contains(|c: char| c.is_control() || c == ' ' || c == '#'),
        "{url}"
    );
}
