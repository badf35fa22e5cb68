//! An issuer's keys as a client sees them: they appear, change and become unavailable, with the
//! effect on tokens.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};

use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Gateway, Issuer, Jwks, Key, Process, Request, Token, Upstream, wait_until,
};

/// Fetches as fast as they may be, for tests that wait for one.
const FAST: &str =
    "cooldown = \"20ms\"\nrefresh = \"100ms\"\nrefresh_min = \"100ms\"\nfetch_timeout = \"1s\"\n";

/// No fetch but the first and those that requests ask for.
const ON_DEMAND: &str = "cooldown = \"1ms\"\nrefresh = \"1h\"\n";

/// No fetch but the first.
const ONCE: &str = "cooldown = \"1h\"\nrefresh = \"1h\"\n";

const FAILURES: &str = "scopegate_issuer_refreshes_total{issuer=\"idp\",result=\"failure\"}";

fn configuration(issuer: &Issuer, fetching: &str, upstream: &Upstream) -> String {
    format!(
        "{}{fetching}\n{}\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\nscopes = \"read\"\n\
         [[routes]]\npath = \"/public\"\nupstream = \"up\"\npublic = true\n",
        issuer.toml(),
        upstream.toml("up")
    )
}

fn start(issuer: &Issuer, fetching: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::start();
    (
        Gateway::start(&configuration(issuer, fetching, &upstream)),
        upstream,
    )
}

fn ask(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(&Request::get("/x").bearer(token))
}

/// A token of the issuer by another key.
fn by(issuer: &Issuer, key: &Key) -> String {
    issuer.claims("read").signed(key)
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "keys_unavailable"),
        "{answer:?}"
    );
    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1, "{answer:?}");
    assert_eq!(
        answer.field("www-authenticate"),
        None,
        "it is not the caller's fault"
    );
}

