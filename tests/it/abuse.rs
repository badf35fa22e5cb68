//! Hostile clients of HTTP/2: each loses its own connection at a bounded cost, while other clients
//! of the same worker are answered.

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, literal, request,
};
use crate::support::{Request, Scene, Script};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// What a stream may hold whose answer is not read: what was read of the upstream, and what waits
/// for the socket.
const STREAM: usize = 256 * 1024;

/// Requests that a flood may make before it is ended (requirements.md#f6).
const REQUESTS: u32 = 1100;

/// Frames of a flood, unless it is ended.
const FLOOD: u32 = 100_000;

fn head(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

/// Streams of the client's, one after the other.
fn streams() -> impl Iterator<Item = u32> {
    (0..FLOOD).map(|number| 2 * number + 3)
}

// docs/design/requirements.md#l05, #f6, CVE-2023-44487: 100 000 requests, each of which is
// cancelled at once.
#[test]
fn rapid_resets_are_ended_before_the_upstream_suffers() {
    let scene = Scene::open("");
    let pieces = streams().map(|stream| {
        [
            head(END_STREAM, stream, &request("GET", "/guilty")),
            frame(RST_STREAM, 0, stream, &CANCEL),
        ]
        .concat()
    });
    let flooded = scene.flood(scene.guilty(), pieces);
    assert_eq!(flooded.error(), Some(ENHANCE_YOUR_CALM));
    assert!(
        flooded.requests().unwrap() <= REQUESTS,
        "{:?}",
        flooded.requests()
    );
    assert!(scene.disturbed() <= REQUESTS, "{}", scene.disturbed());
    scene.process.wait_for_metric(
        "scopegate_connection_errors_total{reason=\"http2_flood\"}",
        1.0,
    );
    scene.check_memory("rapid reset");
}

// The twin: a client that takes back one request of three.
#[test]
fn a_client_that_changes_its_mind_now_and_then_is_served() {
    let scene = Scene::open("");
    let mut client = scene.guilty();
    for number in 0..600 {
        let stream = 2 * number + 1;
        client.get(stream, "/guilty");
        if number % 3 == 0 {
            client.send(RST_STREAM, 0, stream, &CANCEL);
        } else {
            assert_eq!(client.status(stream), 200);
        }
    }
    assert!(client.is_alive());
}

/// Makes a request by the number of its stream, and what comes after it.
type Provocation<'a> = &'a dyn Fn(u32) -> Vec<u8>;

// docs/design/requirements.md#l05, #f6, CVE-2025-8671 ("MadeYouReset"): the client makes the
// gateway reset streams.
#[test]
fn resets_that_a_client_provokes_are_ended_as_well() {
    let post = request("POST", "/guilty");
    let lying = [&post[..], &literal("content-length", "1")].concat();
    let crooked = [&request("GET", "/guilty")[..], &literal("X-A", "1")].concat();
    let max = 0x7fff_ffff_u32.to_be_bytes();
    let provocations: [(&str, Provocation<'_>); 8] = [
        ("a window raised by nothing", &|stream| {
            [
                head(0, stream, &post),
                frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
            ]
            .concat()
        }),
        ("a window beyond all bounds", &|stream| {
            [
                head(0, stream, &post),
                frame(WINDOW_UPDATE, 0, stream, &max),
            ]
            .concat()
        }),
        ("a body after its end", &|stream| {
            [
                head(END_STREAM, stream, &post),
                frame(DATA, 0, stream, b"x"),
            ]
            .concat()
        }),
        ("a head after its end", &|stream| {
            [
                head(END_STREAM, stream, &post),
                head(END_STREAM, stream, &literal("x-a", "1")),
            ]
            .concat()
        }),
        ("a body longer than it is said to be", &|stream| {
            [head(0, stream, &lying), frame(DATA, 0, stream, b"xx")].concat()
        }),
        ("trailers that do not end", &|stream| {
            [
                head(0, stream, &post),
                head(0, stream, &literal("x-a", "1")),
            ]
            .concat()
        }),
        ("a stream that depends on itself", &|stream| {
            let priority = [&stream.to_be_bytes()[..], &[0]].concat();
            [
                head(0, stream, &post),
                frame(PRIORITY, 0, stream, &priority),
            ]
            .concat()
        }),
        ("a name in capitals", &|stream| {
            head(END_STREAM, stream, &crooked)
        }),
    ];
    for (name, provoke) in provocations {
        let scene = Scene::open("");
        let flooded = scene.flood(scene.guilty(), streams().map(provoke));
        assert!(!flooded.is_alive, "{name}: {} are taken", flooded.sent);
        // Some are errors of the whole connection's, the first time or when too many have been
        // forgotten.
        assert!(
            matches!(flooded.error(), Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR)),
            "{name}: {flooded:?}"
        );
        let requests = flooded.requests().unwrap();
        assert!(requests <= REQUESTS, "{name}: {requests}");
        assert!(
            scene.disturbed() <= REQUESTS,
            "{name}: {}",
            scene.disturbed()
        );
        scene.check_memory(name);
    }
}

// A client that keeps more open than it may is refused, and not for ever.
#[test]
fn streams_beyond_the_limit_are_refused_and_then_the_connection_ends() {
    let scene = Scene::open("[server.http2]\nstreams = 10\n");
    scene.victim.play((0..10).map(|_| Script::Hang));
    let mut client = scene.guilty();
    for number in 0..10 {
        client.get(2 * number + 1, "/guilty");
    }
    scene.victim.wait_for(10);
    let pieces =
        (10..FLOOD).map(|number| head(END_STREAM, 2 * number + 1, &request("GET", "/guilty")));
    let flooded = scene.flood(client, pieces);
    assert_eq!(flooded.error(), Some(ENHANCE_YOUR_CALM));
    assert_eq!(scene.disturbed(), 10);
    assert!(
        flooded.count(RST_STREAM) <= REQUESTS as usize,
        "{}",
        flooded.count(RST_STREAM)
    );
    scene.check_memory("refused streams");
}

/// The flags and fields of a request, and one literal that is put into the table (RFC 7541 §6.2.1).
fn filling() -> Vec<u8> {
    let mut field = literal("x-a", &"b".repeat(4000));
    field[0] = 0x40;
    [request("GET", "/guilty"), field].concat()
}

/// The newest entry of the table, so many times.
fn again(count: usize) -> Vec<u8> {
    [request("GET", "/guilty"), vec![0x80 | 62; count]].concat()
}

// A few bytes that stand for many ("HPACK bomb").
#[test]
fn a_head_that_unpacks_into_megabytes_is_not_unpacked() {
    for (count, survives) in [(20, true), (16_000, false)] {
        let scene = Scene::open("");
        // A client without a table of its own has every status spelled out.
        let mut client = Frames::connect_with(scene.process.address(), &[(1, 0)]);
        client.send(HEADERS, END_STREAM | END_HEADERS, 1, &filling());
        assert_eq!(client.status(1), 200);
        let bombs = (1..500).map(|number| head(END_STREAM, 2 * number + 1, &again(count)));
        let flooded = scene.flood(client, bombs);
        assert_eq!(flooded.is_alive, survives, "{count}: {:?}", flooded.error());
        let heads: Vec<_> = flooded
            .frames
            .iter()
            .filter(|frame| frame.kind == HEADERS)
            .collect();
        assert!(heads.iter().all(|frame| frame.status() == 431), "{count}");
        assert_eq!(scene.disturbed(), 1, "{count}: none is forwarded");
        scene.check_memory("a head that unpacks");
    }
    // The twin: an entry that is referred to as often as fits.
    let scene = Scene::open("");
    let mut client = scene.guilty();
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &filling());
    assert_eq!(client.status(1), 200);
    client.send(HEADERS, END_STREAM | END_HEADERS, 3, &again(7));
    assert_eq!(client.status(3), 200);
}

