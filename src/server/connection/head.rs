//! The `Connection` field and the version in the head of an HTTP/1.1 answer.

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::ext::ReasonPhrase;

use crate::content::ends_with_head;

/// The facts of a request that its answer depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Set if the request has a body.
    pub(super) has_body: bool,
    is_head: bool,
    /// Set if the request is of HTTP/1.0, which has no chunked transfer coding.
    is_http10: bool,
}

impl Asked {
    pub(super) fn of<B: Body>(request: &Request<B>) -> Self {
        Self {
            has_body: !request.body().is_end_stream(),
            is_head: request.method() == Method::HEAD,
            is_http10: request.version() == Version::HTTP_10,
        }
    }

    /// Completes the head of the answer. `is_last` tells that the connection ends after it.
    pub(super) fn complete<B: Body>(self, response: &mut Response<B>, is_last: bool) {
        let status = response.status();
        if status.canonical_reason().is_none() {
            // Hyper would write a made-up reason phrase (RFC 9112 §4).
            response
                .extensions_mut()
                .insert(ReasonPhrase::from_static(b""));
        }
        // No answer follows this one, and its `Connection` field has to be `upgrade`.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        // Most answers are neither the last nor for HTTP/1.0, and stay as they are.
        if !is_last && !self.is_http10 {
            return;
        }
        let says_close = says_close(response.headers());
        if !says_close && (is_last || self.is_ended_by_close(response)) {
            response
                .headers_mut()
                .append(CONNECTION, HeaderValue::from_static("close"));
        } else if !says_close {
            return;
        }
        if self.is_http10 {
            // Hyper adds `keep-alive` if the version of the answer is HTTP/1.1.
            *response.version_mut() = Version::HTTP_10;
        }
    }

    /// Returns whether only the end of the connection marks the end of the body (RFC 9112 §6.3). No
    /// answer can follow then (§9.3).
    fn is_ended_by_close<B: Body>(self, response: &Response<B>) -> bool {
        let body = response.body();
        let is_bare = ends_with_head(response.status());
        let has_end =
            self.is_head || is_bare || body.is_end_stream() || body.size_hint().exact().is_some();
        !has_end && !response.headers().contains_key(CONTENT_LENGTH)
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::{Frame, SizeHint};

    use super::*;

    /// A body with a known or an unknown length.
    struct Content(Option<u64>);

    impl Body for Content {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }

        fn is_end_stream(&self) -> bool {
            self.0 == Some(0)
        }

        fn size_hint(&self) -> SizeHint {
            self.0.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn completed(
        version: Version,
        method: &str,
        is_last: bool,
        mut response: Response<Content>,
    ) -> (Version, String) {
        let request = Request::builder()
            .version(version)
            .method(method)
            .body(Content(Some(0)))
            .unwrap();
        Asked::of(&request).complete(&mut response, is_last);
        let said: Vec<_> = response
            .headers()
            .get_all(CONNECTION)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        (response.version(), said.join(", "))
    }

    fn answer(status: u16, length: Option<u64>) -> Response<Content> {
        Response::builder()
            .status(status)
            .body(Content(length))
            .unwrap()
    }

    const OLD: Version = Version::HTTP_10;
    const NEW: Version = Version::HTTP_11;

    // RFC 9112 §9.3, §6.3.
    #[test]
    fn an_answer_of_http_1_0_that_ends_with_the_connection_says_so() {
        assert_eq!(
            completed(OLD, "GET", false, answer(200, None)),
            (OLD, "close".to_owned())
        );
        for (method, response) in [
            ("GET", answer(200, Some(2))),
            ("HEAD", answer(200, None)),
            ("GET", answer(304, None)),
        ] {
            assert_eq!(
                completed(OLD, method, false, response),
                (NEW, String::new()),
                "{method}"
            );
        }
        assert_eq!(
            completed(NEW, "GET", false, answer(200, None)),
            (NEW, String::new())
        );
    }

    #[test]
    fn the_last_answer_says_so_once_and_beside_what_else_is_said() {
        for (version, said, expected) in [
            (NEW, None, "close"),
            (NEW, Some("upgrade"), "upgrade, close"),
            (OLD, Some("close"), "close"),
        ] {
            let mut response = answer(426, Some(2));
            if let Some(said) = said {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static(said));
            }
            assert_eq!(
                completed(version, "GET", true, response),
                (version, expected.to_owned())
            );
        }
        // A refusal that closes has the field already; no second one is added for HTTP/1.0.
        let mut refusal = answer(400, Some(2));
        refusal
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        assert_eq!(
            completed(OLD, "GET", false, refusal),
            (OLD, "close".to_owned())
        );
        let mut switching = answer(101, Some(0));
        switching
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        assert_eq!(
            completed(NEW, "GET", true, switching),
            (NEW, "upgrade".to_owned())
        );
    }

    #[test]
    fn a_status_without_a_registered_reason_gets_none() {
        for (status, expected) in [
            (999, Some(&b""[..])),
            (499, Some(b"")),
            (200, None),
            (418, None),
        ] {
            let request = Request::new(Content(Some(0)));
            let mut response = answer(status, Some(0));
            Asked::of(&request).complete(&mut response, false);
            let reason = response
                .extensions()
                .get::<ReasonPhrase>()
                .map(ReasonPhrase::as_bytes);
            assert_eq!(reason, expected, "{status}");
        }
    }
}
