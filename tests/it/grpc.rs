//! gRPC between a client and a server of HTTP/2: messages, trailers, and an end that the server
//! decides.

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, literal, request,
};
use crate::support::{Gateway, Issuer, Multiplexed, Play, wait_until};

/// A message of three bytes, framed as gRPC frames it.
const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";

fn start(upstream: &Multiplexed, issuer: &Issuer) -> Gateway {
    Gateway::start(&format!(
        "{}{}[[routes]]\npath = \"/shop.Orders/{{method}}\"\nupstream = \"orders\"\n\
         methods = {{ POST = \"read\" }}\n",
        issuer.toml(),
        upstream.toml("orders")
    ))
}

/// Begins a call.
fn call(client: &mut Frames, stream: u32, token: &str) {
    let fields = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "10S"),
        ("authorization", &format!("Bearer {token}")),
    ];
    let fields: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect();
    client.send(
        HEADERS,
        END_HEADERS,
        stream,
        &[request("POST", "/shop.Orders/Get"), fields].concat(),
    );
}

/// The frames of a stream that came, in order.
fn of(client: &Frames, stream: u32) -> Vec<&Frame> {
    client
        .seen
        .iter()
        .filter(|frame| frame.stream == stream && matches!(frame.kind, HEADERS | DATA))
        .collect()
}

#[test]
fn a_call_has_its_messages_and_its_status_in_trailers() {
    let (issuer, upstream) = (Issuer::start(), Multiplexed::start(100));
    let gateway = start(&upstream, &issuer);
    let mut client = Frames::connect(gateway.address());
    call(&mut client, 1, &issuer.token("read"));
    client.send(DATA, 0, 1, MESSAGE);
    client.send(DATA, END_STREAM, 1, MESSAGE);
    assert_eq!(client.status(1), 200);
    assert_eq!(client.body(1), [MESSAGE, MESSAGE].concat());
    let frames = of(&client, 1);
    let last = frames.last().unwrap();
    assert_eq!(
        (last.kind, last.flags & END_STREAM),
        (HEADERS, END_STREAM),
        "the status is in trailers"
    );
    let head = upstream.opened()[0].head.clone();
    let field = |name: &str| {
        head.headers()
            .get(name)
            .and_then(|value| value.to_str().ok().map(str::to_owned))
    };
    assert_eq!(field("te").as_deref(), Some("trailers"));
    assert_eq!(field("grpc-timeout").as_deref(), Some("10S"));
    assert_eq!(field("content-type").as_deref(), Some("application/grpc"));
    // The twin: without the scope there is no call, and the answer is one that clients of gRPC
    // read.
    call(&mut client, 3, &issuer.token("write"));
    client.send(DATA, END_STREAM, 3, MESSAGE);
    assert_eq!(client.status(3), 200);
    assert_ne!(of(&client, 3)[0].flags & END_STREAM, 0, "a head alone");
    assert_eq!(upstream.opened().len(), 1);
    // Another method is no call, whatever its content type says.
    let kind = literal("content-type", "application/grpc");
    let mut client = Frames::connect_with(gateway.address(), &[(1, 0)]);
    for (stream, method, status) in [(1, "GET", 405), (3, "PUT", 405)] {
        let head = [request(method, "/shop.Orders/Get"), kind.clone()].concat();
        client.send(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        assert_eq!(client.status(stream), status, "{method}");
    }
    assert_eq!(upstream.opened().len(), 1);
}

// A stream is messages for as long as both sides like, and who has enough says so.
#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_the_server() {
    let (issuer, upstream) = (Issuer::start(), Multiplexed::start(100));
    let gateway = start(&upstream, &issuer);
    let mut client = Frames::connect(gateway.address());
    upstream.play([Play::Hold]);
    call(&mut client, 1, &issuer.token("read"));
    client.send(DATA, 0, 1, MESSAGE);
    upstream.wait_for(1);
    client.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    wait_until("the server hears of it", || upstream.resets().len() == 1);
    call(&mut client, 3, &issuer.token("read"));
    client.send(DATA, END_STREAM, 3, MESSAGE);
    assert_eq!(client.status(3), 200, "others go on");
    assert_eq!(client.body(3), MESSAGE);
}
