//! Bodies are streamed in both directions, complete and without buffering; a body that was cut
//! never looks complete.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, literal, request,
};
use crate::support::{Gateway, Issuer, Request, Script, Upstream, wait_until};

const MIB: usize = 1024 * 1024;

/// Bytes that show every shift, loss and repetition.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", head.as_bytes(), b"\r\n", body].concat()
}

// Bodies are never buffered whole.
#[test]
fn an_upload_reaches_the_upstream_before_it_has_ended() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (framing, first, last) in [
        ("Content-Length: 10", "first", "-last"),
        (
            "Transfer-Encoding: chunked",
            "5\r\nfirst\r\n",
            "5\r\n-last\r\n0\r\n\r\n",
        ),
    ] {
        let before = upstream.body_bytes();
        let mut client = gateway.connect();
        client.write(
            format!("POST /a HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n\r\n{first}").as_bytes(),
        );
        wait_until("the first piece arrives", || {
            upstream.body_bytes() == before + 5
        });
        client.write(last.as_bytes());
        assert_eq!(client.read("POST").expect("there is an answer").status, 200);
        assert_eq!(upstream.last().body, b"first-last");
    }
}

// Bodies are never buffered whole.
#[test]
fn a_download_reaches_the_client_piece_by_piece() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let pieces = ["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", "one", "two"];
    upstream.play([Script::Pieces(
        pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect(),
    )]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/a"));
    upstream.go_on();
    let head = client.read_head_only();
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("6"))
    );
    upstream.go_on();
    assert_eq!(client.read_exact(3), b"one");
    upstream.go_on();
    assert_eq!(client.read_exact(3), b"two");
}

#[test]
fn eight_mebibytes_arrive_intact_in_both_directions() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let body = pattern(8 * MIB);
    let length = format!("content-length: {}\r\n", body.len());
    upstream.play([
        Script::Raw(answer(&length, &body), true),
        Script::Raw(
            answer("transfer-encoding: chunked\r\n", &chunked(&body, 70_000)),
            true,
        ),
        Script::Raw(answer("", &body), false),
    ]);
    let sent = Request::new("POST", "/length").body(body.clone());
    let coded = Request::new("POST", "/chunked")
        .field("Transfer-Encoding", "chunked")
        .body(chunked(&body, 100_000));
    let mut client = gateway.connect();
    for request in [sent, coded, Request::get("/until-close")] {
        let answer = client.send(&request);
        assert_eq!(answer.status, 200);
        assert!(
            answer.complete && answer.body == body,
            "the download changed on its way"
        );
    }
    let arrivals = upstream.arrivals();
    assert!(
        arrivals[0].body == body && arrivals[1].body == body,
        "an upload changed on its way"
    );
    assert_eq!(
        arrivals[0].field("content-length"),
        Some(body.len().to_string().as_str())
    );
    assert_eq!(arrivals[1].field("transfer-encoding"), Some("chunked"));
    assert_eq!(upstream.arrivals()[2].field("transfer-encoding"), None);
}

// Trailers are relayed where the protocols allow, which is where they were
// announced.
#[test]
fn announced_trailers_are_relayed_in_both_directions() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let download = answer(
        "trailer: x-sum\r\ntransfer-encoding: chunked\r\n",
        b"2\r\nok\r\n0\r\nx-sum: 1\r\nx-unannounced: 2\r\n\r\n",
    );
    upstream.play([
        Script::Raw(download.clone(), true),
        Script::Raw(download, true),
    ]);
    let request = |te: &str| {
        Request::new("POST", "/a")
            .field("TE", te)
            .field("Trailer", "X-Sum")
            .field("Transfer-Encoding", "chunked")
            .body("2\r\nhi\r\n0\r\nX-Sum: 3\r\nX-Unannounced: 4\r\n\r\n")
    };
    let mut client = gateway.connect();
    let answer = client.send(&request("trailers"));
    assert_eq!((answer.text().as_str(), answer.complete), ("ok", true));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    assert_eq!(
        upstream.last().trailers,
        [("x-sum".to_owned(), "3".to_owned())]
    );
    // The twin: a client that did not ask for trailers gets the body without them.
    let answer = client.send(&request("gzip"));
    assert_eq!(
        (
            answer.text().as_str(),
            answer.complete,
            answer.trailers.len()
        ),
        ("ok", true, 0)
    );
}

