//! The echo upstream, which answers every request with its contents, so that a user sees what the
//! gateway forwards.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};

/// The number of bytes of a body that are shown; the rest is read and counted.
pub(super) const SHOWN_BYTES: usize = 64 << 10;
/// The number of characters of a token that are shown: enough to recognise a JWT, and useless as a
/// credential.
const TOKEN_SHOWN: usize = 3;

/// Answers one request.
pub(super) async fn answer<B: Body + Unpin>(request: Request<B>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Some((shown, length)) = read(body).await else {
        return reply(
            StatusCode::BAD_REQUEST,
            &json!({ "error": "the body is incomplete" }),
        );
    };
    let seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().map(shorten_tokens),
        "headers": headers(&head.headers),
        "body": String::from_utf8_lossy(&shown),
        "body_bytes": length,
    });
    reply(StatusCode::OK, &seen)
}

/// Reads a body. Returns its beginning and its length; `None` if it is incomplete.
async fn read<B: Body + Unpin>(mut body: B) -> Option<(Vec<u8>, u64)> {
    let (mut shown, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let Ok(mut chunk) = frame.ok()?.into_data() else {
            continue;
        };
        while bytes::Buf::has_remaining(&chunk) {
            let piece = bytes::Buf::chunk(&chunk);
            let size = piece.len();
            let room = SHOWN_BYTES.saturating_sub(shown.len()).min(size);
            shown.extend_from_slice(piece.get(..room).unwrap_or_default());
            length = length.saturating_add(size as u64);
            bytes::Buf::advance(&mut chunk, size);
        }
    }
    Some((shown, length))
}

/// Returns the fields by name, each as a string, or as a list if the field is repeated.
fn headers(fields: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in fields.keys() {
        let mut values = Vec::new();
        for value in fields.get_all(name) {
            values.push(Value::from(show(name, value)));
        }
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        shown.insert(name.as_str().to_owned(), value);
    }
    shown
}

fn show(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if name == AUTHORIZATION {
        shorten_credentials(&text)
    } else {
        shorten_tokens(&text)
    }
}

/// Shortens the value of an `Authorization` field, whatever it is, without its scheme.
pub(super) fn shorten_credentials(text: &str) -> String {
    match text.split_once(' ') {
        Some((scheme, token)) => format!("{scheme} {}", shorten(token)),
        None => shorten(text).into_owned(),
    }
}

/// Shortens everything that looks like a JWT: a token may also be in a cookie, a query or another
/// header.
pub(super) fn shorten_tokens(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("eyJ") {
        let (before, from) = rest.split_at(at);
        let end = from.find(is_outside_token).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(&if word.contains('.') {
            shorten(word)
        } else {
            Cow::Borrowed(word)
        });
        rest = after;
    }
    out + rest
}

fn is_outside_token(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')
}

fn shorten(token: &str) -> Cow<'_, str> {
    match token.char_indices().nth(TOKEN_SHOWN) {
        Some((end, _)) => format!(
            "{}…({} bytes)",
            token.get(..end).unwrap_or_default(),
            token.len()
        )
        .into(),
        None => token.into(),
    }
}

pub(super) fn reply(status: StatusCode, answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{answer:#}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo(request: Request<Full<Bytes>>) -> Value {
        let response = answer(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_shown_as_it_arrived() {
        let request = Request::post("/tests/a%20b?x=1")
            .header("x-user-id", "u1")
            .header("accept", "a")
            .header("accept", "b")
            .body(Full::from("hello"))
            .unwrap();
        let seen = echo(request).await;
        assert_eq!(
            seen,
            json!({
                "method": "POST", "path": "/tests/a%20b", "query": "x=1", "body": "hello", "body_bytes": 5,
                "headers": { "x-user-id": "u1", "accept": ["a", "b"] },
            })
        );
    }

    #[tokio::test]
    async fn a_long_body_is_read_to_its_end_and_shown_to_a_bound() {
        let request = Request::post("/")
            .body(Full::from(vec![b'a'; SHOWN_BYTES + 7]))
            .unwrap();
        let seen = echo(request).await;
        assert_eq!(seen["body_bytes"], SHOWN_BYTES + 7);
        assert_eq!(seen["body"].as_str().unwrap().len(), SHOWN_BYTES);
    }

    #[tokio::test]
    async fn no_token_is_shown_whole() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";
        let request = Request::get(format!("/?access_token={token}&b=eyJ"))
            .header("authorization", format!("Bearer {token}"))
            .header("cookie", format!("a=1; session={token}; b=2"))
            .body(Full::default())
            .unwrap();
        let seen = echo(request).await;
        assert!(!seen.to_string().contains("eyJh"), "{seen}");
        assert_eq!(seen["headers"]["authorization"], "Bearer eyJ…(41 bytes)");
        assert_eq!(
            seen["headers"]["cookie"],
            "a=1; session=eyJ…(41 bytes); b=2"
        );
        assert_eq!(seen["query"], "access_token=eyJ…(41 bytes)&b=eyJ");
        let raw = Request::get("/")
            .header("authorization", "opaque")
            .body(Full::default())
            .unwrap();
        assert_eq!(echo(raw).await["headers"]["authorization"], "opa…(6 bytes)");
    }
}
