//! The baseline of scopegate: hyper, a runtime and a pool for each thread, and nothing else. It
//! forwards everything without a check. The difference is the cost of scopegate itself.
//!
//!     bare LISTEN UPSTREAM WORKERS

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [listen, upstream, workers] = &*arguments else {
        return;
    };
    let (listen, upstream): (SocketAddr, SocketAddr) =
        (listen.parse().unwrap(), upstream.parse().unwrap());
    let worker = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, serve(listen, upstream));
    };
    let threads: Vec<_> = (0..workers.parse().unwrap())
        .map(|_| std::thread::spawn(worker))
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) {
    let listener = listen_with_others(listen);
    let pool = Rc::new(Pool {
        upstream,
        idle: RefCell::default(),
    });
    let host = HeaderValue::try_from(upstream.to_string()).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (pool, host) = (pool.clone(), host.clone());
        let service = service_fn(move |request| {
            let (pool, host) = (pool.clone(), host.clone());
            async move { Ok::<_, Infallible>(forward(pool, host, request).await) }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Each worker has its own socket, between which the kernel distributes.
fn listen_with_others(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

async fn forward(
    pool: Rc<Pool>,
    host: HeaderValue,
    mut request: Request<Incoming>,
) -> Response<Reply> {
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    headers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    headers.insert(HOST, host);
    let Some(mut connection) = pool.connection().await else {
        return bad_gateway();
    };
    let Ok(mut response) = connection.send_request(request).await else {
        return bad_gateway();
    };
    remove_hop_by_hop(response.headers_mut());
    response.map(|body| Reply(Some((body, connection, pool))))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn bad_gateway() -> Response<Reply> {
    let mut response = Response::new(Reply(None));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// The idle connections of this worker.
struct Pool {
    upstream: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn connection(&self) -> Option<SendRequest<Incoming>> {
        loop {
            let Some(mut idle) = self.idle.borrow_mut().pop() else {
                return self.dial().await;
            };
            if idle.is_ready() || (!idle.is_closed() && idle.ready().await.is_ok()) {
                return Some(idle);
            }
        }
    }

    async fn dial(&self) -> Option<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.upstream).await.ok()?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        spawn_local(connection);
        Some(sender)
    }
}

/// A body that returns its connection to the pool when it ends.
struct Reply(Option<(Incoming, SendRequest<Incoming>, Rc<Pool>)>);

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some((body, ..)) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|(body, ..)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |(body, ..)| body.size_hint())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some((_, connection, pool)) = self.0.take()
            && !connection.is_closed()
        {
            pool.idle.borrow_mut().push(connection);
        }
    }
}
