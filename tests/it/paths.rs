//! Paths: an ambiguous one is refused, an allowed one is forwarded unchanged. Runs
//! `tests/vectors/paths`.

use std::fs;

use scopegate::route::Ambiguity;
use serde::Deserialize;

use crate::support::{Gateway, Key, Pair, Request, Upstream, raw};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spellings {
    spellings: Vec<Spelling>,
}

/// A rest of a path, and what is ambiguous about it, the gravest first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelling {
    path: String,
    is: Vec<String>,
}

fn allowable() -> Vec<&'static str> {
    Ambiguity::ALLOWABLE.iter().map(|one| one.name()).collect()
}

/// Routes that allow nothing, everything, one thing alone, and everything but one.
fn every_allowance() -> String {
    let public = |prefix: &str, allow: &[&str]| {
        format!("[[routes]]\npath = \"{prefix}/**\"\nallow = {allow:?}\npublic = true\n")
    };
    let all = allowable();
    let mut text = "[[routes]]\npath = \"/nothing/**\"\npublic = true\n".to_owned();
    text.push_str(&public("/all", &all));
    for one in &all {
        let others: Vec<_> = all.iter().copied().filter(|other| other != one).collect();
        text.push_str(&public(&format!("/only-{one}"), &[one]));
        text.push_str(&public(&format!("/but-{one}"), &others));
    }
    text + &format!(
        "[[groups]]\nprefix = \"/strip/this\"\nallow = {all:?}\npublic = true\n[[groups.routes]]\n\
         path = \"/**\"\n"
    )
}

// docs/design/attacks.md#row-1 to #row-5, docs/design/requirements.md#r03. The query is never
// judged, so each case has a malformed one.
#[test]
fn what_is_ambiguous_is_refused_unless_the_route_allows_it_by_name() {
    const QUERY: &str = "?../%2f//;%00=%zz";
    let text = fs::read_to_string("tests/vectors/paths/spellings.toml").unwrap();
    let spellings = toml::from_str::<Spellings>(&text).unwrap().spellings;
    assert!(
        spellings.iter().filter(|one| !one.is.is_empty()).count() > 50,
        "vectors went missing"
    );
    let pair = Pair::start(&Key::ed25519("key-1"), "", &every_allowance());
    let ask = |prefix: &str, path: &str| pair.ask(&Request::get(&format!("{prefix}{path}{QUERY}")));
    let all = allowable();
    for Spelling { path, is } in &spellings {
        let forwarded = |prefix: &str, left: &str| {
            let arrival = ask(prefix, path).forwarded();
            let rest = if left.is_empty() && path.is_empty() {
                "/"
            } else {
                path
            };
            assert_eq!(
                arrival.target,
                format!("{left}{rest}{QUERY}"),
                "below {prefix}: {path}"
            );
        };
        let refused = |prefix: &str, what: &str| {
            let detail =
                ask(prefix, path).refused("ambiguous_path").problem()["detail"].to_string();
            assert!(
                detail.contains(&format!("({what})")),
                "below {prefix}: {path}: {detail}"
            );
        };
        let never = is.iter().find(|one| !all.contains(&one.as_str()));
        match (is.first(), never) {
            (None, _) => forwarded("/nothing", "/nothing"),
            (Some(first), _) => {
                refused("/nothing", first);
                // Before "not found", which would be an answer about one of the readings.
                refused("/unknown", first);
            }
        }
        if let Some(never) = never {
            refused("/all", never);
            refused("/strip/this", never);
            continue;
        }
        forwarded("/all", "/all");
        forwarded("/strip/this", "");
        for one in is {
            refused(&format!("/but-{one}"), one);
        }
        if let [one] = is.as_slice() {
            forwarded(&format!("/only-{one}"), &format!("/only-{one}"));
        }
    }
}

