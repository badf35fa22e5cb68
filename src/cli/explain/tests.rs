//! Explanations of requests, from the command line to the report.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;

use super::account::DEV_KEYS;
use super::report::{Entry, Outcome, Verdict};
use super::*;
use crate::issuer::fixture;

const FILE: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                    jwks_uri = \"http://127.0.0.1:1/keys\"\nscope_claims = [\"permissions\"]\n\
                    [upstreams.orders]\nurl = \"http://orders:8080\"\n\
                    [[routes]]\npath = \"/orders/{id}\"\nupstream = \"orders\"\n\
                    methods = { GET = \"orders.read\", PATCH = { deny = true } }\n\
                    [[routes]]\npath = \"/cookie\"\nupstream = \"orders\"\n\
                    scopes = \"orders.write\"\n\
                    token_from = [\"authorization:bearer\", \"cookie:session\"]\n\
                    [[routes]]\npath = \"/upload\"\nupstream = \"orders\"\npublic = true\n\
                    methods = [\"POST\"]\nbody_bytes = \"1 KiB\"\n\
                    [[groups]]\nprefix = \"/dev\"\nupstream = \"orders\"\npublic = true\n\
                    [[groups.routes]]\npath = \"/tests\"\nmethods = [\"GET\"]\n";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// Explains the request of a command line, in which `FILE` is a file with this text.
#[track_caller]
fn report_with(line: &str, text: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, text).unwrap();
    let words = line.split(' ').map(|word| match word {
        "FILE" => file.to_str().unwrap(),
        word => word,
    });
    let line = Line::try_parse_from(["explain"].into_iter().chain(words));
    let arguments = line.unwrap_or_else(|error| panic!("{error}")).arguments;
    let config = Config::parse(FILE, "gateway.toml");
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    explained(config, &arguments).unwrap()
}

#[track_caller]
fn report(line: &str) -> Report {
    report_with(line, "")
}

/// Returns the steps with their marks, and the other lines as they are.
fn lines(report: &Report) -> Vec<String> {
    let text = report.text();
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    lines.collect()
}

fn token(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.AA")
}

#[track_caller]
fn has(report: &Report, line: &str) {
    let lines = lines(report);
    assert!(lines.iter().any(|one| one == line), "{line}: {lines:#?}");
}

#[track_caller]
fn lacks(report: &Report, part: &str) {
    let text = report.text();
    assert!(!text.contains(part), "{part}: {text}");
}

#[test]
fn a_permitted_request_says_where_it_goes() {
    let report = report("GET /dev/tests");
    assert_eq!(
        lines(&report),
        [
            "request GET \"/dev/tests\", host \"localhost\"",
            "ok route /dev/tests is public",
            "token not checked",
            "ok verdict forwarded to orders (http://orders:8080/), without /dev",
        ]
    );
    assert_eq!(report.result, Verdict::Forwarded);
    assert_eq!(report.route.as_deref(), Some("/dev/tests"));
    assert_eq!(report.upstream.as_deref(), Some("orders"));
}

#[test]
fn a_refused_request_says_at_which_step_and_what_its_client_hears() {
    let missing = report("GET /orders/1");
    for line in [
        "ok route /orders/{id} asks for orders.read, in a token of idp from authorization:bearer",
        "NO verdict 401 Unauthorized",
        "www-authenticate: Bearer realm=\"scopegate\", scope=\"orders.read\"",
    ] {
        has(&missing, line);
    }
    assert_eq!(missing.reason, Some("missing_token"));
    assert_eq!(missing.result, Verdict::Refused(401));
    let method = report("PUT /orders/1");
    has(&method, "allow: GET, HEAD");
    assert_eq!(method.reason, Some("method_not_allowed"));
    let near = report("GET /Orders/1");
    has(
        &near,
        "with these capital and small letters: \"/orders/1\" is for the route /orders/{id}",
    );
    assert_eq!(near.result, Verdict::Refused(404));
    has(&report("GET /a/../b"), "NO verdict 400 Bad Request");
}

#[test]
fn a_target_is_judged_as_traffic_does() {
    let absolute = report("GET http://a.test/dev/tests");
    has(&absolute, "request GET \"/dev/tests\", host \"a.test\"");
    assert_eq!(absolute.result, Verdict::Forwarded);
    let other = report("GET http://a.test/dev/tests --host b.test");
    has(&other, "request GET \"/dev/tests\", host \"a.test\"");
    for (target, reason) in [
        ("orders", "malformed_target"),
        ("*", "malformed_target"),
        ("ftp://a.test/dev/tests", "malformed_target"),
        ("http://u@a.test/dev/tests", "malformed_target"),
    ] {
        let report = report(&format!("GET {target}"));
        assert_eq!(report.reason, Some(reason), "{target}");
        assert!(
            lines(&report)
                .iter()
                .any(|line| line.starts_with("a target is a path"))
        );
    }
    // A refusal of the connection's parser has no reason of the gateway.
    let refused = report("GET /a{b}<c>\"");
    let expected = parse_directly("/a{b}<c>\"");
    assert_eq!(refused.result == Verdict::Refused(400), expected.is_err());
    let long = report(&format!("GET /dev/tests?{}", "x".repeat(9000)));
    assert_eq!(long.result, Verdict::Refused(414));
    lacks(&long, " route ");
}

