//! Translation between HTTP/1.1 and HTTP/2: trailers, content of messages that have none, malformed
//! fields, and the version in `Via`.

use crate::support::framed::{Act, Framed, head};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, RST_STREAM, frame, literal,
    request,
};
use crate::support::{Gateway, Request, Script, Upstream};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

fn before(upstream: &Framed, more: &str) -> Gateway {
    Gateway::start(&format!("{}{ROUTE}{more}", upstream.toml("orders")))
}

fn writes(bytes: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Act {
    Act::Write(Box::new(bytes))
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// A client of HTTP/2 whose gateway spells every field out.
fn connect(gateway: &Gateway) -> Frames {
    Frames::connect_with(gateway.address(), &[(1, 0)])
}

/// The frames of a stream up to its end.
fn hear(client: &mut Frames, stream: u32) -> Vec<Frame> {
    let is_end = |frame: &Frame| frame.flags & END_STREAM != 0 || frame.kind == RST_STREAM;
    client.wait(|frame| {
        frame.stream == stream
            && (frame.kind == RST_STREAM || matches!(frame.kind, HEADERS | DATA) && is_end(frame))
    });
    let of_stream = |frame: &&Frame| {
        frame.stream == stream && matches!(frame.kind, HEADERS | DATA | RST_STREAM)
    };
    client.seen.iter().filter(of_stream).cloned().collect()
}

/// Trailers that belong in a head, beside two that do not.
const TRAILERS: [(&str, &str); 9] = [
    ("content-length", "9"),
    ("set-cookie", "session=marker"),
    ("www-authenticate", "marker"),
    ("location", "/marker"),
    ("cache-control", "marker"),
    ("content-type", "text/marker"),
    ("x-request-id", "marker"),
    ("x-internal", "marker"),
    ("grpc-status", "0"),
];

// RFC 9110 §6.5.1: no trailer of an upstream is one that its client could take for a field of the
// head; rules hold for them.
#[test]
fn trailers_of_an_answer_say_nothing_that_belongs_in_its_head() {
    let rules = "[routes.response_headers]\nremove = \"x-internal\"\n";
    let framed = Framed::start();
    let of_http2 = before(&framed, rules);
    let plain = Upstream::start();
    let of_http1 = Gateway::start(&format!("{}{ROUTE}{rules}", plain.toml("orders")));
    let names: Vec<_> = TRAILERS.iter().map(|(name, _)| *name).collect();
    let lines: String = TRAILERS
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let announced = names.join(", ");
    let play = |is_http2: bool| {
        if is_http2 {
            let announced = announced.clone();
            framed.play([writes(move |stream| {
                let head = head(stream, 0, &[(":status", "200"), ("trailer", &announced)]);
                let trailers = frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &fields(&TRAILERS),
                );
                [head, frame(DATA, 0, stream, b"ok"), trailers].concat()
            })]);
        } else {
            let head = format!("trailer: {announced}\r\ntransfer-encoding: chunked\r\n");
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n2\r\nok\r\n0\r\n{lines}\r\n");
            plain.play([Script::Raw(answer.into_bytes(), true)]);
        }
    };
    for is_http2 in [true, false] {
        let gateway = if is_http2 { &of_http2 } else { &of_http1 };
        play(is_http2);
        let mut client = connect(gateway);
        client.get(1, "/a");
        let frames = hear(&mut client, 1);
        let last = frames.last().unwrap();
        assert_eq!((frames.len(), last.kind), (3, HEADERS), "{frames:?}");
        // `grpc-status` is all there is.
        assert!(last.payload.len() < 16, "HTTP/2 {is_http2}: {last:?}");
        play(is_http2);
        let answer = gateway.send(&Request::get("/a").field("TE", "trailers"));
        assert_eq!(answer.text(), "ok");
        assert_eq!(
            answer.trailers,
            [("grpc-status".to_owned(), "0".to_owned())],
            "HTTP/2 {is_http2}"
        );
    }
}

// The same on the way to the upstream, and for what HTTP/1.1 cannot announce.
#[test]
fn trailers_of_a_request_say_nothing_that_belongs_in_its_head() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let forbidden = [
        ("content-length", "9"),
        ("host", "marker"),
        ("authorization", "marker"),
        ("cookie", "marker"),
        ("cache-control", "marker"),
        ("if-none-match", "marker"),
        ("range", "marker"),
        ("expect", "marker"),
        ("max-forwards", "marker"),
        ("content-type", "marker"),
        ("content-encoding", "marker"),
        ("trailer", "marker"),
        ("x-forwarded-for", "marker"),
        ("x-sum", "7"),
    ];
    let names: Vec<_> = forbidden.iter().map(|(name, _)| *name).collect();
    let mut client = Frames::connect(gateway.address());
    let head = [request("POST", "/a"), literal("trailer", &names.join(", "))].concat();
    client.send(HEADERS, END_HEADERS, 1, &head);
    client.send(DATA, 0, 1, b"hi");
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &fields(&forbidden));
    assert_eq!(client.status(1), 200);
    assert_eq!(
        upstream.last().trailers,
        [("x-sum".to_owned(), "7".to_owned())]
    );
}

