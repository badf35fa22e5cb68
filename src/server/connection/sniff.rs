//! Detection of the protocol on a connection without ALPN: HTTP/2 begins with its preface.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::super::connections::Registration;
use super::super::stream::ClientStream;
use super::activity::Activity;
use super::drive::{look_for_drain, poll_end};
use crate::net::frames::PREFACE;
use crate::telemetry::ConnectionError;

/// The bytes that are read at once. Most heads fit; hyper parses a head that is split again with
/// each piece.
const PIECE: usize = 4096;

/// Returns whether the client begins with the HTTP/2 preface (RFC 9113 §3.4). Reads until that is
/// decided, and puts the bytes back.
///
/// # Errors
/// Returns how the connection ended, if it ended before that.
pub(super) async fn is_http2(
    stream: &mut ClientStream,
    activity: &Activity,
    registration: &mut Registration,
) -> Result<bool, Option<ConnectionError>> {
    let mut seen = BytesMut::new();
    poll_fn(|cx| poll_start(stream, &mut seen, activity, registration, cx)).await?;
    let is_http2 = seen.starts_with(PREFACE);
    stream.unread(seen.freeze());
    Ok(is_http2)
}

/// Reads into `seen` until its bytes are the preface, or cannot be.
fn poll_start(
    stream: &mut ClientStream,
    seen: &mut BytesMut,
    activity: &Activity,
    registration: &mut Registration,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Option<ConnectionError>>> {
    loop {
        look_for_drain(activity, registration);
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut buffer = ReadBuf::uninit(&mut piece);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return poll_end(activity, registration, cx).map(Err),
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            // That is no error if nothing has arrived: the connection was not used.
            Poll::Ready(_) => return Poll::Ready(Err(Some(ConnectionError::LeftInRequest))),
        }
        activity.received();
        seen.extend_from_slice(buffer.filled());
        if seen.len() >= PREFACE.len() || !PREFACE.starts_with(seen) {
            return Poll::Ready(Ok(()));
        }
    }
}
