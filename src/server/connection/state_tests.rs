//! The state machine as a table: a story of events, each with its time, then the next deadline and
//! the actions at some times. All times are milliseconds since the connection was accepted.

use super::*;
use crate::clock;

const LIMITS: Limits = Limits {
    request_head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    idle_body: Duration::from_secs(30),
    retires_at: None,
};

/// The grace of a drain.
const DRAIN: Duration = Duration::from_millis(200);

const PARK: Option<Action> = Some(Action::Park);
const FINISH: Option<Action> = Some(Action::Finish);
const IDLE_TIMEOUT: Option<Action> = Some(Action::End(ConnectionError::IdleTimeout));
const HEAD_TIMEOUT: Option<Action> = Some(Action::End(ConnectionError::HeadTimeout));
const WRITE_TIMEOUT: Option<Action> = Some(Action::End(ConnectionError::WriteTimeout));
const GOAWAY_TIMEOUT: Option<Action> = Some(Action::End(ConnectionError::Http2GoawayTimeout));
const ABANDONED: Option<Action> = Some(Action::End(ConnectionError::LeftInRequest));

/// An event, or a change of the facts.
#[derive(Clone, Copy)]
enum Event {
    /// The connection reaches its age at this time.
    Age,
    /// Only this request may come.
    LastRequest,
    HandshakeDone,
    Http2,
    Bytes,
    BlockBegun,
    BlockEnded,
    /// A request without a body.
    Request,
    /// A request with a body that is read.
    Upload,
    BodyEnded,
    /// The upstream has this time.
    Asked(u64),
    AnswerBegun,
    Answered,
    /// The socket has accepted this many bytes and accepts no more.
    Blocked(u64),
    Written,
    Flushed,
    Drained,
    HalfClosed,
    Parked,
    Active,
    Closing,
    Drain,
    Announced,
}

use Event::*;

/// Events, each with its time.
type Events = &'static [(u64, Event)];

/// A connection to which events happen.
struct Story {
    accepted: Instant,
    state: State,
    bodies: Vec<Rc<()>>,
}

impl Story {
    fn new() -> Self {
        let accepted = clock::monotonic();
        Self {
            accepted,
            state: State::new(accepted, LIMITS, 1000),
            bodies: Vec::new(),
        }
    }

    fn of(events: Events) -> Self {
        let mut story = Self::new();
        for &(at, event) in events {
            story.happens(story.time(at), event);
        }
        story
    }

    fn time(&self, at: u64) -> Instant {
        self.accepted + Duration::from_millis(at)
    }

    fn happens(&mut self, now: Instant, event: Event) {
        let state = &mut self.state;
        match event {
            Age => state.limits.retires_at = Some(now),
            LastRequest => state.requests_left = 1,
            HandshakeDone => state.handshake_done(now),
            Http2 => state.http2_begun(),
            Bytes => state.head_begun(now),
            BlockBegun => state.set_block(Some(now)),
            BlockEnded => state.set_block(None),
            Request => state.request_begun(false),
            Upload => {
                state.request_begun(true);
                self.bodies.push(state.facts.bodies.clone());
            }
            BodyEnded => drop(self.bodies.pop()),
            Asked(time) => {
                let time = Duration::from_millis(time);
                state.facts.response_timeout.set(Some(time));
            }
            AnswerBegun => state.answer_begun(),
            Answered => state.request_ended(now),
            Blocked(sent) => _ = state.write_blocked(sent, now),
            Written => state.written(now),
            Flushed => state.flushed(now),
            Drained => state.drained(),
            HalfClosed => state.half_closed(now),
            Parked => state.parked(),
            Active => state.activated(),
            Closing => state.closing(),
            Drain => state.wind_down(DRAIN, now),
            Announced => state.finish_announced(now),
        }
    }
}

/// The promise, the events, the deadline after them, and the actions at later times.
type Row = (
    &'static str,
    Events,
    Option<u64>,
    &'static [(u64, Option<Action>)],
);

#[track_caller]
fn check(rows: &[Row]) {
    for (promise, events, deadline, actions) in rows {
        let mut story = Story::of(events);
        let expected = deadline.map(|at| story.time(at));
        assert_eq!(story.state.deadline(), expected, "the deadline: {promise}");
        for (at, action) in *actions {
            let now = story.time(*at);
            let found = story.state.next(Some(now), false);
            assert_eq!(found, *action, "after {at} ms: {promise}");
        }
    }
}

const HOUR: u64 = 3_600_000;