// RFC 9110 §6.4.1, RFC 9113 §8.1.1: an answer without content has no DATA, whatever its upstream
// sends.
#[test]
fn an_answer_without_content_has_none_over_http_2() {
    let upstream = Framed::start();
    let gateway = before(&upstream, "");
    for (method, status) in [
        ("GET", "204"),
        ("POST", "204"),
        ("GET", "304"),
        ("HEAD", "200"),
    ] {
        for (length, data) in [(None, &b"marker"[..]), (Some("6"), b"marker"), (None, b"")] {
            upstream.play([writes(move |stream| {
                let length = length.map(|length| ("content-length", length));
                let fields: Vec<_> = [(":status", status)].into_iter().chain(length).collect();
                [
                    head(stream, 0, &fields),
                    frame(DATA, END_STREAM, stream, data),
                ]
                .concat()
            })]);
            let mut client = connect(&gateway);
            client.send(HEADERS, END_STREAM | END_HEADERS, 1, &request(method, "/a"));
            let frames = hear(&mut client, 1);
            let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
            // A length that is not that of the content is malformed to the library.
            let is_refused = frames[0].kind == HEADERS && frames[0].status() == 502;
            assert!(
                is_refused || kinds == [HEADERS],
                "{method} {status} {data:?}: {frames:?}"
            );
            if !is_refused {
                assert_eq!(frames[0].status().to_string(), status);
            }
            client.get(3, "/next");
            assert_eq!(client.status(3), 200, "the connection lives on");
        }
    }
}

// RFC 9110 §7.6.3: the version is that of the leg on which the gateway received the message.
#[test]
fn via_names_the_version_of_its_leg() {
    let (framed, plain) = (Framed::start(), Upstream::start());
    let to_http2 = before(&framed, "");
    let to_http1 = Gateway::open(&plain, "");
    assert_eq!(
        to_http2.send(&Request::get("/a")).field("via"),
        Some("2.0 scopegate")
    );
    assert_eq!(
        to_http1.send(&Request::get("/a")).field("via"),
        Some("1.1 scopegate")
    );
    assert_eq!(plain.last().field("via"), Some("1.1 scopegate"));
    plain.play([Script::Raw(
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        false,
    )]);
    assert_eq!(
        to_http1.send(&Request::get("/a")).field("via"),
        Some("1.0 scopegate")
    );
    let mut client = Frames::connect(to_http1.address());
    client.get(1, "/a");
    assert_eq!(client.status(1), 200);
    assert_eq!(plain.last().field("via"), Some("2.0 scopegate"));
    let mut client = to_http1.connect();
    client.write(b"GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n");
    assert_eq!(client.read("GET").expect("there is an answer").status, 200);
    assert_eq!(plain.last().field("via"), Some("1.0 scopegate"));
}