/// Every failure of a key server (docs/design/requirements.md#k03, #k04,
/// docs/design/attacks.md#row-17).
fn failures() -> Vec<(&'static str, Jwks)> {
    let raw = |status, body: &str| Jwks::Raw(status, String::new(), body.as_bytes().to_vec());
    let good = json!({"keys": [Key::rsa("key-1", 0).jwk()]}).to_string();
    vec![
        ("500", raw(500, &good)),
        ("404", raw(404, &good)),
        ("204", raw(204, "")),
        (
            "html",
            raw(200, "<!DOCTYPE html><title>Maintenance</title>"),
        ),
        ("an empty body", raw(200, "")),
        ("null for keys", raw(200, r#"{"keys":null}"#)),
        (
            "keys that are none",
            raw(200, r#"{"keys":[null,{},{"kty":"oct","k":"AAAA"}]}"#),
        ),
        ("no set", raw(200, r#"{"error":"try later"}"#)),
        ("a list", raw(200, "[]")),
        ("a set that is cut", raw(200, &good[..good.len() - 2])),
        (
            "a set with more behind it",
            raw(200, &format!("{good}{good}")),
        ),
        (
            "two sets in one",
            raw(200, &format!(r#"{{"keys":[],{}"#, &good[1..])),
        ),
        (
            "a set beyond 512 KiB",
            raw(200, &format!("{}{good}", " ".repeat(513 * 1024))),
        ),
        (
            "a body that is cut",
            Jwks::Raw(
                200,
                "content-length: 9999\r\n".into(),
                good.clone().into_bytes(),
            ),
        ),
        ("nothing", Jwks::Hang),
        ("a reset", Jwks::Reset),
    ]
}

#[test]
fn without_keys_a_token_is_answered_503_until_they_come() {
    let issuer = Issuer::start();
    let token = issuer.token("read");
    for (what, failure) in failures() {
        issuer.serve(failure);
        let (gateway, upstream) = start(&issuer, FAST);
        let answer = ask(&gateway, &token);
        assert!(answer.status == 503, "{what}: {answer:?}");
        assert_unavailable(&answer);
        assert!(upstream.arrivals().is_empty(), "{what}");
        // What needs no keys has a verdict.
        assert_eq!(gateway.send(&Request::get("/public")).status, 200, "{what}");
        assert_eq!(
            gateway.send(&Request::get("/x")).code(),
            "missing_token",
            "{what}"
        );
        assert_eq!(ask(&gateway, "x.y.z").code(), "invalid_token", "{what}");
        issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
        wait_until("the gateway heals by itself", || {
            ask(&gateway, &token).status == 200
        });
    }
}

#[test]
fn an_outage_leaves_the_keys_that_are_known_serving() {
    let issuer = Issuer::start();
    for (what, failure) in failures() {
        issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
        let (gateway, _upstream) = start(&issuer, FAST);
        let known = issuer.token("read");
        wait_until("the keys are there", || ask(&gateway, &known).status == 200);
        let before = gateway.metric(FAILURES);
        issuer.serve(failure);
        wait_until("a fetch fails", || gateway.metric(FAILURES) > before);
        // A token that is new and one that is cached.
        let new = issuer.claims("read").with("jti", "2").signed(&issuer.key);
        assert_eq!(ask(&gateway, &new).status, 200, "{what}");
        assert_eq!(ask(&gateway, &known).status, 200, "{what}");
        assert_unavailable(&ask(&gateway, &by(&issuer, &issuer.key.named("key-2"))));
    }
}

// An issuer that withdraws all of its keys, after a theft for example, means it: no cached
// token lives on, and a token is not called invalid for it.
#[test]
fn an_empty_key_set_withdraws_every_key_at_once() {
    withdraws_every_key(br#"{"keys":[]}"#);
}

#[test]
fn a_key_set_for_encryption_alone_withdraws_every_key_at_once() {
    withdraws_every_key(br#"{"keys":[{"kty":"OKP","crv":"X25519","use":"enc","x":"AA"}]}"#);
}

fn withdraws_every_key(document: &[u8]) {
    let issuer = Issuer::start();
    let upstream = Upstream::start();
    let process = Process::run(&configuration(&issuer, FAST, &upstream));
    let ask = |token: &str| process.send(&Request::get("/x").bearer(token));
    let known = issuer.token("read");
    for _ in 0..4 {
        wait_until("the keys are there, and the token is cached", || {
            ask(&known).status == 200
        });
    }
    issuer.serve(Jwks::Raw(200, String::new(), document.to_vec()));
    wait_until("the cached token is refused", || ask(&known).status != 200);
    let new = issuer.claims("read").with("jti", "2").signed(&issuer.key);
    for token in [&known, &new, &by(&issuer, &issuer.key.named("key-2"))] {
        assert_unavailable(&ask(token));
    }
    assert!(
        process
            .metric("scopegate_issuer_keys{issuer=\"idp\"}")
            .abs()
            < f64::EPSILON
    );
    process.wait_for_log("the issuer's key set is empty");
    assert!(
        process.errors().contains("ERROR"),
        "it is an alarm: {}",
        process.errors()
    );
    assert_eq!(
        process.send(&Request::get("/public")).status,
        200,
        "what needs no keys has a verdict"
    );
    issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
    wait_until("the keys are back", || ask(&known).status == 200);
    assert_eq!(
        process.errors().matches("key set is empty").count(),
        1,
        "the alarm is raised once"
    );
}

// What one issuer cannot say takes nothing from another.
#[test]
fn an_outage_of_one_issuer_is_nobody_elses() {
    let (up, down, upstream) = (
        Issuer::start(),
        Issuer::with_key(Key::rsa("key-1", 1)),
        Upstream::start(),
    );
    down.serve(Jwks::Reset);
    let gateway = Gateway::start(&format!(
        "{}{ONCE}{}{FAST}{}\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n\
         issuer = [\"up\", \"down\"]\nscopes = \"read\"\n",
        up.toml_named("up"),
        down.toml_named("down"),
        upstream.toml("up")
    ));
    gateway.wait_until_ready();
    assert_eq!(ask(&gateway, &up.token("read")).status, 200);
    assert_unavailable(&ask(&gateway, &down.token("read")));
    // In the name of the one that is up, by a key that only the other could know: no verdict is
    // needed from there.
    assert_eq!(ask(&gateway, &by(&up, &down.key)).code(), "invalid_token");
    down.serve(Jwks::Keys(vec![down.key.clone()]));
    wait_until("the other one is back", || {
        ask(&gateway, &down.token("read")).status == 200
    });
}

// Envoy crashed on two tokens while the fetch of keys failed
// (CVE-2025-64527).
#[test]
fn two_tokens_during_an_outage_are_still_two_tokens() {
    let issuer = Issuer::start();
    issuer.serve(Jwks::Reset);
    let (gateway, _upstream) = start(&issuer, FAST);
    let token = issuer.token("read");
    let answer = gateway.send(&Request::get("/x").bearer(&token).bearer(&token));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "invalid_request")
    );
    assert_unavailable(&ask(&gateway, &token));
}

#[test]
fn a_new_key_is_learnt_from_the_first_token_that_names_it() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, ON_DEMAND);
    gateway.wait_until_ready();
    let new = Key::p256("key-2");
    // Before the rotation it is a key like any other's.
    assert_eq!(ask(&gateway, &by(&issuer, &new)).code(), "invalid_token");
    issuer.serve(Jwks::Keys(vec![issuer.key.clone(), new.clone()]));
    wait_until("the key is learnt", || {
        ask(&gateway, &by(&issuer, &new)).status == 200
    });
    assert_eq!(
        ask(&gateway, &issuer.token("read")).status,
        200,
        "the old key is still there"
    );
    assert_eq!(
        ask(&gateway, &by(&issuer, &Key::p256("key-2"))).code(),
        "invalid_token"
    );
}

// A key that is gone ends its tokens, cached ones as well; its neighbour's live on.
#[test]
fn a_withdrawn_key_ends_its_tokens_and_no_others() {
    let issuer = Issuer::start();
    let (old, kept) = (issuer.key.clone(), Key::p256("key-2"));
    issuer.serve(Jwks::Keys(vec![old.clone(), kept.clone()]));
    let (gateway, _upstream) = start(&issuer, FAST);
    let (ending, staying) = (by(&issuer, &old), by(&issuer, &kept));
    wait_until("the keys are there", || {
        ask(&gateway, &ending).status == 200
    });
    for token in [&staying, &ending, &staying] {
        assert_eq!(ask(&gateway, token).status, 200);
    }
    issuer.serve(Jwks::Keys(vec![kept.clone()]));
    wait_until("the cached token of the withdrawn key is refused", || {
        ask(&gateway, &ending).status == 401
    });
    for _ in 0..8 {
        // On every worker.
        assert_eq!(ask(&gateway, &ending).code(), "invalid_token");
        assert_eq!(ask(&gateway, &staying).status, 200);
    }
    // Another key under the same name.
    let replaced = Key::p256("key-2");
    issuer.serve(Jwks::Keys(vec![replaced.clone()]));
    wait_until("the cached token of the replaced key is refused", || {
        ask(&gateway, &staying).status == 401
    });
    assert_eq!(ask(&gateway, &by(&issuer, &replaced)).status, 200);
    assert_eq!(ask(&gateway, &by(&issuer, &kept)).code(), "invalid_token");
}

// Stale keys serve for a while, not for good.
#[test]
fn keys_that_are_too_old_are_let_go_and_come_back() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, &format!("{FAST}keep_stale = \"400ms\"\n"));
    let token = issuer.token("read");
    wait_until("the keys are there", || ask(&gateway, &token).status == 200);
    issuer.serve(Jwks::Reset);
    wait_until("the keys are too old", || {
        ask(&gateway, &token).status != 200
    });
    assert_unavailable(&ask(&gateway, &token));
    issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
    wait_until("the keys are back", || ask(&gateway, &token).status == 200);
}

// Key ids that nobody has cannot flood the issuer.
#[test]
fn ten_thousand_unknown_key_ids_are_one_fetch_more() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, ONCE);
    gateway.wait_until_ready();
    // The key id is judged before the signature, so that one signature does for all.
    let claims = issuer.claims("read");
    let mut client = gateway.connect();
    let signature = issuer.token("read").rsplit('.').next().unwrap().to_owned();
    let payload = crate::support::encode(claims.claims.to_string());
    for number in 0..10_000 {
        let header =
            crate::support::encode(format!(r#"{{"alg":"RS256","kid":"unknown-{number}"}}"#));
        let answer =
            client.send(&Request::get("/x").bearer(&format!("{header}.{payload}.{signature}")));
        assert_eq!(answer.status, 401);
        if number % 1000 == 0 {
            assert_eq!(
                client
                    .send(&Request::get("/x").bearer(&issuer.token("read")))
                    .status,
                200
            );
        }
    }
    // That of the start, and one for the first unknown key id.
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(ask(&gateway, &issuer.token("read")).status, 200);
}

// Nor can signatures that nobody made, under a key id that is known.
#[test]
fn a_thousand_bad_signatures_are_one_fetch_more() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, ONCE);
    gateway.wait_until_ready();
    let forger = Key::rsa("key-1", 1);
    let forged = by(&issuer, &forger);
    let mut client = gateway.connect();
    for number in 0..1000 {
        let answer = client.send(&Request::get("/x").bearer(&forged));
        assert_eq!(answer.status, 401);
        if number % 100 == 0 {
            assert_eq!(ask(&gateway, &issuer.token("read")).status, 200);
        }
    }
    assert_eq!(issuer.fetches(), 2);
}

// While a fetch hangs that a bad signature has asked for, tokens of known keys do not wait.
#[test]
fn a_bad_signature_makes_no_other_token_wait() {
    let issuer = Issuer::start();
    let waits = format!("{ONCE}wait = \"1h\"\nfetch_timeout = \"1h\"\n");
    let (gateway, _upstream) = start(&issuer, &waits);
    gateway.wait_until_ready();
    issuer.serve(Jwks::Hang);
    let mut forger = gateway.connect();
    let forged = by(&issuer, &Key::rsa("key-1", 1));
    forger.write_request(&Request::get("/x").bearer(&forged));
    wait_until("the issuer is asked", || issuer.fetches() == 2);
    for number in 0..8 {
        let token = issuer.claims("read").with("jti", number);
        assert_eq!(ask(&gateway, &token.signed(&issuer.key)).status, 200);
    }
}

// An issuer that was set up anew, with the same name for its new key.
#[test]
fn a_key_that_was_replaced_under_its_id_is_learnt_from_its_first_token() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, ONCE);
    let (old, new) = (issuer.token("read"), Key::rsa("key-1", 1));
    assert_eq!(ask(&gateway, &old).status, 200);
    issuer.serve(Jwks::Keys(vec![new.clone()]));
    assert_eq!(ask(&gateway, &by(&issuer, &new)).status, 200);
    for _ in 0..8 {
        // On every worker.
        assert_eq!(ask(&gateway, &old).code(), "invalid_token");
        assert_eq!(ask(&gateway, &by(&issuer, &new)).status, 200);
    }
}

