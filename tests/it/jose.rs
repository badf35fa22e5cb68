//! The examples of the standards: each signature is good, each change of it is not, and a correct
//! text that is not a signature by a public key is refused. Runs `tests/vectors/jose`.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::issuer::{Algorithm, Key as PublicKey, KeySet};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::{Key, Pair, Request, encode};

/// A token, and the public key that verifies it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    name: String,
    jwk: Value,
    algorithm: String,
    token: String,
}

/// A token that no key may make good, and why; the key is the secret one that it was made with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    name: String,
    jwk: Option<Value>,
    refused: String,
    token: String,
}

/// A signature by a key that was made for this and is gone, or one of the standards' with other
/// numbers: right, or wrong in the way that its name says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    name: String,
    jwk: Value,
    algorithm: String,
    message: String,
    signature: String,
    good: bool,
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = fs::read_to_string(format!("tests/vectors/jose/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The key of a set that holds it alone.
fn key(name: &str, jwk: &Value) -> Arc<PublicKey> {
    let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), 1);
    set.unwrap_or_else(|error| panic!("{name}: {error}"))
        .keys
        .remove(0)
}

fn algorithm(name: &str) -> Algorithm {
    Algorithm::parse(name).unwrap_or_else(|| panic!("{name} is no algorithm"))
}

/// The same bytes, over and over, with another bit flipped in each of them in turn.
fn one_bit_flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).map(|at| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        changed
    })
}

impl Good {
    /// Whether the key takes the example, and nothing that is nearly the example.
    fn run(&self) {
        let (name, key, algorithm) = (
            &self.name,
            key(&self.name, &self.jwk),
            algorithm(&self.algorithm),
        );
        let (message, signature) = self.token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(
            key.verify(algorithm, message.as_bytes(), signature),
            "{name}"
        );
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != algorithm)
        {
            assert!(
                !key.verify(other, message.as_bytes(), signature),
                "{name} as {other}"
            );
        }
        for changed in one_bit_flipped(&bytes) {
            assert!(
                !key.verify(algorithm, message.as_bytes(), &encode(&changed)),
                "{name}: {changed:x?}"
            );
        }
        for changed in one_bit_flipped(message.as_bytes()) {
            assert!(
                !key.verify(algorithm, &changed, signature),
                "{name}: {}",
                changed.escape_ascii()
            );
        }
    }
}

// RFC 7515 A.2 to A.4, RFC 7520 §4.1 to §4.3, RFC 8037 A.4 (docs/design/requirements.md#t01, #t02,
// #d19, #d20).
#[test]
fn every_example_of_the_standards_is_good_and_no_change_of_it_is() {
    let examples: Vec<Good> = read("good");
    assert_eq!(examples.len(), 7, "examples went missing");
    for example in &examples {
        example.run();
    }
}

// docs/design/requirements.md#t02, #d19, #d20; CVE-2022-21449: PSS with another salt or mask, PKCS
// #1 with padding that a careless reader skips, numbers beyond their order. One of each kind is
// right, and was made by the same code.
#[test]
fn a_signature_that_is_nearly_right_is_wrong() {
    let examples: Vec<Made> = read("made");
    for kind in ["RS256", "PS256", "PS384", "PS512"] {
        assert!(
            examples
                .iter()
                .any(|example| example.algorithm == kind && example.good),
            "no good {kind}"
        );
    }
    assert!(
        examples.iter().filter(|example| !example.good).count() >= 25,
        "examples went missing"
    );
    for Made {
        name,
        jwk,
        algorithm: named,
        message,
        signature,
        good,
    } in &examples
    {
        let verdict = key(name, jwk).verify(algorithm(named), message.as_bytes(), signature);
        assert_eq!(verdict, *good, "{name}");
    }
}

// RFC 7515 A.1 and A.5, RFC 7520 §4.4 (docs/design/requirements.md#t01, #d21, #d30): a key set that
// publishes the secret does not make such a token valid.
#[test]
fn the_standards_examples_without_a_public_key_are_refused() {
    let (examples, ours): (Vec<Refused>, _) = (read("refused"), Key::ed25519("key-1"));
    assert_eq!(examples.len(), 3, "examples went missing");
    let published = examples.iter().filter_map(|example| example.jwk.clone());
    let keys: Vec<Value> = published.chain([ours.jwk()]).collect();
    let pair = Pair::with_keys(
        &ours,
        &json!(keys),
        "",
        "[[routes]]\npath = \"/x\"\nscopes = \"read\"\n",
    );
    for Refused {
        name,
        token,
        refused,
        ..
    } in &examples
    {
        let verdict = pair.ask(&Request::get("/x").bearer(token));
        assert_eq!(verdict.reason, Some(refused.as_str()), "{name}");
    }
    pair.ask(&Request::get("/x").bearer(&pair.token("read")))
        .forwarded();
}