// Changes of the table's size, thousands of them in a head.
#[test]
fn changes_of_the_tables_size_cost_nothing() {
    let scene = Scene::open("");
    let block = |stream: u32| {
        let sizes = [0x20, 0x3f, 0xe1, 0x1f].repeat(4000);
        head(
            END_STREAM,
            stream,
            &[sizes, request("GET", "/guilty")].concat(),
        )
    };
    let flooded = scene.flood(scene.guilty(), streams().take(500).map(block));
    assert!(flooded.is_alive || flooded.error().is_some());
    scene.check_memory("changes of the table's size");
}

// CVE-2024-27316 and its kin: a head that goes on and on, with fields or with nothing.
#[test]
fn a_head_without_an_end_is_ended() {
    for (name, content) in [
        ("fields", literal("x-a", &"b".repeat(1000))),
        ("nothing", Vec::new()),
    ] {
        let scene = Scene::open("");
        let mut client = scene.guilty();
        client.send(HEADERS, END_STREAM, 1, &request("GET", "/guilty"));
        let flooded = scene.flood(
            client,
            (0..FLOOD).map(|_| frame(CONTINUATION, 0, 1, &content)),
        );
        assert!(!flooded.is_alive, "{name}");
        assert!(
            matches!(flooded.error(), Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR)),
            "{name}: {flooded:?}"
        );
        assert_eq!(scene.disturbed(), 0, "{name}");
        scene.check_memory(name);
    }
}

