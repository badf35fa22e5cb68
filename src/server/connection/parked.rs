//! A parked connection, of which only the stream, the deadline and the registration stay in memory.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::activity::Due;
use super::deadline::Deadline;
use super::{ClientStream, ConnectionContext, End, GRACE};
use crate::clock;

/// The bytes that are read at once when the connection wakes. Most requests fit.
const PIECE: usize = 1024;

/// Waits for the client's next bytes and puts them back. The deadlines, the age and the drain apply
/// as for an idle connection that is not parked.
///
/// # Errors
/// Returns how the connection ended, if it ended before that.
pub(super) async fn park(
    stream: &mut ClientStream,
    context: &ConnectionContext,
    deadline: &mut Deadline,
) -> Result<(), Option<End>> {
    let activity = &context.activity;
    if stream.has_unread() {
        activity.wake();
        return Ok(());
    }
    let _parked = Parked::begin(&context.worker.metrics().resting);
    let woken = poll_fn(|cx| {
        if let Some(grace) = deadline.poll_drain_begun(cx) {
            activity.wind_down(grace);
        }
        // TLS may still buffer a part of the last answer.
        let _ = Pin::new(&mut *stream).poll_flush(cx);
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            // Between two requests, a close and an error are both a normal end.
            let has_some = read.is_ok() && !buffer.filled().is_empty();
            return Poll::Ready(if has_some {
                Ok(Bytes::copy_from_slice(buffer.filled()))
            } else {
                Err(None)
            });
        }
        loop {
            ready!(deadline.poll_due(activity));
            match activity.due(clock::monotonic()) {
                Due::Nothing | Due::Park => {}
                Due::End => return Poll::Ready(Err(Some(End::Timeout))),
                Due::Finish if activity.is_open() => activity.wind_down(GRACE),
                Due::Finish => return Poll::Ready(Err(None)),
            }
        }
    })
    .await;
    match woken {
        Ok(bytes) => stream.unread(bytes),
        Err(end) => {
            if end.is_none() {
                // If the socket does not accept `close_notify` at once, it is dropped: no request
                // is open.
                let _ = poll_fn(|cx| Poll::Ready(stream.poll_close(cx))).await;
            }
            return Err(end);
        }
    }
    activity.wake();
    Ok(())
}

/// Counts a connection while it is parked.
struct Parked<'a>(&'a IntGauge);

impl<'a> Parked<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
