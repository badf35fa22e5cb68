//! The flood guard of an HTTP/2 connection. Frames that cost work but carry no request have a rate
//! limit (RFC 9113 §10.5), and requests that the client resets at once may make up only a share of
//! all requests. The HTTP/2 library bounds the memory that such frames take; this guard bounds
//! their number over time.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::super::stream::ClientStream;
use super::context::ConnectionContext;
use super::refused_stream::Refusals;
use crate::clock;
use crate::net::frames::{Frame, Frames, PREFACE, RateGuard, flag, kind};
use crate::net::{Layer, Output};

/// The number of requests from which on the share of reset requests counts (CVE-2023-44487).
const REQUESTS: u32 = 500;

/// The number of requests after which the count starts again: a long time without resets earns no
/// credit for many resets later.
const MOST_REQUESTS: u32 = 1000;

/// The time within which the resets have to occur. A client may reset any share of its requests if
/// it does so slowly.
const RESET_WINDOW: Duration = Duration::from_secs(10);

/// The error code `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0xb];

/// The counters of a connection's frames.
#[derive(Debug)]
struct FloodGuard {
    rate: RateGuard,
    requests: u32,
    resets: u32,
    counted_since: Instant,
    last_stream: u32,
}

impl FloodGuard {
    fn new() -> Self {
        let now = clock::monotonic();
        Self {
            rate: RateGuard::new(now),
            requests: 0,
            resets: 0,
            counted_since: now,
            last_stream: 0,
        }
    }

    /// Counts a frame from the client, and returns whether it is one too many.
    fn is_flood(&mut self, frame: Frame) -> bool {
        match frame.kind {
            kind::DATA if frame.is_perhaps_empty() => self.rate.spend(),
            kind::DATA => {
                self.rate.earn();
                false
            }
            kind::HEADERS => {
                self.count_request(frame.stream);
                self.rate.earn();
                false
            }
            kind::RST_STREAM => self.has_too_many_resets() || self.rate.spend(),
            _ => self.rate.spend(),
        }
    }

    /// Counts a request, unless the frame belongs to a stream that was counted: trailers.
    fn count_request(&mut self, stream: u32) {
        if stream > self.last_stream {
            self.last_stream = stream;
            self.requests += 1;
            if self.requests > MOST_REQUESTS {
                self.restart_count();
                self.requests = 1;
            }
        }
    }

    /// Counts a reset, and returns whether the share of resets is too large.
    fn has_too_many_resets(&mut self) -> bool {
        self.resets += 1;
        if self.requests < REQUESTS || self.resets * 2 <= self.requests {
            return false;
        }
        if clock::monotonic() < self.counted_since + RESET_WINDOW {
            return true;
        }
        self.restart_count();
        false
    }

    fn restart_count(&mut self) {
        (self.requests, self.resets, self.counted_since) = (0, 0, clock::monotonic());
    }
}

/// The stream of a connection after the library has dropped it, and whether there was a flood.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    stream: RefCell<Option<ClientStream>>,
    flooded: Cell<bool>,
    beginning: Cell<Beginning>,
    /// Set when the client has closed its side.
    is_closed: Cell<bool>,
}

/// How far the client came with its preface, of which its first frame is a part (RFC 9113 §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The client has sent nothing.
    #[default]
    Silent,
    /// The preface is not whole.
    Begun,
    Whole,
}

impl Leftover {
    pub(super) fn was_flooded(&self) -> bool {
        self.flooded.get()
    }

    /// Returns whether the client has closed its side.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn beginning(&self) -> Beginning {
        self.beginning.get()
    }

    pub(super) fn take(&self) -> Option<ClientStream> {
        self.stream.borrow_mut().take()
    }
}

/// The layer over the stream of an HTTP/2 connection. It tells the connection's state about reads
/// and writes, and fails when the client floods.
pub(super) struct GuardedStream {
    /// `None` only after the drop.
    stream: Option<ClientStream>,
    context: Rc<ConnectionContext>,
    leftover: Rc<Leftover>,
    guard: FloodGuard,
    incoming: Frames,
    outgoing: Frames,
    /// Set until the first frame is complete.
    is_preface: bool,
    /// Set if the last frame is part of a field block.
    is_head: bool,
    /// Set if the field block continues in the next frame.
    goes_on: bool,
    refusals: Refusals,
}

impl GuardedStream {
    pub(super) fn new(
        stream: ClientStream,
        context: Rc<ConnectionContext>,
        leftover: Rc<Leftover>,
    ) -> Self {
        if stream.has_unread() {
            leftover.beginning.set(Beginning::Begun);
        }
        Self {
            stream: Some(stream),
            context,
            leftover,
            guard: FloodGuard::new(),
            incoming: Frames::after(PREFACE.len()),
            outgoing: Frames::default(),
            is_preface: true,
            is_head: false,
            goes_on: false,
            refusals: Refusals::default(),
        }
    }

