//! The tunnel of a WebSocket after its handshake: relays bytes in both directions, with an idle
//! timeout and an orderly end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Sleep, sleep, sleep_until};

use super::super::exchange::Exchange;
use super::frames::Frames;
use crate::clock;
use crate::upstream::SwitchedConnection;

/// The size of the buffer of each direction, in bytes.
const BUFFER_SIZE: usize = 16 * 1024;

/// The time that one direction may continue after the other has ended: neither direction of a
/// WebSocket lives on alone (RFC 6455 §7.1.1).
const LINGER: Duration = Duration::from_secs(2);

/// A close frame with the status "going away" (RFC 6455 §7.4.1), as a server sends it.
const CLOSE_TO_CLIENT: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// The same frame as a client sends it: masked, with a key of zeros. The mask is to keep scripts
/// from choosing bytes that intermediaries see (§5.3), and these bytes are constant.
const CLOSE_TO_UPSTREAM: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// A WebSocket whose upstream has switched protocols. Its exchange ends with it.
pub struct Tunnel {
    upstream: SwitchedConnection,
    exchange: Box<Exchange>,
    idle: Duration,
}

impl Tunnel {
    pub(in crate::proxy) fn new(
        upstream: SwitchedConnection,
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
        let (stream, request) = upstream.into_parts();
        let (from_upstream, to_upstream) = tokio::io::split(stream);
        let state = State {
            last_activity: Cell::new(clock::monotonic()),
            closing: Cell::new(false),
        };
        let up = pin!(copy(&state, from_client, to_upstream, &CLOSE_TO_UPSTREAM));
        let down = pin!(copy(&state, from_upstream, to_client, &CLOSE_TO_CLIENT));
        let mut up = Direction::new(up);
        let mut down = Direction::new(down);
        let mut closing = pin!(closing);
        let mut silence = pin!(silent(&state, idle));
        let mut linger: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            if !state.closing.get() && closing.as_mut().poll(cx).is_ready() {
                state.closing.set(true);
            }
            up.poll(cx);
            down.poll(cx);
            let is_over = up.has_failed || down.has_failed || (up.has_ended && down.has_ended);
            if is_over || silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if up.has_ended || down.has_ended {
                let linger = linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                return linger.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await;
        drop((open, exchange, request));
    }
}

/// One direction of a tunnel.
struct Direction<'f> {
    copying: Pin<&'f mut dyn Future<Output = io::Result<()>>>,
    has_ended: bool,
    has_failed: bool,
}

impl<'f> Direction<'f> {
    fn new(copying: Pin<&'f mut dyn Future<Output = io::Result<()>>>) -> Self {
        Self {
            copying,
            has_ended: false,
            has_failed: false,
        }
    }

    /// Polls the direction until it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.has_ended
            && let Poll::Ready(result) = self.copying.as_mut().poll(cx)
        {
            self.has_ended = true;
            self.has_failed = result.is_err();
        }
    }
}

struct State {
    /// The time at which the last byte arrived, from either side.
    last_activity: Cell<Instant>,
    closing: Cell<bool>,
}

/// Returns when no byte has arrived from either side for `idle`.
async fn silent(state: &State, idle: Duration) {
    loop {
        let deadline = state.last_activity.get() + idle;
        if deadline <= clock::monotonic() {
            return;
        }
        sleep_until(deadline.into()).await;
    }
}

/// Relays one direction to its end, and passes the end on. Once the tunnel is closing, this ends
/// after the current frame, and sends `away`.
async fn copy(
    state: &State,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    away: &[u8],
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; BUFFER_SIZE];
    while let Some(count) = read(state, &frames, &mut from, &mut buffer).await? {
        if count == 0 {
            return finish(&mut to, b"").await;
        }
        state.last_activity.set(clock::monotonic());
        let bytes = buffer.get(..count).unwrap_or_default();
        let last_frame_end = frames.follow(bytes);
        if let Some(end) = last_frame_end
            && state.closing.get()
            && let Some(last) = bytes.get(..end)
        {
            to.write_all(last).await?;
            return finish(&mut to, away).await;
        }
        to.write_all(bytes).await?;
        to.flush().await?;
    }
    finish(&mut to, away).await
}

/// Reads the next bytes, and returns their number; 0 at the end. Returns `None` if the tunnel is
/// closing and no frame is under way.
async fn read(
    state: &State,
    frames: &Frames,
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
) -> io::Result<Option<usize>> {
    let mut reading = pin!(from.read(buffer));
    poll_fn(|cx| {
        if state.closing.get() && frames.is_between() {
            return Poll::Ready(Ok(None));
        }
        reading.as_mut().poll(cx).map_ok(Some)
    })
    .await
}

/// Writes the last bytes of a direction, and ends it.
async fn finish(to: &mut (impl AsyncWrite + Unpin), last: &[u8]) -> io::Result<()> {
    to.write_all(last).await?;
    to.flush().await?;
    to.shutdown().await
}
