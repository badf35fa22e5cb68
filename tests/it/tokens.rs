//! Tokens: the rules for signatures, headers and claims. Runs `tests/vectors/tokens`.

use std::collections::BTreeMap;
use std::fs;

use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    Gateway, ISS, Issuer, Key, Pair, Request, Token, Upstream, encode, now, wait_until,
};

/// A route that asks for a scope, and one that asks for any token.
const ROUTES: &str = "[[routes]]\npath = \"/x\"\nscopes = \"read\"\n[[routes]]\npath = \"/any\"\n\
                      authenticated = true\n";

fn rsa() -> Key {
    Key::rsa("key-1", 0)
}

fn with(token: &str) -> Request {
    Request::get("/x").bearer(token)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    cases: Vec<Case>,
}

/// A change to a good token, and the verdict.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    header: BTreeMap<String, String>,
    more_header: String,
    claims: BTreeMap<String, String>,
    more: String,
    /// The whole payload; `$good` is that of a good token.
    payload: Option<String>,
    accepted: bool,
    refused: Option<String>,
}

impl Case {
    fn token(&self, key: &Key) -> String {
        let header = [
            ("alg", format!("\"{}\"", key.algorithm())),
            ("kid", format!("\"{}\"", key.kid)),
        ];
        let claims = [
            ("iss", format!("\"{ISS}\"")),
            ("aud", "\"api\"".to_owned()),
            ("exp", "$later".to_owned()),
            ("scope", "\"read\"".to_owned()),
        ];
        let good = object(&claims, &BTreeMap::new(), "");
        let payload = match &self.payload {
            Some(payload) => payload.replace("$good", &good),
            None => object(&claims, &self.claims, &self.more),
        };
        let fill = |text: String| {
            let now = now();
            let times = [("$now", now), ("$later", now + 3600), ("$past", now - 3600)];
            times.iter().fold(text, |text, (name, time)| {
                text.replace(name, &time.to_string())
            })
        };
        Token::signed_text(
            &fill(object(&header, &self.header, &self.more_header)),
            &fill(payload),
            key,
        )
    }
}

/// An object with changes: each value is JSON, and an empty one leaves its member out.
fn object(good: &[(&str, String)], changes: &BTreeMap<String, String>, more: &str) -> String {
    let mut members: BTreeMap<_, _> = good
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    members.extend(changes.clone());
    let kept = members.iter().filter(|(_, value)| !value.is_empty());
    let mut texts: Vec<_> = kept
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    texts.extend((!more.is_empty()).then(|| more.to_owned()));
    format!("{{{}}}", texts.join(", "))
}