/// Parses a target as a connection does.
fn parse_directly(target: &str) -> Result<(), crate::server::HeadRefusal> {
    let config = Config::parse(FILE, "gateway.toml").unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let parsed = runtime.block_on(crate::server::parse_head(head.as_bytes(), &config.server));
    parsed.map(drop)
}

#[test]
fn a_head_in_a_file_is_judged_as_on_a_connection() {
    for (head, result, reason) in [
        (
            "GET /dev/tests HTTP/1.1\r\nHost: a\r\n\r\n",
            Verdict::Forwarded,
            None,
        ),
        ("GET /dev/tests HTTP/1.0\r\n\r\n", Verdict::Forwarded, None),
        (
            "GET http://b/dev/tests HTTP/1.1\r\nHost: a\r\n\r\n",
            Verdict::Forwarded,
            None,
        ),
        (
            "GET /dev/tests HTTP/1.1\r\n\r\n",
            Verdict::Refused(400),
            Some("invalid_host"),
        ),
        (
            "GET /dev/tests HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            Verdict::Refused(400),
            Some("invalid_host"),
        ),
        (
            "GET /dev/tests HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
            Verdict::Refused(400),
            Some("several_tokens"),
        ),
        (
            "POST /dev/tests HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            Verdict::Refused(400),
            Some("invalid_framing"),
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n",
            Verdict::Refused(413),
            Some("body_too_large"),
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
            Verdict::Forwarded,
            None,
        ),
        (
            "GET /dev/tests HTTP/1.1\r\nHost : a\r\n\r\n",
            Verdict::Refused(400),
            Some("head_field"),
        ),
        (
            "nonsense\r\n\r\n",
            Verdict::Refused(400),
            Some("head_method"),
        ),
        ("", Verdict::NoRequest, None),
    ] {
        let report = report_with("--request-file FILE", head);
        assert_eq!((report.result, report.reason), (result, reason), "{head}");
    }
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "A: b\r\n".repeat(200)
    );
    let report = report_with("--request-file FILE", &many);
    assert_eq!(report.result, Verdict::Refused(431));
    has(
        &report,
        "NO verdict 431 Request Header Fields Too Large, without a body; the connection closes",
    );
}

#[test]
fn tokens_in_two_places_are_named() {
    let head =
        "GET /cookie HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nCookie: session=y\r\n\r\n";
    let report = report_with("--request-file FILE", head);
    assert_eq!(report.reason, Some("several_tokens"));
    has(
        &report,
        "tokens are in authorization:bearer and cookie:session",
    );
}

#[test]
fn a_token_is_presumed_where_the_route_looks() {
    let report = report_with("GET /orders/1 --token-file FILE", "Bearer x");
    has(
        &report,
        "the token of the file (without \"Bearer\") is presumed in authorization:bearer, where \
         the route looks for one",
    );
    // A denied route looks for no token.
    let denied = report_with("PATCH /orders/1 --token-file FILE", "x");
    has(
        &denied,
        "the token of the file is presumed in authorization:bearer",
    );
    lacks(&denied, "where the route looks");
    assert_eq!(denied.reason, Some("route_denied"));
    let other = report_with(
        "GET /orders/1 --token-file FILE",
        "Authorization: Basic dTpw",
    );
    lacks(&other, "ok  token");
    assert_eq!(other.result, Verdict::Refused(401));
    // A token that no field can hold is refused by the parser, and one that is too long as well.
    let control = report_with("GET /orders/1 --token-file FILE", "a\u{1}b");
    assert_eq!(control.result, Verdict::Refused(400));
    let long = report_with("GET /orders/1 --token-file FILE", &"a".repeat(40 << 10));
    assert_eq!(long.result, Verdict::Refused(431));
    let too_long = report_with("GET /orders/1 --token-file FILE", &"a".repeat(20 << 10));
    assert_eq!(too_long.reason, Some("token_too_long"));
}

#[test]
fn a_request_of_a_foreign_page_says_that_it_is_one() {
    let line = "POST /cookie --origin https://evil.test --token-file FILE";
    let report = report_with(line, "eyJ");
    has(
        &report,
        "the token of the file is presumed in cookie:session, one of the places where the route \
         looks",
    );
    has(&report, "ok token present in cookie:session");
    assert_eq!(report.reason, Some("cross_site_request"));
    let own = report_with(
        "POST /cookie --origin http://localhost --token-file FILE",
        "eyJ",
    );
    assert_ne!(own.reason, Some("cross_site_request"));
}

