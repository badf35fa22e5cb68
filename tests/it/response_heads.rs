//! The configured limits of response heads (`response_head_bytes`, `response_head_fields`).

use crate::support::framed::{Act, Framed};
use crate::support::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame, literal};
use crate::support::{Gateway, Request, Script, Upstream};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
const PROTOCOL: &str = "scopegate_refusals_total{reason=\"upstream_protocol_error\",route=\"/**\"}";

/// A head of so many fields, each with a value of so many bytes.
struct Head {
    fields: usize,
    bytes: usize,
}

impl Head {
    fn value(&self) -> String {
        "x".repeat(self.bytes)
    }

    fn http1(&self) -> Script {
        let field = format!("set-cookie: {}\r\n", self.value());
        let head = format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok",
            field.repeat(self.fields - 1)
        );
        Script::Raw(head.into_bytes(), true)
    }

    /// The same in frames of the size that everybody takes.
    fn http2(&self) -> Act {
        let fields = literal("set-cookie", &self.value()).repeat(self.fields - 1);
        let block = [literal(":status", "200"), literal("x-other", ""), fields].concat();
        Act::Write(Box::new(move |stream| {
            let mut pieces = block.chunks(16_384).peekable();
            let mut bytes = Vec::new();
            let (mut kind, mut flags) = (HEADERS, END_STREAM);
            while let Some(piece) = pieces.next() {
                let end = if pieces.peek().is_none() {
                    END_HEADERS
                } else {
                    0
                };
                bytes.extend(frame(kind, flags | end, stream, piece));
                (kind, flags) = (CONTINUATION, 0);
            }
            bytes
        }))
    }
}

// Those that are configured, and without a word 100 fields and 64 KiB.
#[test]
fn a_head_beyond_its_bounds_is_502() {
    for (keys, head, is_good) in [
        (
            "",
            Head {
                fields: 100,
                bytes: 10,
            },
            true,
        ),
        (
            "",
            Head {
                fields: 101,
                bytes: 10,
            },
            false,
        ),
        (
            "",
            Head {
                fields: 2,
                bytes: 60_000,
            },
            true,
        ),
        (
            "",
            Head {
                fields: 2,
                bytes: 66_000,
            },
            false,
        ),
        (
            "response_head_fields = 300\n",
            Head {
                fields: 300,
                bytes: 10,
            },
            true,
        ),
        (
            "response_head_fields = 300\n",
            Head {
                fields: 301,
                bytes: 10,
            },
            false,
        ),
        (
            "response_head_fields = 10\n",
            Head {
                fields: 10,
                bytes: 10,
            },
            true,
        ),
        (
            "response_head_fields = 10\n",
            Head {
                fields: 11,
                bytes: 10,
            },
            false,
        ),
        (
            "response_head_bytes = \"200 KiB\"\n",
            Head {
                fields: 3,
                bytes: 90_000,
            },
            true,
        ),
        (
            "response_head_bytes = \"200 KiB\"\n",
            Head {
                fields: 4,
                bytes: 90_000,
            },
            false,
        ),
        (
            "response_head_bytes = \"8 KiB\"\n",
            Head {
                fields: 2,
                bytes: 7_000,
            },
            true,
        ),
        (
            "response_head_bytes = \"8 KiB\"\n",
            Head {
                fields: 2,
                bytes: 9_000,
            },
            false,
        ),
    ] {
        let http1 = Upstream::start();
        http1.play([head.http1()]);
        let one = Gateway::open(&http1, keys);
        let http2 = Framed::start();
        http2.play([head.http2()]);
        let two = Gateway::start(&format!("{}{keys}{ROUTE}", http2.toml("orders")));
        for (protocol, gateway) in [("HTTP/1.1", &one), ("HTTP/2", &two)] {
            let what = format!(
                "{protocol}, {keys}: {} fields of {} bytes",
                head.fields, head.bytes
            );
            let mut client = gateway.connect();
            let answer = client.send(&Request::new("POST", "/a").body(""));
            if is_good {
                let cookies = answer
                    .fields
                    .iter()
                    .filter(|(name, _)| name == "set-cookie")
                    .count();
                assert_eq!((answer.status, cookies), (200, head.fields - 1), "{what}");
            } else {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (502, "upstream_failed"),
                    "{what}"
                );
                assert_eq!(gateway.metric(PROTOCOL), 1.0, "{what}");
            }
            assert_eq!(
                client.send(&Request::new("POST", "/a").body("")).status,
                200,
                "after {what}"
            );
        }
        assert_eq!(http1.arrivals().len(), 2, "none was sent again");
        assert_eq!(http2.streams(), 2, "none was sent again");
    }
}
