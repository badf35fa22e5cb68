//! The assumptions about hyper and h2, each held against the libraries themselves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Waker;

use http::{Method, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::telemetry::ConnectionError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Flush,
    /// The service is called.
    Serve,
}

/// A byte stream that notes the calls of hyper.
#[derive(Clone, Default)]
struct Wire(Rc<Ends>);

#[derive(Default)]
struct Ends {
    incoming: RefCell<VecDeque<u8>>,
    writes: RefCell<Vec<Vec<u8>>>,
    is_blocked: Cell<bool>,
    calls: RefCell<Vec<Call>>,
}

impl Wire {
    fn send(&self, bytes: impl AsRef<[u8]>) {
        self.0.incoming.borrow_mut().extend(bytes.as_ref());
    }

    fn written(&self) -> String {
        String::from_utf8(self.0.writes.borrow().concat()).unwrap()
    }

    fn calls(&self) -> Vec<Call> {
        self.0.calls.take()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.calls.borrow_mut().push(Call::Read);
        let mut incoming = self.0.incoming.borrow_mut();
        if incoming.is_empty() {
            return Poll::Pending;
        }
        let count = incoming.len().min(buffer.remaining());
        incoming
            .drain(..count)
            .for_each(|byte| buffer.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.calls.borrow_mut().push(Call::Write);
        if self.0.is_blocked.get() {
            return Poll::Pending;
        }
        self.0.writes.borrow_mut().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.calls.borrow_mut().push(Call::Flush);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A body of one piece, or one that does not come. Its drop can be seen by the guard.
struct Content {
    piece: Option<Bytes>,
    _guard: Rc<()>,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.piece.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.piece.as_ref().is_some_and(Bytes::is_empty)
    }
}

/// The end of a body: nothing follows the piece.
struct Whole(Content);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.piece.is_none()
    }
}

fn content(guard: &Rc<()>, piece: Option<&'static str>) -> Content {
    Content {
        piece: piece.map(|piece| Bytes::from_static(piece.as_bytes())),
        _guard: guard.clone(),
    }
}

