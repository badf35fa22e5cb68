//! Which protocol a client speaks whom nobody asked: it begins with the preface of HTTP/2, or it does not.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::activity::{Activity, Due};
use super::alarm::Alarm;
use super::{End, Member, Stream};
use crate::clock;
use crate::net::frames::PREFACE;

/// Whether the client begins as HTTP/2 does (RFC 9113 §3.4). It reads as far as the bytes are those of the preface, and puts
/// them back.
///
/// # Errors
/// How the connection ended, if it did before that.
pub(super) async fn is_http2(
    stream: &mut Stream,
    activity: &Activity,
    alarm: &mut Alarm,
    member: &mut Member,
) -> Result<bool, Option<End>> {
    let mut seen = [0; PREFACE.len()];
    let mut count = 0;
    poll_fn(|cx| {
        loop {
            if let Some(grace) = member.poll_begun(cx) {
                activity.part(grace);
            }
            let mut buffer = ReadBuf::new(seen.get_mut(count..).unwrap_or_default());
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => {
                    ready!(alarm.poll_rings(activity, cx));
                    // Who has said nothing by then has nothing to finish.
                    let has_left = activity.due(clock::monotonic()) == Due::Finish;
                    return Poll::Ready(Err((!has_left).then_some(End::Timeout)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Some(End::Aborted))),
                Poll::Ready(Ok(())) => {}
            }
            let read = buffer.filled().len();
            if read == 0 {
                // The parser has its own word for a head that is cut.
                return Poll::Ready(if count == 0 { Err(None) } else { Ok(()) });
            }
            activity.received();
            count += read;
            if seen.get(..count) != PREFACE.get(..count) || count == PREFACE.len() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await?;
    let is_http2 = seen == *PREFACE;
    let seen: Bytes = BytesMut::from(seen.get(..count).unwrap_or_default()).freeze();
    stream.unread(seen);
    Ok(is_http2)
}