// Frames that are cheap to send and have to be looked at, or answered.
#[test]
fn frames_that_bring_nothing_forward_are_answered_a_bounded_number_of_times() {
    let scene = Scene::open("");
    scene.victim.play([Script::Stall]);
    let priority = [0, 0, 0, 1, 0];
    let floods = [
        ("PING", frame(PING, 0, 0, &[0; 8]), PING),
        (
            "SETTINGS",
            frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
            SETTINGS,
        ),
        ("PRIORITY", frame(PRIORITY, 0, 99, &priority), PRIORITY),
        (
            "WINDOW_UPDATE",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            WINDOW_UPDATE,
        ),
        (
            "WINDOW_UPDATE of a stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            WINDOW_UPDATE,
        ),
        ("empty DATA", frame(DATA, 0, 1, &[]), DATA),
        ("padding", frame(DATA, 0x8, 1, &[3, 0, 0, 0]), DATA),
        ("unknown", frame(0xbe, 0, 0, &[0; 8]), 0xbe),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &CANCEL), RST_STREAM),
    ];
    for (index, (name, piece, answer)) in floods.into_iter().enumerate() {
        let mut client = scene.guilty();
        client.send(HEADERS, END_HEADERS, 1, &request("POST", "/guilty"));
        let flooded = scene.flood(client, (0..FLOOD).map(|_| piece.clone()));
        assert_eq!(
            flooded.error(),
            Some(ENHANCE_YOUR_CALM),
            "{name} after {}",
            flooded.sent
        );
        // A thousand within a second, and it may have taken a few.
        assert!(
            flooded.count(answer) <= 4000,
            "{name}: {} answers",
            flooded.count(answer)
        );
        let count = f64::from(u32::try_from(index + 1).unwrap());
        scene.process.wait_for_metric(
            "scopegate_connection_errors_total{reason=\"http2_flood\"}",
            count,
        );
    }
    scene.check_memory("frames that bring nothing forward");
}