/// Polls a connection once.
fn poll<F: Future>(connection: &mut Pin<&mut F>) -> Poll<F::Output> {
    connection
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Serves HTTP/1.1 as the gateway does.
macro_rules! serve {
    ($wire:expr, $service:expr) => {
        pin!(
            http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new($wire.clone()), service_fn($service))
        )
    };
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

type Answer<B> = Result<Response<B>, Infallible>;

#[test]
fn hyper_flushes_at_every_poll() {
    let (wire, guard) = (Wire::default(), Rc::new(()));
    let answers = Cell::new(false);
    let mut connection = serve!(wire, |_: Request<Incoming>| {
        poll_fn(|_| match answers.get() {
            true => Poll::Ready(Answer::Ok(Response::new(content(&guard, None)))),
            false => Poll::Pending,
        })
    });
    for step in ["it is idle", "the answer is made", "the answer is sent"] {
        for _ in 0..3 {
            assert!(poll(&mut connection).is_pending());
            assert!(wire.calls().contains(&Call::Flush), "{step}");
        }
        answers.set(wire.0.incoming.borrow().is_empty() && step != "it is idle");
        if step == "it is idle" {
            wire.send(GET);
        }
    }
}

#[test]
fn hyper_reads_nothing_while_an_answer_is_made_or_sent() {
    let (wire, guard) = (Wire::default(), Rc::new(()));
    let answers = Cell::new(false);
    let mut connection = serve!(wire, |_: Request<Incoming>| {
        poll_fn(|_| match answers.get() {
            true => Poll::Ready(Answer::Ok(Response::new(content(&guard, None)))),
            false => Poll::Pending,
        })
    });
    wire.send(GET);
    assert!(poll(&mut connection).is_pending());
    wire.calls();
    wire.send(GET);
    for _ in 0..3 {
        assert!(poll(&mut connection).is_pending());
        assert!(!wire.calls().contains(&Call::Read));
        answers.set(true);
    }
    assert!(wire.written().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_refusal_of_the_parser_ends_with_the_date() {
    let wire = Wire::default();
    let mut connection = serve!(wire, |_: Request<Incoming>| {
        pending::<Answer<Content>>()
    });
    wire.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    assert!(poll(&mut connection).is_ready());
    let written = wire.written();
    assert!(written.starts_with("HTTP/1.1 400"), "{written}");
    assert!(
        Bare::default().redated(written.as_bytes()).is_some(),
        "{written}"
    );
    let is_one_write = wire
        .calls()
        .iter()
        .filter(|call| **call == Call::Write)
        .count()
        == 1;
    assert!(is_one_write, "both pieces of a head get the same date");
}

#[test]
fn hyper_drops_a_body_when_its_end_is_queued_and_flushes_afterwards() {
    let (wire, guard) = (Wire::default(), Rc::new(()));
    let mut connection = serve!(wire, |_: Request<Incoming>| {
        let body = Whole(content(&guard, Some("whole")));
        async { Answer::Ok(Response::new(body)) }
    });
    wire.0.is_blocked.set(true);
    wire.send(GET);
    assert!(poll(&mut connection).is_pending());
    assert_eq!((Rc::strong_count(&guard), &*wire.written()), (1, ""));
    assert!(
        !wire.calls().contains(&Call::Flush),
        "the answer is not written"
    );
    wire.0.is_blocked.set(false);
    assert!(poll(&mut connection).is_pending());
    assert!(wire.written().contains("whole"));
    let calls = wire.calls();
    let written = calls.iter().rposition(|call| *call == Call::Write);
    let flushed = calls.iter().rposition(|call| *call == Call::Flush);
    assert!(written < flushed, "{calls:?}");
}

/// Returns the answer to a POST of which a part has arrived, and whose body nothing reads.
fn answered(body: &str, is_discarded: bool) -> String {
    let (wire, guard) = (Wire::default(), Rc::new(()));
    let mut connection = serve!(wire, |request: Request<Incoming>| {
        let guard = guard.clone();
        async move {
            drop(request);
            if is_discarded {
                discard_unread_body().await;
            }
            let body = Whole(content(&guard, Some("whole")));
            Answer::Ok(Response::new(body))
        }
    });
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    wire.send(body);
    for _ in 0..3 {
        let _ = poll(&mut connection);
    }
    wire.written()
}

#[test]
fn hyper_discards_an_unread_body_before_it_polls_the_walk_again() {
    let cut = answered("012", true);
    assert!(cut.contains("connection: close"), "{cut}");
    let whole = answered("0123456789", true);
    assert!(
        whole.contains("200 OK") && !whole.contains("connection"),
        "{whole}"
    );
    let at_once = answered("012", false);
    assert!(
        !at_once.contains("connection"),
        "it is not needed any more: {at_once}"
    );
}

// The layer checks what is read next as the body of the head.
#[test]
fn hyper_calls_the_service_before_it_reads_on_behind_a_head() {
    let wire = Wire::default();
    let mut connection = serve!(wire, |request: Request<Incoming>| {
        wire.0.calls.borrow_mut().push(Call::Serve);
        async move {
            let mut body = request.into_body();
            poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            pending::<Answer<Content>>().await
        }
    });
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(poll(&mut connection).is_pending());
    let mut calls = wire.calls();
    calls.retain(|call| *call != Call::Flush);
    assert_eq!(calls, [Call::Read, Call::Serve, Call::Read]);
}

// A parked connection keeps its beginning.
#[test]
fn the_rest_of_what_hyper_has_read_can_be_taken_back() {
    let wire = Wire::default();
    let service = service_fn(|_: Request<Incoming>| async {
        let body = Whole(content(&Rc::new(()), Some("whole")));
        Answer::Ok(Response::new(body))
    });
    let io = TokioIo::new(wire.clone());
    let mut connection = http1::Builder::new().serve_connection(io, service);
    wire.send([GET, "GET /half"].concat());
    assert!(poll(&mut Pin::new(&mut connection)).is_pending());
    assert!(wire.written().contains("whole"));
    assert_eq!(connection.into_parts().read_buf, "GET /half");
}

/// Returns the end of a connection with this head.
fn end_of(head: &str) -> ConnectionError {
    refused(head).0
}

/// Returns the end of a connection with this head, and what is left of the head.
fn refused(head: &str) -> (ConnectionError, Bytes) {
    let wire = Wire::default();
    let service = service_fn(|_: Request<Incoming>| pending::<Answer<Content>>());
    let mut builder = http1::Builder::new();
    builder.max_header_size(100_000);
    let mut connection = builder.serve_connection(TokioIo::new(wire.clone()), service);
    wire.send(head);
    loop {
        if let Poll::Ready(result) = poll(&mut Pin::new(&mut connection)) {
            let error = ConnectionError::of(&result.unwrap_err());
            return (error, connection.into_parts().read_buf);
        }
    }
}

#[test]
fn a_long_target_is_told_from_a_long_head() {
    let long = "a".repeat(70_000);
    let target = format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n");
    let field = format!("GET / HTTP/1.1\r\nx: {long}{long}\r\n\r\n");
    assert_eq!(end_of(&target), ConnectionError::HeadTargetTooLong);
    assert_eq!(end_of(&field), ConnectionError::HeadTooLarge);
}

// `request_line.rs` looks into the rest for the part that is malformed.
#[test]
fn hyper_tells_the_part_of_a_head_that_it_refuses_and_may_keep_the_head() {
    for (head, expected, is_kept) in [
        ("G\u{1}T / HTTP/1.1\r\n", ConnectionError::HeadMethod, true),
        (
            "GET /a?\"x\" HTTP/1.1\r\n",
            ConnectionError::HeadTarget,
            false,
        ),
        ("GET /a\r\n", ConnectionError::HeadTarget, true),
        ("GET /a HTTP/3.0\r\n", ConnectionError::HeadVersion, true),
        (
            "GET / HTTP/1.1\r\na b: x\r\n",
            ConnectionError::HeadField,
            true,
        ),
        (
            "GET / HTTP/1.1\r\ncontent-length: x\r\n",
            ConnectionError::HeadFraming,
            false,
        ),
    ] {
        let (error, rest) = refused(&format!("{head}\r\n"));
        assert_eq!((error, !rest.is_empty()), (expected, is_kept), "{head:?}");
    }
}

/// The body of an answer, poll by poll; `None` is a wait.
struct Scripted(VecDeque<Option<Result<Bytes, io::Error>>>);

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.0.pop_front() {
            Some(Some(piece)) => Poll::Ready(Some(piece.map(Frame::data))),
            Some(None) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

// `proxy/body.rs` therefore reports a failure at the poll after the last piece.
#[test]
fn hyper_writes_a_piece_before_a_failure_only_if_it_has_to_wait_for_it() {
    for (waits, expected) in [(true, true), (false, false)] {
        let wire = Wire::default();
        let mut connection = serve!(wire, |_: Request<Incoming>| {
            let mut script = VecDeque::from([Some(Ok(Bytes::from_static(b"piece")))]);
            script.extend(waits.then_some(None));
            script.push_back(Some(Err(io::ErrorKind::Other.into())));
            async move { Ok::<_, Infallible>(Response::new(Scripted(script))) }
        });
        wire.send(GET);
        let is_over = poll(&mut connection).is_ready() || poll(&mut connection).is_ready();
        assert_eq!(
            (is_over, wire.written().contains("piece")),
            (true, expected)
        );
    }
}

// A stream that was refused is counted by that frame.
#[test]
fn h2_writes_a_reset_of_a_malformed_request_in_one_piece() {
    let wire = Wire::default();
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // `:method`, `:scheme` and `:path` of the static table, and a `te` that HTTP/2 does not have.
    let head: &[u8] = &[0, 0, 9, 1, 5, 0, 0, 0, 1];
    let fields: &[u8] = &[0x82, 0x86, 0x84, 0, 2, b't', b'e', 1, b'b'];
    wire.send([preface, settings, head, fields].concat());
    let service = service_fn(|_: Request<Incoming>| pending::<Answer<Content>>());
    let builder = http2::Builder::new(Tasks::default());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire.clone()), service));
    for _ in 0..5 {
        assert!(poll(&mut connection).is_pending());
    }
    let reset: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let writes = wire.0.writes.borrow();
    let has_reset = |write: &Vec<u8>| write.windows(reset.len()).any(|part| part == reset);
    assert!(writes.iter().any(has_reset), "{writes:?}");
}

/// The tasks that hyper starts: whether each was started within the poll of another, and the steps
/// of all polls.
#[derive(Clone, Default)]
struct Tasks {
    step: StreamStep,
    is_polling: Rc<Cell<bool>>,
    started: Rc<RefCell<Vec<bool>>>,
    steps: Rc<RefCell<Vec<Option<Step>>>>,
}

impl<F: Future + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.started.borrow_mut().push(self.is_polling.get());
        let tasks = self.clone();
        let mut task = Box::pin(task);
        spawn_local(poll_fn(move |cx| {
            tasks.is_polling.set(true);
            let step = tasks.step.of_poll(|| task.as_mut().poll(cx).map(drop));
            tasks.is_polling.set(false);
            tasks.steps.borrow_mut().push(step);
            match step {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        }));
    }
}