// What frames, routes or authenticates a message is no matter of its trailers.
#[test]
fn trailers_cannot_say_what_belongs_in_the_head() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let request = Request::new("POST", "/a")
        .field(
            "Trailer",
            "Content-Length, Host, Authorization, Transfer-Encoding, X-Forwarded-For, X-Fine",
        )
        .field("Transfer-Encoding", "chunked")
        .body(
            "2\r\nhi\r\n0\r\nContent-Length: 9\r\nHost: marker\r\nAuthorization: marker\r\n\
             Transfer-Encoding: marker\r\nX-Forwarded-For: marker\r\nX-Fine: 1\r\n\r\n",
        );
    assert_eq!(gateway.send(&request).status, 200);
    assert_eq!(
        upstream.last().trailers,
        [("x-fine".to_owned(), "1".to_owned())]
    );
}

#[test]
fn answers_without_a_body_have_none_whatever_their_head_says() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (method, status, length, relayed) in [
        ("HEAD", "200 OK", "content-length: 5\r\n", Some("5")),
        ("HEAD", "200 OK", "transfer-encoding: chunked\r\n", None),
        // A length here would be that of a body which is not there; it may be left out (RFC 9110
        // §15.4.5).
        ("GET", "304 Not Modified", "content-length: 5\r\n", None),
        ("GET", "204 No Content", "", None),
    ] {
        upstream.play([
            Script::Raw(
                format!("HTTP/1.1 {status}\r\n{length}\r\n").into_bytes(),
                true,
            ),
            Script::Echo,
        ]);
        let mut client = gateway.connect();
        let answer = client.send(&Request::new(method, "/empty"));
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.field("content-length"), relayed, "{method} {status}");
        // The next answer follows directly: nothing of a body was in between.
        assert_eq!(
            client.send(&Request::get("/next")).text(),
            "/next",
            "after {method} {status}"
        );
    }
    // One for each of the two workers: each exchange was over, and its connection fit for the next.
    assert!(
        upstream.connections() <= 2,
        "{} connections",
        upstream.connections()
    );
}

#[test]
fn who_expects_100_continue_gets_it_when_the_body_is_wanted() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"write\"\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let request = Request::new("POST", "/a")
        .field("Expect", "100-continue")
        .field("Content-Length", "4");
    let mut client = gateway.connect();
    client.write_request(&request.clone().bearer(&issuer.token("write")));
    assert_eq!(client.read_head_only().status, 100);
    client.write(b"body");
    assert_eq!(client.read("POST").expect("there is an answer").status, 200);
    assert_eq!(upstream.last().body, b"body");

    // The twin: who is refused is not asked for the body, and what comes next is not taken for it.
    let mut client = gateway.connect();
    client.write_request(&request);
    assert_eq!(client.read("POST").expect("there is an answer").status, 401);
    client.write_request(&Request::get("/marker"));
    assert!(
        client.read("GET").is_none(),
        "whether the body follows is open, so nothing else can"
    );
    assert_eq!(upstream.arrivals().len(), 1);
}

// The answer does not wait for a body that the upstream does not want.
#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let early = b"HTTP/1.1 409 Conflict\r\ncontent-length: 5\r\n\r\nearly".to_vec();
    upstream.play([Script::Early(early)]);
    let mut client = gateway.connect();
    client.write(b"POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000\r\n\r\nbegun");
    let answer = client.read("POST").expect("there is an answer");
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.complete),
        (409, "early", true)
    );
    // Neither connection is used again: on both there is a body that nobody took.
    client.write(b"GET /marker HTTP/1.1\r\nHost: api.test\r\n\r\n");
    assert!(client.read("GET").is_none());
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
    assert_eq!(upstream.last().target, "/next");
    assert_eq!(upstream.last().connection, 1);
}

// Nobody waits for who waits for him, though the upstream answers before it has heard
// everything, and the client listens when it has said everything. Both bodies are more than the
// sockets on the way hold.
#[test]
fn an_upload_goes_on_while_the_client_reads_nothing_of_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(&format!(
        "[upstreams.orders]\nurl = \"http://{}\"\n\
         [[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n",
        listener.local_addr().unwrap()
    ));
    let body = pattern(32 * MIB);
    let length = format!("content-length: {}\r\n", body.len());
    let upstream = thread::spawn({
        let (early, end) = (answer(&length, &body), body[body.len() - 100..].to_vec());
        move || {
            let mut stream = listener.accept().unwrap().0;
            let mut other = stream.try_clone().unwrap();
            let answering = thread::spawn(move || other.write_all(&early).unwrap());
            let mut last = Vec::new();
            let mut piece = vec![0; 64 * 1024];
            while !last.ends_with(&end) {
                let count = stream.read(&mut piece).unwrap();
                assert!(count > 0, "the upload was cut");
                last.drain(..last.len().saturating_sub(100));
                last.extend_from_slice(&piece[..count]);
            }
            answering.join().unwrap();
        }
    });
    let mut client = gateway.connect();
    client.write_request(&Request::new("POST", "/a").body(body.clone()));
    let answer = client.read("POST").expect("there is an answer");
    assert!(
        answer.complete && answer.body == body,
        "the download changed on its way"
    );
    upstream.join().unwrap();
}