// RFC 9113 §8.2.1: white space at the ends of a value is taken for nothing by who writes HTTP/1.1,
// and for a part of it by others.
#[test]
fn a_field_that_is_padded_makes_a_request_malformed() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let mut client = connect(&gateway);
    let mut stream = 1;
    for name in [
        "x-a",
        "cookie",
        "authorization",
        "content-type",
        "x-forwarded-for",
        "user-agent",
    ] {
        for value in [" a", "a ", "\ta", "a\t", " "] {
            let block = [
                request("GET", "/a"),
                literal("x-b", "b c"),
                literal(name, value),
            ]
            .concat();
            client.send(HEADERS, END_STREAM | END_HEADERS, stream, &block);
            assert_eq!(client.status(stream), 400, "{name}: {value:?}");
            stream += 2;
        }
    }
    assert!(upstream.arrivals().is_empty());
    assert!(
        gateway
            .ask_admin("/metrics")
            .1
            .contains("reason=\"malformed_field\"")
    );
    // In trailers.
    client.send(
        HEADERS,
        END_HEADERS,
        stream,
        &[request("POST", "/a"), literal("trailer", "x-sum")].concat(),
    );
    client.send(DATA, 0, stream, b"hi");
    client.send(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &literal("x-sum", "7 "),
    );
    assert_eq!(client.status(stream), 400);
    stream += 2;
    assert!(
        upstream.arrivals().is_empty(),
        "the upstream does not take it for whole"
    );
    // The twin, on the same connection.
    client.send(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &[request("GET", "/a"), literal("x-a", "")].concat(),
    );
    assert_eq!(client.status(stream), 200);
}

// Of an upstream it is tolerated, and goes no further.
#[test]
fn a_padded_field_of_an_upstream_loses_its_padding() {
    let upstream = Framed::start();
    let gateway = before(&upstream, "");
    let answer = || {
        writes(|stream| {
            let head = head(
                stream,
                0,
                &[(":status", "200"), ("x-a", " a b\t"), ("trailer", "x-sum")],
            );
            let trailers = frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &literal("x-sum", " 7 "),
            );
            [head, frame(DATA, 0, stream, b"ok"), trailers].concat()
        })
    };
    upstream.play([answer()]);
    let heard = gateway.send(&Request::get("/a").field("TE", "trailers"));
    assert_eq!(
        (heard.field("x-a"), heard.text().as_str()),
        (Some("a b"), "ok")
    );
    assert_eq!(heard.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

/// A request with one field that is malformed, and how it is refused.
struct Malformed {
    what: &'static str,
    block: Vec<u8>,
}

/// A request one of whose pseudo-fields has this value.
fn with_pseudo(name: &str, value: &[u8]) -> Vec<u8> {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/a"),
        (":authority", "api.test"),
    ]
    .iter()
    .flat_map(|(known, usual)| {
        bytes_literal(
            known.as_bytes(),
            if *known == name {
                value
            } else {
                usual.as_bytes()
            },
        )
    })
    .collect()
}

/// A request with a pseudo-field that HTTP/2 does not have, before the fields that it has.
fn with_unknown_pseudo() -> Vec<u8> {
    [with_pseudo("", b""), bytes_literal(b":foo", b"1")].concat()
}

/// A request with this field besides.
fn with_field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [request("GET", "/a"), bytes_literal(name, value)].concat()
}

fn bytes_literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    [&[0, length(name)], name, &[length(value)], value].concat()
}

fn malformed(what: &'static str, block: Vec<u8>) -> Malformed {
    Malformed { what, block }
}

/// What the library refuses while it decodes: an error of the connection, where RFC 9113 §8.1.1
/// asks for one of the stream. The page on HTTP/2 has the same list.
fn decoded_wrong() -> Vec<Malformed> {
    vec![
        malformed(
            "`:path` with a byte above 0x7f",
            with_pseudo(":path", b"/\xe9"),
        ),
        malformed(
            "`:path` whose query has one",
            with_pseudo(":path", b"/a?x=\xe9"),
        ),
        malformed(
            "`:authority` with a byte above 0x7f",
            with_pseudo(":authority", b"a\xe9.test"),
        ),
        malformed(
            "`:method` with a byte above 0x7f",
            with_pseudo(":method", b"G\xe9T"),
        ),
        malformed(
            "`:scheme` with a byte above 0x7f",
            with_pseudo(":scheme", b"htt\xe9"),
        ),
        malformed("`:method` with a space", with_pseudo(":method", b"G T")),
        malformed("a name in upper case", with_field(b"X-A", b"1")),
        malformed("a name with a space", with_field(b"x a", b"1")),
        malformed("a name with a colon", with_field(b"x:a", b"1")),
        malformed("a name with a byte above 0x7f", with_field(b"x\xe9", b"1")),
        malformed("an empty name", with_field(b"", b"1")),
        malformed("a value with NUL", with_field(b"x-a", b"1\0")),
        malformed("a value with LF", with_field(b"x-a", b"1\n2")),
        malformed("a value with DEL", with_field(b"x-a", b"1\x7f")),
        malformed("an unknown pseudo-field", with_unknown_pseudo()),
    ]
}

