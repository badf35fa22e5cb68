use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::coop::{consume_budget, has_budget_remaining};
use tokio::time::timeout;

use super::super::counted_stream::OpenConnection;
use super::*;
use crate::clock;
use crate::net::Stream;
use crate::upstream::{Upstream, fixture};

/// A request body that a test controls.
#[derive(Clone, Default)]
pub(in super::super) struct Script(Rc<RefCell<Lines>>);

#[derive(Default)]
struct Lines {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    has_ended: bool,
    waits: Option<Waker>,
}

impl Script {
    pub(super) fn say(&self, frame: Result<&[u8], io::Error>) {
        self.say_frame(frame.map(|data| Frame::data(Bytes::copy_from_slice(data))));
    }

    pub(super) fn say_trailers(&self, trailers: HeaderMap) {
        self.say_frame(Ok(Frame::trailers(trailers)));
    }

    fn say_frame(&self, frame: io::Result<Frame<Bytes>>) {
        let mut lines = self.0.borrow_mut();
        lines.frames.push_back(frame);
        lines.waits.take().inspect(Waker::wake_by_ref);
    }

    /// Returns whether the last frame was not taken yet.
    fn is_unheard(&self) -> bool {
        !self.0.borrow().frames.is_empty()
    }

    pub(super) fn end(&self) {
        let mut lines = self.0.borrow_mut();
        lines.has_ended = true;
        lines.waits.take().inspect(Waker::wake_by_ref);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut lines = self.0.borrow_mut();
        match lines.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if lines.has_ended => Poll::Ready(None),
            None => {
                lines.waits = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let lines = self.0.borrow();
        lines.has_ended && lines.frames.is_empty()
    }
}

pub(in super::super) fn upstream() -> Arc<Upstream> {
    fixture::upstream(fixture::settings("http://127.0.0.1:1/"))
}

/// A connection and its other end.
pub(in super::super) fn connection(upstream: &Arc<Upstream>) -> (Http1<Script>, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let stream = Stream::Unix(near);
    let term = ReuseLimit::new(
        &upstream.endpoints[0],
        &stream,
        clock::monotonic() + Duration::from_secs(1000),
    );
    let place = upstream.connection_limit.try_acquire().unwrap();
    let wire = CountedStream::new(stream, OpenConnection::new(upstream.clone(), place));
    (Http1::new(wire, term, upstream.settings.response_head), far)
}

pub(in super::super) fn get(method: Method) -> Outgoing<Script> {
    let body = Script::default();
    body.end();
    outgoing(
        Request::builder()
            .method(method)
            .uri("/")
            .body(body)
            .unwrap(),
    )
}

fn post(body: &Script) -> Outgoing<Script> {
    outgoing(Request::post("/").body(body.clone()).unwrap())
}

pub(super) fn outgoing(request: Request<Script>) -> Outgoing<Script> {
    let (head, body) = request.into_parts();
    Outgoing::new(head, Vec::new(), body)
}

pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("still not: {what}"))
}

/// Reads the rest of a response.
pub(super) async fn body(http1: &mut Http1<Script>) -> Result<(Vec<u8>, HeaderMap), StreamError> {
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| http1.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap()),
        }
    }
    Ok((body, trailers))
}

/// Reads from the upstream's end until the bytes end with `end`.
pub(super) async fn arrives(far: &mut UnixStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 4096];
        let count = in_time(end, far.read(&mut bytes)).await.unwrap();
        assert!(count > 0, "it has ended after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

fn is_good(http1: &mut Http1<Script>) -> bool {
    http1.is_over() && http1.is_good(clock::monotonic(), Waker::noop())
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn exchanges_follow_one_another_on_a_connection() {
    let (mut http1, mut far) = connection(&upstream());
    for round in 0..3 {
        let answer = if round == 1 {
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..]
        } else {
            OK
        };
        let mut request = get(Method::GET);
        let (response, ()) = tokio::join!(http1.send(&mut request), async {
            assert_eq!(
                arrives(&mut far, "\r\n\r\n").await,
                "GET / HTTP/1.1\r\n\r\n"
            );
            far.write_all(answer).await.unwrap();
        });
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(body(&mut http1).await.unwrap().0, b"ok");
        assert!(is_good(&mut http1), "after exchange {round}");
        http1.shrink();
    }
}

// Bytes between two exchanges, or after a response, belong to no exchange.
#[tokio::test]
async fn what_nobody_asked_for_ends_a_connection() {
    let upstream = upstream();
    for (answer, later) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"[..],
            &b""[..],
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n\r\n", b""),
        (OK, OK),
        (OK, b"\r\n"),
    ] {
        let (mut http1, mut far) = connection(&upstream);
        far.write_all(answer).await.unwrap();
        http1.send(&mut get(Method::GET)).await.unwrap();
        body(&mut http1).await.unwrap();
        assert_eq!(
            is_good(&mut http1),
            !later.is_empty(),
            "after {}",
            answer.escape_ascii()
        );
        if !later.is_empty() {
            watched(&mut http1, far.write_all(later)).await.unwrap();
            assert!(!is_good(&mut http1), "{} came", later.escape_ascii());
        }
    }
}

