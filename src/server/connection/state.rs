//! The life of a client connection, as a state machine: events go in, the next deadline and the
//! next action come out.
//!
//! It does no I/O and reads no clock: an event that needs a time brings it along. A request that
//! arrives whole and is answered at once needs two times, that of its first byte and that of its
//! end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::connections::GRACE;
use super::super::end::Blame;
use crate::config::Server;
use crate::telemetry::ConnectionError;

/// The time for which an HTTP/1.1 connection is idle before it is parked for the first time. The
/// memory that parses and answers, some 35 KiB, is freed then and made again for the next byte. The
/// time is short because connections that arrive faster than they are parked each cost that memory.
pub(super) const FIRST_PARK: Duration = Duration::from_millis(250);

/// The time for which a connection is idle before it is parked again. A client that came back once
/// may do so again, and to make the memory again costs as much as a tenth of a request.
const NEXT_PARK: Duration = Duration::from_secs(10);

/// The state of a client connection.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    memory: Memory,
    finish: Finish,
    /// Present for HTTP/2.
    http2: Option<Http2>,
    /// Set if the last request came with a body.
    has_body: bool,
    /// Set when an answer has begun whose head did not announce the end of the connection.
    is_answered: bool,
    /// Set if a request has begun since everything was written.
    owes_answer: bool,
    /// Present while the client reads none of the written bytes.
    blocked: Option<Blocked>,
    /// The last time when the answer made progress, for a client that has closed its side of the
    /// connection.
    half_closed: Option<Instant>,
    facts: Facts,
    /// The number of requests that the client may still send.
    requests_left: usize,
    limits: Limits,
    /// The time for which the connection is idle before it is parked.
    park_after: Duration,
}

/// The deadlines of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a request head, from its first byte.
    request_head: Duration,
    /// For a connection between requests.
    idle: Duration,
    /// For a client that reads nothing.
    idle_body: Duration,
    /// The time when the connection reaches its greatest age.
    retires_at: Option<Instant>,
}

impl Limits {
    /// Returns the limits of a connection that ends at an age.
    pub(super) fn new(server: &Server, retires_at: Option<Instant>) -> Self {
        Self {
            request_head: server.timeouts.request_head,
            idle: server.timeouts.idle,
            idle_body: server.timeouts.idle_body,
            retires_at,
        }
    }
}

/// The facts about the current request that the walk keeps up to date.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Held by each body that may still be read.
    pub(super) bodies: Rc<()>,
    /// The time that the upstream has for its answer; `None` before the upstream is asked.
    pub(super) response_timeout: Rc<Cell<Option<Duration>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests, since this time.
    Idle(Instant),
    /// A head has begun at this time. Further bytes do not extend its deadline. Over HTTP/2, the
    /// field block says so instead.
    Head(Instant),
    /// A request is being answered. Its bodies have deadlines of their own.
    Busy,
}

/// The part of a connection that is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// The stream only.
    Parked,
    /// The parser and the answer as well.
    Active,
    /// The same, while the end of the connection is being sent.
    Closing,
}

/// The progress towards an orderly end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The part of the state that only HTTP/2 has.
#[derive(Clone, Copy, Debug)]
struct Http2 {
    streams: usize,
    /// Set after the first request.
    had_request: bool,
    /// The time since when the preface or a field block is incomplete.
    block: Option<Instant>,
}

/// A client that reads none of the written bytes.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    since: Instant,
    /// The number of bytes that the socket had accepted at that time.
    sent: u64,
}

/// The action that is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Free the parser and the buffers until the next byte.
    Park,
    /// Take no further request, tell the client, and let the requests that have begun finish. A
    /// parked connection has none: it is closed.
    Finish,
    /// End the connection at once, with this error.
    End(ConnectionError),
}

/// The way in which a connection that has ended is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// With nothing more to say: nothing of the client can be unread.
    Plain,
    /// So that the client can read its last answer although it may still be sending.
    Lingering,
    /// With a reset, because the last answer is incomplete.
    Reset,
}

// The events.

impl State {
    /// Returns the state of a connection that was accepted at a time.
    pub(super) fn new(now: Instant, limits: Limits, requests: usize) -> Self {
        Self {
            phase: Phase::Idle(now),
            memory: Memory::Parked,
            finish: Finish::Open,
            http2: None,
            has_body: false,
            is_answered: false,
            owes_answer: false,
            blocked: None,
            half_closed: None,
            facts: Facts::default(),
            requests_left: requests,
            limits,
            park_after: FIRST_PARK.min(limits.idle),
        }
    }