#[test]
fn heads_idle_times_and_slow_readers_have_deadlines() {
    check(&[
        (
            "an idle connection ends",
            &[],
            Some(60_000),
            &[(59_999, None), (60_000, IDLE_TIMEOUT)],
        ),
        (
            "the time begins after TLS",
            &[(5_000, HandshakeDone)],
            Some(65_000),
            &[],
        ),
        (
            "a head has its time from its first byte",
            &[(3_000, Bytes), (9_000, Bytes)],
            Some(13_000),
            &[(12_999, None), (13_000, HEAD_TIMEOUT)],
        ),
        (
            "a request has no deadline of the connection",
            &[(0, Active), (1_000, Bytes), (1_000, Request)],
            None,
            &[(HOUR, None)],
        ),
        (
            "a client that reads nothing is let go",
            &[
                (0, Active),
                (0, Request),
                (1_500, Blocked(0)),
                (9_000, Blocked(0)),
            ],
            Some(31_500),
            &[(31_499, None), (31_500, WRITE_TIMEOUT)],
        ),
        (
            "a client that reads a byte is waited for",
            &[
                (0, Active),
                (0, Request),
                (1_500, Blocked(0)),
                (9_000, Blocked(1)),
            ],
            Some(39_000),
            &[],
        ),
        (
            "also after the request has ended",
            &[
                (0, Active),
                (0, Request),
                (1_500, Blocked(0)),
                (2_000, Answered),
            ],
            Some(31_500),
            &[(31_500, WRITE_TIMEOUT)],
        ),
        (
            "the idle time begins when the answer is written",
            &[
                (0, Active),
                (0, Request),
                (1_500, Blocked(0)),
                (2_000, Answered),
                (9_000, Flushed),
            ],
            Some(9_250),
            &[(9_250, PARK), (68_999, PARK), (69_000, IDLE_TIMEOUT)],
        ),
    ]);
}

// The unread rest of a body must never be taken for a request (requirements.md#p06), and no part of
// an answer may be lost.
#[test]
fn a_connection_is_parked_when_nothing_is_left_to_do_on_it() {
    check(&[
        (
            "before its first request it is parked",
            &[],
            Some(60_000),
            &[(250, None)],
        ),
        (
            "an idle connection is parked",
            &[(0, Active), (0, Request), (2_000, Answered)],
            Some(2_250),
            &[(2_249, None), (2_250, PARK)],
        ),
        (
            "a parked connection ends as any other",
            &[
                (0, Active),
                (0, Request),
                (2_000, Answered),
                (2_250, Parked),
            ],
            Some(62_000),
            &[(2_250, None), (62_000, IDLE_TIMEOUT)],
        ),
        (
            "a client that comes back is given longer",
            &[
                (0, Active),
                (0, Parked),
                (1_000, Active),
                (1_000, Request),
                (2_000, Answered),
            ],
            Some(12_000),
            &[(11_999, None), (12_000, PARK)],
        ),
        (
            "not while a body may be read",
            &[(0, Active), (0, Upload), (2_000, Answered)],
            Some(62_000),
            &[(2_250, None)],
        ),
        (
            "its twin",
            &[
                (0, Active),
                (0, Upload),
                (1_000, BodyEnded),
                (2_000, Answered),
            ],
            Some(2_250),
            &[(2_250, PARK)],
        ),
        (
            "not within a head",
            &[(0, Active), (0, Request), (2_000, Answered), (2_100, Bytes)],
            Some(12_100),
            &[(2_250, None)],
        ),
        (
            "not while its end is sent",
            &[
                (0, Active),
                (0, Request),
                (2_000, Answered),
                (2_000, Closing),
            ],
            Some(62_000),
            &[(2_250, None)],
        ),
    ]);
}

// RFC 9112 §9.6: such a client may still read, or be gone.
#[test]
fn a_client_that_has_closed_its_side_is_waited_for_as_long_as_its_upstream() {
    check(&[
        (
            "the upstream is not asked yet",
            &[(0, Active), (0, Request), (1_000, HalfClosed)],
            None,
            &[(HOUR, None)],
        ),
        (
            "the upstream has its time",
            &[
                (0, Active),
                (0, Request),
                (1_000, HalfClosed),
                (1_000, Asked(3_000)),
            ],
            Some(4_500),
            &[(4_499, None), (4_500, ABANDONED)],
        ),
        (
            "each piece of the answer gives it that time again",
            &[
                (0, Active),
                (0, Request),
                (1_000, HalfClosed),
                (1_000, Asked(3_000)),
                (2_000, Written),
            ],
            Some(5_500),
            &[],
        ),
        (
            "a flush alone is no progress",
            &[
                (0, Active),
                (0, Request),
                (1_000, HalfClosed),
                (1_000, Asked(3_000)),
                (2_000, Flushed),
            ],
            Some(4_500),
            &[],
        ),
        (
            "another request, another upstream",
            &[
                (0, Active),
                (0, Request),
                (1_000, HalfClosed),
                (1_000, Asked(3_000)),
                (2_000, Answered),
                (2_000, Request),
            ],
            None,
            &[(HOUR, None)],
        ),
    ]);
}