// The runtime tells a task that has used up its budget that no socket is ready.
#[tokio::test]
async fn a_busy_task_sees_what_nobody_asked_for() {
    let (mut http1, mut far) = connection(&upstream());
    far.write_all(OK).await.unwrap();
    http1.send(&mut get(Method::GET)).await.unwrap();
    body(&mut http1).await.unwrap();
    watched(&mut http1, far.write_all(OK)).await.unwrap();
    while has_budget_remaining() {
        let _ = pin!(consume_budget()).poll(&mut Context::from_waker(Waker::noop()));
    }
    assert!(!is_good(&mut http1));
}

// Over HTTP/2 the end of a body often arrives as an empty frame: nothing must be written for it,
// and the connection must go on polling.
#[tokio::test]
async fn an_empty_piece_of_a_body_stops_nothing() {
    let (mut http1, mut far) = connection(&upstream());
    let upload = Script::default();
    let mut request = post(&upload);
    let local = tokio::task::LocalSet::new();
    // A task of its own, so that only the events that it waits for wake it.
    let sending =
        local.spawn_local(async move { http1.send(&mut request).await.map(|head| head.status()) });
    let upstream = async {
        upload.say(Ok(b"a"));
        arrives(&mut far, "\r\n1\r\na").await;
        for _ in 0..3 {
            upload.say(Ok(b""));
            while upload.is_unheard() {
                tokio::task::yield_now().await;
            }
        }
        upload.end();
        assert_eq!(arrives(&mut far, "0\r\n\r\n").await, "\r\n0\r\n\r\n");
        far.write_all(OK).await.unwrap();
    };
    in_time("sent", local.run_until(upstream)).await;
    assert_eq!(
        in_time("answered", local.run_until(sending))
            .await
            .unwrap()
            .unwrap(),
        200
    );
}

// An early response is accepted, and the rest of the request is still sent.
#[tokio::test]
async fn an_upload_goes_on_behind_an_early_response() {
    let (mut http1, mut far) = connection(&upstream());
    let upload = Script::default();
    let mut request = post(&upload);
    far.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    http1.send(&mut request).await.unwrap();
    let (whole, ()) = tokio::join!(body(&mut http1), async {
        upload.say(Ok(b"ab"));
        arrives(&mut far, "\r\n2\r\nab").await;
        far.write_all(b"2\r\nok\r\n").await.unwrap();
        upload.end();
        assert_eq!(arrives(&mut far, "0\r\n\r\n").await, "\r\n0\r\n\r\n");
        far.write_all(b"0\r\n\r\n").await.unwrap();
    });
    assert_eq!(whole.unwrap().0, b"ok");
    assert!(is_good(&mut http1), "both messages have ended");
}

#[tokio::test]
async fn a_connection_whose_request_is_not_out_is_not_used_again() {
    let (mut http1, mut far) = connection(&upstream());
    let upload = Script::default();
    far.write_all(OK).await.unwrap();
    http1.send(&mut post(&upload)).await.unwrap();
    assert_eq!(body(&mut http1).await.unwrap().0, b"ok");
    assert!(!http1.is_over(), "the upload goes on");
    // An endless request that the upstream does not read.
    let (mut http1, mut far) = connection(&upstream());
    let upload = Script::default();
    upload.say(Ok(&vec![0; 8 << 20]));
    upload.end();
    far.write_all(OK).await.unwrap();
    http1.send(&mut post(&upload)).await.unwrap();
    assert_eq!(body(&mut http1).await.unwrap().0, b"ok");
    assert!(!http1.is_over(), "the last piece waits for room");
}

