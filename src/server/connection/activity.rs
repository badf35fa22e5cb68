//! What a client connection is doing, and until when it may.
//!
//! Only changes of phase read the clock, and only a phase that lasts sets a timer: a request that
//! is there at once and answered at once costs neither.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use super::GRACE;
use super::backlog::Backlog;
use crate::clock;
use crate::config::{Server, Timeouts};

/// Bytes that a connection takes in before others have their turn. What is there is read and parsed
/// in one go, and of some of it a parser never has enough: the length of a chunk may begin with
/// zeros without end.
const TURN: usize = 64 * 1024;

/// How long a connection of HTTP/1.1 is idle before it rests: what parses and answers, some 35 KiB,
/// is given up, and made anew for its next byte. Short, for it is what connections cost that come
/// faster than they rest.
pub(super) const FIRST_PARK: Duration = Duration::from_millis(250);

/// How long when it was woken from a rest before. A client that comes back may do so again, and to
/// wake costs as much as a tenth of a request.
const NEXT_REST: Duration = Duration::from_secs(10);

/// What a connection does, and until when it may.
pub(super) struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Since when the client takes nothing of what is written.
    blocked: Cell<Option<Instant>>,
    /// Bytes that the socket had taken when the client was last found to take no more.
    sent: Cell<u64>,
    has_body: Cell<bool>,
    /// Held by each body that may still be read.
    bodies: Rc<()>,
    /// Whether the head of the answer is out, and did not say that it is the last.
    answered: Cell<bool>,
    /// The time that the upstream has to answer the request; `None` before it is asked.
    response_timeout: Rc<Cell<Option<Duration>>>,
    /// Since when the answer, or more of it, is awaited for a client that has closed its side of
    /// the connection.
    half_closed: Cell<Option<Instant>>,
    /// The part of the answer that waits for the client; only HTTP/1.1 has it.
    backlog: Backlog,
    /// Whether a request has begun since everything was written.
    owes: Cell<bool>,
    /// Whether there was a request.
    asked: Cell<bool>,
    finish: Cell<Finish>,
    /// Requests that it may still send.
    left: Cell<usize>,
    /// When it is old enough to end.
    retires: Option<Instant>,
    /// Streams of HTTP/2 that are open; `None` for HTTP/1.1.
    streams: Cell<Option<usize>>,
    /// Since when a block of HTTP/2 is not whole: the preface, or a head.
    block: Cell<Option<Instant>>,
    /// Bytes that were read in this turn.
    turn: Cell<usize>,
    care: Cell<Care>,
    /// How long it is idle before it rests.
    pause: Cell<Duration>,
    timeouts: Timeouts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun. Further bytes do not extend its deadline.
    Head,
    /// A request is being answered; its bodies have deadlines of their own.
    Busy,
}

/// What is kept of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Its stream alone: it rests.
    ClientStream,
    /// What reads, parses and answers.
    All,
    /// The same, until its end has been said.
    Closing,
}

/// Whether a connection takes further requests.
#[derive(Clone, Copy)]
enum Finish {
    Open,
    /// One more request is accepted if it starts within this time, counted from the end of the
    /// current answer.
    Last {
        from: Instant,
        grace: Duration,
    },
    Wanted,
    /// Told to the client, then.
    Told(Instant),
}

/// What time it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// To rest until its next byte.
    Park,
    /// To take nothing more and let what is under way end.
    Finish,
    /// To be cut.
    End,
}