// A request that crosses the end of the connection is answered.
#[test]
fn a_connection_that_has_to_end_waits_for_one_more_request() {
    check(&[
        (
            "idle",
            &[(1_000, Drain)],
            Some(1_200),
            &[(1_199, None), (1_200, FINISH)],
        ),
        (
            "idle after a request",
            &[
                (0, Active),
                (0, Request),
                (500, Answered),
                (600, Parked),
                (1_000, Drain),
            ],
            Some(1_200),
            &[(1_200, FINISH)],
        ),
        (
            "a head that has begun is waited for",
            &[(1_000, Drain), (1_100, Bytes)],
            Some(11_100),
            &[(2_000, None), (11_100, HEAD_TIMEOUT)],
        ),
        (
            "the head of the answer did not announce the end",
            &[
                (0, Active),
                (0, Request),
                (1_000, AnswerBegun),
                (1_000, Drain),
            ],
            None,
            &[(HOUR, None)],
        ),
        (
            "so the client may have sent another request",
            &[
                (0, Active),
                (0, Request),
                (1_000, AnswerBegun),
                (1_000, Drain),
                (5_000, Answered),
            ],
            Some(5_200),
            &[(5_199, None), (5_200, FINISH)],
        ),
        (
            "a part of the answer is still here",
            &[
                (0, Active),
                (0, Request),
                (1_000, AnswerBegun),
                (1_000, Drain),
                (2_000, Blocked(0)),
                (5_000, Answered),
            ],
            Some(32_000),
            &[(5_200, None)],
        ),
        (
            "and now it is written",
            &[
                (0, Active),
                (0, Request),
                (1_000, AnswerBegun),
                (1_000, Drain),
                (2_000, Blocked(0)),
                (5_000, Answered),
                (6_000, Flushed),
            ],
            Some(6_200),
            &[(6_199, None), (6_200, FINISH)],
        ),
    ]);
}

#[test]
fn an_old_connection_ends_as_in_a_drain() {
    check(&[
        (
            "idle",
            &[(20_000, Age)],
            Some(20_000),
            &[
                (19_999, None),
                (20_000, None),
                (20_499, None),
                (20_500, FINISH),
            ],
        ),
        (
            "not within a head",
            &[(20_000, Age), (19_000, Bytes)],
            Some(29_000),
            &[(21_000, None)],
        ),
        (
            "with the answer",
            &[(20_000, Age), (0, Active), (0, Request)],
            Some(20_000),
            &[(19_999, None), (20_000, FINISH)],
        ),
    ]);
}

#[test]
fn http2_has_deadlines_of_its_own() {
    check(&[
        (
            "the preface",
            &[(100, Bytes), (200, Http2)],
            Some(10_100),
            &[(10_100, HEAD_TIMEOUT)],
        ),
        (
            "a client is told that it was idle too long",
            &[(0, Http2), (100, BlockEnded)],
            Some(60_000),
            &[(59_999, None), (60_000, FINISH)],
        ),
        (
            "and has to go",
            &[(0, Http2), (100, BlockEnded), (60_000, Announced)],
            Some(90_000),
            &[(89_999, None), (90_000, GOAWAY_TIMEOUT)],
        ),
        (
            "a field block",
            &[(0, Http2), (100, BlockEnded), (5_000, BlockBegun)],
            Some(15_000),
            &[(15_000, HEAD_TIMEOUT)],
        ),
        (
            "while a stream is open there is none",
            &[
                (0, Http2),
                (100, BlockEnded),
                (200, Request),
                (200, Request),
                (300, Answered),
            ],
            None,
            &[(HOUR, None)],
        ),
        (
            "it is not parked",
            &[
                (0, Http2),
                (100, BlockEnded),
                (200, Request),
                (300, Answered),
            ],
            Some(60_300),
            &[(300, None), (60_300, FINISH)],
        ),
        (
            "only its first request is waited for",
            &[(0, Http2), (100, BlockEnded), (1_000, Drain)],
            Some(1_200),
            &[(1_200, FINISH)],
        ),
    ]);
}

