//! The part of an answer over HTTP/1.1 that waits for its client (`server.limits.write_buffer`).

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

/// The longest piece of an answer that is read at a time.
const PIECE: usize = 64 * 1024;

/// Bytes for the head of an answer, which waits together with its first piece, and for what TLS
/// adds to its records.
const HEAD: usize = 4 * 1024;

/// The bytes of an answer that wait to be written.
pub(super) struct Backlog {
    /// Bytes that were handed to the library since everything was written.
    queued: Cell<usize>,
    /// So many of them hold back the next piece.
    bound: usize,
    /// Woken when everything is written, so that more of the answer is taken, and when the client
    /// takes no more.
    held: Cell<Option<Waker>>,
}

impl Backlog {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            queued: Cell::new(0),
            bound,
            held: Cell::new(None),
        }
    }

    /// Ready while another piece may wait.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.queued.get() < self.bound {
            return Poll::Ready(());
        }
        self.held.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Adds a piece that was handed to the library.
    pub(super) fn push(&self, count: usize) {
        self.queued.set(self.queued.get() + count);
    }

    /// Removes everything, since it is written.
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

    /// Returns how many bytes TLS may keep: all that may wait. A piece stays in memory until the
    /// last byte of it is taken, so that a piece of which TLS took a part would take its memory
    /// twice. Larger writes cost fewer system calls, too: with 16 KiB instead of 64 the kernel's
    /// part of sending takes a third more time.
    pub(super) fn tls_buffer(&self) -> usize {
        self.bound + PIECE + HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_taken_until_the_bound_is_reached_and_when_all_is_written() {
        let backlog = Backlog::new(64);
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            for _ in 0..4 {
                assert!(backlog.poll_room(&cx).is_ready());
                backlog.push(16);
            }
            assert!(backlog.poll_room(&cx).is_pending());
            backlog.clear();
        }
    }
}