    /// Inspects bytes from the client, and returns whether they are a flood.
    fn inspect(&mut self, bytes: &[u8]) -> bool {
        let mut flood = false;
        let mut first = !self.is_preface;
        let (guard, is_head, goes_on) = (&mut self.guard, &mut self.is_head, &mut self.goes_on);
        self.incoming.feed(bytes, |frame| {
            flood |= guard.is_flood(frame);
            *is_head = matches!(frame.kind, kind::HEADERS | kind::CONTINUATION);
            *goes_on = *is_head && !frame.has(flag::END_HEADERS);
            first = true;
        });
        let is_whole = self.incoming.is_between();
        self.is_preface = self.is_preface && !(first && is_whole);
        self.leftover.beginning.set(if self.is_preface {
            Beginning::Begun
        } else {
            Beginning::Whole
        });
        let is_open = self.is_preface || self.goes_on || (self.is_head && !is_whole);
        let mut state = self.context.activity.state();
        if is_open != state.has_open_block() {
            state.set_block(is_open.then(clock::monotonic));
        }
        flood
    }

    /// Sends GOAWAY to a client that floods, if the last frame to it is complete. If the socket
    /// does not accept the frame at once, it is dropped.
    fn refuse(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.leftover.flooded.set(true);
        if self.outgoing.is_between()
            && let Some(stream) = &mut self.stream
        {
            let last = self.guard.last_stream.to_be_bytes();
            let frame = [
                &[0, 0, 8, 7, 0, 0, 0, 0, 0],
                &last[..],
                &ENHANCE_YOUR_CALM[..],
            ]
            .concat();
            let _ = Pin::new(stream).poll_write(cx, &frame);
        }
        io::Error::other("a flood of frames")
    }

    /// Inspects bytes that were written to the client.
    fn wrote(&mut self, bytes: &[u8]) {
        let (guard, context) = (&mut self.guard, &self.context);
        let refusals = &mut self.refusals;
        self.outgoing
            .feed_with(bytes, |frame, payload| match frame.kind {
                kind::DATA if frame.length > 0 => guard.rate.earn(),
                kind::HEADERS | kind::RST_STREAM => {
                    if let Some(error) = refusals.of_frame(frame, payload) {
                        context.refused_stream(error);
                    }
                }
                _ => {}
            });
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        *self.leftover.stream.borrow_mut() = self.stream.take();
    }
}

impl Layer for GuardedStream {
    type Below = ClientStream;

    fn below(&mut self) -> io::Result<Pin<&mut ClientStream>> {
        self.stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.context.activity.turn.poll(cx));
        let before = buffer.filled().len();
        let result = self.below()?.poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        self.context.activity.turn.count(count);
        if count == 0 && matches!(result, Poll::Ready(Ok(()))) {
            self.leftover.is_closed.set(true);
        }
        match buffer.filled().get(before..) {
            Some(bytes) if !bytes.is_empty() && self.inspect(bytes) => {
                Poll::Ready(Err(self.refuse(cx)))
            }
            _ => result,
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Poll<io::Result<usize>> {
        let mut stream = self.below()?;
        let result = output.write_to(stream.as_mut(), cx);
        let sent = stream.sent();
        self.context.activity.wrote(&result, sent);
        if let Poll::Ready(Ok(count)) = result {
            output.accepted(count).for_each(|bytes| self.wrote(bytes));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::frames::{FRAMES, SECOND};

    fn frame(kind: u8, length: usize, flags: u8, stream: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
        }
    }

    #[test]
    fn frames_that_bring_nothing_forward_have_a_rate() {
        for (kind, length, flags) in [
            (6, 8, 0),
            (4, 0, 0),
            (2, 5, 0),
            (8, 4, 0),
            (0, 0, 0),
            (0, 2, 8),
            (99, 0, 0),
        ] {
            let mut guard = FloodGuard::new();
            let count = (0..2 * FRAMES)
                .take_while(|_| !guard.is_flood(frame(kind, length, flags, 1)))
                .count();
            assert_eq!(count, FRAMES as usize, "frames of type {kind}");
            guard.rate.filled -= SECOND;
            assert!(
                !guard.is_flood(frame(kind, length, flags, 1)),
                "the next second is a new one"
            );
        }
    }

    #[test]
    fn frames_that_go_with_data_are_no_flood() {
        let mut guard = FloodGuard::new();
        for _ in 0..10 * FRAMES {
            guard.rate.earn();
            assert!(!guard.is_flood(frame(8, 4, 0, 0)) && !guard.is_flood(frame(8, 4, 0, 1)));
            assert!(!guard.is_flood(frame(0, 1, 0, 1)));
        }
    }

    // CVE-2023-44487.
    #[test]
    fn requests_that_are_taken_back_have_a_share() {
        let request = |guard: &mut FloodGuard, number: u32, taken_back: bool| {
            let stream = 2 * number + 1;
            guard.is_flood(frame(1, 5, 5, stream))
                || taken_back && guard.is_flood(frame(3, 4, 0, stream))
        };
        let mut guard = FloodGuard::new();
        let all = (0..5000).find(|number| request(&mut guard, *number, true));
        assert_eq!(all, Some(REQUESTS - 1));
        let mut guard = FloodGuard::new();
        assert_eq!(
            (0..5000).find(|number| request(&mut guard, *number, number % 2 == 1)),
            None,
            "half"
        );
        let after_a_good_life = (5000..9000).find(|number| request(&mut guard, *number, true));
        assert!(after_a_good_life.is_some_and(|number| number < 5000 + MOST_REQUESTS + REQUESTS));
    }
}
