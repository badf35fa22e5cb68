//! A guard against frames by which an HTTP/2 upstream makes the gateway work for nothing.
//!
//! An exchange that waits for its response has a deadline, but frames on its connection are still
//! read and processed after it, at the cost of the worker's other requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::counted_stream::{CountedStream, Traffic};
use crate::clock;
use crate::net::frames::{Frames, PREFACE, RateGuard, kind};
use crate::net::{Layer, Output};

/// The least part of an upload, in bytes, that an upstream may acknowledge at a time: some send two
/// WINDOW_UPDATE frames for each part.
const READ: usize = 256;

/// Counts the frames of a connection.
#[derive(Debug)]
struct FloodGuard {
    rate: RateGuard,
    incoming: Frames,
    outgoing: Frames,
}

impl FloodGuard {
    fn new() -> Self {
        Self {
            rate: RateGuard::new(clock::monotonic()),
            incoming: Frames::default(),
            outgoing: Frames::after(PREFACE.len()),
        }
    }

    /// Counts frames from the upstream. Returns whether there are too many. HEADERS frames earn
    /// nothing: they may carry informational responses, or belong to a stream that has ended. The
    /// requests that they answer have earned the budget for them.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let rate = &mut self.rate;
        let mut is_flood = false;
        self.incoming.feed(bytes, |frame| {
            if frame.kind == kind::DATA && !frame.is_perhaps_empty() {
                rate.earn();
            } else {
                is_flood |= rate.spend();
            }
        });
        is_flood
    }

    /// Counts frames to the upstream: each allows for the responses and window updates that it
    /// causes.
    fn wrote(&mut self, bytes: &[u8]) {
        let rate = &mut self.rate;
        self.outgoing.feed(bytes, |frame| match frame.kind {
            kind::HEADERS => rate.earn(),
            kind::DATA => {
                let updates = frame.length / READ * 2 + 1;
                rate.earn_more(u32::try_from(updates).unwrap_or(u32::MAX));
            }
            _ => {}
        });
    }
}

/// The layer that counts the frames of an HTTP/2 connection, which fails if the upstream sends too
/// many.
///
/// After a write has failed, the connection fails only when everything that had arrived was read:
/// the peer may have said which requests it did not process (RFC 9113 §6.8), and have closed the
/// connection while others were being written.
pub(super) struct GuardedStream {
    stream: CountedStream,
    traffic: Arc<Traffic>,
    flood_guard: FloodGuard,
    /// The error of the write that failed.
    broken: Option<io::Error>,
}

impl GuardedStream {
    pub(super) fn new(stream: CountedStream, traffic: Arc<Traffic>) -> Self {
        Self {
            stream,
            traffic,
            flood_guard: FloodGuard::new(),
            broken: None,
        }
    }

    /// Handles the result of a write of `length` bytes. If the peer has closed the connection, the
    /// write is reported as successful, so that the rest is read before the connection ends.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Err(_))) && self.stream.may_have_written() {
            self.traffic.note_written(1);
        }
        match written {
            Poll::Ready(Ok(count)) => self.traffic.note_written(count),
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Ready(Ok(length));
            }
            _ => {}
        }
        written
    }
}

/// Returns whether a write failed because the connection has ended; then a read does not block.
fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut
    )
}

impl Layer for GuardedStream {
    type Below = CountedStream;

    fn below(&mut self) -> io::Result<Pin<&mut CountedStream>> {
        Ok(Pin::new(&mut self.stream))
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.traffic.note();
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if self.flood_guard.read(bytes) {
            return Poll::Ready(Err(io::Error::other("a flood of frames")));
        }
        if read.is_ready()
            && buffer.filled().len() == before
            && let Some(error) = self.broken.take()
        {
            return Poll::Ready(Err(error));
        }
        read
    }

    fn write(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Poll<io::Result<usize>> {
        let length = output.length();
        if self.broken.is_some() {
            return Poll::Ready(Ok(length));
        }
        let written = output.write_to(Pin::new(&mut self.stream), cx);
        let written = self.wrote(written, length, cx);
        if let Poll::Ready(Ok(count)) = written {
            for bytes in output.accepted(count) {
                self.flood_guard.wrote(bytes);
            }
        }
        written
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(flushed.map_ok(|()| 0), 0, cx).map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::counted_stream::OpenConnection;
    use super::*;
    use crate::net::frames::FRAMES;
    use crate::net::{Layered, Stream};
    use crate::upstream::fixture;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [
            vec![0, 0, length, kind, 4, 0, 0, 0, 1],
            vec![0; usize::from(length)],
        ]
        .concat()
    }

    #[test]
    fn frames_that_answer_nothing_have_a_rate() {
        for (kind, length) in [
            (kind::DATA, 0),
            (kind::HEADERS, 1),
            (kind::CONTINUATION, 1),
            (4, 0),
            (6, 8),
        ] {
            let mut flood_guard = FloodGuard::new();
            let count = (0..2 * FRAMES)
                .take_while(|_| !flood_guard.read(&frame(kind, length)))
                .count();
            assert_eq!(count, FRAMES as usize, "frames of type {kind}");
        }
    }

    // RFC 9113 §6.8: the GOAWAY of a peer that has closed the connection is read, even if a write
    // fails first.
    #[tokio::test]
    async fn what_came_before_a_write_failed_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let upstream = fixture::upstream(fixture::settings("http://127.0.0.1:1/"));
        let open = OpenConnection::new(
            upstream.clone(),
            upstream.connection_limit.try_acquire().unwrap(),
        );
        let traffic = Arc::new(Traffic::default());
        let stream = CountedStream::new(Stream::Tcp(near), open);
        let mut guarded = Layered(GuardedStream::new(stream, traffic.clone()));
        guarded.write_all(b"a request").await.unwrap();
        assert_eq!(traffic.written(), 9);
        far.write_all(&frame(7, 8)).await.unwrap();
        // It closes with a reset, since it has not read everything.
        drop(far);
        fixture::wait_until("a write fails", || {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let written = Pin::new(&mut guarded).poll_write(&mut cx, b"more");
            assert!(matches!(written, Poll::Ready(Ok(4))), "{written:?}");
            guarded.0.broken.is_some()
        })
        .await;
        let before = traffic.written();
        guarded.write_all(b"more").await.unwrap();
        guarded.flush().await.unwrap();
        assert_eq!(
            traffic.written(),
            before,
            "what is not written does not count"
        );
        let mut read = [0; 17];
        guarded.read_exact(&mut read).await.unwrap();
        assert_eq!(read[..], frame(7, 8));
        guarded.read_exact(&mut read).await.unwrap_err();
    }

    #[test]
    fn answers_and_their_bodies_are_no_flood() {
        let mut flood_guard = FloodGuard::new();
        flood_guard.wrote(PREFACE);
        for _ in 0..10 * FRAMES {
            flood_guard.wrote(&frame(kind::HEADERS, 9));
            // A head, a window update, trailers and a reset.
            let answer = [
                (kind::HEADERS, 9),
                (8, 4),
                (kind::HEADERS, 9),
                (kind::RST_STREAM, 4),
            ];
            assert!(
                !answer
                    .iter()
                    .any(|(kind, length)| flood_guard.read(&frame(*kind, *length)))
            );
            flood_guard.wrote(&[&[0, 1, 0, kind::DATA, 0, 0, 0, 0, 1][..], &[0; 256]].concat());
            assert!(!(0..2).any(|_| flood_guard.read(&frame(8, 4))));
            assert!(!flood_guard.read(&frame(kind::DATA, 9)));
        }
    }
}
