//! The share of a connection in the reading of its worker.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::yield_now;

/// The most bytes that a connection reads in one turn, before other connections run. All bytes that
/// are available are read and parsed in one go, and a parser may accept bytes without end: the size
/// of a chunk may begin with any number of zeros.
const TURN: usize = 64 * 1024;

/// The number of bytes that were read in this turn.
#[derive(Debug, Default)]
pub(super) struct ReadTurn(Cell<usize>);

impl ReadTurn {
    /// Begins a turn.
    pub(super) fn begin(&self) {
        self.0.set(0);
    }

    /// Counts bytes that were read.
    pub(super) fn count(&self, bytes: usize) {
        self.0.set(self.0.get() + bytes);
    }

    /// Returns ready while the connection may read on in this turn. Otherwise the task is woken for
    /// its next turn.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.get() < TURN {
            return Poll::Ready(());
        }
        // `yield_now` wakes the task only after the runtime has polled the sockets of all tasks. A
        // task that wakes itself is run some sixty times before that.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }
}
