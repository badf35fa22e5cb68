//! The head of one request outside of a connection, as the parser of HTTP/1.1 connections reads it.

use std::cell::RefCell;
use std::convert::Infallible;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{join, sink};

use super::http1::builder;
use crate::config::Server;
use crate::telemetry::{ConnectionError, Label as _};

/// A head, and the length of the body that it announces.
#[derive(Debug)]
pub struct ParsedHead {
    /// The head, as a connection passes it on.
    pub head: Parts,
    /// The least number of bytes of the body: that of `Content-Length`, or else zero.
    pub body_bytes: u64,
}

/// The parser's refusal of a head, or a head that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRefusal {
    /// The status with which the parser answers, and the reason in the log; `None` if it waits for
    /// the rest of the head.
    pub answer: Option<(u16, &'static str)>,
    /// The cause, in the words of the log.
    pub detail: &'static str,
}

impl HeadRefusal {
    const NO_REQUEST: Self = Self {
        answer: None,
        detail: "there is no request",
    };

    fn of(error: &hyper::Error) -> Self {
        let error = ConnectionError::of(error);
        let account = error.account();
        match account.status {
            Some(status) => Self {
                answer: Some((status, error.name())),
                detail: account.detail,
            },
            None => Self {
                answer: None,
                detail: "the head is not complete",
            },
        }
    }
}

/// Parses the head of the first request in `bytes` with the parser and the limits of a connection
/// of HTTP/1.1.
///
/// # Errors
/// [`HeadRefusal`]
pub async fn parse_head(bytes: &[u8], server: &Server) -> Result<ParsedHead, HeadRefusal> {
    let first = RefCell::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let body_bytes = body.size_hint().lower();
        first
            .borrow_mut()
            .get_or_insert(ParsedHead { head, body_bytes });
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let io = TokioIo::new(join(bytes, sink()));
    let served = builder(server).serve_connection(io, service).await;
    if let Some(parsed) = first.into_inner() {
        // Later errors are about the body, or about further requests.
        return Ok(parsed);
    }
    Err(match served {
        Ok(()) => HeadRefusal::NO_REQUEST,
        Err(error) => HeadRefusal::of(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<ParsedHead, HeadRefusal> {
        let file = "[server.limits]\nhead_bytes = \"8 KiB\"\nhead_fields = 8\n\
                    [upstreams.a]\nurl = \"http://a\"\n[[routes]]\npath = \"/a\"\n\
                    upstream = \"a\"\nmethods = [\"GET\"]\npublic = true\n";
        let server = Config::parse(file, "gateway.toml").unwrap().server;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(parse_head(text.as_bytes(), &server))
    }

    #[test]
    fn the_first_head_is_read_as_on_a_connection() {
        let parsed = parse(
            "POST http://a.test/b?c HTTP/1.1\r\nHost: x\r\nX-A:  b \r\nX-A: c\r\n\
             Content-Length: 5\r\n\r\nabcdeGET / HTTP/1.1\r\n\r\n",
        )
        .unwrap();
        assert_eq!(parsed.head.method, "POST");
        assert_eq!(parsed.head.uri, "http://a.test/b?c");
        let values: Vec<_> = parsed.head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["b", "c"]);
        assert_eq!(parsed.body_bytes, 5);
        // The body may be missing, and chunks have no length.
        for (framing, bytes) in [("Content-Length: 7", 7), ("Transfer-Encoding: chunked", 0)] {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
            assert_eq!(parse(&head).unwrap().body_bytes, bytes);
        }
        assert!(
            parse("GET / HTTP/1.0\nHost: x\n\n").is_ok(),
            "bare line feeds"
        );
    }

    #[test]
    fn a_head_that_the_parser_refuses_has_its_status() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(9));
        let long = format!("GET / HTTP/1.1\r\nX-A: {}\r\n\r\n", "b".repeat(9000));
        let target = format!("GET /{} HTTP/1.1\r\n\r\n", "b".repeat(70_000));
        for (head, answer) in [
            ("G(T / HTTP/1.1\r\n\r\n", Some((400, "head_method"))),
            ("GET /a b HTTP/1.1\r\n\r\n", Some((400, "head_version"))),
            ("GET / HTTP/2\r\n\r\n", Some((400, "head_version"))),
            (
                "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                Some((400, "head_field")),
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Some((400, "head_framing")),
            ),
            (&many, Some((431, "head_too_large"))),
            (&long, Some((431, "head_too_large"))),
            (&target, Some((431, "head_too_large"))),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("", None),
        ] {
            let refusal = parse(head).unwrap_err();
            assert_eq!(refusal.answer, answer, "{head:.60}: {}", refusal.detail);
        }
    }
}