// docs/design/attacks.md#row-1 to #row-3, with the requests of the advisories: Oathkeeper
// CVE-2026-33494, Heimdall CVE-2026-42274 and -42272, Envoy CVE-2026-73551 and -73553, Caddy
// CVE-2026-52844.
#[test]
fn no_spelling_reaches_a_scoped_path_by_a_public_route() {
    let routes = "[[routes]]\npath = \"/**\"\npublic = true\n\
                  [[routes]]\npath = \"/admin/**\"\nscopes = \"admin\"\n";
    let pair = Pair::start(&Key::ed25519("key-1"), "", routes);
    for target in [
        "/public/../admin/secrets",
        "/public/%2e%2e/admin/secrets",
        "/public/%2e%2e%2fadmin/secrets",
        "/public/..%2Fadmin/secrets",
        "/public/..%5cadmin/secrets",
        "/user/..;foo=bar/admin",
        "/admin;x=y",
        "/admin;/secrets",
        "/./admin",
        "//admin",
        "///admin/secrets",
        "/admin%2fsecrets",
        "/admin%5Csecrets",
        "/admin%00",
        "/admin%252fsecrets",
        "/%61dmin%2fsecrets",
        "/admin\\secrets",
        "http://api.test//admin",
    ] {
        pair.ask(&Request::get(target)).refused("ambiguous_path");
    }
    for target in [
        "/admin",
        "/admin/",
        "/%61dmin/secrets",
        "/%61%64%6d%69%6E",
        "/admin/?/public",
        "http://api.test/admin",
    ] {
        pair.ask(&Request::get(target)).refused("missing_token");
    }
    let secrets = Request::get("/admin/secrets").bearer(&pair.token("admin"));
    assert_eq!(pair.ask(&secrets).forwarded().target, "/admin/secrets");
    assert_eq!(
        pair.ask(&Request::get("/public/secrets"))
            .forwarded()
            .target,
        "/public/secrets"
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets {
    configuration: String,
    cases: Vec<Line>,
}

/// A request line, and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    line: String,
    host: Option<String>,
    forwarded: Option<String>,
    refused: Option<String>,
    bare: Option<u16>,
}

impl Line {
    /// What is not as it should be.
    fn run(&self, gateway: &Gateway, upstream: &Upstream) -> Option<String> {
        let outcomes = [
            self.forwarded.is_some(),
            self.refused.is_some(),
            self.bare.is_some(),
        ];
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome).count(),
            1,
            "{self:?}"
        );
        let before = upstream.arrivals().len();
        let mut client = gateway.connect();
        let host = self.host.as_deref().unwrap_or("api.test");
        client.write(format!("{}\r\nHost: {host}\r\n\r\n", self.line).as_bytes());
        let answer = client.read("GET").expect("there is an answer");
        let arrival = upstream
            .arrivals()
            .get(before)
            .map(|arrival| arrival.target.clone());
        let is_problem = answer.field("content-type") == Some("application/problem+json");
        let code = is_problem.then(|| answer.code());
        let bare = (arrival.is_none() && !is_problem).then_some(answer.status);
        let same = (&arrival, &code, bare) == (&self.forwarded, &self.refused, self.bare);
        (!same).then(|| format!("{self:?}\n  seen: {arrival:?} {code:?} {bare:?}"))
    }
}

