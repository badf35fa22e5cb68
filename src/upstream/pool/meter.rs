//! What an upstream of HTTP/2 may make us do for nothing. An exchange that waits for its response has a deadline, but what
//! comes on its connection is read and looked at beyond it, by a worker that has better to do.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{Arrivals, Wire};
use crate::clock;
use crate::net::frames::{Calm, Frames, PREFACE, kind, taken};

/// How little of an upload an upstream may read at a time: some grant two windows for every time that they do.
const READ: usize = 256;

/// Counts the frames of a connection.
#[derive(Debug)]
struct Meter {
    calm: Calm,
    incoming: Frames,
    outgoing: Frames,
}

impl Meter {
    fn new() -> Self {
        Self {
            calm: Calm::new(clock::monotonic()),
            incoming: Frames::default(),
            outgoing: Frames::after(PREFACE.len()),
        }
    }

    /// Takes what the upstream said; whether it is a flood. Heads bring nothing forward by themselves: they may be
    /// informational, or belong to nobody any more. The requests that they answer make up for them.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let (calm, mut flood) = (&mut self.calm, false);
        self.incoming.feed(bytes, |frame| {
            if frame.kind == kind::DATA && !frame.is_perhaps_empty() {
                calm.earn();
            } else {
                flood |= calm.spend();
            }
        });
        flood
    }

    /// Takes what the upstream was told: its answers and its windows are due.
    fn wrote(&mut self, bytes: &[u8]) {
        let calm = &mut self.calm;
        self.outgoing.feed(bytes, |frame| match frame.kind {
            kind::HEADERS => calm.earn(),
            kind::DATA => calm.earn_more(u32::try_from(frame.length / READ * 2 + 1).unwrap_or(u32::MAX)),
            _ => {}
        });
    }
}

/// A connection that tells what comes on it, and ends for a flood.
pub(super) struct Metered {
    wire: Wire,
    arrivals: Arc<Arrivals>,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(wire: Wire, arrivals: Arc<Arrivals>) -> Self {
        Self { wire, arrivals, meter: Meter::new() }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.wire).poll_read(cx, buffer);
        if read.is_ready() {
            this.arrivals.note();
        }
        if this.meter.read(buffer.filled().get(before..).unwrap_or_default()) {
            return Poll::Ready(Err(io::Error::other("a flood of frames")));
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            this.meter.wrote(bytes.get(..count).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(count)) = written {
            taken(slices, count).for_each(|bytes| this.meter.wrote(bytes));
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::frames::FRAMES;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [vec![0, 0, length, kind, 4, 0, 0, 0, 1], vec![0; usize::from(length)]].concat()
    }

    // L05
    #[test]
    fn frames_that_answer_nothing_have_a_rate() {
        for (kind, length) in [(kind::DATA, 0), (kind::HEADERS, 1), (kind::CONTINUATION, 1), (4, 0), (6, 8)] {
            let mut meter = Meter::new();
            let count = (0..2 * FRAMES).take_while(|_| !meter.read(&frame(kind, length))).count();
            assert_eq!(count, FRAMES as usize, "frames of type {kind}");
        }
    }

    // P08
    #[test]
    fn answers_and_their_bodies_are_no_flood() {
        let mut meter = Meter::new();
        meter.wrote(PREFACE);
        for _ in 0..10 * FRAMES {
            meter.wrote(&frame(kind::HEADERS, 9));
            // A head, an update of a window, trailers and a reset.
            let answer = [(kind::HEADERS, 9), (8, 4), (kind::HEADERS, 9), (kind::RST_STREAM, 4)];
            assert!(!answer.iter().any(|(kind, length)| meter.read(&frame(*kind, *length))));
            meter.wrote(&[&[0, 1, 0, kind::DATA, 0, 0, 0, 0, 1][..], &[0; 256]].concat());
            assert!(!(0..2).any(|_| meter.read(&frame(8, 4))));
            assert!(!meter.read(&frame(kind::DATA, 9)));
        }
    }
}
