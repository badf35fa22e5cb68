//! `[server.limits]`: limits on the requests and connections of clients.

use super::Absent::{Default, Means};
use super::{GIB, KIB, Key, Kind, MIB, Table};

pub(in crate::config) static LIMITS: Table = Table {
    path: "server.limits",
    doc: "Bounds on what a client may send, and on what is kept for it.",
    keys: &[
        Key::new(
            "head_bytes",
            Kind::Size { min: 8 * KIB, max: MIB },
            Default(r#""32 KiB""#),
            r#""64 KiB""#,
            "Bytes of a request head; 431 beyond it.",
        ),
        Key::new(
            "head_fields",
            Kind::Count { min: 8, max: 1000 },
            Default("100"),
            "100",
            "Fields of a request head; 431 beyond it.",
        ),
        Key::new(
            "target_bytes",
            Kind::Size { min: 64, max: 60 * KIB },
            Default(r#""8 KiB""#),
            r#""8 KiB""#,
            "Bytes of a request target, path and query; 414 beyond it.",
        ),
        Key::new(
            "body_bytes",
            Kind::Size { min: 0, max: 1024 * GIB },
            Means("no limit"),
            r#""10 MiB""#,
            "Bytes of a request body; 413 beyond it. Defaults, groups and routes may say otherwise.",
        ),
        Key::new(
            "token_bytes",
            Kind::Size { min: 256, max: MIB },
            Default(r#""16 KiB""#),
            r#""16 KiB""#,
            "Bytes of a token; 401 beyond it.",
        ),
        Key::new(
            "connections",
            Kind::Count { min: 1, max: 1_000_000 },
            Default("10000"),
            "10000",
            "Open client connections; beyond it no more are accepted until one closes.",
        ),
        Key::new(
            "connection_requests",
            Kind::Count { min: 1, max: 1_000_000_000 },
            Default("1000000"),
            "1000",
            "Requests of one connection; with the last of them it ends, and the client connects anew.",
        )
        .not(&["keep_alive_requests"]),
        Key::new(
            "requests",
            Kind::Count { min: 1, max: 10_000_000 },
            Default("10000"),
            "2000",
            "Requests that are answered at a time, by all workers together; 503 beyond it. A rush may exceed it by a sixteenth, \
             since workers do not add up their requests for each new one; a limit of less than 16 for each worker is kept \
             exactly.",
        ),
        Key::new(
            "write_buffer",
            Kind::Size { min: 16 * KIB, max: 16 * MIB },
            Default(r#""64 KiB""#),
            r#""32 KiB""#,
            "Bytes of an answer that wait for a client that does not take them, of each connection of HTTP/1.1 and each \
             stream of HTTP/2; what TLS keeps of them counts. Reading of the upstream's answer stops when so many wait. The \
             last piece that was read may exceed it by 64 KiB.",
        )
        .not(&["send_buffer", "max_buffer"]),
    ],
    refused: &[],
};
