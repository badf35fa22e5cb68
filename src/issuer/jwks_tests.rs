//! Tests of key sets, most of them from `tests/vectors/jwks`.

use serde_json::json;

use super::super::fixture::{Signer, b64, jwks};
use super::*;
use crate::issuer::Algorithm;

const KEYS: &str = include_str!("../../tests/vectors/jwks/keys.json");
const DOCUMENTS: &str = include_str!("../../tests/vectors/jwks/documents.json");

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn parse(keys: &[Value]) -> Result<KeySet, JwksError> {
    KeySet::parse(jwks(keys).as_bytes(), 64)
}

fn reasons(skips: &Skips) -> Vec<Skipped> {
    let reported = skips.reported.iter().map(|skip| skip.reason);
    let encryption = std::iter::repeat_n(Skipped::Encryption, skips.encryption);
    reported.chain(encryption).collect()
}

// Each key of the vectors stands beside a good key, which must always stay usable.
#[test]
fn a_key_is_usable_or_skipped_for_its_own_reason_and_the_set_lives_on() {
    let good = Signer::p384().jwk("good");
    for vector in vectors(KEYS) {
        let name = &vector["name"];
        let set = parse(&[vector["jwk"].clone(), good.clone()]).unwrap();
        assert_eq!(set.keys.last().unwrap().kid(), Some("good"), "{name}");
        if let Some(reason) = vector["skipped"].as_str() {
            assert_eq!(set.keys.len(), 1, "{name}");
            assert_eq!(
                format!("{:?}", reasons(&set.skips)),
                format!("[{reason}]"),
                "{name}"
            );
            continue;
        }
        assert_eq!(
            (set.keys.len(), set.skips.total),
            (2, 0),
            "{name}: {:?}",
            set.skips
        );
        let key = &set.keys[0];
        assert_eq!(key.kid(), vector["jwk"]["kid"].as_str(), "{name}");
        for algorithm in Algorithm::ALL {
            let listed = vector["algorithms"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it == algorithm.name());
            assert_eq!(key.allows(algorithm), listed, "{name}: {algorithm}");
        }
    }
}

#[test]
fn a_document_is_a_key_set_or_an_error() {
    for vector in vectors(DOCUMENTS) {
        let name = &vector["name"];
        let result = match KeySet::parse(vector["document"].as_str().unwrap().as_bytes(), 64) {
            Ok(_) => "usable",
            Err(JwksError::Json { .. }) => "Json",
            Err(JwksError::Shape) => "Shape",
            Err(JwksError::Empty) => "Empty",
            Err(JwksError::NoUsableKey(_)) => "NoUsableKey",
        };
        assert_eq!(vector["result"], result, "{name}");
    }
    let utf16: Vec<u8> = r#"{"keys":[]}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(
        KeySet::parse(&utf16, 64),
        Err(JwksError::Json { .. })
    ));
    assert!(matches!(
        KeySet::parse(b"{\"keys\":[\"\xff\"]}", 64),
        Err(JwksError::Json { .. })
    ));
}

