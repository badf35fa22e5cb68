//! A connection that rests: nothing is kept of it but its stream, its deadlines and its place in
//! the drain.

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

/// What is read at once when it wakes: most requests, whole.
const PIECE: usize = 1024;

/// Waits for the client's next bytes and puts them back. Deadlines, age and drain are those of an
/// idle connection that is served.
///
/// # Errors
/// How the connection ended, if it did before that.
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
            activity.part(grace);
        }
        // What TLS still holds of the last answer; the socket itself holds nothing back.
        let _ = Pin::new(&mut *stream).poll_flush(cx);
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            // Between two requests no end is a wrong one.
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
                Due::Finish if activity.is_open() => activity.part(GRACE),
                Due::Finish => return Poll::Ready(Err(None)),
            }
        }
    })
    .await;
    match woken {
        Ok(bytes) => stream.unread(bytes),
        Err(end) => {
            if end.is_none() {
                // What the socket does not take at once is not waited for: nothing was asked.
                let _ = poll_fn(|cx| Poll::Ready(stream.poll_close(cx))).await;
            }
            return Err(end);
        }
    }
    activity.wake();
    Ok(())
}

/// Counts a connection while it rests, however it ends.
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
