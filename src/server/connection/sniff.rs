//! Which protocol a client speaks whom nobody asked: it begins with the preface of HTTP/2, or it does not.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead as _, ReadBuf};

use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::alarm::Alarm;
use super::frames::PREFACE;
use super::{End, Member, Stream};

/// How long a client that has only connected is waited for when the drain begins: its request may be under way, and to
/// close would fail it.
const GRACE: Duration = Duration::from_millis(500);

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
    let mut grace: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            if member.poll_begun(cx) {
                activity.want_finish();
            }
            let mut buffer = ReadBuf::new(seen.get_mut(count..).unwrap_or_default());
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                // Who has said nothing for a while has nothing to finish.
                Poll::Pending if count == 0 && activity.is_spent() => {
                    ready!(grace.get_or_insert_with(|| Box::pin(sleep(GRACE))).as_mut().poll(cx));
                    return Poll::Ready(Err(None));
                }
                Poll::Pending => {
                    ready!(alarm.poll_rings(activity, cx));
                    return Poll::Ready(Err(Some(End::Timeout)));
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
