//! Refusals in the form of gRPC: a gRPC client reads `grpc-status`, and takes any HTTP status but
//! 200 for a broken server.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The characters that `grpc-message` percent-encodes: `%`, and all that are not printable ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Returns the content type of a request that is a call of gRPC, which is a POST over HTTP/2, or of
/// gRPC-Web, which is a POST over any version. To any other client that states such a type, for
/// example a script or a cache, the HTTP status of a refusal has to tell what happened.
pub(crate) fn content_type<B>(request: &Request<B>) -> Option<&HeaderValue> {
    let value = request.headers().get(CONTENT_TYPE)?;
    let rest = value.as_bytes().strip_prefix(b"application/grpc")?;
    let web = rest.strip_prefix(b"-web");
    let suffix = web.map_or(rest, |web| web.strip_prefix(b"-text").unwrap_or(web));
    let is_call =
        matches!(suffix.first(), None | Some(b'+' | b';')) && *request.method() == Method::POST;
    (is_call && (web.is_some() || request.version() == Version::HTTP_2)).then_some(value)
}

/// Lets a page of another origin read the status of its call, if the page may read the response.
/// Browsers hide header fields from such pages, and a response of gRPC-Web without a body has its
/// status nowhere else.
pub(crate) fn expose(headers: &mut HeaderMap) {
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        let names = HeaderValue::from_static("grpc-status, grpc-message");
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}

/// Turns a refusal into a response without a body, whose head holds the status at once
/// ("Trailers-Only").
pub(super) fn refused(
    response: Response<Bytes>,
    content_type: &HeaderValue,
    detail: &str,
) -> Response<Bytes> {
    let (mut head, _) = response.into_parts();
    let status = status(head.status, head.headers.contains_key(WWW_AUTHENTICATE));
    head.status = StatusCode::OK;
    head.headers.insert(CONTENT_TYPE, content_type.clone());
    head.headers.insert(STATUS, status.into());
    let message = utf8_percent_encode(detail, ESCAPED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        head.headers.insert(MESSAGE, message);
    }
    Response::from_parts(head, Bytes::new())
}

/// Returns the gRPC status for an HTTP status: the one of gRPC's own mapping ("HTTP to gRPC Status
/// Code Mapping") where that has one. A 400 with a challenge is about the token.
fn status(status: StatusCode, has_challenge: bool) -> u16 {
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status {
        StatusCode::BAD_REQUEST if has_challenge => UNAUTHENTICATED,
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            UNIMPLEMENTED
        }
        StatusCode::REQUEST_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => RESOURCE_EXHAUSTED,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => UNAVAILABLE,
        _ => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let is = |text: &str| is_call(Method::POST, Version::HTTP_2, text);
        for text in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
        ] {
            assert!(is(text), "{text}");
        }
        for text in [
            "application/json",
            "application/grpcx",
            "application/grpc-text",
            "text/plain",
        ] {
            assert!(!is(text), "{text}");
        }
    }

    fn is_call(method: Method, version: Version, kind: &str) -> bool {
        let request = Request::builder()
            .method(method)
            .version(version)
            .header(CONTENT_TYPE, kind);
        content_type(&request.body(()).unwrap()).is_some()
    }

    #[test]
    fn a_call_is_a_post_and_of_grpc_over_http_2() {
        let (grpc, web) = ("application/grpc", "application/grpc-web-text+proto");
        for (method, version, kind, expected) in [
            (Method::POST, Version::HTTP_2, grpc, true),
            (Method::POST, Version::HTTP_11, grpc, false),
            (Method::POST, Version::HTTP_10, grpc, false),
            (Method::GET, Version::HTTP_2, grpc, false),
            (Method::HEAD, Version::HTTP_2, grpc, false),
            (Method::POST, Version::HTTP_2, web, true),
            (Method::POST, Version::HTTP_11, web, true),
            (Method::GET, Version::HTTP_11, web, false),
            (Method::OPTIONS, Version::HTTP_11, web, false),
        ] {
            assert_eq!(
                is_call(method.clone(), version, kind),
                expected,
                "{method} {version:?} {kind}"
            );
        }
    }

    #[test]
    fn a_refusal_of_grpc_has_no_body() {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        let answer = refused(
            response,
            &HeaderValue::from_static("application/grpc+proto"),
            "100 % n\u{e9}",
        );
        assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
        assert_eq!(answer.headers()[STATUS], "16");
        assert_eq!(answer.headers()[MESSAGE], "100 %25 n%C3%A9");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/grpc+proto");
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn each_status_has_that_of_the_mapping() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (408, 4),
            (413, 8),
            (414, 8),
            (429, 14),
            (431, 8),
            (500, 13),
            (501, 12),
            (502, 14),
            (503, 14),
            (504, 14),
        ] {
            assert_eq!(
                status(StatusCode::from_u16(http).unwrap(), false),
                grpc,
                "{http}"
            );
        }
        assert_eq!(status(StatusCode::BAD_REQUEST, true), 16);
    }
}
