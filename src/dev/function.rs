//! The echo in place of functions: it answers every invocation with its event, so that a user sees
//! what a function gets.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::echo::{SHOWN_BYTES, reply, shorten_credentials, shorten_tokens};
use crate::lambda::MAX_PAYLOAD;

/// The path of an invocation is this, a name, and the end.
const BEGINNING: &str = "/2015-03-31/functions/";
const END: &str = "/invocations";

/// The most bytes of an event's body that are shown. All else in an event is shown, so that the
/// answer stays below the limit of answers.
const SHOWN_BODY: usize = SHOWN_BYTES;

/// Answers one request: an invocation as a function would, with the event in the body.
pub(super) async fn answer<B>(request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Some(name) = invoked(&head.method, head.uri.path()) else {
        let message = "this is the echo in place of functions, which takes invocations alone";
        return reply(StatusCode::NOT_FOUND, &json!({ "Message": message }));
    };
    let Ok(payload) = Limited::new(body, MAX_PAYLOAD).collect().await else {
        let message = "the event is incomplete, or longer than 6,291,556 bytes";
        return reply(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({ "Message": message }),
        );
    };
    let payload = payload.to_bytes();
    let Ok(mut event) = serde_json::from_slice::<Value>(&payload) else {
        let message = "the event is not JSON";
        return reply(StatusCode::BAD_REQUEST, &json!({ "Message": message }));
    };
    shorten("", &mut event);
    let seen = json!({ "function": name, "event": event, "event_bytes": payload.len() });
    let answer = json!({
        "statusCode": 200,
        "headers": { "content-type": "application/json" },
        "body": format!("{seen:#}\n"),
    });
    reply(StatusCode::OK, &answer)
}

/// Returns the name of the function that a request invokes.
fn invoked<'p>(method: &Method, path: &'p str) -> Option<Cow<'p, str>> {
    let name = path.strip_prefix(BEGINNING)?.strip_suffix(END)?;
    let is_name = !name.is_empty() && !name.contains('/');
    let name = percent_decode_str(name).decode_utf8_lossy();
    (is_name && method == Method::POST).then_some(name)
}

/// Shortens the tokens in a value, and the body. `name` is the name of the member that it is in.
fn shorten(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => {
            *text = match name {
                "body" => cut(text),
                _ if name.eq_ignore_ascii_case("authorization") => shorten_credentials(text),
                _ => shorten_tokens(text),
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(name, value)),
        Value::Object(members) => {
            for (name, value) in members {
                shorten(name, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the beginning of a body; the number of its bytes follows if that is not all of it.
fn cut(body: &str) -> String {
    if body.len() <= SHOWN_BODY {
        return body.to_owned();
    }
    let mut end = SHOWN_BODY;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let shown = body.get(..end).unwrap_or_default();
    format!("{shown}…({} bytes)", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVOCATION: &str = "/2015-03-31/functions/orders/invocations";

    async fn invoke(path: &str, event: impl Into<Bytes>) -> (StatusCode, Value) {
        let request = Request::post(path).body(Full::<Bytes>::new(event.into()));
        let response = answer(request.unwrap()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Returns what a client of the gateway sees of an event.
    async fn seen(event: &Value) -> Value {
        let (status, answer) = invoke(INVOCATION, event.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        let members: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            ["body", "headers", "statusCode"],
            "1.0 has no others"
        );
        assert_eq!(answer["statusCode"], 200);
        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_invocation_is_answered_with_its_event() {
        let event = json!({ "path": "/a", "body": null, "isBase64Encoded": false, "x": [1, "2"] });
        let seen = seen(&event).await;
        let bytes = event.to_string().len();
        assert_eq!(
            seen,
            json!({ "function": "orders", "event": event, "event_bytes": bytes })
        );
    }

    #[tokio::test]
    async fn no_token_is_shown_whole() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";
        let event = json!({
            "headers": { "Authorization": token, "x-token": token },
            "multiValueHeaders": { "authorization": ["Bearer opaque", token] },
            "cookies": [format!("session={token}")],
            "rawQueryString": format!("a=1&t={token}"),
        });
        let seen = seen(&event).await;
        assert!(!seen.to_string().contains("eyJh"), "{seen}");
        assert_eq!(seen["event"]["headers"]["Authorization"], "eyJ…(41 bytes)");
        assert_eq!(
            seen["event"]["multiValueHeaders"]["authorization"][0],
            "Bearer opa…(6 bytes)"
        );
        assert_eq!(seen["event"]["rawQueryString"], "a=1&t=eyJ…(41 bytes)");
    }

    #[tokio::test]
    async fn a_long_body_is_cut_between_two_characters() {
        let body = format!("a{}", "ä".repeat(SHOWN_BODY));
        let seen = seen(&json!({ "body": body })).await;
        let shown = seen["event"]["body"].as_str().unwrap();
        let (text, rest) = shown.split_once('…').unwrap();
        assert_eq!((text.len(), rest), (SHOWN_BODY - 1, "(131073 bytes)"));
        let whole = "b".repeat(SHOWN_BODY);
        assert_eq!(
            self::seen(&json!({ "body": whole })).await["event"]["body"],
            whole
        );
    }

    #[tokio::test]
    async fn another_request_is_no_invocation() {
        for path in [
            "/",
            "/2015-03-31/functions//invocations",
            "/2015-03-31/functions/a/b/invocations",
            "/2015-03-31/functions/a/invocations/",
        ] {
            assert_eq!(invoke(path, "{}").await.0, StatusCode::NOT_FOUND, "{path}");
        }
        let get = Request::get(INVOCATION).body(Full::<Bytes>::default());
        assert_eq!(answer(get.unwrap()).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(invoke(INVOCATION, "{").await.0, StatusCode::BAD_REQUEST);
        let long = vec![b' '; MAX_PAYLOAD + 1];
        assert_eq!(
            invoke(INVOCATION, long).await.0,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
