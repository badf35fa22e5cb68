//! The actions that are due on a connection, by its activity and the time.

use super::*;
use crate::config::Config;

const GRACE: Duration = Duration::from_millis(500);

fn activity() -> Rc<Activity> {
    let text = "[server.timeouts]\nconnection_age = \"20s\"\n\
                [upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nupstream = \"up\"\nmethods = [\"GET\"]\npublic = true\n";
    Activity::new(&Config::parse(text, "gateway.toml").unwrap().server)
}

/// Returns the action that is due after a time.
fn due_after(activity: &Activity, time: Duration) -> Due {
    activity.due(clock::monotonic() + time)
}

// A request that crosses the end of the connection is answered.
#[test]
fn a_connection_that_has_to_end_waits_for_one_more_request() {
    for has_asked in [false, true] {
        let activity = activity();
        if has_asked {
            drop(activity.begin(false));
        }
        activity.wind_down(GRACE);
        assert!(!activity.wants_finish());
        assert_eq!(due_after(&activity, GRACE / 2), Due::Nothing);
        assert_eq!(due_after(&activity, GRACE), Due::Finish);
        activity.received();
        assert_eq!(
            due_after(&activity, 2 * GRACE),
            Due::Nothing,
            "a head has begun"
        );
        let open = activity.begin(false);
        assert!(
            open.is_last() && activity.wants_finish(),
            "and it is told with the answer"
        );
    }
}

// The head of the answer did not announce the end, so the client may have sent another request.
#[test]
fn a_connection_whose_answer_has_begun_waits_for_one_more_request_from_its_end_on() {
    let activity = activity();
    let open = activity.begin(false);
    activity.answer_begun();
    activity.wind_down(GRACE);
    assert!(!activity.wants_finish());
    assert_eq!(
        due_after(&activity, 4 * GRACE),
        Due::Nothing,
        "the answer takes its time"
    );
    activity.wrote(&Poll::<()>::Pending, 0);
    drop(open);
    assert_eq!(
        due_after(&activity, 4 * GRACE),
        Due::Nothing,
        "a part of it is still here"
    );
    activity.wrote(&Poll::Ready(()), 0);
    assert_eq!(due_after(&activity, GRACE / 2), Due::Nothing);
    assert_eq!(due_after(&activity, GRACE), Due::Finish);
    let open = activity.begin(false);
    assert!(open.is_last() && activity.wants_finish());
}

// RFC 9112 §9.6: such a client may still read, or be gone.
#[test]
fn a_client_that_has_closed_its_side_is_waited_for_as_long_as_its_upstream() {
    let timeout = Duration::from_secs(3);
    let activity = activity();
    let open = activity.begin(false);
    assert!(activity.awaits_end());
    activity.half_close();
    assert!(!activity.awaits_end(), "it is known");
    assert_eq!(
        due_after(&activity, 10 * timeout),
        Due::Finish,
        "the upstream is not asked yet, and it is old by then"
    );
    activity.response_timeout().set(Some(timeout));
    assert_eq!(
        due_after(&activity, timeout),
        Due::Nothing,
        "the upstream has its time"
    );
    assert_eq!(due_after(&activity, timeout + 2 * GRACE), Due::End);
    drop(open);
    assert_eq!(
        due_after(&activity, timeout + 2 * GRACE),
        Due::Nothing,
        "it was answered"
    );
    let open = activity.begin(true);
    assert_eq!(
        due_after(&activity, timeout + 2 * GRACE),
        Due::Nothing,
        "another request, another upstream"
    );
    drop(open);
}

#[test]
fn the_end_of_a_client_is_not_looked_for_while_its_body_may_come() {
    let activity = activity();
    assert!(!activity.awaits_end(), "it is idle");
    let _open = activity.begin(true);
    let body = activity.bodies().clone();
    assert!(!activity.awaits_end());
    drop(body);
    assert!(activity.awaits_end());
}

#[test]
fn a_connection_that_has_something_to_finish_is_told_at_once() {
    let activity = activity();
    let open = activity.begin(false);
    activity.wind_down(GRACE);
    assert!(open.is_last() && activity.wants_finish());
}

// RFC 9113 section 6.8: GOAWAY says which requests were taken, so that a client that has sent a
// request before need not be waited for.
#[test]
fn http2_waits_for_its_first_request_alone() {
    for has_asked in [false, true] {
        let activity = activity();
        activity.multiplex();
        activity.block(false);
        if has_asked {
            drop(activity.begin(false));
        }
        activity.wind_down(GRACE);
        assert_eq!(activity.wants_finish(), has_asked);
    }
}

// The unread rest of a body must never be taken for a request (requirements.md#p06), and no part of
// an answer may be lost.
#[test]
fn a_connection_rests_when_nothing_is_left_to_do_on_it() {
    let busy: [fn(&Rc<Activity>); 5] = [
        |activity| std::mem::forget(activity.bodies().clone()),
        |activity| activity.wrote(&Poll::<()>::Pending, 0),
        |activity| activity.received(),
        |activity| activity.closing(),
        |activity| activity.park(),
    ];
    for (index, what) in busy.into_iter().enumerate() {
        let activity = activity();
        assert_eq!(
            due_after(&activity, FIRST_PARK),
            Due::Nothing,
            "it rests until its first request"
        );
        activity.wake();
        let open = activity.begin(index % 2 == 0);
        assert_eq!(due_after(&activity, FIRST_PARK), Due::Nothing, "it is busy");
        drop(open);
        assert_eq!(due_after(&activity, FIRST_PARK / 2), Due::Nothing);
        assert_eq!(due_after(&activity, FIRST_PARK), Due::Park);
        what(&activity);
        assert_eq!(due_after(&activity, FIRST_PARK), Due::Nothing, "{index}");
    }
}

#[test]
fn a_connection_may_rest_at_once_if_its_request_had_no_body() {
    for has_body in [false, true] {
        let activity = activity();
        activity.wake();
        let open = activity.begin(has_body);
        assert!(!activity.may_park_at_once(), "it is busy");
        drop(open);
        assert_eq!(activity.may_park_at_once(), !has_body);
        activity.wrote(&Poll::<()>::Pending, 0);
        assert!(
            !activity.may_park_at_once(),
            "a part of its answer is still here"
        );
    }
}

#[test]
fn a_client_that_comes_back_is_given_longer() {
    let activity = activity();
    activity.wake();
    drop(activity.begin(false));
    activity.park();
    activity.wake();
    drop(activity.begin(false));
    assert_eq!(due_after(&activity, FIRST_PARK), Due::Nothing);
    assert_eq!(due_after(&activity, NEXT_PARK), Due::Park);
}

#[test]
fn an_old_connection_does_not_end_within_a_head() {
    let activity = activity();
    let old = Duration::from_secs(25);
    assert_eq!(due_after(&activity, old), Due::Finish);
    activity.received();
    assert_eq!(activity.finishes_at(), None);
}

// TLS may buffer a whole answer: only the socket shows whether the client reads it.
#[test]
fn a_client_that_takes_what_tls_keeps_is_waited_for() {
    let activity = activity();
    let _open = activity.begin(false);
    activity.flushed(&Poll::<()>::Pending, 1);
    let first = activity.cut_at();
    let before = clock::monotonic();
    while clock::monotonic() == before {}
    activity.flushed(&Poll::<()>::Pending, 1);
    assert_eq!(activity.cut_at(), first, "it took nothing");
    activity.flushed(&Poll::<()>::Pending, 2);
    assert!(activity.cut_at() > first, "it took a byte");
}
