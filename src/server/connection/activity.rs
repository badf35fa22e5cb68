//! The parts of a client connection that its stream, its requests and its driver share.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::position::Position;
use super::state::{Limits, State};
use super::turn::ReadTurn;
use super::write_buffer::WriteBuffer;
use crate::clock;
use crate::config::Server;
use crate::net::random;
use crate::proxy::Upgrades;

/// The state of a connection, its share in reading, and the part of an answer that waits.
pub(super) struct Activity {
    state: RefCell<State>,
    pub(super) turn: ReadTurn,
    /// The position of the parser of HTTP/1.1 in the client's bytes.
    pub(super) position: Cell<Position>,
    /// The part of the answer that waits for the client; used for HTTP/1.1 only.
    pub(super) write_buffer: WriteBuffer,
}

impl Activity {
    pub(super) fn new(server: &Server) -> Rc<Self> {
        let now = clock::monotonic();
        let age = server.timeouts.connection_age;
        let limits = Limits::new(server, age.map(|age| now + jittered(age)));
        let state = State::new(now, limits, server.limits.connection_requests);
        Rc::new(Self {
            state: RefCell::new(state),
            turn: ReadTurn::default(),
            position: Cell::default(),
            write_buffer: WriteBuffer::new(server.limits.write_buffer),
        })
    }

    /// Returns the state, which is borrowed for one event or one question at a time.
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Returns the channel through which the walk tells the state what it knows.
    pub(super) fn upgrades(&self) -> Upgrades {
        let state = self.state();
        let facts = state.facts();
        Upgrades::counting(&facts.bodies, &facts.response_timeout)
    }

    /// Begins a request, with or without a body.
    pub(super) fn begin(self: &Rc<Self>, has_body: bool) -> OpenRequest {
        self.state().request_begun(has_body);
        OpenRequest(self.clone())
    }

    /// Notes that bytes have arrived.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.awaits_head() {
            state.head_begun(clock::monotonic());
        }
    }

    /// Notes the result of a write; `sent` is the number of bytes that the socket has accepted
    /// since the connection began.
    pub(super) fn wrote<T>(&self, result: &Poll<T>, sent: u64) {
        if result.is_pending() {
            return self.blocked(sent);
        }
        let mut state = self.state();
        if state.awaits_client() {
            state.written(clock::monotonic());
        }
    }

    /// Notes the result of a flush.
    pub(super) fn flushed<T>(&self, result: &Poll<T>, sent: u64) {
        if result.is_pending() {
            return self.blocked(sent);
        }
        let mut state = self.state();
        if state.awaits_client() {
            state.flushed(clock::monotonic());
        }
    }

    fn blocked(&self, sent: u64) {
        if self.state().write_blocked(sent, clock::monotonic()) {
            // The body gives back its buffer meanwhile.
            self.write_buffer.wake();
        }
    }

    /// Notes that everything that the library was given is written.
    pub(super) fn drained(&self) {
        self.state().drained();
        self.write_buffer.clear();
    }

    /// Returns ready while another piece of the answer may wait to be written. For HTTP/2, the
    /// library bounds the waiting pieces of each stream. For HTTP/1.1, it has a single bound for
    /// them and for its read buffer, which uploads need large.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.state().is_http2() {
            Poll::Ready(())
        } else {
            self.write_buffer.poll_room(cx)
        }
    }
}

/// Returns a random age within a tenth of `age`, so that connections that were opened together do
/// not end together.
fn jittered(age: Duration) -> Duration {
    let part = random() % 1024;
    age.mul_f64(0.9 + part as f64 / 5120.0)
}

/// A request that has begun. It ends when this is dropped.
pub(super) struct OpenRequest(Rc<Activity>);

impl OpenRequest {
    /// Returns the activity of the connection.
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }

    /// Returns whether no request may follow on the connection.
    pub(super) fn is_last(&self) -> bool {
        !self.0.state().is_open()
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.state().request_ended(clock::monotonic());
    }
}
