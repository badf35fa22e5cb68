//! The access log about tokens: what was found in one that is refused, whose it was, and nothing
//! that a token could bring into a line.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use crate::support::{Answer, ISS, Key, Process, Request, Token, Upstream, encode, wait_until};

const ROUTES: &str = "[upstreams.gone]\nurl = \"http://127.0.0.1:1\"\n\
                      [[routes]]\npath = \"/gone\"\nupstream = \"gone\"\nscopes = \"read\"\n\
                      [[routes]]\npath = \"/**\"\nupstream = \"up\"\nscopes = \"read\"\n";

/// A gateway with one issuer, whose log is read.
struct Logged {
    process: Process,
    key: Key,
    _upstream: Upstream,
    asked: Cell<usize>,
}

impl Logged {
    /// Starts a gateway; `issuer` continues the issuer's table, and `log` is the table `[log]`.
    fn start(issuer: &str, log: &str) -> Self {
        let (key, upstream) = (Key::ed25519("k1"), Upstream::start());
        let keys = json!({ "keys": [key.jwk()] });
        let process = Process::run(&format!(
            "[server.limits]\nhead_bytes = \"1 MiB\"\ntoken_bytes = \"100000 B\"\n\
             [log]\n{log}\n[issuers.idp]\nissuer = \"{ISS}\"\njwks = '{keys}'\n\
             audience = \"api\"\n{issuer}\n{}{ROUTES}",
            upstream.toml("up")
        ));
        Self {
            process,
            key,
            _upstream: upstream,
            asked: Cell::default(),
        }
    }

    /// Asks with a token, and expects the reason and a part of the sentence in its line.
    #[track_caller]
    fn expect(&self, token: &str, reason: &str, says: &str) {
        let line = self.line(token);
        assert_eq!(line["reason"], reason, "{line}");
        let detail = line["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{says}: {detail}");
    }

    /// Asks with a value of `Authorization`; returns the answer and the line about it.
    #[track_caller]
    fn ask(&self, authorization: &str) -> (Answer, String) {
        let number = self.asked.get();
        let answer = self.send(authorization);
        (answer, self.line_about(&format!("/{number}")))
    }

    /// Asks at a path of its own.
    fn send(&self, authorization: &str) -> Answer {
        let number = self.asked.get();
        self.asked.set(number + 1);
        let request = Request::get(&format!("/{number}")).field("Authorization", authorization);
        self.process.send(&request)
    }

    /// Returns the line about the request for a path.
    #[track_caller]
    fn line_about(&self, path: &str) -> String {
        let member = format!("\"path\":\"{path}\"");
        let find = || {
            let out = self.process.out();
            let mut lines = out.lines().filter(|line| line.contains(&member));
            lines.next().map(str::to_owned)
        };
        wait_until("the request is logged", || find().is_some());
        find().unwrap()
    }

    #[track_caller]
    fn line(&self, token: &str) -> Value {
        let (_, line) = self.ask(&format!("Bearer {token}"));
        serde_json::from_str(&line).unwrap()
    }

    fn good(&self) -> Token {
        Token::of(ISS, "read")
    }
}

/// Returns a token that the key signed over a header with this member.
fn with_header(logged: &Logged, name: &str, value: impl Into<Value>) -> String {
    logged.good().header(name, value).signed(&logged.key)
}