// An upload that fails is not completed with a false end, and the response is not waited for.
#[tokio::test]
async fn an_upload_that_fails_ends_its_exchange() {
    let upstream = upstream();
    let failed = || Err(io::ErrorKind::ConnectionReset.into());
    let (mut http1, mut far) = connection(&upstream);
    let upload = Script::default();
    upload.say(Ok(b"ab"));
    upload.say(failed());
    let fault = http1.send(&mut post(&upload)).await.unwrap_err();
    assert!(
        matches!(fault.fault, Fault::Request) && !fault.is_unsent,
        "{fault:?}"
    );
    drop(http1);
    let mut sent = String::new();
    far.read_to_string(&mut sent).await.unwrap();
    assert!(!sent.ends_with("0\r\n\r\n"), "{sent:?}");
    // Once the response has begun, the part of it that has arrived is returned, and no more is
    // waited for.
    for (begun, is_whole) in [(&b""[..], false), (b"o", false), (b"ok", true)] {
        let (mut http1, mut far) = connection(&upstream);
        let upload = Script::default();
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            .await
            .unwrap();
        http1.send(&mut post(&upload)).await.unwrap();
        if !begun.is_empty() {
            watched(&mut http1, far.write_all(begun)).await.unwrap();
        }
        upload.say(failed());
        let read = in_time("it ends", body(&mut http1)).await;
        assert_eq!(read.is_ok(), is_whole, "{read:?}");
        assert!(is_whole || matches!(read, Err(StreamError::Request)));
        assert!(!http1.is_over());
    }
}

// A response that arrived before the connection failed takes precedence over the failure.
#[tokio::test]
async fn a_response_is_read_although_the_rest_of_the_request_is_not_taken() {
    let (mut http1, mut far) = connection(&upstream());
    let upload = Script::default();
    upload.say(Ok(&vec![0; 8 << 20]));
    let mut request = post(&upload);
    let (response, ()) = tokio::join!(http1.send(&mut request), async {
        far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            .await
            .unwrap();
        drop(far);
    });
    assert_eq!(response.unwrap().status(), 413);
    assert_eq!(in_time("it ends", body(&mut http1)).await.unwrap().0, b"no");
    assert!(!http1.is_over());
}

#[tokio::test]
async fn a_connection_that_ends_tells_whether_anything_was_answered() {
    let upstream = upstream();
    for (said, unanswered) in [
        (&b""[..], true),
        (b"H", false),
        (b"HTTP/1.1 100 Continue\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\n", false),
    ] {
        let (mut http1, mut far) = connection(&upstream);
        let mut request = get(Method::GET);
        let (result, ()) = tokio::join!(http1.send(&mut request), async {
            arrives(&mut far, "\r\n\r\n").await;
            far.write_all(said).await.unwrap();
            far.shutdown().await.unwrap();
        });
        let failed = result.unwrap_err();
        assert!(
            matches!(failed.fault, Fault::Closed(_)) && !failed.is_unsent,
            "{failed:?}"
        );
        assert_eq!(failed.is_unanswered, unanswered, "{}", said.escape_ascii());
    }
    // No part of the request could be written.
    let (mut http1, far) = connection(&upstream);
    drop(far);
    let failed = http1.send(&mut get(Method::GET)).await.unwrap_err();
    assert!(failed.is_unsent && failed.is_unanswered, "{failed:?}");
}

#[tokio::test]
async fn interim_responses_are_skipped_and_have_a_bound() {
    let upstream = upstream();
    for (count, expected) in [(MAX_INTERIM, true), (MAX_INTERIM + 1, false)] {
        let (mut http1, mut far) = connection(&upstream);
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(count);
        far.write_all(&[&interim[..], OK].concat()).await.unwrap();
        assert_eq!(
            http1.send(&mut get(Method::GET)).await.is_ok(),
            expected,
            "{count}"
        );
    }
}