#[test]
fn the_body_of_a_refused_request_is_never_taken_for_a_request() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nscopes = \"write\"\n\
         body_bytes = \"1 KiB\"\n\
         [[routes]]\npath = \"/marker\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
         public = true\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let inner = "GET /marker HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let (good, poor) = (issuer.token("write"), issuer.token("other"));
    // Whole, in part, and longer than any buffer.
    for padding in [0, 10, 2000, MIB] {
        let body = format!("{inner}{}", "x".repeat(padding));
        let requests = [
            (Request::new("POST", "/a"), 401),
            (Request::new("POST", "/a").bearer(&poor), 403),
            (Request::new("POST", "/none"), 404),
            (Request::new("POST", "/marker"), 405),
            (Request::new("POST", "/a/%2e%2e/marker"), 400),
            (Request::new("PUT", "/a").bearer(&good), 413),
        ];
        for (request, status) in requests {
            if status == 413 && body.len() <= 1024 {
                continue;
            }
            let mut client = gateway.connect();
            let answer = client.send(&request.body(body.clone()));
            assert_eq!(answer.status, status);
            // Either the body was drained, or the connection is closed.
            client.write_request(&Request::get("/none"));
            if let Some(next) = client.read("GET") {
                assert_eq!(next.status, 404, "the next answer is to the next request");
            }
            assert!(
                upstream.arrivals().is_empty(),
                "a body was taken for a request"
            );
        }
    }
    let request = Request::new("POST", "/a").bearer(&good).body(inner);
    assert_eq!(gateway.send(&request).status, 200);
    assert_eq!(upstream.last().body, inner.as_bytes());
}

#[test]
fn an_answer_that_was_cut_never_looks_complete() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let long = "x".repeat(100_000);
    for (head, body) in [
        ("content-length: 9\r\n", "cut"),
        ("content-length: 900000\r\n", long.as_str()),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\n"),
        ("transfer-encoding: chunked\r\n", "9\r\ncut"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\n0\r\n"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\nzz\r\n"),
    ] {
        for script in [Script::Raw, |bytes, _| Script::RawThenReset(bytes)] {
            upstream.play([script(answer(head, body.as_bytes()), false)]);
            let mut client = gateway.connect();
            client.write_request(&Request::get("/cut"));
            // A reset may overtake the head: then there is none, and a 502.
            let cut = client.read("GET").expect("there is an answer");
            assert!(
                cut.status == 502 || !cut.complete,
                "{head}{body:.20} looks complete: {cut:?}"
            );
            assert!(
                cut.status == 502 || client.is_closed(),
                "the connection goes with the answer"
            );
            // Nothing of it is left for anybody else.
            upstream.play([Script::Echo]);
            assert_eq!(gateway.send(&Request::get("/next")).text(), "/next");
        }
    }
    // The twin: the same answers in full.
    let bodies = [
        ("content-length: 3\r\n", "cut"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\n0\r\n\r\n"),
    ];
    for (head, body) in bodies {
        upstream.play([Script::Raw(answer(head, body.as_bytes()), true)]);
        let whole = gateway.send(&Request::get("/whole"));
        assert_eq!((whole.text().as_str(), whole.complete), ("cut", true));
    }
}

// To a client of HTTP/1.0 the close is the end, so that a cut answer has to end in something
// else.
#[test]
fn a_cut_answer_does_not_look_complete_to_a_client_of_http_1_0() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let chunks = answer("transfer-encoding: chunked\r\n", b"3\r\ncut\r\n");
    upstream.play([Script::Raw(chunks.clone(), false)]);
    let mut client = gateway.connect();
    client.write(b"GET /cut HTTP/1.0\r\n\r\n");
    let cut = client.read("GET").expect("there is an answer");
    assert_eq!((cut.text().as_str(), cut.complete), ("cut", false));

    upstream.play([Script::Raw(
        [chunks.as_slice(), b"0\r\n\r\n"].concat(),
        true,
    )]);
    let mut client = gateway.connect();
    client.write(b"GET /whole HTTP/1.0\r\n\r\n");
    let whole = client.read("GET").expect("there is an answer");
    assert_eq!((whole.text().as_str(), whole.complete), ("cut", true));
}