// A second key is published while tokens have no key id.
#[test]
fn tokens_without_a_key_id_survive_a_rotation() {
    let issuer = Issuer::start();
    let (gateway, _upstream) = start(&issuer, FAST);
    let (old, new) = (issuer.key.clone(), Key::rsa("key-2", 1));
    let of = |key: &Key| {
        let header = json!({"alg": "RS256"}).to_string();
        let claims = issuer.claims("read").claims.to_string();
        Token::signed_text(&header, &claims, key)
    };
    assert_eq!(ask(&gateway, &of(&old)).status, 200);
    issuer.serve(Jwks::Keys(vec![old.clone(), new.clone()]));
    wait_until("the new key is there", || {
        ask(&gateway, &of(&new)).status == 200
    });
    assert_eq!(ask(&gateway, &of(&old)).status, 200, "both are published");
    assert_eq!(ask(&gateway, &of(&Key::rsa("key-3", 2))).status, 401);
    issuer.serve(Jwks::Keys(vec![new.clone()]));
    wait_until("the old key is gone", || {
        ask(&gateway, &of(&old)).status == 401
    });
    assert_eq!(ask(&gateway, &of(&new)).status, 200);
    let tried = "scopegate_issuer_further_keys_tried_total{issuer=\"idp\"}";
    assert!(gateway.metric(tried) > 0.0);
}

