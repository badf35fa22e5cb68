//! The close of a connection after which the client knows whether its answer is complete.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::super::stream::ClientStream;
use super::state::Close;

/// The time for which unwanted bytes of the client are read and discarded.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes that are discarded.
const MOST: usize = 16 * 1024 * 1024;

/// The bytes that are read at a time.
const PIECE: usize = 16 * 1024;

/// Closes a connection that has ended.
pub(super) async fn apply(close: Close, stream: &mut ClientStream) {
    match close {
        Close::Plain => {}
        Close::Lingering => linger(stream).await,
        Close::Reset => reset(stream),
    }
}

/// Closes a connection whose client may still be sending an unwanted body. A close with unread
/// bytes resets the connection, and the reset can reach the client before it has read the answer
/// (RFC 9112 §9.6). So the bytes are read and discarded for a while.
async fn linger(stream: &mut ClientStream) {
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
    // A client that sends for longer does not read the answer.
    let _ = timeout(TIMEOUT, rest).await;
}

/// The time that a reset of the client takes to arrive after a write: a round trip.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// Waits for a round trip, and returns whether the client has reset the connection. A client that
/// has closed both sides answers with a reset when the last bytes of an answer arrive. Until then
/// it looks like a client that has closed its sending side only.
pub(super) async fn is_reset(stream: &ClientStream) -> bool {
    timeout(ROUND_TRIP, stream.failed()).await.is_ok()
}

/// Closes a connection with a reset, because its last answer is incomplete: for a client of
/// HTTP/1.0, an orderly close would mark the end of the answer (requirements.md#p05).
fn reset(stream: &ClientStream) {
    stream.reset_at_end();
}