#[test]
fn a_refused_token_says_what_was_found_and_what_was_expected() {
    let issuer = "client_ids = [\"app\"]\ntoken_use = \"access\"\nalgorithms = [\"EdDSA\"]\n\
                  required_claims = { tenant = \"acme\" }\n";
    let logged = Logged::start(issuer, "access = \"refusals\"");
    let good = logged
        .good()
        .with("token_use", "access")
        .with("tenant", "acme");
    let signed = |token: Token| token.signed(&logged.key);
    let changed = |claim: &str, value: Value| signed(good.clone().with(claim, value));
    let other_key = Key::ed25519("k1");
    let whole = signed(good.clone());
    for (token, reason, says) in [
        (
            changed("aud", json!("other")),
            "wrong_audience",
            "aud is \"other\", and the issuer's entry accepts \"api\"",
        ),
        (
            changed("aud", json!(["x", "y"])),
            "wrong_audience",
            "aud is \"x\", \"y\", and",
        ),
        (changed("aud", Value::Null), "wrong_audience", "has no aud"),
        (
            changed("iss", json!(format!("{ISS}/"))),
            "unknown_issuer",
            "differs by the final slash only",
        ),
        (
            changed("iss", json!("https://x.test")),
            "unknown_issuer",
            "iss \"https://x.test\" is none of the route's issuers: ",
        ),
        (
            changed("client_id", json!("c9")),
            "wrong_client",
            "client is \"c9\", and the issuer's entry accepts \"app\"",
        ),
        (
            changed("client_id", Value::Null),
            "wrong_client",
            "has no client",
        ),
        (
            changed("tenant", json!("other")),
            "required_claim",
            "\"tenant\" is \"other\", and the issuer's entry accepts \"acme\"",
        ),
        (
            changed("tenant", json!(["a", 1])),
            "required_claim",
            "\"tenant\" is [\"a\", 1]",
        ),
        (
            changed("tenant", Value::Null),
            "required_claim",
            "\"tenant\" is absent",
        ),
        (
            changed("token_use", json!("id")),
            "not_an_access_token",
            "requires token_use \"access\", and it is \"id\"",
        ),
        (
            changed("exp", json!(1_700_000_000)),
            "token_expired",
            "ago, at 2023-11-14T22:13:20Z",
        ),
        (
            changed("nbf", json!(9_999_999_999_u64)),
            "token_not_yet_valid",
            "from 2286-11-20T17:46:39Z",
        ),
        (
            changed("at_hash", json!("x")),
            "not_an_access_token",
            "it has \"at_hash\"",
        ),
        (
            changed("cnf", json!({ "jkt": "x" })),
            "sender_constrained_token",
            "\"cnf\"",
        ),
        (
            changed("client_id", json!(7)),
            "malformed_token",
            "a number for \"client_id\"",
        ),
        (
            signed(good.clone().header("kid", "k9")),
            "unknown_key",
            "kid \"k9\" and alg EdDSA; the issuer has \"k1\"",
        ),
        (
            signed(good.clone().header("typ", "logout+jwt")),
            "not_an_access_token",
            "\"typ\" in its header is \"logout+jwt\"",
        ),
        (
            Token::signed_text(
                r#"{"alg":"HS256","kid":"k1"}"#,
                &good.claims.to_string(),
                &logged.key,
            ),
            "algorithm_not_allowed",
            "alg is \"HS256\", which no issuer may use",
        ),
        (
            good.clone().header("alg", "ES256").signed(&Key::p256("k1")),
            "algorithm_not_allowed",
            "alg is \"ES256\", and the issuer's entry allows EdDSA",
        ),
        (
            good.signed(&other_key),
            "bad_signature",
            "key \"k1\" for EdDSA",
        ),
        (
            whole[..whole.len() - 2].to_owned(),
            "malformed_token",
            "has a signature of 63 bytes, and the key makes 64: it may have been cut off",
        ),
    ] {
        logged.expect(&token, reason, says);
    }
}

#[test]
fn a_line_says_whose_token_it_was() {
    let logged = Logged::start("", "access = \"all\"");
    let good = logged
        .good()
        .with("scope", "read admin")
        .with("sub", "alice");
    let own = json!({ "iss": ISS, "aud": "api", "client": "app", "kid": "k1", "jti": "1", "scope": "read admin" });
    assert_eq!(logged.line(&good.signed(&logged.key))["token"], own);
    let poor = good
        .clone()
        .with("scope", "write other")
        .signed(&logged.key);
    let (answer, line) = logged.ask(&format!("Bearer {poor}"));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["status"], &line["token"]["client"]),
        (&json!(403), &json!("app"))
    );
    assert_eq!(line["token"]["scope"], "write other");
    let heard = String::from_utf8(answer.body.clone()).unwrap();
    assert!(
        !heard.contains("write") && !heard.contains("app\""),
        "{heard}"
    );
    // A token that nobody signed says what it says, marked.
    let forged = good.signed(&Key::ed25519("k1"));
    let (answer, line) = logged.ask(&format!("Bearer {forged}"));
    let line: Value = serde_json::from_str(&line).unwrap();
    let marked = json!({ "unverified": true, "alg": "EdDSA", "iss": ISS, "kid": "k1" });
    assert_eq!(line["token"], marked, "{line}");
    assert!(!String::from_utf8(answer.body).unwrap().contains("k1"));
    for (authorization, has_token) in [("Basic x", false), ("Bearer opaque", false)] {
        let (_, line) = logged.ask(authorization);
        assert_eq!(line.contains("\"token\":"), has_token, "{line}");
    }
    // The request was authorized before its upstream failed.
    let token = good.signed(&logged.key);
    let request = Request::get("/gone").bearer(&token);
    assert_eq!(logged.process.send(&request).status, 502);
    let line: Value = serde_json::from_str(&logged.line_about("/gone")).unwrap();
    assert_eq!(line["token"], own, "{line}");
}

