//! WebSockets: authorized like any other request, then tunnelled.

use std::future::Future as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread;

use bytes::Bytes;

use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, accept, client};

use crate::support::{Gateway, Issuer, PATIENCE, Request, Script, Upstream, wait_until};

/// A WebSocket server that echoes, and tells how each of its connections ended.
struct Echo {
    address: SocketAddr,
    ends: Receiver<String>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, ends) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || echo(stream, &tell));
            }
        });
        Self { address, ends }
    }

    fn toml(&self) -> String {
        format!("[upstreams.echo]\nurl = \"http://{}\"\n", self.address)
    }

    #[track_caller]
    fn end(&self) -> String {
        self.ends
            .recv_timeout(PATIENCE)
            .expect("the upstream's side ends")
    }
}

fn echo(stream: TcpStream, tell: &Sender<String>) {
    let Ok(mut socket) = accept(stream) else {
        return;
    };
    let end = loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => break format!("close {}", u16::from(frame.code)),
            Ok(Message::Close(None)) => break "close".to_owned(),
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).unwrap(),
            Ok(_) => {}
            Err(error) => break format!("cut: {error}"),
        }
    };
    // The library's own answer to a close frame is waiting to be written.
    let _ = socket.flush();
    let _ = tell.send(end);
}

const OPEN: &str = "scopegate_websockets_open";

const ROUTE: &str = "[[routes]]\npath = \"/socket\"\nupstream = \"echo\"\npublic = true\n";

fn gateway(echo: &Echo, more: &str) -> Gateway {
    Gateway::start(&format!("{more}\n{}{ROUTE}websocket = true\n", echo.toml()))
}

fn open(gateway: &Gateway) -> WebSocket<TcpStream> {
    try_open(gateway).expect("the gateway switches")
}

fn try_open(gateway: &Gateway) -> Option<WebSocket<TcpStream>> {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let opened = client(format!("ws://{}/socket", gateway.address()), stream);
    opened.ok().map(|(socket, _)| socket)
}

// It occupies its upstream, as a request does whose response has not ended.
#[test]
fn a_websocket_counts_as_a_request_as_long_as_it_is_open() {
    let echo = Echo::start();
    let limit = "max_requests = 1\n";
    let gateway = Gateway::start(&format!("{}{limit}{ROUTE}websocket = true\n", echo.toml()));
    let mut first = open(&gateway);
    first.send(Message::text("a")).unwrap();
    assert_eq!(first.read().unwrap(), Message::text("a"));
    let refused = gateway.send(&Request::get("/socket"));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "upstream_overloaded")
    );
    assert!(try_open(&gateway).is_none());
    first.close(None).unwrap();
    wait_until("there is room again", || try_open(&gateway).is_some());
}

fn handshake() -> Request {
    handshake_at("/socket")
}

fn handshake_at(path: &str) -> Request {
    Request::get(path)
        .field("connection", "Upgrade")
        .field("upgrade", "websocket")
        .field("sec-websocket-version", "13")
        .field("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[test]
fn messages_of_any_size_pass_both_ways() {
    let echo = Echo::start();
    let gateway = gateway(&echo, "");
    let mut socket = open(&gateway);
    gateway.wait_for_metric(OPEN, 1.0);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message, "{size} bytes");
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    assert_eq!(echo.end(), "close");
    gateway.wait_for_metric(OPEN, 0.0);
    gateway.wait_for_metric(
        "scopegate_upstream_connections_open{upstream=\"echo\"}",
        0.0,
    );
}

// The handshake is a GET like any other.
#[test]
fn nobody_gets_a_websocket_without_the_scope() {
    let issuer = Issuer::start();
    let echo = Echo::start();
    let gateway = Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/socket\"\nupstream = \"echo\"\nmethods = {{ GET = \"chat\" }}\n\
         websocket = true\n",
        issuer.toml(),
        echo.toml()
    ));
    assert_eq!(gateway.send(&handshake()).status, 401);
    let mut client = gateway.connect();
    assert_eq!(
        client
            .send(&handshake().bearer(&issuer.token("chats")))
            .status,
        403
    );
    client.write_request(&handshake().bearer(&issuer.token("chat")));
    let answer = client.read_head_only();
    assert_eq!(answer.status, 101);
    assert_eq!(
        (answer.field("upgrade"), answer.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
}

#[test]
fn upgrade_reaches_an_upstream_where_the_route_says_so_alone() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "{}[defaults]\nupstream = \"orders\"\n[[routes]]\npath = \"/plain\"\npublic = true\n\
         [[routes]]\npath = \"/socket\"\npublic = true\nwebsocket = true\n",
        upstream.toml("orders")
    ));
    assert_eq!(gateway.send(&handshake_at("/plain")).status, 200);
    assert_eq!(
        (
            upstream.last().field("upgrade"),
            upstream.last().field("connection")
        ),
        (None, None)
    );
    // An upstream that does not switch has its say.
    assert_eq!(gateway.send(&handshake()).status, 200);
    assert_eq!(upstream.last().field("upgrade"), Some("websocket"));
    for other in [
        Request::new("POST", "/socket")
            .field("connection", "upgrade")
            .field("upgrade", "websocket"),
        Request::get("/socket")
            .field("connection", "upgrade")
            .field("upgrade", "h2c"),
        handshake().field("upgrade", "h2c"),
    ] {
        assert_eq!(gateway.send(&other).status, 200);
        assert_eq!(upstream.last().field("upgrade"), None, "{other:?}");
    }
}

