//! Limits on a client's requests: a request exactly at the limit passes, one beyond it is refused.

use std::collections::VecDeque;

use crate::support::{Client, Gateway, Issuer, Request, Script, Upstream, wait_until};

/// A request whose head has so many bytes, its empty line included.
fn head_of(length: usize) -> Request {
    let bare = "GET /a HTTP/1.1\r\nHost: api.test\r\nX-A: \r\n\r\n".len();
    Request::get("/a").field("X-A", &"a".repeat(length - bare))
}

#[test]
fn a_head_has_at_most_as_many_bytes_as_configured() {
    let upstream = Upstream::start();
    let small = Gateway::open(&upstream, "[server.limits]\nhead_bytes = \"8 KiB\"");
    let usual = Gateway::open(&upstream, "");
    for (gateway, limit) in [(&small, 8 * 1024), (&usual, 32 * 1024)] {
        assert_eq!(gateway.send(&head_of(limit)).status, 200, "{limit}");
        assert_eq!(upstream.last().field("x-a").unwrap().len() + 42, limit);
        for length in [limit + 1, limit + 1000, limit * 20] {
            let before = upstream.arrivals().len();
            let mut client = gateway.connect();
            assert_eq!(client.send(&head_of(length)).status, 431, "{length}");
            assert!(client.is_closed());
            assert_eq!(upstream.arrivals().len(), before);
        }
    }
    assert!(small.metric("scopegate_connection_errors_total{reason=\"head_too_large\"}") >= 3.0);
}

#[test]
fn a_head_has_at_most_as_many_fields_as_configured() {
    let upstream = Upstream::start();
    let small = Gateway::open(&upstream, "[server.limits]\nhead_fields = 8");
    let usual = Gateway::open(&upstream, "");
    for (gateway, limit) in [(&small, 8), (&usual, 100)] {
        // `Host` is one of them.
        let fields =
            |count| (1..count).fold(Request::get("/a"), |r, i| r.field(&format!("X-{i}"), "a"));
        assert_eq!(gateway.send(&fields(limit)).status, 200, "{limit}");
        let mut client = gateway.connect();
        assert_eq!(client.send(&fields(limit + 1)).status, 431, "{limit}");
        assert!(client.is_closed());
        assert_eq!(gateway.send(&fields(1)).status, 200);
    }
    assert_eq!(upstream.arrivals().len(), 4);
}

// A request line of 8000 bytes is legal traffic.
#[test]
fn a_target_has_at_most_as_many_bytes_as_configured() {
    let upstream = Upstream::start();
    let small = Gateway::open(&upstream, "[server.limits]\ntarget_bytes = \"64 B\"");
    let usual = Gateway::open(&upstream, "");
    for (gateway, limit) in [(&small, 64), (&usual, 8 * 1024)] {
        let path = |length: usize| format!("/{}", "a".repeat(length - 1));
        let query = |length: usize| format!("/?{}", "a".repeat(length - 2));
        for (target, longer) in [
            (path(limit), path(limit + 1)),
            (query(limit), query(limit + 1)),
        ] {
            assert_eq!(gateway.send(&Request::get(&target)).status, 200, "{limit}");
            assert_eq!(upstream.last().target, target);
            let before = upstream.arrivals().len();
            let answer = gateway.send(&Request::get(&longer));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (414, "target_too_long"),
                "{limit}"
            );
            assert_eq!(upstream.arrivals().len(), before);
        }
    }
    assert_eq!(
        usual
            .send(&Request::get(&format!("/{}", "a".repeat(7999))))
            .status,
        200
    );
}

/// A gateway whose routes take bodies of at most 1 KiB, 2 KiB on `/more`, and none on `/none`.
fn bodies(upstream: &Upstream) -> Gateway {
    Gateway::start(&format!(
        "[server.limits]\nbody_bytes = \"1 KiB\"\n{}[defaults]\nupstream = \"orders\"\n\
         [[routes]]\npath = \"/usual\"\npublic = true\n\
         [[routes]]\npath = \"/more\"\npublic = true\nbody_bytes = \"2 KiB\"\n\
         [[routes]]\npath = \"/none\"\npublic = true\nbody_bytes = 0\n",
        upstream.toml("orders")
    ))
}

// By its length a body is refused before any of it is read.
#[test]
fn a_body_is_refused_by_its_length_before_it_is_sent() {
    let upstream = Upstream::start();
    let gateway = bodies(&upstream);
    for (path, limit) in [("/usual", 1024), ("/more", 2048), ("/none", 0)] {
        let fits = Request::new("POST", path).body("x".repeat(limit));
        assert_eq!(gateway.send(&fits).status, 200, "{path}");
        assert_eq!(upstream.last().body.len(), limit);
        let before = upstream.arrivals().len();
        for length in [(limit + 1).to_string(), (1_u64 << 62).to_string()] {
            let mut client = gateway.connect();
            client.write_request(&Request::new("POST", path).field("Content-Length", &length));
            let answer = client.read("POST").expect("there is an answer");
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (413, "body_too_large"),
                "{path} {length}"
            );
            assert_eq!(answer.field("connection"), Some("close"));
            assert!(client.is_closed());
        }
        assert_eq!(upstream.arrivals().len(), before, "{path}");
    }
}