#[test]
fn the_configuration_lists_what_a_line_shows() {
    for (claims, verified, unverified) in [
        ("[]", json!(null), json!(null)),
        (
            "[\"sub\"]",
            json!({ "sub": "alice" }),
            json!({ "unverified": true, "alg": "EdDSA" }),
        ),
        (
            "[\"iss\", \"scope\"]",
            json!({ "iss": ISS, "scope": "read" }),
            json!({ "unverified": true, "alg": "EdDSA", "iss": ISS }),
        ),
    ] {
        let issuer = "client_ids = [\"web\"]\n";
        let logged = Logged::start(issuer, &format!("claims = {claims}"));
        let line = logged.line(&logged.good().signed(&logged.key));
        assert_eq!(line["token"], verified, "{line}");
        let detail = "the token's client is another, and the issuer's entry accepts \"web\"";
        assert_eq!(line["detail"], detail);
        let line = logged.line(&logged.good().signed(&Key::ed25519("k1")));
        assert_eq!(line["token"], unverified, "{line}");
        assert!(!line["detail"].as_str().unwrap().contains("k1"), "{line}");
        // What is not shown is not shown by another name either.
        let line = logged.line(&with_header(&logged, "kid", "k9")).to_string();
        assert!(!line.contains("k9"), "{line}");
        let other = logged.good().with("aud", "found").signed(&logged.key);
        assert!(!logged.line(&other).to_string().contains("found"));
    }
}

