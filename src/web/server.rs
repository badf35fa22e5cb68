//! A small HTTP/1.1 server: one accept loop for the listeners that are not for traffic.

use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// The time for a request head, counted from the accept or the answer before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The delay after an accept that failed because file descriptors ran out.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Serves a listener until the task is dropped; `answer` answers every request. Beyond
/// `max_connections` at a time, further ones wait to be accepted. Runs in a `LocalSet`.
pub async fn serve<A, F>(listener: &TcpListener, max_connections: usize, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let slots = Arc::new(Semaphore::new(max_connections));
    let spare = Rc::new(SpareDescriptor::new());
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = accept(listener, &spare).await;
        let (answer, spare) = (answer.clone(), spare.clone());
        spawn_local(async move {
            serve_connection(stream, answer).await;
            spare.refill();
            drop(slot);
        });
    }
}

/// Accepts the next connection, if need be with the spare descriptor.
async fn accept(listener: &TcpListener, spare: &SpareDescriptor) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spare.refill();
                return stream;
            }
            Err(_) if spare.release() => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve_connection<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    // A client that closes its side after its request still gets its answer (RFC 9112 §9.6).
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // An error, such as a scraper that has left, concerns this connection only.
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A file descriptor in reserve. It is closed to accept one connection when no other descriptor is
/// left: a supervisor that gets no answer from `/livez` would restart a gateway that is only busy.
struct SpareDescriptor(Cell<Option<OwnedFd>>);

impl SpareDescriptor {
    fn new() -> Self {
        Self(Cell::new(Self::open()))
    }

    fn open() -> Option<OwnedFd> {
        std::io::stderr().as_fd().try_clone_to_owned().ok()
    }

    /// Closes the descriptor, and returns whether there was one.
    fn release(&self) -> bool {
        self.0.take().is_some()
    }

    /// Opens the descriptor again if it was closed.
    fn refill(&self) {
        self.0.set(self.0.take().or_else(Self::open));
    }
}
