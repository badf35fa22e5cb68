//! The activity of a client connection: its phase, its deadlines, and the next action that is due.
//!
//! The clock is read only when the phase changes, and a timer is set only for a phase that lasts. A
//! request that arrives whole and is answered at once needs neither.

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

/// The most bytes that a connection reads in one turn, before other connections run. All bytes that
/// are available are read and parsed in one go, and a parser may accept bytes without end: the size
/// of a chunk may begin with any number of zeros.
const TURN: usize = 64 * 1024;

/// The time for which an HTTP/1.1 connection is idle before it is parked for the first time. The
/// state that parses and answers, some 35 KiB, is freed then and made again for the next byte. The
/// time is short because connections that arrive faster than they are parked each cost that memory.
pub(super) const FIRST_PARK: Duration = Duration::from_millis(250);

/// The time for which a connection is idle before it is parked again. A client that came back once
/// may do so again, and to make the state again costs as much as a tenth of a request.
const NEXT_PARK: Duration = Duration::from_secs(10);

/// The state of a connection from which its deadlines follow.
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// The time when the phase began.
    since: Cell<Instant>,
    /// The time since when the client reads none of the written bytes.
    blocked: Cell<Option<Instant>>,
    /// The number of bytes that the socket had accepted when `blocked` was set.
    sent: Cell<u64>,
    /// Set if the last request came with a body.
    has_body: Cell<bool>,
    /// Held by each body that may still be read.
    bodies: Rc<()>,
    /// Set when an answer has begun whose head did not announce the end of the connection.
    answered: Cell<bool>,
    /// The time that the upstream has for its answer; `None` before the upstream is asked.
    response_timeout: Rc<Cell<Option<Duration>>>,
    /// The last time when the answer made progress, for a client that has closed its side of the
    /// connection.
    half_closed: Cell<Option<Instant>>,
    /// The part of the answer that waits for the client; used for HTTP/1.1 only.
    backlog: Backlog,
    /// Set if a request has begun since everything was written.
    owes_answer: Cell<bool>,
    /// Set after the first request.
    had_request: Cell<bool>,
    finish: Cell<Finish>,
    /// The number of requests that the client may still send.
    requests_left: Cell<usize>,
    /// The time when the connection reaches its greatest age.
    retires_at: Option<Instant>,
    /// The number of open HTTP/2 streams; `None` for HTTP/1.1.
    streams: Cell<Option<usize>>,
    /// The time since when the HTTP/2 preface or a field block is incomplete.
    block: Cell<Option<Instant>>,
    /// The number of bytes that were read in this turn.
    turn: Cell<usize>,
    serving: Cell<Serving>,
    /// The time for which the connection is idle before it is parked.
    park_after: Cell<Duration>,
    timeouts: Timeouts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun. Further bytes do not extend its deadline.
    Head,
    /// A request is being answered. Its bodies have deadlines of their own.
    Busy,
}

/// The part of a connection that is in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serving {
    /// Only the stream.
    Parked,
    /// The state that reads, parses and answers.
    Active,
    /// The same, while the end of the connection is being sent.
    Closing,
}

/// The progress towards an orderly end of the connection.
#[derive(Clone, Copy)]
enum Finish {
    /// The connection takes requests.
    Open,
    /// The connection takes one more request that begins within this time, counted from the end of
    /// the current answer.
    Last { from: Instant, grace: Duration },
    /// The connection takes no further request, and the client has to be told.
    Wanted,
    /// The client was told at this time.
    Announced(Instant),
}