/// Returns tokens that have the word "found" in the places that a sentence quotes, or a time.
fn telling(logged: &Logged) -> Vec<(String, &'static str)> {
    let good = logged.good();
    let claims = good.claims.to_string();
    let with_texts = |header: &str, claims: &str| Token::signed_text(header, claims, &logged.key);
    vec![
        (
            with_texts(r#"{"alg":"found"}"#, &claims),
            "algorithm_not_allowed",
        ),
        (
            with_header(logged, "typ", "found+jwt"),
            "not_an_access_token",
        ),
        (
            with_texts(r#"{"alg":"EdDSA","kid":"k1"}"#, r#"{"found":1,"found":2}"#),
            "malformed_token",
        ),
        (
            with_texts(r#"{"alg":"EdDSA","crit":["found"]}"#, &claims),
            "malformed_token",
        ),
        (with_header(logged, "kid", "found"), "unknown_key"),
        (
            good.clone().with("iss", "found").signed(&logged.key),
            "unknown_issuer",
        ),
        (
            good.clone().with("aud", "found").signed(&logged.key),
            "wrong_audience",
        ),
        (
            good.clone().with("exp", 1_700_000_000).signed(&logged.key),
            "token_expired",
        ),
        (
            good.with("nbf", 32_503_680_000_u64).signed(&logged.key),
            "token_not_yet_valid",
        ),
    ]
}

#[test]
fn with_an_empty_list_a_line_has_no_text_of_a_token() {
    let none = Logged::start("", "claims = []");
    for (token, reason) in telling(&none) {
        let line = none.line(&token);
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["token"], Value::Null, "{line}");
        assert!(!line.to_string().contains("found"), "{line}");
        for text in ["2023", "3000", "EdDSA"] {
            let detail = line["detail"].as_str().unwrap();
            assert!(!detail.contains(text), "{text}: {detail}");
        }
    }
    let some = Logged::start("", "claims = [\"iss\", \"aud\", \"kid\"]");
    for (token, _) in telling(&some) {
        let detail = some.line(&token)["detail"].to_string();
        let has_text = ["found", "2023", "3000", "\\\"crit\\\""];
        assert!(
            has_text.iter().any(|text| detail.contains(text)),
            "{detail}"
        );
    }
}

#[test]
fn a_near_miss_is_named() {
    let logged = Logged::start("typ = \"untyped\"\n", "access = \"refusals\"");
    let good = logged.good();
    let changed = |claim: &str, value: Value| good.clone().with(claim, value).signed(&logged.key);
    let whole = good.signed(&logged.key);
    let unsigned = &whole[..=whole.rfind('.').unwrap()];
    let claims = unsigned.split('.').nth(1).unwrap();
    for (token, reason, says) in [
        (
            changed("aud", json!(["x", "api/"])),
            "wrong_audience",
            "accepts \"api\": it differs from \"api\" by the final slash only",
        ),
        (
            changed("aud", json!("API")),
            "wrong_audience",
            "it differs from \"api\" by upper and lower case only",
        ),
        (
            changed("aud", json!([1])),
            "malformed_token",
            "has a list for \"aud\" in its claims with an item that is no string",
        ),
        (
            changed("iss", json!(ISS.to_uppercase())),
            "unknown_issuer",
            "differs by upper and lower case only from the route's issuer",
        ),
        (
            changed("nbf", json!(1_900_000_000_000_u64)),
            "token_not_yet_valid",
            "nbf is 1900000000000, which looks like milliseconds",
        ),
        (
            good.clone().header("alg", "ES256").signed(&Key::p256("k1")),
            "unknown_key",
            "kid \"k1\" and alg ES256: the key with this kid is for EdDSA",
        ),
        (
            format!("{}.{claims}.", encode(r#"{"alg":"none"}"#)),
            "algorithm_not_allowed",
            "alg is \"none\", which no issuer may use",
        ),
        (unsigned.to_owned(), "malformed_token", "has no signature"),
        (
            whole[..whole.len() - 21].to_owned(),
            "malformed_token",
            "has a signature of about 48 bytes, and the key makes 64: it may have been cut off",
        ),
        (
            whole[2..].to_owned(),
            "malformed_token",
            "does not begin with the header of a JWT: it may have been cut off at the start",
        ),
        (
            "YOUR_ACCESS_TOKEN".to_owned(),
            "placeholder_token",
            "YOUR_TOKEN",
        ),
    ] {
        logged.expect(&token, reason, says);
    }
}

#[test]
fn a_token_in_the_wrong_place_is_described() {
    let logged = Logged::start("", "access = \"refusals\"");
    let token = logged.good().signed(&logged.key);
    let own = json!({ "unverified": true, "alg": "EdDSA", "iss": ISS, "kid": "k1" });
    for authorization in [
        token.clone(),
        format!("Bearer Bearer {token}"),
        format!("Bearer: {token}"),
        format!("JWT {token}"),
        format!("DPoP {token}"),
    ] {
        let (answer, line) = logged.ask(&authorization);
        assert_eq!(answer.status, 401);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["token"], own, "{line}");
    }
    let (_, line) = logged.ask("CorrectHorse battery staple");
    assert!(
        !line.contains("Correct") && !line.contains("\"token\":"),
        "{line}"
    );
}

/// The number of random tokens.
const TOKENS: usize = 400;

/// The longest line about a request whose own target is short.
const LINE_BYTES: usize = 8 * 1024;

/// Texts that could break a line, act on a terminal, or grow.
fn texts() -> Vec<String> {
    vec![
        String::new(),
        "plain".to_owned(),
        "a\r\n{\"status\":200}\n".to_owned(),
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}".to_owned(),
        "\u{85}\u{2028}\u{2029}\u{202e}\u{200b}\u{feff}".to_owned(),
        "\"},\"status\":200,\"x\":{\"".to_owned(),
        "\\\\\\".to_owned(),
        "\0\u{7f}\u{1f600}\u{10ffff}".to_owned(),
        "x".repeat(2000),
        "\u{1}".repeat(2000),
        "é".repeat(1500),
        format!(
            "Bearer {}.{}.c2ln",
            encode(r#"{"alg":"RS256","kid":"secret"}"#),
            encode("{}")
        ),
    ]
}

/// Returns the next number of SplitMix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

/// Draws a value of a claim: a text, or something that contains texts.
fn drawn(texts: &[String], state: &mut u64) -> Value {
    let text = texts[next(state) % texts.len()].clone();
    match next(state) % 6 {
        0 => json!([text, text, 1, null]),
        1 => Value::Array(vec![json!(text); 12]),
        2 => json!({ text.as_str(): { "a": text } }),
        3 => json!(next(state) as u64),
        _ => json!(text),
    }
}

// No header and no claim makes a line grow, breaks it, or carries a token into it.
#[test]
fn no_token_breaks_a_line_or_comes_into_it() {
    let issuer = "client_ids = [\"app\"]\nrequired_claims = { tenant = \"acme\" }\n\
                  scope_claims = [\"scope\", \"roles.*\"]\n";
    let all = "access = \"all\"\nclaims = \
               [\"iss\", \"aud\", \"client\", \"kid\", \"jti\", \"scope\", \"sub\"]";
    let logged = Logged::start(issuer, all);
    let texts = texts();
    let mut tokens = Vec::new();
    let claims = [
        "iss",
        "aud",
        "sub",
        "client_id",
        "azp",
        "jti",
        "scope",
        "tenant",
        "roles",
        "token_use",
        "typ",
        "nonce",
        "cnf",
        "exp",
    ];
    for seed in 0..TOKENS {
        let mut state = seed as u64;
        let mut token = logged.good().with("tenant", "acme");
        for _ in 0..next(&mut state) % 4 {
            let claim = claims[next(&mut state) % claims.len()];
            token = token.with(claim, drawn(&texts, &mut state));
        }
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!("EdDSA"));
        header.insert("kid".to_owned(), json!("k1"));
        if next(&mut state).is_multiple_of(2) {
            let name = ["alg", "kid", "typ", "crit", "x"][next(&mut state) % 5];
            header.insert(name.to_owned(), drawn(&texts, &mut state));
        }
        let header = Value::Object(header).to_string();
        let text = Token::signed_text(&header, &token.claims.to_string(), &logged.key);
        logged.send(&format!("Bearer {text}"));
        tokens.push(text);
    }
    // Each worker writes lines of its own, in an order of its own.
    for (seed, token) in tokens.iter().enumerate() {
        let line = logged.line_about(&format!("/{seed}"));
        check_line(seed, &line, token);
    }
    let out = logged.process.out();
    let lines = out.lines().filter(|line| line.contains("\"path\""));
    assert_eq!(lines.count(), tokens.len(), "one line for each request");
}

#[track_caller]
fn check_line(seed: usize, line: &str, token: &str) {
    serde_json::from_str::<Value>(line).unwrap();
    assert!(line.len() < LINE_BYTES, "seed {seed}: {} bytes", line.len());
    assert!(line.chars().all(is_shown), "seed {seed}: {line}");
    assert!(!line.contains("eyJ"), "seed {seed}: {line}");
    let (_, signature) = token.rsplit_once('.').unwrap();
    assert!(!line.contains(&signature[..20]), "seed {seed}: {line}");
}

/// Returns whether a terminal shows a character and does not act on it.
fn is_shown(char: char) -> bool {
    char == ' ' || char.is_ascii_graphic() || char.escape_debug().count() == 1
}

#[test]
fn an_access_token_of_rfc_9068_lacks_a_claim_by_name() {
    let logged = Logged::start("typ = \"at+jwt\"\n", "access = \"all\"");
    let good = logged.good().header("typ", "at+jwt");
    assert_eq!(logged.line(&good.signed(&logged.key))["status"], 200);
    for claim in ["client_id", "sub", "jti", "iat"] {
        let token = good.clone().with(claim, Value::Null).with("azp", "web");
        let line = logged.line(&token.signed(&logged.key));
        let says = format!("\"typ\" is at+jwt, which requires the claim \"{claim}\"");
        assert!(line["detail"].as_str().unwrap().contains(&says), "{line}");
    }
    let line = logged.line(&good.with("client_id", 7).signed(&logged.key));
    assert_eq!(line["reason"], "not_an_access_token", "{line}");
    let (_, line) = logged.ask(&format!("Bearer {}", "a".repeat(200_000)));
    assert!(
        line.contains("has 200000 bytes, more than the 100000 of"),
        "{line}"
    );
}