    /// The steps before HTTP are over: the idle time begins.
    pub(super) fn handshake_done(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
    }

    /// The client speaks HTTP/2. The preface ends with the client's SETTINGS frame.
    pub(super) fn http2_begun(&mut self) {
        let (Phase::Idle(since) | Phase::Head(since)) = self.phase else {
            return;
        };
        self.phase = Phase::Idle(since);
        self.memory = Memory::Active;
        self.http2 = Some(Http2 {
            streams: 0,
            had_request: false,
            block: Some(since),
        });
    }

    /// Bytes have arrived. They change nothing unless [`State::awaits_head`].
    pub(super) fn head_begun(&mut self, now: Instant) {
        if self.awaits_head() {
            self.phase = Phase::Head(now);
        }
    }

    /// The HTTP/2 preface or a field block is incomplete since a time, or complete again.
    pub(super) fn set_block(&mut self, since: Option<Instant>) {
        if let Some(http2) = &mut self.http2 {
            http2.block = since;
        }
    }

    /// A request has begun, with or without a body.
    pub(super) fn request_begun(&mut self, has_body: bool) {
        self.phase = Phase::Busy;
        self.has_body = has_body;
        self.is_answered = false;
        self.owes_answer = true;
        self.facts.response_timeout.set(None);
        if let Some(http2) = &mut self.http2 {
            http2.streams += 1;
            http2.had_request = true;
        }
        self.requests_left = self.requests_left.saturating_sub(1);
        if self.requests_left == 0 || matches!(self.finish, Finish::Last { .. }) {
            self.want_finish();
        }
    }

    /// An answer has begun. Whether it is the last was decided before.
    pub(super) fn answer_begun(&mut self) {
        self.is_answered = true;
    }

    /// A request has ended: it was answered, or its stream is gone.
    pub(super) fn request_ended(&mut self, now: Instant) {
        if let Some(http2) = &mut self.http2 {
            http2.streams = http2.streams.saturating_sub(1);
            if http2.streams > 0 {
                return;
            }
        }
        self.phase = Phase::Idle(now);
    }

    /// The client has accepted no byte, or not all of them; `sent` is the number of bytes that the
    /// socket has accepted since the connection began. TLS may buffer a whole answer: only this
    /// number shows then that the client reads it slowly. Returns whether anything has changed.
    pub(super) fn write_blocked(&mut self, sent: u64, now: Instant) -> bool {
        let is_new = self.blocked.is_none_or(|blocked| blocked.sent != sent);
        if is_new {
            self.blocked = Some(Blocked { since: now, sent });
        }
        is_new
    }

    /// The client has accepted bytes. That changes nothing unless [`State::awaits_client`].
    pub(super) fn written(&mut self, now: Instant) {
        self.flushed(now);
        if self.half_closed.is_some() {
            self.half_closed = Some(now);
        }
    }

    /// The client has accepted all bytes that were written. That changes nothing unless
    /// [`State::awaits_client`].
    pub(super) fn flushed(&mut self, now: Instant) {
        let was_blocked = self.blocked.take().is_some();
        // The idle time begins now: before, the client could not read the end of its answer.
        if was_blocked && self.awaits_head() {
            self.phase = Phase::Idle(now);
        }
    }

    /// Everything that the library was given is written.
    pub(super) fn drained(&mut self) {
        self.owes_answer = self.is_busy();
    }

    /// The client has closed its side of the connection.
    pub(super) fn half_closed(&mut self, now: Instant) {
        self.half_closed = Some(now);
    }

    /// The connection is parked.
    pub(super) fn parked(&mut self) {
        self.memory = Memory::Parked;
        self.park_after = NEXT_PARK.min(self.limits.idle);
    }

    /// The connection is served: it was parked before.
    pub(super) fn activated(&mut self) {
        self.memory = Memory::Active;
    }

    /// The end of the connection is being sent.
    pub(super) fn closing(&mut self) {
        self.memory = Memory::Closing;
    }

    /// The connection has to end in an orderly way: the drain has begun, or the connection is old.
    /// A request may be on its way, and a close would make it fail, so one more is waited for. That
    /// is not needed if the current answer will announce the end, nor after a request over HTTP/2,
    /// where GOAWAY tells the client which of its requests were taken.
    pub(super) fn wind_down(&mut self, grace: Duration, now: Instant) {
        let is_told = match self.http2 {
            Some(http2) => http2.had_request,
            None => self.is_busy() && !self.is_answered,
        };
        if is_told {
            self.want_finish();
        } else if self.is_open() {
            self.finish = Finish::Last { from: now, grace };
        }
    }