/// The action that is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Park the connection until its next byte.
    Park,
    /// Take no further request, and let those that have begun finish.
    Finish,
    /// Cut the connection.
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
            owes_answer: Cell::new(false),
            had_request: Cell::new(false),
            finish: Cell::new(Finish::Open),
            requests_left: Cell::new(server.limits.connection_requests),
            retires_at: server
                .timeouts
                .connection_age
                .map(|age| now + jittered(age)),
            streams: Cell::new(None),
            block: Cell::new(None),
            turn: Cell::new(0),
            serving: Cell::new(Serving::Parked),
            park_after: Cell::new(FIRST_PARK.min(server.timeouts.idle)),
            timeouts: server.timeouts.clone(),
        })
    }

    /// Notes that the steps before HTTP are over: the idle time begins.
    pub(super) fn handshake_done(&self) {
        self.since.set(clock::monotonic());
    }

    /// Notes that the client speaks HTTP/2. The preface ends with the client's SETTINGS frame.
    pub(super) fn multiplex(&self) {
        self.streams.set(Some(0));
        self.block.set(Some(self.since.get()));
        self.phase.set(Phase::Idle);
    }

    /// Returns whether the connection speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.streams.get().is_some()
    }

    /// Returns the time when the next action is due. `None` while other deadlines apply, such as
    /// those of a body.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let idle = self.parks_at().or_else(|| self.idle_until());
        earliest([self.cut_at(), idle, self.finishes_at()])
    }

    /// Returns the time when the gateway ends the connection in an orderly way. `None` within a
    /// head: the request that has begun would be lost.
    fn finishes_at(&self) -> Option<Instant> {
        match (self.finish.get(), self.phase.get()) {
            (_, Phase::Head) => None,
            (Finish::Open, _) => self.retires_at,
            // While bytes are not written yet, the answer has not ended.
            (Finish::Last { from, grace }, Phase::Idle) if self.blocked.get().is_none() => {
                Some(from.max(self.since.get()) + grace)
            }
            _ => None,
        }
    }

    /// Returns the time when the gateway gives up an answer whose client has closed its side of the
    /// connection. Such a client may be gone; the reset that would show it comes only after a
    /// write. The upstream's own timeout comes first, so that a client that still reads gets that
    /// answer.
    fn abandoned_at(&self) -> Option<Instant> {
        let since = self.half_closed.get().filter(|_| self.is_busy())?;
        Some(since + self.response_timeout.get()? + GRACE)
    }

    /// Returns the action that is due at a time.
    pub(super) fn due(&self, now: Instant) -> Due {
        let is_idle_too_long = has_passed(self.idle_until(), now);
        if has_passed(self.cut_at(), now) || (is_idle_too_long && self.streams.get().is_none()) {
            return Due::End;
        }
        if is_idle_too_long || has_passed(self.finishes_at(), now) {
            Due::Finish
        } else if has_passed(self.parks_at(), now) {
            Due::Park
        } else {
            Due::Nothing
        }
    }

    /// Returns the time by which the connection has to make progress, or is cut.
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
        earliest([head, block, write, self.departs_by(), self.abandoned_at()])
    }

    /// Returns the time by which an HTTP/2 client has to close the connection, after it was told
    /// and while it has no open stream.
    fn departs_by(&self) -> Option<Instant> {
        match (self.finish.get(), self.phase.get(), self.streams.get()) {
            (Finish::Announced(since), Phase::Idle, Some(_)) => {
                Some(since.max(self.since.get()) + self.timeouts.idle_body)
            }
            _ => None,
        }
    }

    /// Returns the end of the idle timeout.
    fn idle_until(&self) -> Option<Instant> {
        let is_departing = matches!(
            (self.finish.get(), self.streams.get()),
            (Finish::Announced(_), Some(_))
        );
        (self.phase.get() == Phase::Idle && !is_departing)
            .then(|| self.since.get() + self.timeouts.idle)
    }

    /// Returns the time when the connection may be parked. `None` while a body may still be read:
    /// the rest of a body must never be taken for a request. If a body is not read to its end, the
    /// parser takes the rest of it, or ends the connection.
    fn parks_at(&self) -> Option<Instant> {
        let is_idle = self.phase.get() == Phase::Idle && self.streams.get().is_none();
        let is_over = self.reads_no_body() && self.blocked.get().is_none();
        (is_idle && is_over && self.serving.get() == Serving::Active)
            .then(|| self.since.get() + self.park_after.get())
    }

    /// Returns whether the connection may be parked as soon as its answer is written. After a
    /// request with a body it may not: the parser has to be polled again to find the end of it.
    pub(super) fn may_park_at_once(&self) -> bool {
        !self.has_body.get() && self.parks_at().is_some()
    }

    /// Notes that the connection is parked.
    pub(super) fn park(&self) {
        self.serving.set(Serving::Parked);
        self.park_after.set(NEXT_PARK.min(self.timeouts.idle));
    }

    pub(super) fn is_parked(&self) -> bool {
        self.serving.get() == Serving::Parked
    }

    /// Notes that the connection is served.
    pub(super) fn wake(&self) {
        self.serving.set(Serving::Active);
    }

    /// Notes that the end of the connection is being sent.
    pub(super) fn closing(&self) {
        self.serving.set(Serving::Closing);
    }

    /// Returns the interval between two looks at a connection that is busy. It is short enough that
    /// the deadline for parking, which follows a request, need not move the timer.
    pub(super) fn check_interval(&self) -> Duration {
        if self.streams.get().is_some() {
            self.timeouts.idle
        } else {
            self.park_after.get()
        }
    }

    /// Notes that the connection takes no further request.
    fn want_finish(&self) {
        if matches!(self.finish.get(), Finish::Open | Finish::Last { .. }) {
            self.finish.set(Finish::Wanted);
        }
    }

    /// Begins the orderly end of the connection: the drain has begun, or the connection is old. A
    /// request may be on its way, and a close would make it fail, so one more is waited for. That
    /// is not needed if the current answer will announce the end, nor after a request over HTTP/2,
    /// where GOAWAY tells the client which of its requests were taken.
    pub(super) fn wind_down(&self, grace: Duration) {
        let is_multiplexed = self.streams.get().is_some();
        let will_be_told = self.is_busy() && (is_multiplexed || !self.answered.get());
        if will_be_told || (self.had_request.get() && is_multiplexed) {
            self.want_finish();
        } else if self.is_open() {
            self.finish.set(Finish::Last {
                from: clock::monotonic(),
                grace,
            });
        }
    }

    /// Notes that the client is told of the end.
    pub(super) fn finish_announced(&self) {
        if !matches!(self.finish.get(), Finish::Announced(_)) {
            self.finish.set(Finish::Announced(clock::monotonic()));
        }
    }

    /// Returns whether the orderly end has not begun.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.finish.get(), Finish::Open)
    }

    /// Returns whether the client has to be told of the end.
    pub(super) fn wants_finish(&self) -> bool {
        matches!(self.finish.get(), Finish::Wanted)
    }

    /// Begins a request, with or without a body.
    pub(super) fn begin(self: &Rc<Self>, has_body: bool) -> OpenRequest {
        self.phase.set(Phase::Busy);
        self.has_body.set(has_body);
        self.answered.set(false);
        self.response_timeout.set(None);
        self.had_request.set(true);
        self.owes_answer.set(true);
        if let Some(open) = self.streams.get() {
            self.streams.set(Some(open + 1));
        }
        self.requests_left
            .set(self.requests_left.get().saturating_sub(1));
        if self.requests_left.get() == 0 || matches!(self.finish.get(), Finish::Last { .. }) {
            self.want_finish();
        }
        OpenRequest(self.clone())
    }

    /// Returns whether an answer, or a part of it, is not written yet.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes_answer.get()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.phase.get() == Phase::Busy
    }

    /// Returns the counter of request bodies that may still be read: each body holds a clone.
    pub(super) fn bodies(&self) -> &Rc<()> {
        &self.bodies
    }

    /// Returns whether no body is being read: there is none, it has ended, or it was dropped.
    pub(super) fn reads_no_body(&self) -> bool {
        Rc::strong_count(&self.bodies) == 1
    }

    /// Returns the cell in which the walk notes the response timeout of the request's upstream.
    pub(super) fn response_timeout(&self) -> &Rc<Cell<Option<Duration>>> {
        &self.response_timeout
    }

    /// Notes that an answer has begun. Whether it is the last was decided before.
    pub(super) fn answer_begun(&self) {
        self.answered.set(true);
    }

    /// Returns whether the connection has to look for a close of the client while its answer is
    /// being made or sent.
    pub(super) fn awaits_end(&self) -> bool {
        self.is_busy() && self.reads_no_body() && self.half_closed.get().is_none()
    }

    /// Notes that the client has closed its side of the connection, or that its answer makes
    /// progress since then.
    pub(super) fn half_close(&self) {
        self.half_closed.set(Some(clock::monotonic()));
    }

    /// Returns whether the client has closed its side of the connection before its answer had
    /// ended.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.get().is_some()
    }

    /// Returns whether the last request came with a body.
    pub(super) fn had_body(&self) -> bool {
        self.has_body.get()
    }

    /// Ends a request: it was answered, or its stream is gone.
    fn end(&self) {
        let open = self.streams.get().map(|open| open.saturating_sub(1));
        self.streams.set(open);
        if open.unwrap_or_default() == 0 {
            self.phase.set(Phase::Idle);
            self.since.set(clock::monotonic());
        }
    }

    /// Begins a turn of reading.
    pub(super) fn begin_turn(&self) {
        self.turn.set(0);
    }

    /// Returns ready while the connection may read on in this turn. Otherwise the task is woken for
    /// its next turn.
    pub(super) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.get() < TURN {
            return Poll::Ready(());
        }
        // `yield_now` wakes the task only after the runtime has polled the sockets of all tasks. A
        // task that wakes itself is run some sixty times before that.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// Counts bytes that were read in this turn.
    pub(super) fn read(&self, count: usize) {
        self.turn.set(self.turn.get() + count);
    }

    /// Notes that bytes have arrived.
    pub(super) fn received(&self) {
        if self.phase.get() == Phase::Idle && self.streams.get().is_none() {
            self.phase.set(Phase::Head);
            self.since.set(clock::monotonic());
        }
    }

    /// Notes whether the HTTP/2 preface or a field block is incomplete.
    pub(super) fn block(&self, is_open: bool) {
        if is_open != self.block.get().is_some() {
            self.block.set(is_open.then(clock::monotonic));
        }
    }

    /// Notes the result of a write; `sent` is the number of bytes that the socket has accepted
    /// since the connection began.
    pub(super) fn wrote<T>(&self, result: &Poll<T>, sent: u64) {
        self.flushed(result, sent);
        if result.is_ready() && self.is_half_closed() {
            self.half_close();
        }
    }

    /// Notes the result of a flush of the bytes that TLS buffers. TLS may buffer a whole answer;
    /// then only the socket shows that the client reads it slowly.
    pub(super) fn flushed<T>(&self, result: &Poll<T>, sent: u64) {
        match result {
            Poll::Ready(_) if self.blocked.get().is_some() => self.unblock(),
            Poll::Pending if self.blocked.get().is_none() || self.sent.get() != sent => {
                self.sent.set(sent);
                self.blocked.set(Some(clock::monotonic()));
                // The body gives back its buffer meanwhile.
                self.backlog.wake();
            }
            _ => {}
        }
    }

    /// Returns whether the client reads none of the written bytes.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get().is_some()
    }

    /// Notes that everything that hyper was given is written.
    pub(super) fn drained(&self) {
        self.owes_answer.set(self.is_busy());
        self.backlog.clear();
    }

    /// Returns ready while another piece of the answer may wait to be written. For HTTP/2, the
    /// library bounds the waiting pieces of each stream. For HTTP/1.1, it has a single bound for
    /// them and for its read buffer, which uploads need large.
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
        // The idle time begins now: before, the client could not read the end of its answer.
        if self.phase.get() == Phase::Idle && self.streams.get().is_none() {
            self.since.set(clock::monotonic());
        }
    }
}

/// Returns the earliest of the times that are set.
fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

/// Returns whether a time is set and has passed.
fn has_passed(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

/// Returns a random age within a tenth of `age`, so that connections that were opened together do
/// not end together.
fn jittered(age: Duration) -> Duration {
    // The standard library's hashers have random keys.
    let random = RandomState::new().hash_one(age) % 1024;
    age.mul_f64(0.9 + random as f64 / 5120.0)
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
        !matches!(self.0.finish.get(), Finish::Open)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
