//! The tunnel of a WebSocket after its handshake: relays bytes in both directions, with an idle
//! timeout and an orderly end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, sleep_until};

use super::super::exchange::Exchange;
use super::frames::Frames;
use crate::clock;
use crate::upstream::Switched;

/// The size of the buffer of each direction, in bytes.
const PIECE: usize = 16 * 1024;

/// The time that one direction may continue after the other has ended: neither direction of a
/// WebSocket lives on alone (RFC 6455 §7.1.1).
const LINGER: Duration = Duration::from_secs(2);

/// A close frame with the status "going away" (RFC 6455 §7.4.1), as a server sends it.
const AWAY_TO_CLIENT: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// The same frame as a client sends it: masked, with a key of zeros. The mask is to keep scripts
/// from choosing bytes that intermediaries see (§5.3), and these bytes are constant.
const AWAY_TO_UPSTREAM: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// A WebSocket whose upstream has switched protocols. Its exchange ends with it.
pub struct Tunnel {
    upstream: Switched,
    exchange: Box<Exchange>,
    idle: Duration,
}

impl Tunnel {
    pub(in crate::proxy) fn new(
        upstream: Switched,
        exchange: Box<Exchange>,
        idle: Duration,
    ) -> Self {
        Self {
            upstream,
            exchange,
            idle,
        }
    }

    /// Relays bytes until both directions have ended, one has failed, or no byte has arrived from
    /// either side for the idle time. When `closing` is ready, the gateway sends "going away" to
    /// both sides, between two frames, and ends the tunnel.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite, closing: impl Future<Output = ()>) {
        let Self {
            upstream,
            exchange,
            idle,
        } = self;
        let open = exchange.tunnel();
        let (from_client, to_client) = tokio::io::split(client);
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let state = State {
            moved: Cell::new(clock::monotonic()),
            closing: Cell::new(false),
        };
        let mut up = pin!(carry(&state, from_client, to_upstream, &AWAY_TO_UPSTREAM));
        let mut down = pin!(carry(&state, from_upstream, to_client, &AWAY_TO_CLIENT));
        let mut closing = pin!(closing);
        let mut silence = pin!(silent(&state, idle));
        let (mut up_ended, mut down_ended) = (false, false);
        let mut linger = None;
        poll_fn(|cx| {
            if !state.closing.get() && closing.as_mut().poll(cx).is_ready() {
                state.closing.set(true);
            }
            let mut failed = false;
            let mut poll =
                |ended: &mut bool, side: Pin<&mut dyn Future<Output = io::Result<()>>>| {
                    if !*ended && let Poll::Ready(result) = side.poll(cx) {
                        *ended = true;
                        failed |= result.is_err();
                    }
                };
            poll(&mut up_ended, up.as_mut());
            poll(&mut down_ended, down.as_mut());
            if failed || (up_ended && down_ended) || silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if up_ended || down_ended {
                return linger
                    .get_or_insert_with(|| Box::pin(sleep(LINGER)))
                    .as_mut()
                    .poll(cx);
            }
            Poll::Pending
        })
        .await;
        drop((open, exchange));
    }
}

struct State {
    /// The time at which the last byte arrived, from either side.
    moved: Cell<Instant>,
    closing: Cell<bool>,
}

/// Returns when no byte has arrived from either side for `idle`.
async fn silent(state: &State, idle: Duration) {
    loop {
        let deadline = state.moved.get() + idle;
        if deadline <= clock::monotonic() {
            return;
        }
        sleep_until(deadline.into()).await;
    }
}

/// Relays one direction to its end, and passes the end on. Once the tunnel is closing, this ends
/// after the current frame, and sends `away`.
async fn carry(
    state: &State,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    away: &[u8],
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut piece = vec![0; PIECE];
    loop {
        let next = async {
            let mut read = pin!(from.read(&mut piece));
            poll_fn(|cx| match state.closing.get() && frames.is_between() {
                true => Poll::Ready(None),
                false => read.as_mut().poll(cx).map(Some),
            })
            .await
        };
        let count = match next.await {
            Some(count) => count?,
            None => {
                to.write_all(away).await?;
                break;
            }
        };
        if count == 0 {
            break;
        }
        state.moved.set(clock::monotonic());
        let bytes = piece.get(..count).unwrap_or_default();
        let ended = frames.follow(bytes);
        match ended
            .filter(|_| state.closing.get())
            .and_then(|end| bytes.get(..end))
        {
            Some(last) => {
                to.write_all(last).await?;
                to.write_all(away).await?;
                break;
            }
            None => to.write_all(bytes).await?,
        }
        to.flush().await?;
    }
    to.flush().await?;
    to.shutdown().await
}