    /// The client is told of the end.
    pub(super) fn finish_announced(&mut self, now: Instant) {
        if !matches!(self.finish, Finish::Announced(_)) {
            self.finish = Finish::Announced(now);
        }
    }

    fn want_finish(&mut self) {
        if matches!(self.finish, Finish::Open | Finish::Last { .. }) {
            self.finish = Finish::Wanted;
        }
    }
}

// The next action, and its time.

impl State {
    /// Returns the next action, if it is due: one that needs no time, or, if a time is given, one
    /// whose deadline has passed. `is_crowded` tells that so many connections are active that each
    /// is parked as soon as its answer is written.
    ///
    /// The action is expected to be taken: a connection that has reached its age is winding down
    /// from now on.
    pub(super) fn next(&mut self, now: Option<Instant>, is_crowded: bool) -> Option<Action> {
        if self.finish == Finish::Wanted {
            return Some(Action::Finish);
        }
        if is_crowded && self.may_park_at_once() {
            return Some(Action::Park);
        }
        let now = now?;
        if has_passed(self.cut_at(), now) {
            return Some(Action::End(self.timeout(now)));
        }
        let is_idle_too_long = has_passed(self.idle_until(), now);
        if is_idle_too_long && self.http2.is_none() {
            return Some(Action::End(self.timeout(now)));
        }
        if is_idle_too_long || has_passed(self.finishes_at(), now) {
            if !self.is_open() {
                return Some(Action::Finish);
            }
            self.wind_down(GRACE, now);
            return self.next(Some(now), is_crowded);
        }
        has_passed(self.parks_at(), now).then_some(Action::Park)
    }

