//! What a client of HTTP/2 may make us do for nothing: frames that ask for work and bring no
//! request forward have a rate, and requests that are taken back at once have a share. The
//! protocol's own library bounds what each of them keeps in memory; this bounds how long they go
//! on.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ClientStream;
use super::activity::Activity;
use crate::clock;
use crate::net::frames::{Frame, Frames, PREFACE, RateGuard, flag, kind, taken};

/// Requests from which on the share of those that were taken back counts (CVE-2023-44487).
const REQUESTS: u32 = 500;

/// After so many they are counted anew: a long good life is no credit.
const MOST_REQUESTS: u32 = 1000;

/// Within this time: a client may take back what it likes when it does so slowly.
const RESET_WINDOW: Duration = Duration::from_secs(10);

/// "Enhance your calm" (RFC 9113 §7).
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0xb];

/// The library's word for what a stream is reset for that is no request (RFC 9113 §8.1.1).
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];

/// Counts the frames of a connection.
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

    /// Takes a frame from the client; whether it is one too many.
    fn is_flood(&mut self, frame: Frame) -> bool {
        match frame.kind {
            kind::DATA if frame.is_perhaps_empty() => self.spend(),
            kind::DATA => self.earn(),
            kind::HEADERS => self.request(frame.stream),
            kind::RST_STREAM => self.reset() || self.spend(),
            _ => self.spend(),
        }
    }

    fn request(&mut self, stream: u32) -> bool {
        if stream > self.last_stream {
            self.last_stream = stream;
            self.requests += 1;
            if self.requests > MOST_REQUESTS {
                self.count_anew();
                self.requests = 1;
            }
        }
        self.earn()
    }

    fn reset(&mut self) -> bool {
        self.resets += 1;
        if self.requests < REQUESTS || self.resets * 2 <= self.requests {
            return false;
        }
        if clock::monotonic() < self.counted_since + RESET_WINDOW {
            return true;
        }
        self.count_anew();
        false
    }

    fn count_anew(&mut self) {
        (self.requests, self.resets, self.counted_since) = (0, 0, clock::monotonic());
    }

    fn earn(&mut self) -> bool {
        self.rate.earn();
        false
    }

    fn spend(&mut self) -> bool {
        self.rate.spend()
    }
}

/// What is left of a connection when the library is done with it.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    stream: RefCell<Option<ClientStream>>,
    flooded: Cell<bool>,
}

impl Leftover {
    pub(super) fn was_flooded(&self) -> bool {
        self.flooded.get()
    }

    pub(super) fn take(&self) -> Option<ClientStream> {
        self.stream.borrow_mut().take()
    }
}

/// A stream of HTTP/2 that tells the connection's [`Activity`] what it reads and writes, and ends
/// for a flood.
pub(super) struct GuardedStream {
    /// There until it is dropped.
    stream: Option<ClientStream>,
    activity: Rc<Activity>,
    leftover: Rc<Leftover>,
    /// Called for each stream that is reset since it is no request.
    refused: Box<dyn Fn()>,
    guard: FloodGuard,
    incoming: Frames,
    outgoing: Frames,
    /// The first frame is not whole yet.
    is_preface: bool,
    /// The last frame is part of a head.
    is_head: bool,
    /// The head goes on in the next frame.
    goes_on: bool,
}

impl GuardedStream {
    pub(super) fn new(
        stream: ClientStream,
        activity: Rc<Activity>,
        leftover: Rc<Leftover>,
        refused: impl Fn() + 'static,
    ) -> Self {
        Self {
            stream: Some(stream),
            activity,
            leftover,
            refused: Box::new(refused),
            guard: FloodGuard::new(),
            incoming: Frames::after(PREFACE.len()),
            outgoing: Frames::default(),
            is_preface: true,
            is_head: false,
            goes_on: false,
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut ClientStream>> {
        self.stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Takes what was read; whether it is a flood.
    fn read(&mut self, bytes: &[u8]) -> bool {
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
        self.activity
            .block(self.is_preface || self.goes_on || (self.is_head && !is_whole));
        flood
    }

    /// Tells the client why, if the last frame to it is whole; it is not worth waiting for.
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

    fn wrote(&mut self, bytes: &[u8]) {
        let (guard, refused) = (&mut self.guard, &self.refused);
        self.outgoing
            .feed_with(bytes, |frame, payload| match frame.kind {
                kind::DATA if frame.length > 0 => {
                    guard.earn();
                }
                // The library writes it in one piece, which a socket that is nearly full may cut:
                // then the peer is not told.
                kind::RST_STREAM if payload.starts_with(&PROTOCOL_ERROR) => refused(),
                _ => {}
            });
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        *self.leftover.stream.borrow_mut() = self.stream.take();
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.activity.poll_turn(cx));
        let before = buffer.filled().len();
        let result = this.stream()?.poll_read(cx, buffer);
        this.activity.read(buffer.filled().len() - before);
        match buffer.filled().get(before..) {
            Some(bytes) if !bytes.is_empty() && this.read(bytes) => {
                Poll::Ready(Err(this.refuse(cx)))
            }
            _ => result,
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut stream = this.stream()?;
        let result = stream.as_mut().poll_write(cx, bytes);
        let sent = stream.sent();
        this.activity.wrote(&result, sent);
        if let Poll::Ready(Ok(count)) = result {
            this.wrote(bytes.get(..count).unwrap_or_default());
        }
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut stream = this.stream()?;
        let result = stream.as_mut().poll_write_vectored(cx, slices);
        let sent = stream.sent();
        this.activity.wrote(&result, sent);
        if let Poll::Ready(Ok(count)) = result {
            taken(slices, count).for_each(|bytes| this.wrote(bytes));
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(cx)
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
            guard.earn();
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
