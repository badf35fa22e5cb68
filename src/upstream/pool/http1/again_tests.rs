//! Requests that are sent over HTTP/1.1 after a part of their body was sent over HTTP/2.

use http::header::TRAILER;
use tokio::io::AsyncWriteExt as _;

use super::tests::{Script, arrives, connection, in_time, outgoing, upstream};
use super::*;

/// A body of which an earlier attempt has taken some frames.
fn begun(body: Script, frames: usize, limit: usize) -> Content<Script> {
    let mut content = Content::Untouched(body);
    let kept = content.keep(limit).unwrap();
    let mut position = kept.begin();
    for _ in 0..frames {
        assert!(
            kept.poll_frame(&mut position, &mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
    }
    content
}

fn post(body: Content<Script>) -> Outgoing<Script> {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(TRAILER, "x-sum");
    let mut request = outgoing(request.body(Script::default()).unwrap());
    request.body = body;
    request
}

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn what_was_taken_elsewhere_goes_before_the_rest() {
    for frames in 0..=2 {
        let body = Script::default();
        body.say(Ok(b"hello"));
        body.say(Ok(b"abc"));
        let upstream = upstream();
        let (mut http1, mut far) = connection(&upstream);
        let mut request = post(begun(body.clone(), frames, 100));
        body.say(Ok(b"rest"));
        body.end();
        let other = async {
            let text = arrives(&mut far, "0\r\n\r\n").await;
            far.write_all(ANSWER).await.unwrap();
            text
        };
        let exchange = async { tokio::join!(http1.send(&mut request), other) };
        let (response, text) = in_time("it is answered", exchange).await;
        assert_eq!(response.unwrap().status(), 204);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST / HTTP/1.1\r\n") && head.contains("transfer-encoding: chunked"),
            "{head}"
        );
        let expected = [
            "5\r\nhello\r\n3\r\nabc",
            "5\r\nhello\r\n3\r\nabc",
            "8\r\nhelloabc",
        ][frames];
        assert_eq!(
            body,
            format!("{expected}\r\n4\r\nrest\r\n0\r\n\r\n"),
            "{frames} were taken"
        );
        assert!(http1.is_over(), "the connection is good for another");
    }
}

#[tokio::test]
async fn what_has_ended_elsewhere_ends_here() {
    let body = Script::default();
    body.say(Ok(b"hello"));
    body.say_trailers(
        [("x-sum".parse().unwrap(), "5".parse().unwrap())]
            .into_iter()
            .collect(),
    );
    body.end();
    let upstream = upstream();
    let (mut http1, mut far) = connection(&upstream);
    let mut request = post(begun(body, 3, 100));
    let other = async {
        let text = arrives(&mut far, "x-sum: 5\r\n\r\n").await;
        far.write_all(ANSWER).await.unwrap();
        text
    };
    let exchange = async { tokio::join!(http1.send(&mut request), other) };
    let (response, text) = in_time("it is answered", exchange).await;
    assert_eq!(response.unwrap().status(), 204);
    assert!(
        text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"),
        "{text}"
    );
    assert!(http1.is_over());
}

#[tokio::test]
async fn what_is_not_whole_does_not_go() {
    let body = Script::default();
    body.say(Ok(b"hello"));
    let upstream = upstream();
    let (mut http1, mut far) = connection(&upstream);
    let mut request = post(begun(body, 1, 4));
    let failed = http1.send(&mut request).await.unwrap_err();
    assert!(matches!(failed.fault, Fault::Request) && !request.may_go_again(&failed));
    drop(http1);
    let mut nothing = Vec::new();
    far.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(nothing, b"");
}