/// The body of an answer, whose polls are noted.
struct Noted(Content, StreamStep);

impl Body for Noted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let poll = Pin::new(&mut self.0).poll_frame(cx);
        self.1.watch(poll)
    }
}

/// Sends a request over HTTP/2 to a client that opens a window, and returns the tasks.
async fn sent(method: Method, window: u32, answers: bool) -> Tasks {
    let tasks = Tasks::default();
    let (near, far) = tokio::io::duplex(1 << 16);
    let (step, guard) = (tasks.step.clone(), Rc::new(()));
    let service = service_fn(move |_: Request<Incoming>| {
        let body = Noted(content(&guard, Some("piece")), step.clone());
        let (step, mut body) = (step.clone(), Some(body));
        poll_fn(move |_| {
            let body = body.take().filter(|_| answers);
            step.watch(match body {
                Some(body) => Poll::Ready(Answer::Ok(Response::new(body))),
                None => Poll::Pending,
            })
        })
    });
    let server = http2::Builder::new(tasks.clone()).serve_connection(TokioIo::new(near), service);
    spawn_local(async move { drop(server.await) });
    let mut builder = h2::client::Builder::new();
    let handshake = builder
        .initial_window_size(window)
        .handshake::<_, Bytes>(far);
    let (mut client, connection) = handshake.await.unwrap();
    spawn_local(async move { drop(connection.await) });
    let request = Request::builder().method(method).uri("http://a:80/");
    let request = request.body(()).unwrap();
    let (response, _body) = client.send_request(request, false).unwrap();
    let response = async {
        // The body is kept, and nothing of it is read.
        let _response = response.await.unwrap();
        settle().await;
    };
    if answers {
        response.await;
    } else {
        settle().await;
    }
    tasks
}

/// Lets all other tasks run.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test))
}

// The walk was ready in that poll, and the body was not asked for its piece.
#[test]
fn the_task_of_a_stream_asks_for_no_piece_while_its_client_opens_no_window() {
    for (window, answers, expected) in [
        (1 << 16, false, Step::Answer),
        (1 << 16, true, Step::Answer),
        (0, true, Step::Piece),
    ] {
        let tasks = run(sent(Method::GET, window, answers));
        let steps = tasks.steps.borrow();
        assert_eq!(
            steps.last(),
            Some(&Some(expected)),
            "{window} {answers} {steps:?}"
        );
    }
}

#[test]
fn the_task_of_a_tunnel_is_started_by_that_of_its_stream() {
    let tasks = run(sent(Method::CONNECT, 1 << 16, true));
    assert_eq!(*tasks.started.borrow(), [false, true]);
    let tasks = run(sent(Method::GET, 1 << 16, true));
    assert_eq!(*tasks.started.borrow(), [false]);
}