#[test]
fn a_kid_is_what_its_escapes_mean() {
    let text = jwks(&[Signer::p256().jwk("k")]).replace(r#""k""#, r#""a\/b=\u0041""#);
    assert_eq!(
        KeySet::parse(text.as_bytes(), 64).unwrap().keys[0].kid(),
        Some("a/b=A")
    );
}

#[test]
fn a_key_with_a_member_twice_is_skipped() {
    let (good, bad) = (
        Signer::p256().jwk("good"),
        Signer::p256().jwk("bad").to_string(),
    );
    let bad = bad.replacen('{', r#"{"kid":"other","#, 1);
    let text = format!(r#"{{"keys":[{bad},{good}]}}"#);
    let set = KeySet::parse(text.as_bytes(), 64).unwrap();
    assert_eq!(
        (set.keys.len(), reasons(&set.skips)),
        (1, vec![Skipped::RepeatedMember])
    );
}

#[test]
fn of_two_keys_that_a_token_could_mean_the_first_stays() {
    let (first, second) = (Signer::p256(), Signer::p256());
    let set = parse(&[first.jwk("k"), second.jwk("k"), first.jwk("k")]).unwrap();
    assert_eq!(
        (set.keys.len(), reasons(&set.skips)),
        (1, vec![Skipped::Duplicate; 2])
    );
    let message = b"header.claims";
    let key = &set.keys[0];
    assert!(key.verify(
        Algorithm::ES256,
        message,
        &first.sign(Algorithm::ES256, message)
    ));
    assert!(!key.verify(
        Algorithm::ES256,
        message,
        &second.sign(Algorithm::ES256, message)
    ));
    // No token can select both of these.
    let distinct = [
        first.jwk("k"),
        Signer::rsa().jwk("k"),
        Signer::ed25519().jwk("k"),
        second.jwk("l"),
    ];
    assert_eq!(parse(&distinct).unwrap().keys.len(), 4);
    let with_alg = |alg: &str| {
        let mut jwk = Signer::rsa().jwk("k");
        jwk["alg"] = alg.into();
        jwk
    };
    assert_eq!(
        parse(&[with_alg("RS256"), with_alg("PS256")])
            .unwrap()
            .keys
            .len(),
        2
    );
    assert_eq!(
        parse(&[with_alg("RS256"), Signer::rsa().jwk("k")])
            .unwrap()
            .keys
            .len(),
        1
    );
}

#[test]
fn keys_beyond_the_bound_are_skipped_and_counted() {
    let keys: Vec<_> = (0..100)
        .map(|index| Signer::ed25519().jwk(&index.to_string()))
        .collect();
    let set = parse(&keys).unwrap();
    assert_eq!((set.keys.len(), set.skips.total), (64, 36));
    assert_eq!(set.skips.reported.len(), MAX_REPORTED);
    assert!(
        set.skips
            .reported
            .iter()
            .all(|skip| skip.reason == Skipped::TooMany)
    );
    assert!(
        set.skips.to_string().ends_with("; and 20 more"),
        "{}",
        set.skips
    );
}

#[test]
fn a_set_made_of_rubbish_is_read_in_bounded_memory() {
    let rubbish = format!(r#"{{"keys":[{}{{}}]}}"#, "{},".repeat(170_000));
    let Err(JwksError::NoUsableKey(skips)) = KeySet::parse(rubbish.as_bytes(), 64) else {
        panic!()
    };
    assert_eq!((skips.total, skips.reported.len()), (170_001, MAX_REPORTED));
}

#[test]
fn a_published_private_key_is_refused_counted_and_not_quoted() {
    let mut jwk = Signer::p256().jwk("leaked");
    jwk["d"] = "c2VjcmV0LW51bWJlcg".into();
    let Err(error) = parse(&[jwk]) else { panic!() };
    let JwksError::NoUsableKey(skips) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((skips.total, skips.private), (1, 1));
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(
            text.contains("leaked") && !text.contains("c2VjcmV0"),
            "{text}"
        );
    }
}

// Whoever reads the set can sign with the key, whatever entry a token is verified with.
#[test]
fn no_copy_of_a_published_private_key_is_usable() {
    let leak = |signer: &Signer, kid: Option<&str>| {
        let mut jwk = signer.jwk(kid.unwrap_or_default());
        let members = jwk.as_object_mut().unwrap();
        if kid.is_none() {
            members.remove("kid");
        }
        members.insert("d".to_owned(), "c2VjcmV0LW51bWJlcg".into());
        members.insert("use".to_owned(), "enc".into());
        jwk
    };
    let good = Signer::p256().jwk("good");
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    for signer in [&p256, &ed25519, Signer::rsa()] {
        for kid in [Some("a"), Some("b"), None] {
            let (public, private) = (signer.jwk("a"), leak(signer, kid));
            for keys in [[&public, &private, &good], [&private, &public, &good]] {
                let set = parse(&keys.map(Value::clone)).unwrap();
                assert_eq!(set.keys.len(), 1, "{kid:?}");
                assert_eq!(set.keys[0].kid(), Some("good"));
                assert_eq!((set.skips.total, set.skips.private), (2, 1));
                let says = set.skips.to_string();
                assert!(says.contains("\"a\": the set also contains"), "{says}");
            }
            let error = parse(&[public, private]).unwrap_err();
            assert!(matches!(error, JwksError::NoUsableKey(_)), "{error}");
        }
    }
}

// A key for encryption beside the signing keys is how providers publish both.
#[test]
fn a_key_for_encryption_is_skipped_without_a_report() {
    let encryption = json!({ "kty": "OKP", "crv": "X25519", "use": "enc", "x": "AA" });
    let set = parse(&[encryption.clone(), Signer::p256().jwk("a")]).unwrap();
    assert_eq!(
        (set.keys.len(), set.skips.total, set.skips.encryption),
        (1, 0, 1)
    );
    let broken = json!({ "kty": "AKP", "kid": "a" });
    let error = parse(&[encryption.clone(), broken]).unwrap_err();
    let says = "no key of the key set is usable; skipped 2: \"a\": \"kty\" is not one of RSA, EC, OKP; \
                1 for encryption";
    assert_eq!(error.to_string(), says);
}

// The issuer has no key that a token could be signed with, as with an empty set.
#[test]
fn a_set_of_keys_for_encryption_alone_withdraws_the_signing_keys() {
    let mut by_use = Signer::p256().jwk("a");
    by_use["use"] = "enc".into();
    let mut by_alg = Signer::rsa().jwk("b");
    by_alg["alg"] = "RSA-OAEP-256".into();
    let mut by_ops = Signer::rsa().jwk("c");
    by_ops["key_ops"] = json!(["encrypt"]);
    for keys in [vec![by_use.clone()], vec![by_use, by_alg, by_ops]] {
        assert_eq!(parse(&keys).unwrap_err(), JwksError::Empty);
    }
    let neither = json!({ "kty": "EC", "use": "other" });
    assert!(matches!(parse(&[neither]), Err(JwksError::NoUsableKey(_))));
}

// Each fault of base64url has its own sentence, which names the member.
#[test]
fn a_number_that_is_not_base64url_says_what_is_wrong_with_it() {
    let says = |x: &str| {
        let mut jwk = Signer::p256().jwk("k");
        jwk["x"] = x.into();
        parse(&[jwk]).unwrap_err().to_string()
    };
    for (x, sentence) in [
        (
            "AQ==",
            "\"x\" ends with \"=\": base64url here has no padding",
        ),
        (
            "+/AQ==",
            "\"x\" is standard base64 (it has \"+\" or \"/\"), not base64url",
        ),
        (
            "AQ A",
            "\"x\" is not base64url: it has another character, or a length that no number has",
        ),
        (
            "AAAAA",
            "\"x\" is not base64url: it has another character, or a length that no number has",
        ),
    ] {
        assert!(says(x).ends_with(sentence), "{}", says(x));
    }
}

#[test]
fn what_a_peer_calls_its_key_is_escaped_and_cut_in_logs() {
    let long = "x".repeat(500);
    for (kid, shown) in [
        ("a\nb\u{1b}[31m\"", r#""a\nb\u{1b}[31m\"""#),
        (&long, &*format!("\"{}…\"", &long[..64])),
    ] {
        let Err(error) = parse(&[json!({ "kty": "AKP", "kid": kid })]) else {
            panic!()
        };
        assert!(error.to_string().contains(&format!("{shown}: ")), "{error}");
    }
}

// The examples of RFC 7638 §3.1 and RFC 8037 A.3.
#[test]
fn a_thumbprint_is_the_standards_own() {
    let vectors = vectors(KEYS);
    for (name, thumbprint) in [
        (
            "RFC 7638 RSA key without alg",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            "RSA modulus with a zero octet before it",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            "RFC 8037 Ed25519 key",
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
        (
            "RFC 7517 P-256 key",
            "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
        ),
    ] {
        let vector = vectors
            .iter()
            .find(|vector| vector["name"] == name)
            .unwrap();
        let set = parse(&[vector["jwk"].clone()]).unwrap();
        assert_eq!(set.keys[0].thumbprint().to_string(), thumbprint, "{name}");
    }
}

// The reason why keys of small order are refused: the crypto library accepts a signature that was
// made without a private key.
#[test]
fn a_key_of_small_order_would_verify_what_nobody_signed() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = Key::new(
        None,
        &[Algorithm::EdDSA],
        &super::super::key::Numbers::Ed25519 { x: &neutral },
    )
    .unwrap();
    let forged = b64(&[neutral, [0; 32]].concat());
    assert!(key.verify(Algorithm::EdDSA, b"anything", &forged));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&neutral) });
    let Err(JwksError::NoUsableKey(skips)) = parse(&[jwk]) else {
        panic!()
    };
    assert_eq!(reasons(&skips), [Skipped::Point]);
}
