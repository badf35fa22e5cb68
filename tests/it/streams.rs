//! Streams of events, with either protocol on each side: an event arrives before the next one is
//! sent, and trailers are forwarded.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue};

use crate::support::{Gateway, Multiplexed, PATIENCE, Play, Request, Script, Upstream};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

const EVENTS: [&str; 2] = ["data: 1\n\n", "data: 2\n\n"];

/// What an upstream of HTTP/1.1 writes for the events, piece by piece.
fn events_of_http1() -> Script {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = EVENTS.map(|event| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes());
    Script::Pieces(
        [head.as_bytes().to_vec()]
            .into_iter()
            .chain(chunks)
            .collect(),
    )
}

/// Asks over HTTP/2 on a connection of its own.
fn over_http2<T>(gateway: &Gateway, ask: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let asked = async {
        let tcp = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        ask(sender.ready().await.unwrap()).await
    };
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("it ends in time")
    })
}

fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("http://api.test{path}"))
}

/// Hears the events over HTTP/1.1, telling the upstream to go on after each.
fn hear_over_http1(gateway: &Gateway, go_on: &dyn Fn()) {
    let mut client = gateway.connect();
    client.write_request(&Request::get("/events"));
    assert_eq!(
        client.read_head_only().field("content-type"),
        Some("text/event-stream")
    );
    for event in EVENTS {
        go_on();
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(client.read_exact(chunk.len()), chunk.as_bytes());
    }
}

/// The same over HTTP/2.
fn hear_over_http2(gateway: &Gateway, go_on: &dyn Fn()) {
    over_http2(gateway, async |mut sender| {
        let (answer, _) = sender
            .send_request(request("GET", "/events").body(()).unwrap(), true)
            .unwrap();
        let mut body = answer.await.unwrap().into_body();
        for event in EVENTS {
            go_on();
            assert_eq!(body.data().await.unwrap().unwrap(), event.as_bytes());
        }
    });
}

// An event that has been heard was sent alone, since the upstream sends the next when it is
// told to.
#[test]
fn an_event_is_heard_before_the_next_is_sent() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for hear in [hear_over_http1, hear_over_http2] as [fn(&Gateway, &dyn Fn()); 2] {
        upstream.play([events_of_http1()]);
        // The head is a piece as well.
        upstream.go_on();
        hear(&gateway, &|| upstream.go_on());
    }
    let upstream = Multiplexed::start(100);
    let gateway = Gateway::start(&format!("{}{ROUTE}", upstream.toml("orders")));
    for hear in [hear_over_http1, hear_over_http2] as [fn(&Gateway, &dyn Fn()); 2] {
        upstream.play([Play::Pieces(&EVENTS)]);
        hear(&gateway, &|| upstream.go_on());
    }
}

/// The trailers of an answer to a call with trailers of its own, over HTTP/2.
fn call_over_http2(gateway: &Gateway) -> (Vec<u8>, HeaderMap) {
    over_http2(gateway, async |mut sender| {
        let call = request("POST", "/shop.Orders/Get")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(())
            .unwrap();
        let (answer, mut upload) = sender.send_request(call, false).unwrap();
        upload
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        let trailers =
            HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("5"))]);
        upload.send_trailers(trailers).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let mut heard = Vec::new();
        while let Some(piece) = body.data().await {
            heard.extend_from_slice(&piece.unwrap());
        }
        (heard, body.trailers().await.unwrap().unwrap())
    })
}

// To an upstream of HTTP/1.1; what clients of HTTP/1.1 have of it is `bodies`' and
// `http2_upstreams`' matter.
#[test]
fn trailers_of_http_2_cross_to_an_upstream_of_http_1_and_back() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let head = "HTTP/1.1 200 OK\r\ntrailer: grpc-status\r\ntransfer-encoding: chunked\r\n\r\n";
    upstream.play([Script::Raw(
        format!("{head}2\r\nok\r\n0\r\ngrpc-status: 7\r\n\r\n").into_bytes(),
        true,
    )]);
    let (heard, trailers) = call_over_http2(&gateway);
    assert_eq!(
        (heard.as_slice(), &trailers["grpc-status"]),
        (&b"ok"[..], &HeaderValue::from_static("7"))
    );
    let arrival = upstream.last();
    assert_eq!(arrival.body, b"hello");
    assert_eq!(arrival.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    assert_eq!(arrival.field("te"), Some("trailers"));
}

// To an upstream of HTTP/2, which sends the request's trailers back beside its own.
#[test]
fn trailers_of_http_2_cross_to_an_upstream_of_http_2_and_back() {
    let upstream = Multiplexed::start(100);
    let gateway = Gateway::start(&format!("{}{ROUTE}", upstream.toml("orders")));
    let (heard, trailers) = call_over_http2(&gateway);
    assert_eq!(heard, b"hello");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-sum"]),
        (
            &HeaderValue::from_static("0"),
            &HeaderValue::from_static("5")
        )
    );
}