impl Activity {
    pub(super) fn new(server: &Server) -> Rc<Self> {
        let now = clock::monotonic();
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            blocked: Cell::new(None),
            sent: Cell::new(0),
            has_body: Cell::new(false),
            bodies: Rc::default(),
            answered: Cell::new(false),
            response_timeout: Rc::default(),
            half_closed: Cell::new(None),
            backlog: Backlog::new(server.limits.write_buffer),
            owes: Cell::new(false),
            asked: Cell::new(false),
            finish: Cell::new(Finish::Open),
            left: Cell::new(server.limits.connection_requests),
            retires: server
                .timeouts
                .connection_age
                .map(|age| now + jittered(age)),
            streams: Cell::new(None),
            block: Cell::new(None),
            turn: Cell::new(0),
            care: Cell::new(Care::ClientStream),
            pause: Cell::new(FIRST_PARK.min(server.timeouts.idle)),
            timeouts: server.timeouts.clone(),
        })
    }

    /// What comes before HTTP is over: only now a request can come.
    pub(super) fn greeted(&self) {
        self.since.set(clock::monotonic());
    }

    /// From here on requests are streams of HTTP/2. Its preface ends with the client's settings.
    pub(super) fn multiplex(&self) {
        self.streams.set(Some(0));
        self.block.set(Some(self.since.get()));
        self.phase.set(Phase::Idle);
    }

    /// Whether requests are streams of HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.streams.get().is_some()
    }

    /// When the connection is due for something; `None` while others watch.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let idle = self.rests_at().or_else(|| self.idle_until());
        [self.cut_at(), idle, self.leaves_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When it ends of itself. Never within a head: the request that has begun would be lost.
    fn leaves_at(&self) -> Option<Instant> {
        match (self.finish.get(), self.phase.get()) {
            (_, Phase::Head) => None,
            (Finish::Open, _) => self.retires,
            // Bytes that are not written yet belong to the answer.
            (Finish::Last { from, grace }, Phase::Idle) if self.blocked.get().is_none() => {
                Some(from.max(self.since.get()) + grace)
            }
            _ => None,
        }
    }

    /// Returns when the gateway gives up waiting for the answer, since its client has closed its
    /// side and may be gone: a reset, which would tell, comes only when something is written. The
    /// upstream's own deadline comes first, so that a client that is there hears of it.
    fn forsaken_at(&self) -> Option<Instant> {
        let since = self.half_closed.get().filter(|_| self.is_busy())?;
        Some(since + self.response_timeout.get()? + GRACE)
    }

    /// What the connection is due for.
    pub(super) fn due(&self, now: Instant) -> Due {
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if over(self.cut_at()) || (over(self.idle_until()) && self.streams.get().is_none()) {
            return Due::End;
        }
        if over(self.leaves_at()) || over(self.idle_until()) {
            Due::Finish
        } else if over(self.rests_at()) {
            Due::Park
        } else {
            Due::Nothing
        }
    }

    /// When it has to have made progress.
    fn cut_at(&self) -> Option<Instant> {
        let head = (self.phase.get() == Phase::Head)
            .then(|| self.since.get() + self.timeouts.request_head);
        let block = self
            .block
            .get()
            .map(|since| since + self.timeouts.request_head);
        let write = self
            .blocked
            .get()
            .map(|since| since + self.timeouts.idle_body);
        // A client that was told to go and has nothing under way that we know of goes, or is cut.
        let told = match (self.finish.get(), self.phase.get(), self.streams.get()) {
            (Finish::Told(since), Phase::Idle, Some(_)) => {
                Some(since.max(self.since.get()) + self.timeouts.idle_body)
            }
            _ => None,
        };
        [head, block, write, told, self.forsaken_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn idle_until(&self) -> Option<Instant> {
        let told = matches!(
            (self.finish.get(), self.streams.get()),
            (Finish::Told(_), Some(_))
        );
        (self.phase.get() == Phase::Idle && !told).then(|| self.since.get() + self.timeouts.idle)
    }

    /// When nothing is left to do on it. What is left of a body must never be taken for a request:
    /// who answers may still be reading one. Of a body that nobody reads to its end the parser
    /// takes what is left, or it ends the connection.
    fn rests_at(&self) -> Option<Instant> {
        let is_idle = self.phase.get() == Phase::Idle && self.streams.get().is_none();
        let is_over = self.reads_no_body() && self.blocked.get().is_none();
        (is_idle && is_over && self.care.get() == Care::All)
            .then(|| self.since.get() + self.pause.get())
    }

    /// Whether it may rest as soon as it has its answer. Whether a body is left over is found out
    /// only when the parser is asked again.
    pub(super) fn may_rest_at_once(&self) -> bool {
        !self.has_body.get() && self.rests_at().is_some()
    }

    /// Nothing is kept of the connection but its stream.
    pub(super) fn rest(&self) {
        self.care.set(Care::ClientStream);
        self.pause.set(NEXT_REST.min(self.timeouts.idle));
    }

    pub(super) fn is_resting(&self) -> bool {
        self.care.get() == Care::ClientStream
    }

    /// The connection is served.
    pub(super) fn wake(&self) {
        self.care.set(Care::All);
    }

    /// Its end is being said to the client.
    pub(super) fn closing(&self) {
        self.care.set(Care::Closing);
    }

    /// How long a connection that is busy is left alone before it is looked at again: not so long
    /// that a request has to set a timer for the rest after it.
    pub(super) fn look_interval(&self) -> Duration {
        if self.streams.get().is_some() {
            self.timeouts.idle
        } else {
            self.pause.get()
        }
    }

    /// The connection is to take nothing more.
    fn want_finish(&self) {
        if matches!(self.finish.get(), Finish::Open | Finish::Last { .. }) {
            self.finish.set(Finish::Wanted);
        }
    }

    /// The connection is to end: the drain has begun, or it is old. A request may be on its way,
    /// and to close would fail it: one more is waited for, but not where the answer that is being
    /// made will say that it is the last, nor where GOAWAY tells a client that asked before which
    /// of its requests were taken.
    pub(super) fn part(&self, grace: Duration) {
        let is_multiplexed = self.streams.get().is_some();
        let will_be_told = self.is_busy() && (is_multiplexed || !self.answered.get());
        if will_be_told || (self.asked.get() && is_multiplexed) {
            self.want_finish();
        } else if self.is_open() {
            self.finish.set(Finish::Last {
                from: clock::monotonic(),
                grace,
            });
        }
    }

    /// The client is told.
    pub(super) fn finishing(&self) {
        if !matches!(self.finish.get(), Finish::Told(_)) {
            self.finish.set(Finish::Told(clock::monotonic()));
        }
    }

    /// Whether it takes requests without end.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.finish.get(), Finish::Open)
    }

    /// Whether the client should be told.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self.finish.get(), Finish::Wanted)
    }

    /// A request has come, with or without a body.
    pub(super) fn begin(self: &Rc<Self>, has_body: bool) -> Open {
        self.phase.set(Phase::Busy);
        self.has_body.set(has_body);
        self.answered.set(false);
        self.response_timeout.set(None);
        self.asked.set(true);
        self.owes.set(true);
        if let Some(open) = self.streams.get() {
            self.streams.set(Some(open + 1));
        }
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 || matches!(self.finish.get(), Finish::Last { .. }) {
            self.want_finish();
        }
        Open(self.clone())
    }

    /// Whether an answer, or a part of it, is not written yet.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes.get()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.phase.get() == Phase::Busy
    }

    /// What counts the bodies of requests that may still be read: each holds one.
    pub(super) fn bodies(&self) -> &Rc<()> {
        &self.bodies
    }

    /// Whether no body is being read: there is none, it has ended, or it is not wanted.
    pub(super) fn reads_no_body(&self) -> bool {
        Rc::strong_count(&self.bodies) == 1
    }

    /// The cell in which the walk notes the response timeout of its request's upstream.
    pub(super) fn response_timeout(&self) -> &Rc<Cell<Option<Duration>>> {
        &self.response_timeout
    }

    /// The head of an answer is on its way that did not say that it is the last.
    pub(super) fn answering(&self) {
        self.answered.set(true);
    }

    /// Whether the connection must be polled for a client's close while its answer is sent.
    pub(super) fn awaits_end(&self) -> bool {
        self.is_busy() && self.reads_no_body() && self.half_closed.get().is_none()
    }

    /// The client has closed its side of the connection.
    pub(super) fn half_close(&self) {
        self.half_closed.set(Some(clock::monotonic()));
    }

    /// Whether the client has closed its side of the connection before its answer had ended.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.get().is_some()
    }

    /// Whether the last request came with a body.
    pub(super) fn had_body(&self) -> bool {
        self.has_body.get()
    }

    /// A request was answered, or its stream is gone.
    fn end(&self) {
        let open = self.streams.get().map(|open| open.saturating_sub(1));
        self.streams.set(open);
        if open.unwrap_or_default() == 0 {
            self.phase.set(Phase::Idle);
            self.since.set(clock::monotonic());
        }
    }

    /// The connection has its turn.
    pub(super) fn take_turn(&self) {
        self.turn.set(0);
    }

    /// Ready while the connection may read on in this turn; it is woken for the next.
    pub(super) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.get() < TURN {
            return Poll::Ready(());
        }
        // Unlike a waker's, this is a place behind what has come for the others, too: woken by
        // itself, a task is run some sixty times before the runtime looks at its sockets again.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// So many bytes were read.
    pub(super) fn read(&self, count: usize) {
        self.turn.set(self.turn.get() + count);
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        if self.phase.get() == Phase::Idle && self.streams.get().is_none() {
            self.phase.set(Phase::Head);
            self.since.set(clock::monotonic());
        }
    }

    /// Notes whether a block of HTTP/2 that has to come whole has not yet.
    pub(super) fn block(&self, is_open: bool) {
        if is_open != self.block.get().is_some() {
            self.block.set(is_open.then(clock::monotonic));
        }
    }

    /// Notes whether the client takes what is written; `sent` is what the socket has taken since
    /// the connection began.
    pub(super) fn wrote<T>(&self, result: &Poll<T>, sent: u64) {
        self.flushed(result, sent);
        if result.is_ready() && self.is_half_closed() {
            self.half_close();
        }
    }

    /// Notes whether the client takes what was written and is kept by a protocol between HTTP and
    /// the socket. TLS may keep all that there is of an answer: then only the socket tells that a
    /// client takes it slowly.
    pub(super) fn flushed<T>(&self, result: &Poll<T>, sent: u64) {
        match result {
            Poll::Ready(_) if self.blocked.get().is_some() => self.unblock(),
            Poll::Pending if self.blocked.get().is_none() || self.sent.get() != sent => {
                self.sent.set(sent);
                self.blocked.set(Some(clock::monotonic()));
                // The body gives back what it does not need meanwhile.
                self.backlog.wake();
            }
            _ => {}
        }
    }

    /// Whether the client takes nothing of what is written.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get().is_some()
    }

    /// Everything that was handed to the library is written.
    pub(super) fn drained(&self) {
        self.owes.set(self.is_busy());
        self.backlog.clear();
    }

    /// Ready while another piece of the answer may wait to be written. Over HTTP/2 the library
    /// bounds that itself, for each stream; over HTTP/1.1 it has one bound for that and for what it
    /// reads ahead, which uploads need large.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.streams.get().is_some() {
            Poll::Ready(())
        } else {
            self.backlog.poll_room(cx)
        }
    }

    /// The part of the answer that waits for the client.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn unblock(&self) {
        self.blocked.set(None);
        // Idle it is from here on: the client could not know the end of its answer before.
        if self.phase.get() == Phase::Idle && self.streams.get().is_none() {
            self.since.set(clock::monotonic());
        }
    }
}

/// An age, give or take a tenth: connections that were opened together need not end together.
fn jittered(age: Duration) -> Duration {
    // The standard library's hashers have random keys.
    let random = RandomState::new().hash_one(age) % 1024;
    age.mul_f64(0.9 + random as f64 / 5120.0)
}

/// A request that is under way; dropped, it is no more.
pub(super) struct Open(Rc<Activity>);

impl Open {
    /// The connection that the request is on.
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }

    /// Whether no request may follow it.
    pub(super) fn is_last(&self) -> bool {
        !matches!(self.0.finish.get(), Finish::Open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
