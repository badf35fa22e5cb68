//! `[server.limits]`: limits on the requests and connections of clients.

use super::Absent::{Default, Means};
use super::{GIB, KIB, Key, Kind, MIB, Table};

pub(in crate::config) static LIMITS: Table = Table {
    path: "server.limits",
    doc: "Limits on what a client may send, and on what the gateway buffers for it.",
    keys: &[
        Key::new(
            "head_bytes",
            Kind::Size {
                min: 8 * KIB,
                max: MIB,
            },
            Default(r#""32 KiB""#),
            r#""64 KiB""#,
            "Bytes of a request head; a longer one is answered with 431.",
        ),
        Key::new(
            "head_fields",
            Kind::Count { min: 8, max: 1000 },
            Default("100"),
            "100",
            "Fields of a request head; more of them are answered with 431.",
        ),
        Key::new(
            "target_bytes",
            Kind::Size {
                min: 64,
                max: 60 * KIB,
            },
            Default(r#""8 KiB""#),
            r#""8 KiB""#,
            "Bytes of a request target, path and query; a longer one is answered with 414.",
        ),
        Key::new(
            "body_bytes",
            Kind::Size {
                min: 0,
                max: 1024 * GIB,
            },
            Means("no limit"),
            r#""10 MiB""#,
            "Bytes of a request body; a longer one is answered with 413. `[defaults]`, groups and \
             routes may have their own limit.",
        ),
        Key::new(
            "token_bytes",
            Kind::Size { min: 256, max: MIB },
            Default(r#""16 KiB""#),
            r#""16 KiB""#,
            "Bytes of a token; a longer one is answered with 401.",
        ),
        Key::new(
            "connections",
            Kind::Count {
                min: 1,
                max: 1_000_000,
            },
            Default("10000"),
            "10000",
            "Open client connections. At the limit no more are accepted until one closes.",
        ),
        Key::new(
            "connection_requests",
            Kind::Count {
                min: 1,
                max: 1_000_000_000,
            },
            Default("1000000"),
            "1000",
            "Requests of one connection. The connection closes after the last of them, and the \
             client opens another.",
        )
        .not(&["keep_alive_requests"]),
        Key::new(
            "requests",
            Kind::Count {
                min: 1,
                max: 10_000_000,
            },
            Default("10000"),
            "2000",
            "Requests in progress at a time, of all workers together; further ones are answered \
             with 503. A burst may exceed the limit by a sixteenth, because workers do not add up \
             their counts for each request; a limit of less than 16 for each worker is kept \
             exactly.",
        ),
        Key::new(
            "write_buffer",
            Kind::Size {
                min: 16 * KIB,
                max: 16 * MIB,
            },
            Default(r#""64 KiB""#),
            r#""32 KiB""#,
            "Bytes of a response that wait for a slow client, of each HTTP/1.1 connection and each \
             HTTP/2 stream, including bytes in the TLS buffers. At the limit the gateway stops \
             reading the upstream's response. The piece that was read last may exceed it by 64 \
             KiB.",
        )
        .not(&["send_buffer", "max_buffer"]),
    ],
    refused: &[],
};
