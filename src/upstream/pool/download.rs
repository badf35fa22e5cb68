//! A response body, and the connection that it arrives on.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::StreamError;
use super::connections::Connections;
use super::counted_stream::CountedStream;
use super::http1::Http1;
use super::http2::{Http2Stream, MISNAMED, has_misnamed};
use super::hyper_order::is_cut;
use super::sending::Sending;
use crate::net::{Layer, Layered, Unread};

/// A response body as it arrives. If it is dropped before its end, its connection is closed or its
/// stream reset.
pub(in super::super) struct Download<B: Body<Data = Bytes>>(Option<Source<B>>);

enum Source<B> {
    Connection(Box<Http1<B>>, Rc<Connections<B>>),
    /// The rest of the request is sent even if the response is not read.
    Sending(Sending<B>, Rc<Connections<B>>),
    Http2Stream(
        Incoming,
        #[expect(dead_code, reason = "it is there to be dropped")] Http2Stream<B>,
    ),
}

impl<B: Body<Data = Bytes>> Download<B> {
    pub(super) fn stream(incoming: Incoming, stream: Http2Stream<B>) -> Self {
        Self(Some(Source::Http2Stream(incoming, stream)))
    }

    pub(in super::super) fn has_ended(&self) -> bool {
        match &self.0 {
            Some(Source::Connection(connection, _)) => connection.has_ended(),
            Some(Source::Sending(sending, _)) => sending.has_ended(),
            Some(Source::Http2Stream(incoming, _)) => incoming.is_end_stream(),
            None => true,
        }
    }

    pub(in super::super) fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(Source::Connection(connection, _)) => connection.size_hint(),
            Some(Source::Sending(sending, _)) => sending.size_hint(),
            Some(Source::Http2Stream(incoming, _)) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }

    /// Frees the memory for the next part of the body.
    pub(in super::super) fn release_buffer(&mut self) {
        match &mut self.0 {
            Some(Source::Connection(connection, _)) => connection.release_buffer(),
            Some(Source::Sending(sending, _)) => sending.release_buffer(),
            Some(Source::Http2Stream(..)) | None => {}
        }
    }

    pub(in super::super) fn into_switched(mut self) -> Option<UpgradedConnection> {
        let connection = match self.0.take()? {
            Source::Connection(connection, _) => connection,
            Source::Sending(sending, _) => sending.end()?,
            Source::Http2Stream(..) => return None,
        };
        let (stream, read) = connection.into_switched();
        let mut unread = Unread::default();
        unread.put_back(read);
        Some(UpgradedConnection(Rewound { stream, unread }))
    }
}

impl<B> Download<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn connection(connection: Box<Http1<B>>, connections: Rc<Connections<B>>) -> Self {
        Self(Some(
            if connection.is_sending() && !connection.has_ended() {
                Source::Sending(Sending::begin(connection), connections)
            } else {
                Source::Connection(connection, connections)
            },
        ))
    }
}

impl<B> Download<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(in super::super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.0 {
            Some(Source::Connection(connection, _)) => connection.poll_frame(cx),
            Some(Source::Sending(sending, _)) => sending.poll_frame(cx),
            Some(Source::Http2Stream(incoming, _)) => match Pin::new(&mut *incoming).poll_frame(cx)
            {
                Poll::Ready(None) if is_cut(incoming) => Poll::Ready(Some(Err(StreamError::Ended))),
                Poll::Ready(Some(Ok(frame))) if frame.trailers_ref().is_some_and(has_misnamed) => {
                    Poll::Ready(Some(Err(StreamError::Malformed(MISNAMED))))
                }
                poll => poll.map_err(StreamError::Stream),
            },
            None => Poll::Ready(None),
        }
    }
}

impl<B: Body<Data = Bytes>> Drop for Download<B> {
    fn drop(&mut self) {
        let (connection, connections) = match self.0.take() {
            Some(Source::Connection(connection, connections)) => (connection, connections),
            Some(Source::Sending(sending, connections)) => match sending.end() {
                Some(connection) => (connection, connections),
                None => return,
            },
            Some(Source::Http2Stream(..)) | None => return,
        };
        if connection.is_over() {
            connections.keep(connection);
        }
    }
}

/// A connection that has switched to another protocol. It belongs to no pool any more.
pub(in super::super) struct UpgradedConnection(Rewound);

impl UpgradedConnection {
    /// Returns the byte stream of the other protocol.
    pub(in super::super) fn into_stream(self) -> impl AsyncRead + AsyncWrite {
        Layered(self.0)
    }
}

/// The layer that begins with the bytes that were read after the response head.
struct Rewound {
    stream: CountedStream,
    unread: Unread,
}

impl Layer for Rewound {
    type Below = CountedStream;

    fn below(&mut self) -> io::Result<Pin<&mut CountedStream>> {
        Ok(Pin::new(&mut self.stream))
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.read(buffer) {
            return Poll::Ready(Ok(()));
        }
        self.below()?.poll_read(cx, buffer)
    }
}