#[test]
fn every_change_of_a_token_has_its_verdict() {
    let mut wrong = Vec::new();
    for name in ["claims", "headers"] {
        let text = fs::read_to_string(format!("tests/vectors/tokens/{name}.toml")).unwrap();
        let vector: Vector =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(vector.cases.len() > 50, "vectors went missing");
        let pair = Pair::start(&rsa(), "leeway = \"0s\"", ROUTES);
        for case in vector.cases {
            assert!(
                case.accepted != case.refused.is_some(),
                "one verdict to a case: {case:?}"
            );
            let verdict = pair.ask(&with(&case.token(&pair.key)));
            if verdict.reason != case.refused.as_deref() {
                wrong.push(format!("{name}: {case:?}\n  seen: {:?}", verdict.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_algorithm_is_taken_from_the_right_key_and_from_no_other() {
    const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for (key, other, algorithms) in [
        (rsa(), Key::rsa("key-1", 1), &RSA[..]),
        (Key::p256("key-1"), Key::p256("key-1"), &["ES256"]),
        (Key::p384("key-1"), Key::p384("key-1"), &["ES384"]),
        (
            Key::ed25519("key-1"),
            Key::ed25519("key-1"),
            &["EdDSA", "Ed25519"],
        ),
    ] {
        let pair = Pair::start(&key, "", ROUTES);
        for algorithm in RSA
            .iter()
            .chain(&["ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
        {
            let token = Pair::claims("read").header("alg", *algorithm);
            if !algorithms.contains(algorithm) {
                // The key id is right, and the key is not one for this algorithm.
                pair.ask(&with(&token.signed(&key))).refused("unknown_key");
                continue;
            }
            pair.ask(&with(&token.signed(&key))).forwarded();
            pair.ask(&with(&token.signed(&other)))
                .refused("bad_signature");
        }
    }
}

// A key's own `alg`, and the issuer's `algorithms`, each narrow what
// is taken.
#[test]
fn an_algorithm_has_to_be_the_issuers_and_the_keys() {
    let token =
        |algorithm: &str| with(&Pair::claims("read").header("alg", algorithm).signed(&rsa()));
    let only_pss = Pair::start(&rsa(), "algorithms = [\"PS256\"]", ROUTES);
    only_pss.ask(&token("PS256")).forwarded();
    for algorithm in ["RS256", "PS384"] {
        only_pss
            .ask(&token(algorithm))
            .refused("algorithm_not_allowed");
    }
    let mut jwk = rsa().jwk();
    jwk["alg"] = json!("PS384");
    let key_for_pss = Pair::with_keys(&rsa(), &json!([jwk]), "", ROUTES);
    key_for_pss.ask(&token("PS384")).forwarded();
    for algorithm in ["RS256", "RS384", "PS256"] {
        key_for_pss.ask(&token(algorithm)).refused("unknown_key");
    }
}

// CVE-2016-10555, and the signature of one algorithm under the name of
// another.
#[test]
fn a_signature_is_verified_by_the_algorithm_that_the_header_names() {
    let pair = Pair::start(&rsa(), "", ROUTES);
    let message = |algorithm: &str| {
        let claims = Pair::claims("read").claims.to_string();
        let header = json!({"alg": algorithm, "kid": "key-1"}).to_string();
        format!("{}.{}", encode(header), encode(claims))
    };
    let signed = |algorithm: &str, by: &str| {
        let message = message(algorithm);
        format!("{message}.{}", encode(rsa().sign(by, message.as_bytes())))
    };
    for algorithm in ["RS256", "RS512", "PS256", "PS512"] {
        pair.ask(&with(&signed(algorithm, algorithm))).forwarded();
    }
    for (algorithm, by) in [
        ("RS256", "PS256"),
        ("PS256", "RS256"),
        ("RS256", "RS512"),
        ("PS512", "PS256"),
    ] {
        pair.ask(&with(&signed(algorithm, by)))
            .refused("bad_signature");
    }
    // HMAC with everything that is public about the key.
    let jwk = rsa().jwk();
    let n = jwk["n"].as_str().unwrap().to_owned();
    let (text, set) = (jwk.to_string(), json!({"keys": [jwk]}).to_string());
    for secret in [
        text,
        set,
        n,
        rsa().pem(),
        rsa().pem().trim().into(),
        "key-1".into(),
        String::new(),
    ] {
        for (name, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let message = message(name);
            let tag = hmac::sign(
                &hmac::Key::new(algorithm, secret.as_bytes()),
                message.as_bytes(),
            );
            let token = format!("{message}.{}", encode(tag));
            pair.ask(&with(&token)).refused("algorithm_not_allowed");
        }
        // The same tag under a name that is allowed.
        let message = message("RS256");
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            message.as_bytes(),
        );
        // It is shorter than a signature.
        pair.ask(&with(&format!("{message}.{}", encode(tag))))
            .refused("malformed_token");
    }
    for name in ["none", "None", "NONE", "nOnE"] {
        // RFC 7515 appendix A.5: its signature is empty.
        pair.ask(&with(&format!("{}.", message(name))))
            .refused("algorithm_not_allowed");
        pair.ask(&with(&format!("{}.AA", message(name))))
            .refused("algorithm_not_allowed");
    }
}

// CVE-2022-21449 and malleable spellings of a signature.
#[test]
fn a_signature_has_one_spelling() {
    for key in [
        Key::p256("key-1"),
        Key::p384("key-1"),
        Key::ed25519("key-1"),
        rsa(),
    ] {
        let pair = Pair::start(&key, "", ROUTES);
        let token = pair.token("read");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let bytes = key.sign(key.algorithm(), message.as_bytes());
        let length = bytes.len();
        let zero = vec![0; length];
        let longer = [&bytes[..], &[0]].concat();
        let padded = [&[0], &bytes[..]].concat();
        let half_zero = [&zero[..length / 2], &bytes[length / 2..]].concat();
        let all = vec![0xff; length];
        for signature in [&zero, &half_zero, &all] {
            pair.ask(&with(&format!("{message}.{}", encode(signature))))
                .refused("bad_signature");
        }
        for signature in [
            &longer,
            &padded,
            &bytes[..length - 1].to_vec(),
            &vec![0],
            &der(&bytes),
        ] {
            pair.ask(&with(&format!("{message}.{}", encode(signature))))
                .refused("malformed_token");
        }
        for other in [
            format!("{signature}="),
            format!("{signature}=="),
            format!("{signature}A"),
            format!("{signature}%3D"),
        ] {
            pair.ask(&with(&format!("{message}.{other}")))
                .refused("malformed_token");
        }
        pair.ask(&with(&token)).forwarded();
    }
}

/// The two halves of an ECDSA signature as ASN.1, as X.509 has them and JWS has not
/// (requirements.md#d20).
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let integer = |bytes: &[u8]| [&[2, bytes.len() as u8 + 1, 0], bytes].concat();
    let body = [integer(r), integer(s)].concat();
    [&[0x30, body.len() as u8], &body[..]].concat()
}

// A cached token and one that differs from it in one character.
#[test]
fn a_token_that_differs_in_one_character_is_another_token() {
    let pair = Pair::start(&rsa(), "", ROUTES);
    let token = pair.token("read");
    pair.ask(&with(&token)).forwarded();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    for (value, other) in alphabet.char_indices() {
        // The last of 256 bytes has two bits in the last character, and the others are zero.
        let reason = if value % 16 == 0 {
            "bad_signature"
        } else {
            "malformed_token"
        };
        if !last.starts_with(other) {
            pair.ask(&with(&format!("{rest}{other}"))).refused(reason);
        }
    }
    // The signature of one token under the claims of another.
    let (more, _) = pair
        .token("read admin")
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let signature = token.rsplit_once('.').unwrap().1;
    pair.ask(&with(&format!("{more}.{signature}")))
        .refused("bad_signature");
    pair.ask(&with(&token)).forwarded();
}

#[test]
fn what_is_not_three_parts_of_base64url_is_no_token() {
    let pair = Pair::start(&rsa(), "", ROUTES);
    let token = pair.token("read");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{token}")
    };
    let compact =
        json!({"payload": payload, "protected": header, "signature": signature}).to_string();
    let nested = encode(&token);
    for text in ["x", ".", "..", "...", "....", "x.y", "x..z"] {
        pair.ask(&with(text)).refused("opaque_token");
    }
    pair.ask(&with(&format!(".{token}")))
        .refused("opaque_token");
    // Five parts are a JWE (pac4j GHSA-pm7g-w2cf-q238), if its header says so.
    let encrypted = encode(r#"{"alg":"dir","enc":"A256GCM"}"#);
    pair.ask(&with(&format!("{encrypted}..aXY.Y3Q.dGFn")))
        .refused("encrypted_token");
    for text in [
        "x.y.z".to_owned(),
        format!(".{payload}.{signature}"),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}.{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}==.{signature}"),
        format!("{header}+.{payload}.{signature}"),
        format!("{header}/.{payload}.{signature}"),
        format!("{header}. {payload}.{signature}"),
        format!("{header}\t.{payload}.{signature}"),
        format!("{header}.{payload}%.{signature}"),
        format!("\"{token}\""),
        format!("{token},{token}"),
        format!("{token} {token}"),
        format!("Bearer {token}"),
        compact,
        // A JWT in a JWT.
        format!("{header}.{nested}.{signature}"),
    ] {
        pair.ask(&with(&text)).refused("malformed_token");
    }
    // Cut off in the signature, at any place.
    for kept in [1, 2, 3, signature.len() / 2, signature.len() - 1] {
        let cut = format!("{header}.{payload}.{}", &signature[..kept]);
        pair.ask(&with(&cut)).refused("malformed_token");
    }
    pair.ask(&with(&token)).forwarded();
}

// docs/design/requirements.md#t03, #t04, #d35; CVE-2018-0114: a key inside a token is never used,
// and no URL that it names is fetched.
#[test]
fn no_key_that_a_token_brings_along_is_used_or_fetched() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let attacker = Issuer::with_key(Key::rsa("evil", 1));
    let gateway = Gateway::start(&format!(
        "{}cooldown = \"1ms\"\n{}\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n\
         scopes = \"read\"\n",
        issuer.toml(),
        upstream.toml("up")
    ));
    gateway.wait_until_ready();
    let url = format!("{}/jwks", attacker.url());
    let brought = [
        ("jwk", attacker.key.jwk()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("iss", json!(attacker.url())),
    ];
    for (name, value) in brought {
        for kid in ["key-1", "evil", url.as_str()] {
            let token = issuer
                .claims("read")
                .header(name, value.clone())
                .header("kid", kid);
            let answer = gateway.send(&with(&token.signed(&attacker.key)));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "invalid_token"),
                "{name} {kid}"
            );
        }
        let good = issuer
            .claims("read")
            .header(name, value)
            .signed(&issuer.key);
        assert_eq!(
            gateway.send(&with(&good)).status,
            200,
            "{name} says nothing against a good token"
        );
    }
    // The unknown key ids were looked up where the configuration says, by now.
    wait_until("the issuer was asked again", || issuer.fetches() > 1);
    assert_eq!(attacker.fetches(), 0);
    assert_eq!(upstream.arrivals().len(), 5);
}

// RFC 9068 §2 and §4: an issuer that keeps to the profile of access tokens is
// held to all of it.
#[test]
fn where_the_profile_is_asked_for_a_token_keeps_all_of_it() {
    let pair = Pair::start(&rsa(), "typ = \"at+jwt\"", ROUTES);
    let good = Pair::claims("read").header("typ", "at+jwt");
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        pair.ask(&with(&good.clone().header("typ", typ).signed(&rsa())))
            .forwarded();
    }
    for typ in ["JWT", "at", "at+jwt ", "text/at+jwt", "id_token"] {
        let other = good.clone().header("typ", typ).signed(&rsa());
        pair.ask(&with(&other)).refused("not_an_access_token");
    }
    pair.ask(&with(&pair.token("read")))
        .refused("not_an_access_token");
    for (claim, reason) in [
        ("iss", "malformed_token"),
        ("exp", "malformed_token"),
        ("aud", "not_an_access_token"),
        ("sub", "not_an_access_token"),
        ("client_id", "not_an_access_token"),
        ("iat", "not_an_access_token"),
        ("jti", "not_an_access_token"),
    ] {
        pair.ask(&with(&good.clone().with(claim, Value::Null).signed(&rsa())))
            .refused(reason);
    }
    // A claim that is there and says nothing.
    let mut nameless = good.clone();
    nameless.claims["jti"] = Value::Null;
    pair.ask(&with(&nameless.signed(&rsa())))
        .refused("not_an_access_token");
    for (token, reason) in [
        (
            good.clone().with("iss", format!("{ISS}/")),
            "unknown_issuer",
        ),
        (
            good.clone().with("aud", json!(["other", "api2"])),
            "wrong_audience",
        ),
        (good.clone().with("exp", 1), "token_expired"),
        (good.clone().header("alg", "none"), "algorithm_not_allowed"),
    ] {
        pair.ask(&with(&token.signed(&rsa()))).refused(reason);
    }
    // The twin: without the profile what it adds is asked of nobody.
    let usual = Pair::start(&rsa(), "", ROUTES);
    usual.ask(&with(&usual.token("read"))).forwarded();
    usual
        .ask(&with(&good.with("jti", Value::Null).signed(&rsa())))
        .forwarded();
}

#[test]
fn a_difference_of_clocks_is_forgiven_up_to_the_leeway() {
    let pair = Pair::start(&rsa(), "leeway = \"60s\"", ROUTES);
    let with_claim =
        |name: &str, value: u64| with(&Pair::claims("read").with(name, value).signed(&rsa()));
    pair.ask(&with_claim("exp", now() - 30)).forwarded();
    pair.ask(&with_claim("exp", now() - 60))
        .refused("token_expired");
    pair.ask(&with_claim("nbf", now() + 30)).forwarded();
    pair.ask(&with_claim("nbf", now() + 120))
        .refused("token_not_yet_valid");
    pair.ask(&with_claim("iat", now() + 120)).forwarded();
}

// A token without `kid` is taken only when there is nothing to choose, and one name may
// have a key of each kind.
#[test]
fn a_token_without_a_key_id_is_of_any_key_of_its_algorithm() {
    let (rsa, p256) = (rsa(), Key::p256("key-1"));
    let named = |key: &Key| with(&Pair::claims("read").signed(key));
    let nameless = |key: &Key| {
        let header = json!({"alg": key.algorithm()}).to_string();
        with(&Token::signed_text(
            &header,
            &Pair::claims("read").claims.to_string(),
            key,
        ))
    };
    let pair = Pair::with_keys(&rsa, &json!([rsa.jwk(), p256.jwk()]), "", ROUTES);
    for key in [&rsa, &p256] {
        pair.ask(&named(key)).forwarded();
        pair.ask(&nameless(key)).forwarded();
    }
    let second = Key::rsa("key-2", 1);
    let pair = Pair::with_keys(&rsa, &json!([rsa.jwk(), second.jwk()]), "", ROUTES);
    for key in [&rsa, &second] {
        pair.ask(&named(key)).forwarded();
        pair.ask(&nameless(key)).forwarded();
    }
    pair.ask(&nameless(&Key::rsa("key-1", 2)))
        .refused("bad_signature");
    pair.ask(&nameless(&p256)).refused("unknown_key");
    // A key without an id is for every id that no other key has, unless there are two of them.
    let nameless_jwk = |key: &Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let keys = json!([nameless_jwk(&second), p256.jwk()]);
    let pair = Pair::with_keys(&rsa, &keys, "", ROUTES);
    for key in [&second, &second.named("another")] {
        pair.ask(&named(key)).forwarded();
    }
    pair.ask(&named(&rsa)).refused("bad_signature");
    let keys = json!([nameless_jwk(&second), nameless_jwk(&rsa)]);
    let pair = Pair::with_keys(&rsa, &keys, "", ROUTES);
    pair.ask(&named(&second)).refused("unknown_key");
    pair.ask(&nameless(&second)).forwarded();
    let pair = Pair::with_keys(&rsa, &json!([rsa.jwk(), second.jwk()]), "", ROUTES);
    pair.ask(&named(&second.named("key-1")))
        .refused("bad_signature");
}

#[test]
fn until_the_signature_has_verified_everything_wrong_has_one_wording() {
    let pair = Pair::start(&rsa(), "", ROUTES);
    let good = Pair::claims("read");
    let evil = Key::rsa("key-1", 1);
    let heard = |token: &str, reason: &str| {
        let answer = pair.ask(&with(token)).refused(reason);
        let mut problem = answer.problem();
        problem["request_id"] = Value::Null;
        (
            answer.status,
            answer.field("www-authenticate").map(str::to_owned),
            problem,
        )
    };
    let first = heard("x", "opaque_token");
    for (token, reason) in [
        (
            good.clone().header("alg", "HS256").signed(&rsa()),
            "algorithm_not_allowed",
        ),
        (
            good.clone().with("iss", "https://elsewhere").signed(&rsa()),
            "unknown_issuer",
        ),
        (
            good.clone().header("kid", "key-2").signed(&rsa()),
            "unknown_key",
        ),
        (good.signed(&evil), "bad_signature"),
        // What else is wrong with a forged token is nobody's business.
        (good.clone().with("exp", 1).signed(&evil), "bad_signature"),
        (
            good.clone().with("aud", "other").signed(&evil),
            "bad_signature",
        ),
        (
            good.clone().with("exp", "x").signed(&evil),
            "malformed_token",
        ),
        ("a".repeat(17_000), "token_too_long"),
    ] {
        assert_eq!(heard(&token, reason), first, "{reason}");
    }
    // The bearer of a genuine token learns which check failed.
    for (token, reason) in [
        (good.clone().with("exp", 1), "token_expired"),
        (
            good.clone().with("nbf", now() + 1000),
            "token_not_yet_valid",
        ),
        (good.clone().with("aud", "other"), "wrong_audience"),
        (
            good.clone().header("typ", "logout+jwt"),
            "not_an_access_token",
        ),
        (
            good.clone().with("cnf", json!({"jkt": "x"})),
            "sender_constrained_token",
        ),
    ] {
        assert_ne!(heard(&token.signed(&rsa()), reason), first);
    }
}

#[test]
fn a_long_token_is_taken_up_to_the_limit() {
    let sized = |length: usize| {
        let empty = Pair::claims("read").with("pad", "").signed(&rsa()).len();
        let guess = (length - empty) / 4 * 3;
        let make = |pad: usize| {
            Pair::claims("read")
                .with("pad", "p".repeat(pad))
                .signed(&rsa())
        };
        (guess - 4..)
            .map(make)
            .take_while(|token| token.len() <= length)
            .last()
            .unwrap()
    };
    let pair = Pair::start(&rsa(), "", ROUTES);
    let longest = sized(16 * 1024);
    assert!(longest.len() > 16 * 1024 - 4, "{}", longest.len());
    pair.ask(&with(&longest)).forwarded();
    pair.ask(&with(&sized(16 * 1024 + 8)))
        .refused("token_too_long");
    // Longer than any head may be: the parser's own answer.
    assert_eq!(pair.gateway.send(&with(&sized(100_000))).status, 431);

    let server = "[server.limits]\nhead_bytes = \"1 MiB\"\ntoken_bytes = \"512 KiB\"\n";
    let pair = Pair::start(&rsa(), "", &format!("{ROUTES}{server}"));
    pair.ask(&with(&sized(100_000))).forwarded();
    pair.ask(&with(&sized(600_000))).refused("token_too_long");
}

// CVE-2025-30204, CVE-2025-27144.
#[test]
fn a_token_made_to_keep_a_parser_busy_is_refused() {
    let server = "[server.limits]\nhead_bytes = \"1 MiB\"\ntoken_bytes = \"1 MiB\"\n";
    let pair = Pair::start(&rsa(), "", &format!("{ROUTES}{server}"));
    let part = |open: &str, close: &str, times: usize| {
        format!("{}{}", open.repeat(times), close.repeat(times))
    };
    let deep = part("[", "]", 100_000);
    let claims = Pair::claims("read").claims.to_string();
    let header = json!({"alg": "RS256", "kid": "key-1"}).to_string();
    for text in [".".repeat(1_000_000), "a.".repeat(400_000)] {
        pair.ask(&with(&text)).refused("opaque_token");
    }
    for token in [
        format!("{}{}", encode(&header), ".e30".repeat(200_000)),
        Token::signed_text(&header, &deep, &rsa()),
        Token::signed_text(
            &header,
            &part("{\"a\":", "}", 60_000).replace(":}", ":1}"),
            &rsa(),
        ),
        Token::signed_text(
            &format!("{{\"alg\": \"RS256\", \"x\": {deep}}}"),
            &claims,
            &rsa(),
        ),
        Token::signed_text(
            &header,
            &format!("{{\"exp\": {}}}", "9".repeat(400_000)),
            &rsa(),
        ),
    ] {
        pair.ask(&with(&token)).refused("malformed_token");
    }
    let long_kid = Pair::claims("read").header("kid", "k".repeat(64 * 1024));
    pair.ask(&with(&long_kid.signed(&rsa())))
        .refused("unknown_key");
    pair.ask(&with(&pair.token("read"))).forwarded();
    // With the limits as they are by default the same comes to nothing sooner.
    let pair = Pair::start(&rsa(), "", ROUTES);
    assert_eq!(pair.gateway.send(&with(&".".repeat(1 << 20))).status, 431);
    pair.ask(&with(&".".repeat(16_000))).refused("opaque_token");
}

// The walk-through of a Cognito user pool, token as Cognito
// writes it.
#[test]
fn a_token_as_cognito_writes_it_is_taken() {
    let key = Key::rsa("sd1\u{2f}KXk+9c=", 0);
    let issuer = "audience = \"any\"\nclient_ids = [\"app\"]\ntoken_use = \"access\"\n\
                  algorithms = [\"RS256\"]\n";
    let routes = "[[groups]]\nprefix = \"/dev\"\n\
                  token_from = [\"authorization:raw\", \"authorization:bearer\"]\n\
                  [[groups.routes]]\npath = \"/tests\"\n\
                  methods = { GET = \"com.test.test/test.read\" }\n";
    let pair = Pair::start(&key, issuer, routes);
    let token = |token_use: &str| {
        let claims = format!(
            r#"{{"sub":"app","token_use":"{token_use}","scope":"com.test.test\/test.read","auth_time":{0},"iss":"https:\/\/idp.test","exp":{1},"iat":{0},"version":2,"jti":"1","client_id":"app"}}"#,
            now(),
            now() + 3600
        );
        Token::signed_text(r#"{"kid":"sd1\/KXk+9c=","alg":"RS256"}"#, &claims, &key)
    };
    let access = token("access");
    for request in [
        Request::get("/dev/tests").field("Authorization", &access),
        Request::get("/dev/tests").bearer(&access),
    ] {
        assert_eq!(pair.ask(&request).forwarded().target, "/tests");
    }
    pair.ask(&Request::get("/dev/tests").bearer(&token("id")))
        .refused("not_an_access_token");
    pair.ask(&Request::get("/dev/tests"))
        .refused("missing_token");
}
