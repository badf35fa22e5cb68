//! Requests as raw bytes: each is refused, or reaches the upstream in the one framing that all
//! readers agree on. The vectors state which; the upstream of the tests also checks every arrival
//! (requirements.md#p01).

use crate::support::{Gateway, Key, Pair, Request, Script, Upstream, Vector};

// What a chunk says besides its size is nobody's, and may not go on and on, in one chunk or in
// many.
#[test]
fn chunk_extensions_are_ignored_and_have_a_bound() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let request = |chunks: usize, length: usize| {
        let chunk = format!("2;{}\r\nhi\r\n", "x".repeat(length));
        let body = format!("{}0\r\n\r\n", chunk.repeat(chunks));
        Request::new("POST", "/a")
            .field("Transfer-Encoding", "chunked")
            .body(body)
    };
    for (chunks, length) in [(1, 8_000), (8, 1_000)] {
        assert_eq!(gateway.send(&request(chunks, length)).status, 200);
        assert_eq!(upstream.last().body, "hi".repeat(chunks).as_bytes());
    }
    for (chunks, length) in [(1, 20_000), (20, 1_000), (20_000, 1)] {
        let answer = gateway.send(&request(chunks, length));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "malformed_body"),
            "{chunks} of {length}"
        );
    }
    assert_eq!(upstream.arrivals().len(), 2);
}

#[test]
fn every_request_is_refused_or_framed_in_one_way() {
    let vectors = Vector::read(include_str!("../vectors/wire/requests.json"), 230);
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    // For the heads that never end.
    let gateway = Gateway::open(&upstream, "[server.timeouts]\nrequest_head = \"2s\"\n");
    let no_token = |scope: &str| panic!("a token with {scope}");
    let run = |vector: &Vector| {
        let problem = vector.run(&gateway, &upstream, &no_token).err()?;
        Some(format!("{}: {problem}", vector.name))
    };
    let wrong: Vec<_> = vectors.iter().filter_map(run).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n")
    );
}

/// Routes for everybody beside those that ask for scopes; one forwards claims, one looks for tokens
/// in two places, and two change the path.
const ROUTES: &str = r#"
[[routes]]
path   = "/**"
public = true

[[routes]]
path   = "/admin/**"
scopes = "admin"

[[routes]]
path    = "/orders/{id}"
scopes  = "read"
forward = { x-user-id = "sub", x-role = "role" }

[[routes]]
path       = "/two"
scopes     = "read"
token_from = ["authorization:bearer", "query:access_token"]

[[routes]]
path    = "/files/**"
public  = true
rewrite = "/bucket/**"

[[groups]]
prefix = "/strip"
public = true
routes = [{ path = "/**" }]

[[routes]]
host   = "other.test"
path   = "/**"
scopes = "other"
"#;

fn attacks() -> (Vec<Vector>, Pair) {
    let vectors = Vector::read(include_str!("../vectors/wire/attacks.json"), 300);
    let pair = Pair::start(&Key::ed25519("key-1"), "", ROUTES);
    pair.upstream.always(Script::Echo);
    (vectors, pair)
}

#[test]
fn every_attack_is_refused_or_comes_to_nothing() {
    let (vectors, pair) = attacks();
    let run = |vector: &Vector| {
        let problem = vector
            .run(&pair.gateway, &pair.upstream, &|scope| pair.token(scope))
            .err()?;
        Some(format!("{}: {problem}", vector.name))
    };
    let wrong: Vec<_> = vectors.iter().filter_map(run).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n")
    );
}

// The same attacks over HTTP/2 (docs/design/requirements.md#p07): the other protocol opens no way
// around.
#[test]
fn no_attack_comes_to_more_over_http_2() {
    let (vectors, pair) = attacks();
    let mut wrong = Vec::new();
    let mut count = 0;
    for vector in &vectors {
        match vector.run_over_http_2(&pair.gateway, &pair.upstream, &|scope| pair.token(scope)) {
            Some(Err(problem)) => wrong.push(format!("{}: {problem}", vector.name)),
            Some(Ok(())) => count += 1,
            None => {}
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 200, "{count} of them were tried");
}