// An operator who knows that the keys have changed says so; a file that changes does not.
#[test]
fn a_hangup_fetches_keys_and_a_changed_file_does_not() {
    let issuer = Issuer::start();
    let upstream = Upstream::start();
    let text = configuration(&issuer, ONCE, &upstream);
    let process = Process::run(&text);
    let ask = |token: &str| process.send(&Request::get("/x").bearer(token)).status;
    let old = issuer.token("read");
    assert_eq!(ask(&old), 200);
    let fetched = issuer.fetches();
    std::fs::write(process.file(), format!("{text}# changed\n")).unwrap();
    process.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(issuer.fetches(), fetched);
    issuer.serve(Jwks::Keys(vec![Key::rsa("key-2", 1)]));
    assert_eq!(ask(&old), 200);
    process.signal("HUP");
    wait_until("the cached token of the withdrawn key is refused", || {
        ask(&old) == 401
    });
}

// Requests wait for the one fetch in flight.
#[test]
fn requests_that_come_before_the_keys_wait_for_one_fetch() {
    let issuer = Issuer::start();
    issuer.serve(Jwks::Held(vec![issuer.key.clone()]));
    let (gateway, upstream) = start(
        &issuer,
        &format!("{ONCE}wait = \"20s\"\nfetch_timeout = \"20s\"\n"),
    );
    let request = Request::get("/x").bearer(&issuer.token("read"));
    let mut clients: Vec<Client> = (0..16).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.write_request(&request);
    }
    wait_until("the fetch is in flight", || issuer.fetches() > 0);
    assert!(upstream.arrivals().is_empty());
    issuer.release();
    for client in &mut clients {
        assert_eq!(client.read("GET").expect("there is an answer").status, 200);
    }
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn a_request_does_not_wait_longer_than_it_may() {
    let issuer = Issuer::start();
    issuer.serve(Jwks::Hang);
    let (gateway, _upstream) = start(
        &issuer,
        &format!("{ONCE}wait = \"100ms\"\nfetch_timeout = \"1h\"\n"),
    );
    assert_unavailable(&ask(&gateway, &issuer.token("read")));
    // Others are served meanwhile.
    assert_eq!(gateway.send(&Request::get("/public")).status, 200);
}