/// The events after which an action needs no deadline.
#[test]
fn some_actions_are_due_at_once() {
    let rows: &[(&str, Events, Option<Action>, Option<Action>)] = &[
        ("it is idle", &[(0, Active)], None, PARK),
        (
            "it was answered",
            &[(0, Active), (0, Request), (0, Answered)],
            None,
            PARK,
        ),
        ("it is busy", &[(0, Active), (0, Request)], None, None),
        ("it is parked", &[], None, None),
        (
            "a part of the answer is still here",
            &[(0, Active), (0, Request), (0, Blocked(0)), (0, Answered)],
            None,
            None,
        ),
        (
            "the parser has to find the end of the body",
            &[(0, Active), (0, Upload), (0, BodyEnded), (0, Answered)],
            None,
            None,
        ),
        (
            "the last request",
            &[(0, LastRequest), (0, Active), (0, Request)],
            FINISH,
            FINISH,
        ),
        (
            "a drain before the answer",
            &[(0, Active), (0, Request), (0, Drain)],
            FINISH,
            FINISH,
        ),
        (
            "a request after the drain",
            &[(0, Drain), (0, Active), (0, Request)],
            FINISH,
            FINISH,
        ),
        (
            "HTTP/2 after a request: GOAWAY says which were taken (RFC 9113 §6.8)",
            &[(0, Http2), (0, Request), (0, Answered), (0, Drain)],
            FINISH,
            FINISH,
        ),
        (
            "it was told",
            &[(0, LastRequest), (0, Active), (0, Request), (0, Announced)],
            None,
            None,
        ),
    ];
    for (promise, events, action, crowded) in rows {
        let mut story = Story::of(events);
        assert_eq!(story.state.next(None, false), *action, "{promise}");
        assert_eq!(
            story.state.next(None, true),
            *crowded,
            "among many: {promise}"
        );
        let is_last = matches!(action, Some(Action::Finish));
        assert!(!is_last || !story.state.is_open(), "{promise}");
    }
}

#[test]
fn a_connection_is_closed_so_that_the_client_knows_whether_its_answer_is_complete() {
    const IDLE: Events = &[(0, Active), (0, Request), (0, Answered)];
    const UPLOADED: Events = &[(0, Active), (0, Upload), (0, BodyEnded), (0, Answered)];
    const BUSY: Events = &[(0, Active), (0, Request)];
    const HTTP2: Events = &[(0, Http2)];
    let rows: &[(Events, &[Option<ConnectionError>], Close)] = &[
        (
            IDLE,
            &[None, Some(ConnectionError::IdleTimeout)],
            Close::Plain,
        ),
        (
            IDLE,
            &[
                Some(ConnectionError::HeadField),
                Some(ConnectionError::HeadTooLarge),
                Some(ConnectionError::HeadTargetTooLong),
                Some(ConnectionError::LeftInRequest),
            ],
            Close::Lingering,
        ),
        (IDLE, &[Some(ConnectionError::AnswerCut)], Close::Reset),
        // The client may still be sending.
        (
            UPLOADED,
            &[None, Some(ConnectionError::HeadField)],
            Close::Lingering,
        ),
        (
            BUSY,
            &[
                Some(ConnectionError::LeftInRequest),
                Some(ConnectionError::IdleTimeout),
                Some(ConnectionError::AnswerCut),
            ],
            Close::Reset,
        ),
        (HTTP2, &[None], Close::Plain),
        (
            HTTP2,
            &[
                Some(ConnectionError::HeadField),
                Some(ConnectionError::HeadTooLarge),
                Some(ConnectionError::Http2Flood),
                Some(ConnectionError::AnswerCut),
            ],
            Close::Lingering,
        ),
        (
            HTTP2,
            &[
                Some(ConnectionError::LeftInRequest),
                Some(ConnectionError::IdleTimeout),
            ],
            Close::Reset,
        ),
    ];
    for (events, ends, close) in rows {
        for end in *ends {
            assert_eq!(Story::of(events).state.close(*end), *close, "{end:?}");
        }
    }
}

#[test]
fn a_close_of_the_client_is_looked_for_while_nothing_else_of_it_can_come() {
    let rows: &[(Events, bool)] = &[
        (&[(0, Active)], false),
        (&[(0, Active), (0, Request)], true),
        (&[(0, Active), (0, Request), (0, HalfClosed)], false),
        (&[(0, Active), (0, Upload)], false),
        (&[(0, Active), (0, Upload), (0, BodyEnded)], true),
    ];
    for (index, (events, expected)) in rows.iter().enumerate() {
        assert_eq!(Story::of(events).state.awaits_close(), *expected, "{index}");
    }
}

#[test]
fn an_answer_is_owed_until_all_of_it_is_written() {
    let rows: &[(Events, bool)] = &[
        (&[], false),
        (&[(0, Request)], true),
        (&[(0, Request), (0, Drained)], true),
        (&[(0, Request), (0, Answered)], true),
        (&[(0, Request), (0, Answered), (0, Drained)], false),
    ];
    for (index, (events, expected)) in rows.iter().enumerate() {
        assert_eq!(Story::of(events).state.owes_answer(), *expected, "{index}");
    }
}
