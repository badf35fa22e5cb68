//! A parked connection, of which only the stream, the deadline and the registration stay in memory.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::super::connections::Registration;
use super::super::stream::ClientStream;
use super::activity::Activity;
use super::context::ConnectionContext;
use super::drive::{look_for_drain, poll_end};
use crate::telemetry::ConnectionError;

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
    registration: &mut Registration,
) -> Result<(), Option<ConnectionError>> {
    let activity = &context.activity;
    if stream.has_unread() {
        activity.state().activated();
        return Ok(());
    }
    let _parked = Parked::begin(&context.worker.metrics().resting);
    match poll_fn(|cx| poll_bytes(stream, activity, registration, cx)).await {
        Ok(bytes) => {
            stream.unread(bytes);
            activity.state().activated();
            Ok(())
        }
        Err(None) => {
            // If the socket does not accept `close_notify` at once, it is dropped: no request is
            // open.
            let _ = poll_fn(|cx| Poll::Ready(stream.poll_close(cx))).await;
            Err(None)
        }
        Err(end) => Err(end),
    }
}

/// Returns the client's next bytes, or the way in which the connection ended.
fn poll_bytes(
    stream: &mut ClientStream,
    activity: &Activity,
    registration: &mut Registration,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, Option<ConnectionError>>> {
    look_for_drain(activity, registration);
    // TLS may still buffer a part of the last answer.
    let _ = Pin::new(&mut *stream).poll_flush(cx);
    let mut bytes = [MaybeUninit::uninit(); PIECE];
    let mut buffer = ReadBuf::uninit(&mut bytes);
    match Pin::new(stream).poll_read(cx, &mut buffer) {
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
            Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
        }
        // Between two requests, a close and an error are both a normal end.
        Poll::Ready(_) => Poll::Ready(Err(None)),
        Poll::Pending => poll_end(activity, registration, cx).map(Err),
    }
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