#[test]
fn keys_that_are_not_usable_leave_the_others_alone_and_verify_nothing() {
    let issuer = Issuer::start();
    let with = |key: &Key, name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let others = ["private", "encryption", "operations", "algorithm"].map(Key::p256);
    let [private, encryption, operations, algorithm] = &others;
    let mut off_curve = Key::p256("off-curve").jwk();
    off_curve["y"] = off_curve["x"].clone();
    let keys = json!([
        {"kty": "oct", "kid": "shared", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"kty": "AKP", "kid": "unknown", "pub": "AA"},
        {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"},
        off_curve, null, 1, "key", [],
        with(private, "d", json!("AA")),
        with(encryption, "use", json!("enc")),
        with(operations, "key_ops", json!(["sign"])),
        with(algorithm, "alg", json!("ES384")),
        issuer.key.jwk(),
    ]);
    issuer.serve(Jwks::Raw(
        200,
        String::new(),
        json!({ "keys": keys }).to_string().into_bytes(),
    ));
    let (gateway, _upstream) = start(&issuer, ONCE);
    gateway.wait_until_ready();
    assert_eq!(ask(&gateway, &issuer.token("read")).status, 200);
    for key in &others {
        assert_eq!(
            ask(&gateway, &by(&issuer, key)).code(),
            "invalid_token",
            "{}",
            key.kid
        );
    }
}

// So many usable keys and no more.
#[test]
fn a_set_has_at_most_64_usable_keys() {
    let issuer = Issuer::start();
    let keys: Vec<_> = (0..80)
        .map(|number| Key::ed25519(&format!("key-{number}")))
        .collect();
    issuer.serve(Jwks::Keys(keys.clone()));
    let (gateway, _upstream) = start(&issuer, ONCE);
    gateway.wait_until_ready();
    for (number, status) in [(0, 200), (63, 200), (64, 401), (79, 401)] {
        assert_eq!(
            ask(&gateway, &by(&issuer, &keys[number])).status,
            status,
            "{number}"
        );
    }
}

// A redirect is not followed, wherever it leads.
#[test]
fn a_redirect_brings_no_keys() {
    let (issuer, elsewhere) = (Issuer::start(), Issuer::with_key(Key::rsa("key-1", 1)));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/jwks\r\n", elsewhere.url());
        issuer.serve(Jwks::Raw(status, location, Vec::new()));
        let (gateway, _upstream) = start(&issuer, FAST);
        gateway.wait_until_ready();
        assert_unavailable(&ask(&gateway, &by(&issuer, &elsewhere.key)));
        issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
        wait_until("keys come from their own place", || {
            ask(&gateway, &issuer.token("read")).status == 200
        });
    }
    assert_eq!(elsewhere.fetches(), 0);
}