    /// Returns the time of the next action. `None` while other deadlines apply, such as those of a
    /// body.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.parks_at().or_else(|| self.idle_until());
        sooner(self.cut_at(), sooner(idle, self.finishes_at()))
    }

    /// Returns the interval at which a connection without a deadline is looked at. A request over
    /// HTTP/2 ends in a task of its own, so that its end may begin a deadline unnoticed.
    pub(super) fn recheck(&self) -> Duration {
        self.limits.idle
    }

    /// Returns the time by which the connection has to make progress, or is cut.
    fn cut_at(&self) -> Option<Instant> {
        let answer = sooner(self.departs_by(), self.abandoned_at());
        sooner(sooner(self.head_until(), self.write_until()), answer)
    }

    /// Returns the time by which a head that has begun must be complete.
    fn head_until(&self) -> Option<Instant> {
        let head = match self.phase {
            Phase::Head(since) => Some(since),
            Phase::Idle(_) | Phase::Busy => None,
        };
        let block = self.http2.and_then(|http2| http2.block);
        sooner(head, block).map(|since| since + self.limits.request_head)
    }

    /// Returns the time by which the client has to read.
    fn write_until(&self) -> Option<Instant> {
        let blocked = self.blocked?;
        Some(blocked.since + self.limits.idle_body)
    }

    /// Returns the time by which an HTTP/2 client has to close the connection, after it was told
    /// and while it has no open stream.
    fn departs_by(&self) -> Option<Instant> {
        match (self.finish, self.phase) {
            (Finish::Announced(told), Phase::Idle(since)) if self.http2.is_some() => {
                Some(told.max(since) + self.limits.idle_body)
            }
            _ => None,
        }
    }

    /// Returns the time when the gateway gives up an answer whose client has closed its side of the
    /// connection. Such a client may be gone; the reset that would show it comes only after a
    /// write. The upstream's own timeout comes first, so that a client that still reads gets that
    /// answer.
    fn abandoned_at(&self) -> Option<Instant> {
        let since = self.half_closed.filter(|_| self.is_busy())?;
        Some(since + self.facts.response_timeout.get()? + GRACE)
    }

    /// Returns the end of the idle timeout. A client of HTTP/2 that was told of the end has
    /// [another deadline](Self::departs_by).
    fn idle_until(&self) -> Option<Instant> {
        match (self.phase, self.finish) {
            (Phase::Idle(_), Finish::Announced(_)) if self.http2.is_some() => None,
            (Phase::Idle(since), _) => Some(since + self.limits.idle),
            _ => None,
        }
    }

    /// Returns the time when the gateway ends the connection in an orderly way. `None` within a
    /// head: the request that has begun would be lost.
    fn finishes_at(&self) -> Option<Instant> {
        match (self.finish, self.phase) {
            (_, Phase::Head(_)) => None,
            (Finish::Open, _) => self.limits.retires_at,
            // While bytes are not written yet, the answer has not ended.
            (Finish::Last { from, grace }, Phase::Idle(since)) if self.blocked.is_none() => {
                Some(from.max(since) + grace)
            }
            _ => None,
        }
    }

    /// Returns the time when the connection may be parked. `None` while a body may still be read:
    /// the rest of a body must never be taken for a request. If a body is not read to its end, the
    /// parser takes the rest of it, or ends the connection.
    fn parks_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle(since) if self.may_park() => Some(since + self.park_after),
            _ => None,
        }
    }

    fn may_park(&self) -> bool {
        self.http2.is_none()
            && self.memory == Memory::Active
            && self.blocked.is_none()
            && self.reads_no_body()
    }

    /// Returns whether the connection may be parked as soon as its answer is written. After a
    /// request with a body it may not: the parser has to be polled again to find the end of it.
    fn may_park_at_once(&self) -> bool {
        !self.has_body && matches!(self.phase, Phase::Idle(_)) && self.may_park()
    }

    /// Returns the error of a connection whose deadline has passed.
    fn timeout(&self, now: Instant) -> ConnectionError {
        if self.half_closed.is_some() {
            ConnectionError::LeftInRequest
        } else if has_passed(self.write_until(), now) {
            ConnectionError::WriteTimeout
        } else if has_passed(self.head_until(), now) {
            ConnectionError::HeadTimeout
        } else if has_passed(self.departs_by(), now) {
            ConnectionError::Http2GoawayTimeout
        } else {
            ConnectionError::IdleTimeout
        }
    }

    /// Returns the error of a connection whose client has left; `None` between two requests.
    pub(super) fn departure(&self) -> Option<ConnectionError> {
        match self.phase {
            Phase::Head(_) => Some(ConnectionError::LeftInHead),
            _ if self.has_open_block() => Some(ConnectionError::LeftInHead),
            Phase::Busy => Some(ConnectionError::LeftInRequest),
            Phase::Idle(_) => None,
        }
    }

    /// Returns how a connection is closed that ended with an error, or well.
    pub(super) fn close(&self, end: Option<ConnectionError>) -> Close {
        let blame = end.map(|error| error.account().blame);
        if self.http2.is_some() {
            return match blame {
                None => Close::Plain,
                // A close with unread bytes would reset the connection, and the client might lose
                // the GOAWAY frame.
                Some(Blame::Refused | Blame::Failed) => Close::Lingering,
                Some(Blame::Left | Blame::Late) => Close::Reset,
            };
        }
        let is_cut = self.is_busy();
        match blame {
            None if !self.has_body => Close::Plain,
            None | Some(Blame::Refused) => Close::Lingering,
            // The client left after it had all answers.
            Some(Blame::Left) if !is_cut => Close::Lingering,
            Some(Blame::Late) if !is_cut => Close::Plain,
            Some(Blame::Left | Blame::Late | Blame::Failed) => Close::Reset,
        }
    }
}

// Questions of those that send the events.

impl State {
    /// Returns whether the next byte begins a head.
    pub(super) fn awaits_head(&self) -> bool {
        matches!(self.phase, Phase::Idle(_)) && self.http2.is_none()
    }

    /// Returns whether the deadline depends on what the client accepts.
    pub(super) fn awaits_client(&self) -> bool {
        self.blocked.is_some() || self.half_closed.is_some()
    }

    /// Returns whether the connection has to look for a close of the client while its answer is
    /// being made or sent.
    pub(super) fn awaits_close(&self) -> bool {
        self.is_busy() && self.half_closed.is_none() && self.reads_no_body()
    }

    /// Returns whether an answer, or a part of it, is not written yet.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes_answer
    }

    /// Returns whether no body is being read: there is none, it has ended, or it was dropped.
    pub(super) fn reads_no_body(&self) -> bool {
        Rc::strong_count(&self.facts.bodies) == 1
    }

    /// Returns whether the client reads none of the written bytes.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Returns whether the HTTP/2 preface or a field block is incomplete.
    pub(super) fn has_open_block(&self) -> bool {
        self.http2.is_some_and(|http2| http2.block.is_some())
    }

    /// Returns whether the connection speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.is_some()
    }

    /// Returns whether the orderly end has not begun.
    pub(super) fn is_open(&self) -> bool {
        self.finish == Finish::Open
    }

    /// Returns the facts that the walk keeps up to date.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    fn is_busy(&self) -> bool {
        self.phase == Phase::Busy
    }
}

/// Returns the earlier of two times, or the one that is set.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Returns whether a time is set and has passed.
fn has_passed(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
