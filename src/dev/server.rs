//! A small HTTP/1 server on its own thread, used by the embedded issuer and the echo.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::web;

/// The largest number of connections at the same time; more wait to be accepted. The gateway and a
/// few `curl`s need far fewer.
const CONNECTIONS: usize = 512;

/// A running server, which stops when this is dropped.
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a bound listener; `answer` answers every request.
    pub(super) fn start<A, F>(
        thread_name: &str,
        listener: TcpListener,
        answer: A,
    ) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + 'static,
    {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = accept(listener, answer) => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name(thread_name.into())
            .spawn(serve)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the address of the listener.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported there.
            let _ = thread.join();
        }
    }
}

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<Full<Bytes>>> + 'static,
{
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => web::serve(&listener, CONNECTIONS, answer).await,
        Err(error) => tracing::error!(%error, "the listener of dev cannot be used"),
    }
}