/// An address of this machine that is not its loopback, where it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses the address that it would send from.
    socket.connect("192.0.2.254:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Serves metadata of `issuer` that names this place for its keys.
fn serve_metadata(listener: TcpListener, issuer: String, jwks_uri: String) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let body = json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
}

// An issuer elsewhere leads the gateway to its own machine in no spelling.
#[test]
fn metadata_from_elsewhere_does_not_lead_to_this_machine() {
    // A machine without another address has the unit tests of `web::client` alone.
    let Some(outer) = outer_address() else { return };
    let issuer = Issuer::start();
    let upstream = Upstream::start();
    let port = issuer.url().rsplit(':').next().unwrap().to_owned();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "localhost",
        "0.0.0.0",
    ] {
        let listener = TcpListener::bind((outer, 0)).unwrap();
        let iss = format!("http://{}", listener.local_addr().unwrap());
        serve_metadata(listener, iss.clone(), format!("http://{host}:{port}/jwks"));
        let toml = |more: &str| {
            configuration(
                &issuer,
                &format!("allow_http = true\n{more}{FAST}"),
                &upstream,
            )
            .replace(
                &format!("issuer = \"{}\"", issuer.url()),
                &format!("issuer = \"{iss}\""),
            )
        };
        let token = Token::of(&iss, "read").signed(&issuer.key);
        let process = Process::run(&toml(""));
        process.wait_for_log("nearer to this machine than the issuer");
        assert_unavailable(&process.send(&Request::get("/x").bearer(&token)));
        assert_eq!(issuer.fetches(), 0, "{host}");
    }
    // The twin: the operator may choose the place.
    let listener = TcpListener::bind((outer, 0)).unwrap();
    let iss = format!("http://{}", listener.local_addr().unwrap());
    let toml = configuration(
        &issuer,
        &format!("jwks_uri = \"{}/jwks\"\n{FAST}", issuer.url()),
        &upstream,
    )
    .replace(
        &format!("issuer = \"{}\"", issuer.url()),
        &format!("issuer = \"{iss}\""),
    );
    let gateway = Gateway::start(&toml);
    let token = Token::of(&iss, "read").signed(&issuer.key);
    wait_until("the keys of the configured place are there", || {
        ask(&gateway, &token).status == 200
    });
}

// An issuer is carried over by its whole entry.
#[test]
fn a_reload_keeps_the_keys_of_an_issuer_that_did_not_change() {
    let issuer = Issuer::start();
    let upstream = Upstream::start();
    let text = configuration(&issuer, ONCE, &upstream);
    let gateway = Gateway::start(&text);
    gateway.wait_until_ready();
    issuer.serve(Jwks::Reset);
    gateway.rewrite(&format!(
        "{text}[[routes]]\npath = \"/new\"\nupstream = \"up\"\nauthenticated = true\n"
    ));
    let token = issuer.token("read");
    wait_until("the new route is there", || {
        gateway.send(&Request::get("/new").bearer(&token)).status == 200
    });
    assert_eq!(ask(&gateway, &token).status, 200);
    assert_eq!(issuer.fetches(), 1);
}