// An upload that was cut is not a request to the upstream.
#[test]
fn an_upload_that_was_cut_never_looks_complete() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for (framing, body) in [
        ("Content-Length: 9", "cut"),
        ("Transfer-Encoding: chunked", "3\r\ncut\r\n"),
        ("Transfer-Encoding: chunked", "9\r\ncut"),
        ("Transfer-Encoding: chunked", "3\r\ncut\r\n0\r\n"),
    ] {
        let before = upstream.body_bytes();
        let mut client = gateway.connect();
        client.write(
            format!("POST /cut HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n\r\n{body}").as_bytes(),
        );
        wait_until("the upload begins", || upstream.body_bytes() == before + 3);
        drop(client);
        gateway.wait_for_metric(
            "scopegate_upstream_connections_open{upstream=\"orders\"}",
            0.0,
        );
        assert!(
            upstream.arrivals().is_empty(),
            "{framing}: the upstream took it for complete"
        );
    }
    assert_eq!(
        gateway
            .send(&Request::new("POST", "/whole").body("cut"))
            .status,
        200
    );
    assert_eq!(upstream.last().body, b"cut");
}

// RFC 9113 §8.1: over HTTP/2 an answer that was cut ends in a reset of its stream, and of
// no other.
#[test]
fn an_answer_that_was_cut_is_reset_over_http_2() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = Frames::connect(gateway.address());
    let mut stream = 1;
    for (head, body) in [
        ("content-length: 9\r\n", "cut"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\n"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\n0\r\n"),
        ("transfer-encoding: chunked\r\n", "3\r\ncut\r\nzz\r\n"),
    ] {
        upstream.play([Script::Raw(answer(head, body.as_bytes()), false)]);
        client.get(stream, "/cut");
        assert_eq!(client.status(stream), 200);
        let end = |frame: &Frame| {
            frame.stream == stream && (frame.kind == RST_STREAM || frame.flags & END_STREAM != 0)
        };
        let end = client.wait(end).expect("the stream ends");
        assert_eq!(end.kind, RST_STREAM, "{head}{body} looks complete");
        upstream.play([Script::Echo]);
        client.get(stream + 2, "/next");
        assert_eq!(client.status(stream + 2), 200);
        assert_eq!(client.body(stream + 2), b"/next");
        stream += 4;
    }
}

// Nor does an upload of HTTP/2 that was cut, or is not of its length.
#[test]
fn an_upload_over_http_2_that_is_not_whole_never_looks_complete() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = Frames::connect(gateway.address());
    let head = |length: &[(&str, &str)]| {
        let length: Vec<u8> = length
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect();
        [request("POST", "/cut"), length].concat()
    };
    let mut stream = 1;
    for (length, data, ends) in [
        (&[][..], "cut", false),
        (&[("content-length", "9")], "cut", false),
        (&[("content-length", "9")], "cut", true),
        (&[("content-length", "2")], "cut", true),
        (&[("content-length", "2")], "cut", false),
        (
            &[("content-length", "3"), ("content-length", "4")],
            "cut",
            true,
        ),
    ] {
        client.send(HEADERS, END_HEADERS, stream, &head(length));
        client.send(
            DATA,
            if ends { END_STREAM } else { 0 },
            stream,
            data.as_bytes(),
        );
        assert!(client.is_alive());
        if !ends {
            client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        }
        assert!(client.is_alive(), "{length:?}");
        gateway.wait_for_metric("scopegate_requests_open", 0.0);
        gateway.wait_for_metric(
            "scopegate_upstream_connections_open{upstream=\"orders\"}",
            0.0,
        );
        assert!(
            upstream.arrivals().is_empty(),
            "{length:?}: the upstream took it for complete"
        );
        stream += 2;
    }
    client.send(
        HEADERS,
        END_HEADERS,
        stream,
        &head(&[("content-length", "3")]),
    );
    client.send(DATA, END_STREAM, stream, b"all");
    assert_eq!(client.status(stream), 200);
    assert_eq!(upstream.last().body, b"all");
}

// Streams share a connection, and no answer.
#[test]
fn every_answer_belongs_to_its_stream() {
    const STREAMS: usize = 80;
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "max_idle = 2");
    let mut client = Frames::connect(gateway.address());
    let stream = |number: usize| u32::try_from(2 * number + 1).unwrap();
    for number in 0..STREAMS {
        client.send(
            HEADERS,
            END_HEADERS,
            stream(number),
            &request("POST", &format!("/{number}")),
        );
    }
    for number in (0..STREAMS).rev() {
        client.send(
            DATA,
            END_STREAM,
            stream(number),
            format!("?{}", "x".repeat(number)).as_bytes(),
        );
    }
    for _ in 0..STREAMS {
        client
            .wait(|frame| frame.stream != 0 && frame.flags & END_STREAM != 0)
            .expect("they all end");
    }
    for number in 0..STREAMS {
        let data = client
            .seen
            .iter()
            .filter(|frame| frame.kind == DATA && frame.stream == stream(number));
        let body: Vec<u8> = data.flat_map(|frame| frame.payload.clone()).collect();
        assert_eq!(
            String::from_utf8_lossy(&body),
            format!("/{number}?{}", "x".repeat(number))
        );
    }
}