#[test]
fn no_form_of_a_target_leads_to_another_route() {
    let text = fs::read_to_string("tests/vectors/paths/targets.toml").unwrap();
    let targets: Targets = toml::from_str(&text).unwrap();
    assert!(targets.cases.len() > 50, "vectors went missing");
    let pair = Pair::start(&Key::ed25519("key-1"), "", &targets.configuration);
    let run = |line: &Line| line.run(&pair.gateway, &pair.upstream);
    let wrong: Vec<_> = targets.cases.iter().filter_map(run).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_request_has_one_host() {
    let pair = Pair::start(
        &Key::ed25519("key-1"),
        "",
        "[[routes]]\npath = \"/**\"\npublic = true\n",
    );
    let ask = |head: &str| {
        raw(
            pair.gateway.address(),
            format!("{head}Connection: close\r\n\r\n").as_bytes(),
        )
    };
    assert!(ask("GET /x HTTP/1.1\r\nHost: a\r\n").starts_with("HTTP/1.1 200"));
    assert!(ask("GET /x HTTP/1.0\r\n").starts_with("HTTP/1.0 200"));
    for head in [
        "GET /x HTTP/1.1\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nhost: b\r\n",
        "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n",
        "GET http://a/x HTTP/1.1\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
    ] {
        let answer = ask(head);
        assert!(
            answer.contains(" 400 ") && answer.contains("invalid_host"),
            "{head}: {answer}"
        );
    }
    assert_eq!(pair.upstream.arrivals().len(), 2);
}

// Bytes that are no UTF-8 are no path, and what is UTF-8 is forwarded as it came.
#[test]
fn raw_bytes_beyond_ascii_are_text_or_are_refused() {
    let routes = "[[routes]]\npath = \"/open/**\"\npublic = true\n\
                  [[routes]]\npath = \"/%C3%A4\"\nscopes = \"umlaut\"\n";
    let pair = Pair::start(&Key::ed25519("key-1"), "", routes);
    let ask = |path: &[u8]| {
        let bytes = [
            b"GET ",
            path,
            b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ]
        .concat();
        raw(pair.gateway.address(), &bytes)
    };
    for path in [
        &b"/open/\xff"[..],
        b"/open/\xc0\xaf",
        b"/open/\xc0\xae\xc0\xae/x",
        b"/open/\xed\xa0\x80",
    ] {
        let answer = ask(path);
        assert!(answer.starts_with("HTTP/1.1 400"), "{path:?}: {answer}");
    }
    assert!(pair.upstream.arrivals().is_empty());
    assert!(ask("/ä".as_bytes()).starts_with("HTTP/1.1 401"));
    assert!(ask("/open/ä".as_bytes()).starts_with("HTTP/1.1 200"));
    assert_eq!(pair.upstream.last().target, "/open/ä");
}

// docs/design/requirements.md#d68.
#[test]
fn a_target_of_8000_bytes_is_forwarded_and_one_beyond_the_limit_is_414() {
    let pair = Pair::start(
        &Key::ed25519("key-1"),
        "",
        "[[routes]]\npath = \"/**\"\npublic = true\n",
    );
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(
        pair.ask(&Request::get(&target(8000)))
            .forwarded()
            .target
            .len(),
        8000
    );
    assert_eq!(
        pair.ask(&Request::get(&target(8192)))
            .forwarded()
            .target
            .len(),
        8192
    );
    pair.ask(&Request::get(&target(8193)))
        .refused("target_too_long");
    pair.ask(&Request::get(&format!("/?{}", "/../".repeat(2048))))
        .refused("target_too_long");
}

#[test]
fn no_header_changes_the_method_or_the_path() {
    let routes = "[[routes]]\npath = \"/orders\"\n[routes.methods]\nGET = { public = true }\n\
                  DELETE = \"delete\"\n";
    let pair = Pair::start(&Key::ed25519("key-1"), "", routes);
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "x_http_method_override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_Original_URL",
        "X-Forwarded-Prefix",
    ] {
        let arrival = pair
            .ask(&Request::get("/orders").field(name, "DELETE"))
            .forwarded();
        assert_eq!(
            (arrival.method.as_str(), arrival.target.as_str()),
            ("GET", "/orders")
        );
        assert_eq!(
            arrival.field(&name.to_ascii_lowercase()),
            None,
            "{name} was forwarded"
        );
        let delete = Request::new("DELETE", "/orders").field(name, "GET");
        pair.ask(&delete).refused("missing_token");
    }
    let arrival = pair
        .ask(&Request::get("/orders?_method=DELETE").field("X-Method", "DELETE"))
        .forwarded();
    assert_eq!(
        (arrival.target.as_str(), arrival.field("x-method")),
        ("/orders?_method=DELETE", Some("DELETE"))
    );
}