// A switch to something else, or one that nobody asked for, is no answer.
#[test]
fn another_protocol_than_was_asked_for_is_502() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "[defaults]\nwebsocket = true\n");
    let to = |protocol: &str| {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
             upgrade: {protocol}\r\n\r\nx"
        );
        Script::Raw(head.into_bytes(), true)
    };
    upstream.play([to("h2c"), to("websocket")]);
    assert_eq!(gateway.send(&handshake()).status, 502);
    assert_eq!(gateway.send(&Request::get("/socket")).status, 502);
}

#[test]
fn what_follows_the_request_waits_for_the_switch() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(&format!(
        "[upstreams.echo]\nurl = \"http://{}\"\n{ROUTE}websocket = true\n",
        listener.local_addr().unwrap()
    ));
    let mut client = gateway.connect();
    let early = b"\x81\x85\0\0\0\0early";
    client.write(&[&handshake().bytes(), &early[..]].concat());
    let (mut upstream, _) = listener.accept().unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        upstream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    upstream.set_nonblocking(true).unwrap();
    assert!(
        upstream.read(&mut [0; 1]).is_err(),
        "something came before the switch"
    );
    upstream.set_nonblocking(false).unwrap();
    upstream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                     upgrade: websocket\r\n\r\n",
        )
        .unwrap();
    let mut frame = [0; 11];
    upstream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, early);
}

#[test]
fn a_websocket_on_which_nobody_speaks_is_ended() {
    let echo = Echo::start();
    let gateway = gateway(&echo, "[server.timeouts]\ntunnel = \"200ms\"\n");
    let mut socket = open(&gateway);
    assert!(socket.read().is_err(), "nothing was said");
    assert!(echo.end().starts_with("cut"));
    gateway.wait_for_metric(OPEN, 0.0);
}

// RFC 6455 §7.4.1, "going away".
#[test]
fn at_the_end_of_the_drain_both_sides_are_told() {
    let echo = Echo::start();
    let gateway = gateway(&echo, "[server]\ndrain = \"200ms\"\n");
    let mut socket = open(&gateway);
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    gateway.shutdown();
    match socket.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("{other:?}"),
    }
    assert_eq!(echo.end(), "close 1001");
}

#[test]
fn a_websocket_lives_through_the_drain() {
    let echo = Echo::start();
    let gateway = gateway(&echo, "[server]\ndrain = \"20s\"\n");
    let mut socket = open(&gateway);
    let address = gateway.address();
    let stop = thread::spawn(move || gateway.shutdown());
    wait_until("no more is accepted", || {
        TcpStream::connect(address).is_err()
    });
    socket.send(Message::text("still here")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still here"));
    socket.close(None).unwrap();
    while !matches!(
        socket.read(),
        Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))
    ) {}
    stop.join().unwrap();
}

// RFC 8441: on a stream of HTTP/2, asked for by an extended CONNECT.
#[test]
fn over_http_2_a_stream_becomes_a_websocket() {
    let echo = Echo::start();
    let gateway = Gateway::start(&format!(
        "{}{ROUTE}websocket = true\n[[routes]]\npath = \"/plain\"\nupstream = \"echo\"\n\
         public = true\n",
        echo.toml()
    ));
    let address = gateway.address();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let talk = async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, mut connection) = h2::client::handshake(tcp).await.unwrap();
        while !client.is_extended_connect_protocol_enabled() {
            std::future::poll_fn(|cx| {
                assert!(std::pin::Pin::new(&mut connection).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
        tokio::spawn(connection);
        let connect = |path: &str| {
            let mut request = http::Request::builder()
                .method("CONNECT")
                .uri(format!("http://api.test{path}"))
                .header("sec-websocket-version", "13")
                .body(())
                .unwrap();
            request
                .extensions_mut()
                .insert(h2::ext::Protocol::from_static("websocket"));
            request
        };
        let (refused, _) = client.send_request(connect("/plain"), false).unwrap();
        assert_eq!(refused.await.unwrap().status(), 501);
        let (answer, mut send) = client.send_request(connect("/socket"), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(
            !answer.headers().contains_key("sec-websocket-accept"),
            "{answer:?}"
        );
        let mut receive = answer.into_body();
        // A text frame, masked with zeros, and its echo, unmasked; then a close frame.
        send.send_data(Bytes::from_static(b"\x81\x82\0\0\0\0hi"), false)
            .unwrap();
        let mut got = Vec::new();
        while got.len() < 4 {
            let piece = receive.data().await.unwrap().unwrap();
            receive
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
            got.extend(piece);
        }
        assert_eq!(got, b"\x81\x02hi");
        send.send_data(Bytes::from_static(b"\x88\x82\0\0\0\0\x03\xe8"), true)
            .unwrap();
        let mut end = Vec::new();
        while let Some(Ok(piece)) = receive.data().await {
            end.extend(piece);
        }
        assert_eq!(end, b"\x88\x02\x03\xe8");
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, talk).await })
        .expect("in time");
    assert_eq!(echo.end(), "close 1000");
    gateway.wait_for_metric(OPEN, 0.0);
}
