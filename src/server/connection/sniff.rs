//! Which protocol a client speaks whom nobody asked: it begins with the preface of HTTP/2, or it
//! does not.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::activity::{Activity, Due};
use super::deadline::Deadline;
use super::{ClientStream, End};
use crate::clock;
use crate::net::frames::PREFACE;

/// What is read at once: most heads, whole. A head that comes in pieces is parsed again with each.
const PIECE: usize = 4096;

/// Whether the client begins as HTTP/2 does (RFC 9113 §3.4). It reads while it cannot tell, and
/// puts back what it read.
///
/// # Errors
/// How the connection ended, if it did before that.
pub(super) async fn is_http2(
    stream: &mut ClientStream,
    activity: &Activity,
    deadline: &mut Deadline,
) -> Result<bool, Option<End>> {
    let mut seen = BytesMut::new();
    poll_fn(|cx| {
        loop {
            if let Some(grace) = deadline.poll_drain_begun(cx) {
                activity.part(grace);
            }
            let mut piece = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => {
                    ready!(deadline.poll_due(activity));
                    // Who has said nothing by then has nothing to finish.
                    let has_left = activity.due(clock::monotonic()) == Due::Finish;
                    return Poll::Ready(Err((!has_left).then_some(End::Timeout)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Some(End::Aborted))),
                Poll::Ready(Ok(())) => {}
            }
            if buffer.filled().is_empty() {
                // The parser has its own word for a head that is cut.
                return Poll::Ready(if seen.is_empty() { Err(None) } else { Ok(()) });
            }
            activity.received();
            seen.extend_from_slice(buffer.filled());
            if seen.len() >= PREFACE.len() || !PREFACE.starts_with(&seen) {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await?;
    let is_http2 = seen.starts_with(PREFACE);
    stream.unread(seen.freeze());
    Ok(is_http2)
}
