//! `[server.limits]`: limits on the requests and connections of clients.

use crate::config::language::{Count, DefaultKey, GIB, KIB, Key, MIB, Reader, Size, Table};
use crate::config::notes::limits::{Set, note_beyond_head};

/// `[server.limits]`: limits on the requests and connections of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head; a longer one is answered with 431.
    pub head_bytes: usize,
    /// Fields of a request head; more of them are answered with 431.
    pub head_fields: usize,
    /// Bytes of a request target; a longer one is answered with 414.
    pub target_bytes: usize,
    /// Bytes of a request body; a longer one is answered with 413. `None` for no limit, the
    /// default. Routes may have their own limit.
    pub body_bytes: Option<u64>,
    /// Bytes of a token; a longer one is answered with 401.
    pub token_bytes: usize,
    /// Open client connections; at the limit the acceptor pauses.
    pub connections: usize,
    /// Requests of one connection; the connection closes after the last of them.
    pub connection_requests: usize,
    /// Requests in progress at a time; further ones are answered with 503.
    pub requests: usize,
    /// Bytes of a response that are buffered for a slow client, for each HTTP/1.1 connection or
    /// HTTP/2 stream.
    pub write_buffer: usize,
}

pub(super) static TABLE: Table = Table {
    path: "server.limits",
    doc: "Limits on what a client may send, and on what the gateway buffers for it.",
    keys: &[
        &HEAD_BYTES,
        &HEAD_FIELDS,
        &TARGET_BYTES,
        &BODY_BYTES,
        &TOKEN_BYTES,
        &CONNECTIONS,
        &CONNECTION_REQUESTS,
        &REQUESTS,
        &WRITE_BUFFER,
    ],
    refused: &[],
};

const HEAD_BYTES: DefaultKey<Size<usize>> = Key::new("head_bytes", Size::new(8 * KIB, MIB))
    .doc("Bytes of a request head; a longer one is answered with 431.")
    .example(r#""64 KiB""#)
    .or("32 KiB");

const HEAD_FIELDS: DefaultKey<Count<usize>> = Key::new("head_fields", Count::new(8, 1000))
    .doc("Fields of a request head; more of them are answered with 431.")
    .or(100);

const TARGET_BYTES: DefaultKey<Size<usize>> = Key::new("target_bytes", Size::new(64, 60 * KIB))
    .doc("Bytes of a request target, path and query; a longer one is answered with 414.")
    .or("8 KiB");

const BODY_BYTES: Key<Size<u64>> = Key::new("body_bytes", Size::new(0, 1024 * GIB))
    .absent("no limit")
    .doc(
        "Bytes of a request body; a longer one is answered with 413. `[defaults]`, groups and \
         routes may have their own limit.",
    )
    .example(r#""10 MiB""#);

const TOKEN_BYTES: DefaultKey<Size<usize>> = Key::new("token_bytes", Size::new(256, MIB))
    .doc("Bytes of a token; a longer one is answered with 401.")
    .or("16 KiB");

const CONNECTIONS: DefaultKey<Count<usize>> = Key::new("connections", Count::new(1, 1_000_000))
    .doc("Open client connections. At the limit no more are accepted until one closes.")
    .or(10_000);

const CONNECTION_REQUESTS: DefaultKey<Count<usize>> = Key::new(
    "connection_requests",
    Count::new(1, 1_000_000_000),
)
.doc(
    "Requests of one connection. The connection closes after the last of them, and the client \
     opens another.",
)
.not(&["keep_alive_requests"])
.example("1000")
.or(1_000_000);

const REQUESTS: DefaultKey<Count<usize>> = Key::new("requests", Count::new(1, 10_000_000))
    .doc(
        "Requests in progress at a time, of all workers together; further ones are answered with \
         503. A burst may exceed the limit by a sixteenth, because workers do not add up their \
         counts for each request; a limit of less than 16 for each worker is kept exactly.",
    )
    .example("2000")
    .or(10_000);

const WRITE_BUFFER: DefaultKey<Size<usize>> =
    Key::new("write_buffer", Size::new(16 * KIB, 16 * MIB))
        .doc(
            "Bytes of a response that wait for a slow client, of each HTTP/1.1 connection and each \
             HTTP/2 stream, including bytes in the TLS buffers. At the limit the gateway stops \
             reading the upstream's response. The piece that was read last may exceed it by 64 \
             KiB.",
        )
        .not(&["send_buffer", "max_buffer"])
        .example(r#""32 KiB""#)
        .or("64 KiB");

pub(super) fn limits(mut reader: Reader<'_>) -> Limits {
    let limits = Limits {
        head_bytes: reader.get(&HEAD_BYTES),
        head_fields: reader.get(&HEAD_FIELDS),
        target_bytes: reader.get(&TARGET_BYTES),
        body_bytes: reader.find(&BODY_BYTES),
        token_bytes: reader.get(&TOKEN_BYTES),
        connections: reader.get(&CONNECTIONS),
        connection_requests: reader.get(&CONNECTION_REQUESTS),
        requests: reader.get(&REQUESTS),
        write_buffer: reader.get(&WRITE_BUFFER),
    };
    let head = Set::new(&HEAD_BYTES, limits.head_bytes);
    note_beyond_head(&reader, &Set::new(&TOKEN_BYTES, limits.token_bytes), &head);
    note_beyond_head(
        &reader,
        &Set::new(&TARGET_BYTES, limits.target_bytes),
        &head,
    );
    reader.finish();
    limits
}
