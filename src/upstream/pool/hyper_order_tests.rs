//! The assumptions about hyper's HTTP/2 client, each held against hyper and h2 themselves.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

use super::*;

type Server = h2::server::Connection<DuplexStream, Bytes>;

/// The steps of hyper, in the order in which it took them.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<&'static str>>>);

impl Notes {
    fn push(&self, note: &'static str) {
        self.0.borrow_mut().push(note);
    }
}

impl<F: Future + 'static> Executor<F> for Notes {
    fn execute(&self, task: F) {
        self.push("a task");
        spawn_local(async move { drop(task.await) });
    }
}

/// A body that does not come.
struct Endless {
    asked: Box<dyn Fn()>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        (self.asked)();
        false
    }
}

fn request<B>(body: B) -> Request<B> {
    Request::builder().uri("http://a/").body(body).unwrap()
}

/// Lets all other tasks run.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let test = async {
        timeout(Duration::from_secs(20), test)
            .await
            .expect("it comes to an end");
    };
    runtime.block_on(LocalSet::new().run_until(test));
}

/// A client whose connection is driven, and the server.
async fn connected<B, E>(executor: E) -> (SendRequest<B>, Server)
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
    E: hyper::rt::bounds::Http2ClientConnExec<B, TokioIo<DuplexStream>> + Unpin + Clone + 'static,
{
    let (near, far) = tokio::io::duplex(1 << 16);
    let client = http2::Builder::new(executor).handshake(TokioIo::new(near));
    let (client, server) = tokio::join!(client, h2::server::handshake(far));
    let (sender, connection) = client.unwrap();
    spawn_local(drive(connection));
    (sender, server.unwrap())
}

async fn drive<B, E>(connection: Connection<TokioIo<DuplexStream>, B, E>)
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
    E: hyper::rt::bounds::Http2ClientConnExec<B, TokioIo<DuplexStream>> + Unpin + Clone + 'static,
{
    let _ = connection.await;
}

#[test]
fn the_tasks_of_a_stream_are_started_after_its_body_was_asked_and_before_the_next_stream() {
    run(async {
        let notes = Notes::default();
        let (mut sender, mut server) = connected(notes.clone()).await;
        spawn_local(async move { while server.accept().await.is_some() {} });
        let mut responses = Vec::new();
        for name in ["the first body", "the second body"] {
            let notes = notes.clone();
            let asked = Box::new(move || notes.push(name));
            responses.push(spawn_local(sender.send_request(request(Endless { asked }))));
        }
        settle().await;
        let expected = [
            "a task",
            "the first body",
            "a task",
            "a task",
            "the second body",
            "a task",
            "a task",
        ];
        assert_eq!(*notes.0.borrow(), expected);
    });
}

#[test]
fn the_first_task_is_that_of_the_connection() {
    run(async {
        let tasks = Tasks::default();
        let (mut sender, mut server) = connected::<Empty<Bytes>, _>(tasks.clone()).await;
        let response = spawn_local(sender.send_request(request(Empty::new())));
        assert!(server.accept().await.unwrap().is_ok());
        tasks.abort();
        assert!(!matches!(server.accept().await, Some(Ok(_))));
        assert!(response.await.unwrap().is_err());
    });
}

#[test]
fn closing_a_gate_resets_its_stream_alone() {
    run(async {
        let tasks = Tasks::default();
        let (mut sender, mut server) = connected(tasks.clone()).await;
        let gates: [Rc<Gate>; 2] = Default::default();
        for gate in &gates {
            let opening = Opening::new(tasks.clone(), gate.clone());
            let asked = Box::new(move || opening.asked());
            spawn_local(sender.send_request(request(Endless { asked })));
        }
        let (mut first, _answer) = server.accept().await.unwrap().unwrap();
        let (mut second, _other) = server.accept().await.unwrap().unwrap();
        spawn_local(async move { while server.accept().await.is_some() {} });
        gates[0].close();
        let failed = first.body_mut().data().await.unwrap().unwrap_err();
        assert_eq!(failed.reason(), Some(h2::Reason::CANCEL), "{failed}");
        let data = second.body_mut();
        let waits = timeout(Duration::from_millis(10), data.data()).await;
        assert!(waits.is_err(), "the other goes on");
    });
}

#[test]
fn a_body_that_is_cut_by_no_error_is_told_from_a_whole_one() {
    run(async {
        let (mut sender, mut server) = connected::<Empty<Bytes>, _>(Tasks::default()).await;
        spawn_local(async move {
            let mut is_whole = true;
            while let Some(Ok((_, mut answer))) = server.accept().await {
                let mut body = answer.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"a part"), is_whole)
                    .unwrap();
                if !is_whole {
                    spawn_local(async move {
                        settle().await;
                        body.send_reset(h2::Reason::NO_ERROR);
                    });
                }
                is_whole = false;
            }
        });
        for expected in [false, true] {
            let response = sender.send_request(request(Empty::new())).await.unwrap();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                assert!(frame.is_ok(), "it looks complete");
            }
            assert_eq!(is_cut(&body), expected);
        }
    });
}

#[test]
fn no_stream_is_allowed_before_the_settings_of_the_peer() {
    run(async {
        let (near, far) = tokio::io::duplex(1 << 16);
        let builder = http2::Builder::new(Tasks::default())
            .initial_max_send_streams(0)
            .clone();
        let client = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(near));
        let (_sender, mut connection) = client.await.unwrap();
        settle().await;
        assert_eq!(connection.current_max_send_streams(), 0);
        let mut server = h2::server::handshake(far).await.unwrap();
        spawn_local(async move { while server.accept().await.is_some() {} });
        settle().await;
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx)));
        assert!(polled.await.is_pending());
        assert!(connection.current_max_send_streams() > 0);
    });
}