// Bodies in both directions at a time, larger than any buffer, in small parts.
#[tokio::test]
async fn large_bodies_go_both_ways_at_a_time() {
    const SIZE: usize = 16 << 20;
    let (mut http1, far) = connection(&upstream());
    let upload = Script::default();
    (0..SIZE / (64 << 10)).for_each(|_| upload.say(Ok(&[7; 64 << 10])));
    upload.end();
    let mut request = post(&upload);
    let echo = async {
        let (mut incoming, mut outgoing) = far.into_split();
        outgoing
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
            .await
            .unwrap();
        tokio::io::copy(&mut incoming, &mut outgoing).await.unwrap();
    };
    let exchange = async {
        http1.send(&mut request).await.unwrap();
        let (mut count, mut largest, mut tail) = (0, 0, Vec::new());
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            let frame = poll_fn(|cx| http1.poll_frame(cx))
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap();
            (count, largest) = (count + frame.len(), largest.max(frame.len()));
            tail.extend_from_slice(&frame);
            tail.drain(..tail.len().saturating_sub(7));
        }
        drop(http1);
        (count, largest)
    };
    let ((count, largest), ()) =
        in_time("all is back", async { tokio::join!(exchange, echo) }).await;
    assert!(count > SIZE, "{count}");
    assert!(largest <= 2 * MOST_READ, "a piece of {largest} bytes");
}

// An idle connection keeps no more memory than a usual exchange needs, whatever it has carried.
#[tokio::test]
async fn an_idle_connection_keeps_little_memory() {
    for taken in [MOST_READ, MOST_READ - 1, LEAST_READ + 1] {
        let (mut http1, mut far) = connection(&upstream());
        far.write_all(&vec![b'x'; taken]).await.unwrap();
        while http1.read.len() < taken {
            poll_fn(|cx| http1.poll_read(cx, MOST_READ)).await.unwrap();
        }
        drop(http1.read.split());
        http1.shrink();
        assert!(
            !http1.read.try_reclaim(LEAST_READ + 1),
            "after {taken} bytes"
        );
    }
    // The memory that most exchanges need is kept.
    let (mut http1, mut far) = connection(&upstream());
    far.write_all(OK).await.unwrap();
    http1.send(&mut get(Method::GET)).await.unwrap();
    body(&mut http1).await.unwrap();
    http1.shrink();
    assert!(
        http1.read.try_reclaim(LEAST_READ),
        "it would be asked for again"
    );
}

// An exchange that is dropped between any two steps leaves a connection that is not used again,
// unless the exchange was over.
#[tokio::test]
async fn an_exchange_that_is_given_up_leaves_no_half_used_connection() {
    let upstream = upstream();
    let mut steps = 0;
    loop {
        let (mut http1, mut far) = connection(&upstream);
        let upload = Script::default();
        let mut request = post(&upload);
        let mut script: VecDeque<(&str, &[u8])> = VecDeque::from([
            ("up", &b"ab"[..]),
            ("down", b"HTTP/1.1 200 O"),
            ("down", b"K\r\ntransfer-encoding: chunked\r\n\r\n1\r\n"),
            ("up", b"cd"),
            ("down", b"x\r"),
            ("end", b""),
            ("down", b"\n0\r\n"),
            ("down", b"\r\n"),
        ]);
        let whole = steps >= script.len();
        script.truncate(steps);
        let mut exchange = Box::pin(async {
            http1.send(&mut request).await.unwrap();
            body(&mut http1).await.unwrap();
        });
        let mut ended = false;
        for (who, what) in script {
            ended |= step(&mut exchange).await;
            match who {
                "up" => upload.say(Ok(what)),
                "down" => far.write_all(what).await.unwrap(),
                _ => upload.end(),
            }
        }
        if whole {
            in_time("it ends", &mut exchange).await;
        } else if !ended {
            step(&mut exchange).await;
        }
        drop(exchange);
        // No work has begun before the first step.
        assert_eq!(is_good(&mut http1), whole, "given up after {steps} steps");
        if whole {
            break;
        }
        steps += 1;
    }
}

/// Polls a future as long as it makes progress. Returns whether it has ended.
async fn step(future: &mut (impl Future + Unpin)) -> bool {
    // The runtime runs twice, so that written bytes have arrived.
    for _ in 0..2 {
        if poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_ready())).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Waits until the connection has noticed an event at its other end.
async fn watched<T>(http1: &mut Http1<Script>, act: impl Future<Output = T>) -> T {
    poll_fn(|cx| {
        assert!(http1.is_silent(cx.waker()));
        Poll::Ready(())
    })
    .await;
    let done = act.await;
    let mut is_first = true;
    let woken = poll_fn(|_| {
        if std::mem::take(&mut is_first) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    in_time("noticed", woken).await;
    done
}