// A chunked body is counted as it comes, and what was sent of it is no request to the
// upstream.
#[test]
fn a_chunked_body_is_refused_where_it_exceeds_the_limit() {
    let upstream = Upstream::start();
    let gateway = bodies(&upstream);
    let chunked = |path: &str, pieces: &[usize]| {
        let body: String = pieces
            .iter()
            .map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(*size)))
            .collect();
        Request::new("POST", path)
            .field("Transfer-Encoding", "chunked")
            .body(format!("{body}0\r\n\r\n"))
    };
    for (path, fits, exceeds) in [
        ("/usual", &[1024][..], &[1025][..]),
        ("/usual", &[1000, 24], &[1000, 25]),
        ("/more", &[1024, 1024], &[1024, 1024, 1]),
        ("/none", &[], &[1]),
    ] {
        assert_eq!(
            gateway.send(&chunked(path, fits)).status,
            200,
            "{path} {fits:?}"
        );
        let before = upstream.arrivals().len();
        let mut client = gateway.connect();
        let answer = client.send(&chunked(path, exceeds));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (413, "body_too_large"),
            "{path} {exceeds:?}"
        );
        assert!(client.is_closed());
        assert_eq!(
            upstream.arrivals().len(),
            before,
            "{path} {exceeds:?}: the upstream took it for complete"
        );
    }
    assert_eq!(
        gateway.metric("scopegate_upstream_faults_total{fault=\"closed\",upstream=\"orders\"}"),
        0.0
    );
}

// An answer that began before the body went too far is cut off from the rest of it.
#[test]
fn a_body_beyond_the_limit_goes_no_further_after_an_early_answer() {
    let upstream = Upstream::start();
    let gateway = bodies(&upstream);
    upstream.play([Script::Early(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    )]);
    let mut client = gateway.connect();
    client.write(
        b"POST /usual HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n",
    );
    assert_eq!(client.read("POST").expect("there is an answer").status, 200);
    client.write(format!("1000\r\n{}\r\n0\r\n\r\nGET /marker", "x".repeat(0x1000)).as_bytes());
    assert!(client.is_closed());
    gateway.wait_for_metric(
        "scopegate_upstream_connections_open{upstream=\"orders\"}",
        0.0,
    );
}

#[test]
fn a_token_has_at_most_as_many_bytes_as_configured() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = |limits: &str| {
        Gateway::start(&format!(
            "{limits}{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"read\"\n",
            issuer.toml(),
            upstream.toml("orders")
        ))
    };
    // Base64url grows by a third: three bytes of padding are four of the token.
    let token = |padding: usize| {
        issuer
            .claims("read")
            .with("pad", "x".repeat(padding))
            .signed(&issuer.key)
    };
    let (fits, exceeds) = (token(600), token(603));
    assert!(exceeds.len() > fits.len());
    let exact = gateway(&format!(
        "[server.limits]\ntoken_bytes = \"{} B\"\n",
        fits.len()
    ));
    assert_eq!(exact.send(&Request::get("/a").bearer(&fits)).status, 200);
    let refused = exact.send(&Request::get("/a").bearer(&exceeds));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_token")
    );

    let usual = gateway("[server.limits]\nhead_bytes = \"256 KiB\"\n");
    assert_eq!(
        usual
            .send(&Request::get("/a").bearer(&token(11_000)))
            .status,
        200,
        "nearly 16 KiB"
    );
    for padding in [12_500, 75_000] {
        assert_eq!(
            usual
                .send(&Request::get("/a").bearer(&token(padding)))
                .status,
            401
        );
    }
    assert_eq!(upstream.arrivals().len(), 2);
}

// Beyond the cap connections wait in the kernel, and are served when others close.
#[test]
fn connections_beyond_the_cap_wait_for_room() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[server.limits]\nconnections = 2");
    let mut clients: VecDeque<Client> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(&Request::get("/a")).status, 200);
    }
    let mut waiting: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
    for client in &mut waiting {
        client.write_request(&Request::get("/waits"));
    }
    // Those that are in are served all the while.
    for client in &mut clients {
        assert_eq!(client.send(&Request::get("/a")).status, 200);
    }
    assert_eq!(gateway.metric("scopegate_connections_accepted_total"), 2.0);
    assert_eq!(upstream.arrivals().len(), 4);
    for mut client in waiting {
        // One leaves, one comes in.
        drop(clients.pop_front());
        assert_eq!(client.read("GET").expect("there is an answer").status, 200);
        assert!(gateway.metric("scopegate_connections_open") <= 2.0);
        clients.push_back(client);
    }
}

// A cap that was raised makes room, though nobody leaves.
#[test]
fn a_raised_cap_lets_those_in_who_wait() {
    let upstream = Upstream::start();
    let text = |count: usize| {
        format!(
            "[server.limits]\nconnections = {count}\n{}\
             [[routes]]\npath = \"/a\"\nupstream = \"orders\"\npublic = true\n",
            upstream.toml("orders")
        )
    };
    let gateway = Gateway::start(&text(1));
    let mut inside = gateway.connect();
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    let mut waiting = gateway.connect();
    waiting.write_request(&Request::get("/a"));
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    assert_eq!(upstream.arrivals().len(), 2);
    gateway.rewrite(&text(2));
    gateway.reload();
    assert_eq!(waiting.read("GET").expect("there is an answer").status, 200);
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
}

// A slow upstream or client costs no more memory than the buffers on the way.
#[test]
fn a_download_that_is_not_taken_is_not_read_on() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    upstream.play([Script::Flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        chunk.into_bytes(),
    )]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/endless"));
    assert_eq!(client.read_head_only().status, 200);
    // It comes to a halt: twice the same count, with a whole other exchange in between.
    let mut before = None;
    wait_until("the upstream is held back", || {
        assert_eq!(gateway.send(&Request::get("/other")).status, 200);
        before.replace(upstream.flooded()) == Some(upstream.flooded()) && upstream.flooded() > 0
    });
    assert!(
        upstream.flooded() < 64 << 20,
        "{} bytes are on the way",
        upstream.flooded()
    );
    drop(client);
    wait_until("the upstream is let go", || {
        gateway.metric("scopegate_connections_open") == 0.0
    });
}
