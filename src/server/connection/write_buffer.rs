//! The part of an HTTP/1.1 answer that waits to be written (`server.limits.write_buffer`).

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

/// The longest piece of an answer that is read at a time.
const PIECE: usize = 64 * 1024;

/// Bytes for the head of an answer, which waits together with its first piece, and for the overhead
/// of TLS records.
const HEAD: usize = 4 * 1024;

/// The bytes of an answer that wait to be written.
pub(super) struct WriteBuffer {
    /// The bytes that hyper was given since everything was written.
    queued: Cell<usize>,
    /// The number of queued bytes at which no further piece is taken.
    bound: usize,
    /// The waker of the body. It is woken when everything is written, to give more of the answer,
    /// and when the client stops reading, to free its buffer.
    held: Cell<Option<Waker>>,
}

impl WriteBuffer {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            queued: Cell::new(0),
            bound,
            held: Cell::new(None),
        }
    }

    /// Returns ready while another piece may be queued.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.queued.get() < self.bound {
            return Poll::Ready(());
        }
        self.held.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Adds a piece of `count` bytes.
    pub(super) fn push(&self, count: usize) {
        self.queued.set(self.queued.get() + count);
    }

    /// Empties the buffer: everything is written.
    pub(super) fn clear(&self) {
        if self.queued.get() > 0 {
            self.queued.set(0);
            self.wake();
        }
    }

    /// Wakes the body that waits for room.
    pub(super) fn wake(&self) {
        if let Some(held) = self.held.take() {
            held.wake();
        }
    }

    /// Returns the limit of the TLS buffer, in bytes: all that may wait. A piece stays in memory
    /// until its last byte is accepted, so that a piece of which TLS buffers a part would take its
    /// memory twice. Large writes also cost fewer system calls: with 16 KiB instead of 64 KiB, the
    /// kernel takes a third more time to send.
    pub(super) fn tls_buffer(&self) -> usize {
        self.bound + PIECE + HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_taken_until_the_bound_is_reached_and_when_all_is_written() {
        let buffer = WriteBuffer::new(64);
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            for _ in 0..4 {
                assert!(buffer.poll_room(&cx).is_ready());
                buffer.push(16);
            }
            assert!(buffer.poll_room(&cx).is_pending());
            buffer.clear();
        }
    }
}