#[test]
fn a_token_that_can_be_read_is_shown_beside_what_is_accepted() {
    let claims = "{\"iss\":\"https://idp.example.com\",\"aud\":[\"b\"],\"exp\":1,\
                  \"scope\":\"orders.read\",\"permissions\":{\"orders.read\":1}}";
    for header in [
        "{\"alg\":\"none\",\"kid\":\"k\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":[\"x\"]}",
    ] {
        let report = report_with("GET /orders/1 --token-file FILE", &token(header, claims));
        for line in [
            "the token says, unverified:",
            "kid \"k\"",
            "iss \"https://idp.example.com\"; wanted \"https://idp.example.com/\"",
            "aud [\"b\"]; wanted \"api\"",
            "permissions an object, which grants nothing; \"permissions.*\" takes the names of \
             members",
            "scope \"orders.read\", not read: scope_claims names others",
        ] {
            has(&report, line);
        }
        // It has expired, whatever was found first.
        let is_told = |entry: &Entry| {
            matches!(entry, Entry::Step(step)
                if step.name == "time" && step.outcome == Outcome::Failed)
        };
        assert!(report.entries.iter().any(is_told), "{}", report.text());
        assert_eq!(report.granted, None, "nothing is granted unverified");
    }
}

#[test]
fn the_fetch_of_keys_is_a_note_only_where_a_token_needs_them() {
    let fetched = "the keys of idp are fetched now";
    let claims = "{\"iss\":\"https://idp.example.com/\",\"exp\":4000000000}";
    let with = |alg: &str| {
        let header = format!("{{\"alg\":\"{alg}\",\"kid\":\"k\"}}");
        report_with("GET /orders/1 --token-file FILE", &token(&header, claims))
    };
    assert!(with("RS256").text().contains(fetched));
    lacks(&with("HS256"), fetched);
    lacks(
        &report_with("GET /orders/1 --token-file FILE", "opaque"),
        fetched,
    );
    lacks(&report("GET /orders/1"), fetched);
}

#[test]
fn the_key_ids_are_those_of_keys_for_the_algorithm() {
    let keys = [
        fixture::Signer::p256().jwk("e"),
        fixture::Signer::ed25519().jwk("d"),
    ];
    let keys = fixture::jwks(&keys);
    let text = FILE.replace(
        "jwks_uri = \"http://127.0.0.1:1/keys\"",
        &format!("jwks = '{keys}'"),
    );
    for (alg, wanted) in [
        ("ES256", "kid \"x\"; wanted \"e\""),
        ("EdDSA", "kid \"x\"; wanted \"d\""),
        ("RS256", "kid \"x\"; wanted none: no key is for this alg"),
        ("none", "kid \"x\"; wanted \"e\", \"d\""),
    ] {
        let header = format!("{{\"alg\":\"{alg}\",\"kid\":\"x\"}}");
        let config = Config::parse(&text, "gateway.toml").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("input");
        let claims = "{\"iss\":\"https://idp.example.com/\",\"exp\":4000000000}";
        std::fs::write(&file, token(&header, claims)).unwrap();
        let words = ["explain", "GET", "/orders/1", "--token-file"].map(std::ffi::OsStr::new);
        let words = words.into_iter().chain([file.as_os_str()]);
        let arguments = Line::parse_from(words).arguments;
        has(&explained(config, &arguments).unwrap(), wanted);
    }
}

#[test]
fn who_has_a_token_of_dev_is_told_where_its_keys_are() {
    let claims = "{\"iss\":\"https://idp.example.com/\",\"exp\":4000000000}";
    let token = token("{\"alg\":\"RS256\",\"kid\":\"dev\"}", claims);
    let report = report_with("GET /orders/1 --token-file FILE", &token);
    assert_eq!(report.reason, Some("keys_unavailable"));
    has(&report, DEV_KEYS);
    // The counterparts: a command line with `--dev`, and a token that is malformed.
    let dev = "GET /orders/1 --token-file FILE --dev=http://127.0.0.1:1";
    lacks(&report_with(dev, &token), DEV_KEYS);
    lacks(
        &report_with("GET /orders/1 --token-file FILE", "eyJ"),
        DEV_KEYS,
    );
}

#[test]
fn the_keys_of_a_dev_issuer_are_asked_for_by_name() {
    let mut config = Config::parse(FILE, "gateway.toml").unwrap();
    take_keys_of(&Url::parse("http://127.0.0.1:9400").unwrap(), &mut config);
    let expected = Url::parse("http://127.0.0.1:9400/idp/.well-known/jwks.json").unwrap();
    assert_eq!(config.issuers[0].entry.keys, KeySource::Uri(expected));
}

#[test]
fn the_values_of_variables_are_named_with_their_origin() {
    let text = FILE.replace("http://orders:8080", "http://${host}:${port}");
    let text = format!("[variables]\nhost = \"orders\"\n{text}");
    let mut overrides = crate::config::Overrides::default();
    overrides.variables.flags.push(("port".into(), "81".into()));
    let config = Config::load_text(&text, &overrides).unwrap();
    let line = Line::try_parse_from(["explain", "POST", "/upload"]).unwrap();
    let report = explained(config, &line.arguments).unwrap();
    has(
        &report,
        "variables: host = \"orders\" ([variables]), port = \"81\" (--var); a running gateway may \
         have others, which /policy of its admin listener shows",
    );
    lacks(&self::report("POST /upload"), "variables:");
}