/// What it refuses once it has decoded the block, or we do: others on the connection do not notice.
fn refused_alone() -> Vec<Malformed> {
    vec![
        malformed("`:path` with a space", with_pseudo(":path", b"/a b")),
        malformed(
            "`:path` whose query has a quote",
            with_pseudo(":path", b"/a?b=\"c"),
        ),
        malformed("`:path` without a slash", with_pseudo(":path", b"a")),
        malformed("`:path` that is empty", with_pseudo(":path", b"")),
        malformed(
            "`:authority` with user information",
            with_pseudo(":authority", b"u@api.test"),
        ),
        malformed(
            "`:authority` in UTF-8",
            with_pseudo(":authority", "\u{e9}.test".as_bytes()),
        ),
        malformed(
            "`:authority` with a space",
            with_pseudo(":authority", b"api.test "),
        ),
        malformed(
            "a pseudo-field of responses",
            with_field(b":status", b"200"),
        ),
        malformed(
            "a field about the connection",
            with_field(b"connection", b"close"),
        ),
        malformed("`te` with more than trailers", with_field(b"te", b"gzip")),
        malformed(
            "a value that begins with a space",
            with_field(b"x-a", b" 1"),
        ),
        malformed("a value that ends with a tab", with_field(b"x-a", b"1\t")),
    ]
}

// RFC 9113 §8.1.1: a malformed request is an error of its stream.
#[test]
fn a_malformed_request_does_not_disturb_the_others_on_its_connection() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for Malformed { what, block } in refused_alone() {
        upstream.play([Script::Pieces(vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        ])]);
        let arrivals = upstream.arrivals().len();
        let mut client = connect(&gateway);
        client.get(1, "/slow");
        upstream.wait_for(arrivals + 1);
        client.send(HEADERS, END_STREAM | END_HEADERS, 3, &block);
        let heard = hear(&mut client, 3);
        let is_refused = match heard[0].kind {
            HEADERS => heard[0].status() == 400,
            _ => heard[0].error() == 1,
        };
        assert!(is_refused, "{what}: {heard:?}");
        upstream.go_on();
        assert_eq!(client.status(1), 200, "{what}");
        assert!(client.is_alive(), "{what}");
        assert_eq!(
            upstream.arrivals().len(),
            arrivals + 1,
            "{what} reached the upstream"
        );
    }
}

// What the library makes an error of the connection. When one of these fails, a newer library has
// learned: then the case goes to the others, here and in the page on HTTP/2.
#[test]
fn what_the_library_cannot_decode_ends_the_connection() {
    let page = std::fs::read_to_string("docs/reliability/malformed.md").unwrap();
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    for Malformed { what, block } in decoded_wrong() {
        let mut client = connect(&gateway);
        client.send(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        let end = client
            .wait(|frame| matches!(frame.kind, GOAWAY | RST_STREAM | HEADERS))
            .expect("it is refused");
        assert_eq!(
            (end.kind, end.payload.len() >= 8 && end.error() == 1),
            (GOAWAY, true),
            "{what}: {end:?}"
        );
        assert!(
            page.contains(&format!("| {what} | connection |")),
            "docs: {what}"
        );
    }
    for Malformed { what, .. } in refused_alone() {
        assert!(
            page.contains(&format!("| {what} | stream |")),
            "docs: {what}"
        );
    }
    assert!(upstream.arrivals().is_empty());
    // Connections that ended like that are counted, and others are served.
    gateway.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"http2_protocol\"}",
        15.0,
    );
    assert_eq!(gateway.send(&Request::get("/a")).status, 200);
}
