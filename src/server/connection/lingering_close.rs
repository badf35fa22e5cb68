//! How a connection is closed, so that the client learns how its answer ended.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::ClientStream;

/// How long a client may go on sending what nobody reads.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much of it is taken.
const MOST: usize = 16 * 1024 * 1024;

/// What is taken at a time.
const PIECE: usize = 16 * 1024;

/// Closes a connection on which the client may still be sending a body that nobody reads. To close
/// with unread bytes is to reset, which can overtake the answer (RFC 9112 §9.6), so what comes is
/// taken for a while.
pub(super) async fn close(stream: &mut ClientStream) {
    // It may have been shut down already.
    let _ = stream.shutdown().await;
    let rest = async {
        let mut scrap = vec![0; PIECE];
        let mut left = MOST;
        while let Ok(count @ 1..) = stream.read(&mut scrap).await {
            let Some(less) = left.checked_sub(count) else {
                return;
            };
            left = less;
        }
    };
    // Whoever sends for longer than that does not listen.
    let _ = timeout(TIMEOUT, rest).await;
}

/// How long a client that has closed its side has to say by a reset that it is gone: a round trip.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// Returns whether a client that has closed its side of the connection resets it when the last
/// answer comes, as the system of one does that has closed all of it: until then the two look
/// alike.
pub(super) async fn is_reset(stream: &ClientStream) -> bool {
    timeout(ROUND_TRIP, stream.failed()).await.is_ok()
}

/// Closes a connection whose last answer was cut, by a reset: to a client of HTTP/1.0 an orderly
/// end would be that of the answer (requirements.md#p05).
pub(super) fn reset(stream: &ClientStream) {
    // A socket that refuses is one that has failed already.
    let _ = stream.socket().set_linger(Some(Duration::ZERO));
}
