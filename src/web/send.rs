//! One request on a connection of its own.

use std::pin::{Pin, pin};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::net::Stream;

/// The most bytes of a response head over HTTP/1.1.
const MAX_HEAD: usize = 32 * 1024;

/// The most bytes that are read ahead.
const MAX_BUFFER: usize = 64 * 1024;

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A response whose body has not been read. The connection is closed when this is dropped.
pub struct Answer {
    head: response::Parts,
    body: Incoming,
    connection: Connection,
    /// Kept, since a connection without its sender is closed.
    _sender: Sender,
}

/// The reason for which a body was not read whole.
#[derive(Debug)]
pub enum ReadError {
    /// The connection broke.
    Http(hyper::Error),
    /// The body has more bytes than allowed.
    TooLarge,
}

/// Sends a request, and waits for the head of the response. The caller sets a deadline.
///
/// # Errors
/// Returns the error of the connection, or of a response that is not HTTP.
pub async fn send(
    stream: Stream,
    protocol: Protocol,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Answer> {
    let (mut sender, mut connection) = begin(stream, protocol).await?;
    let response = connection.drive_until(sender.send(request)).await?;
    let (head, body) = response.into_parts();
    Ok(Answer {
        head,
        body,
        connection,
        _sender: sender,
    })
}

/// Begins HTTP on a connection.
async fn begin(stream: Stream, protocol: Protocol) -> hyper::Result<(Sender, Connection)> {
    let io = TokioIo::new(stream);
    Ok(match protocol {
        Protocol::Http1 => {
            let mut http = http1::Builder::new();
            http.max_buf_size(MAX_BUFFER).max_header_size(MAX_HEAD);
            let (sender, connection) = http.handshake(io).await?;
            (Sender::Http1(sender), Connection::new(connection))
        }
        Protocol::Http2 => {
            let http = http2::Builder::new(TokioExecutor::new());
            let (sender, connection) = http.handshake(io).await?;
            (Sender::Http2(sender), Connection::new(connection))
        }
    })
}

impl Answer {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the fields of the head.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Reads a body of at most `max_bytes`.
    ///
    /// # Errors
    /// Returns a [`ReadError`] if the body is longer, or breaks off.
    pub async fn read(mut self, max_bytes: u64) -> Result<Bytes, ReadError> {
        let read = read(self.body, max_bytes);
        self.connection.drive_until(read).await
    }
}

async fn read(mut body: Incoming, max_bytes: u64) -> Result<Bytes, ReadError> {
    // A body whose announced length is too large need not be read.
    if body.size_hint().lower() > max_bytes {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(ReadError::Http)?.into_data() else {
            continue;
        };
        if (bytes.len() + piece.len()) as u64 > max_bytes {
            return Err(ReadError::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// The side of a connection that takes requests.
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// The side of a connection that reads and writes, until it has ended.
struct Connection(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Connection {
    fn new(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        // An error of the connection is also the error of its one exchange.
        Self(Some(Box::pin(async { drop(connection.await) })))
    }

    /// Drives the connection until `part` of its exchange is over.
    async fn drive_until<T>(&mut self, part: impl Future<Output = T>) -> T {
        let mut part = pin!(part);
        if let Some(connection) = &mut self.0 {
            tokio::select! {
                biased;
                output = &mut part => return output,
                () = connection => self.0 = None,
            }
        }
        // The connection has ended first. The part then has its last bytes, or its error.
        part.await
    }
}