// A body byte by byte for an upstream that takes none: what is kept of each is more than
// it holds.
#[test]
fn a_body_in_crumbs_that_nobody_takes_is_ended() {
    let scene = Scene::open("");
    scene.victim.play((0..20).map(|_| Script::Stall));
    let mut client = scene.guilty();
    for number in 0..20 {
        client.send(
            HEADERS,
            END_HEADERS,
            2 * number + 1,
            &request("POST", "/guilty"),
        );
    }
    scene.victim.wait_for(20);
    let crumbs = (0..1_000_000).map(|number| frame(DATA, 0, 2 * (number % 20) + 1, b"x"));
    let flooded = scene.flood(client, crumbs);
    assert_eq!(flooded.error(), Some(ENHANCE_YOUR_CALM));
    scene.check_memory("crumbs");
    // The twin: crumbs that are taken.
    let mut client = scene.guilty();
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/guilty"));
    for _ in 0..1500 {
        client.send(DATA, 0, 1, b"x");
    }
    client.send(DATA, END_STREAM, 1, b"");
    assert_eq!(client.status(1), 200);
    assert_eq!(scene.victim.last().body.len(), 1500);
}

/// An answer of a mebibyte.
fn large() -> Script {
    let body = "x".repeat(1024 * 1024);
    Script::Raw(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
        true,
    )
}

// Answers that are asked for and not taken.
#[test]
fn a_window_that_stays_shut_holds_little_and_not_for_long() {
    // That of each stream, or that of the connection, which is 64 KiB for them all.
    for window in [0, 0x7fff_ffff] {
        let scene = Scene::open("[server.timeouts]\nidle_body = \"2s\"\n");
        let mut client = Frames::connect_with(scene.process.address(), &[(4, window)]);
        scene.victim.play((0..100).map(|_| large()));
        for number in 0..100 {
            client.get(2 * number + 1, "/guilty");
        }
        scene.victim.wait_for(100);
        scene.beside_others(|| {
            scene
                .process
                .wait_for_metric("scopegate_http2_streams_stalled_total", 100.0);
        });
        assert!(client.is_alive(), "the connection lives on");
        scene.check_memory("a window that stays shut");
    }
}

// An answer that is taken byte by byte makes no progress that counts.
#[test]
fn a_window_that_opens_by_bytes_is_not_waited_for() {
    let scene = Scene::open("[server.timeouts]\nidle_body = \"300ms\"\n");
    scene.victim.play([large()]);
    let mut client = Frames::connect_with(scene.process.address(), &[(4, 0)]);
    client.get(1, "/guilty");
    assert_eq!(client.status(1), 200);
    let mut bytes = 0;
    let reset = loop {
        // Each byte at the pace of somebody else's request.
        assert_eq!(scene.process.send(&Request::get("/innocent")).status, 200);
        client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        let frame =
            client.wait(|frame| frame.stream == 1 && matches!(frame.kind, DATA | RST_STREAM));
        match frame.expect("the stream goes on or ends") {
            frame if frame.kind == RST_STREAM => break frame,
            frame => bytes += frame.payload.len(),
        }
        assert!(bytes < 16 * 1024, "a piece was taken in crumbs");
    };
    assert_eq!(reset.payload.len(), 4);
    scene
        .process
        .wait_for_metric("scopegate_http2_streams_stalled_total", 1.0);
    scene.check_memory("a window that opens by bytes");
}

// A client that opens its windows and reads nothing is let go with all that it asked for.
#[test]
fn a_client_that_asks_and_never_reads_is_let_go() {
    let scene = Scene::open("[server.timeouts]\nidle_body = \"2s\"\n");
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    scene.victim.always(Script::Flood(head, chunk));
    let max = 0x7fff_0000;
    let mut client = Frames::connect_with(scene.process.address(), &[(4, max)]);
    client.send(WINDOW_UPDATE, 0, 0, &max.to_be_bytes());
    for number in 0..100 {
        client.get(2 * number + 1, "/guilty");
    }
    scene.beside_others(|| {
        scene.process.wait_for_metric(
            "scopegate_connection_errors_total{reason=\"write_timeout\"}",
            1.0,
        );
    });
    scene.process.wait_for_metric(
        "scopegate_upstream_connections_open{upstream=\"victim\"}",
        0.0,
    );
    scene.check_memory_of("a client that never reads", 100 * STREAM);
}
