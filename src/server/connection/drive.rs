//! Driving a connection by its state: waiting for the next action, and taking it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::connections::Registration;
use super::activity::Activity;
use super::state::Action;
use crate::clock;
use crate::telemetry::ConnectionError;

/// A connection of hyper, of either protocol.
pub(super) trait Served: Future<Output = hyper::Result<()>> {
    /// Stops taking requests, and lets those that have begun finish.
    fn finish(self: Pin<&mut Self>);
}

/// The reason why a connection is not driven any further.
pub(super) enum Driven {
    /// The connection is to be parked.
    Parked,
    /// The connection has ended, well or with an error.
    Ended(Option<ConnectionError>),
}

/// Drives a connection until it ends or is to be parked.
pub(super) async fn drive(
    mut connection: Pin<&mut impl Served>,
    activity: &Activity,
    registration: &mut Registration,
) -> Driven {
    let active = registration.activate();
    std::future::poll_fn(|cx| {
        activity.turn.begin();
        look_for_drain(activity, registration);
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                let end = result.err().map(|error| ConnectionError::of(&error));
                return Poll::Ready(Driven::Ended(end));
            }
            match ready!(poll_action(
                activity,
                registration,
                active.is_one_of_many(),
                cx
            )) {
                Action::Park => return Poll::Ready(Driven::Parked),
                Action::Finish => {
                    activity.state().finish_announced(clock::monotonic());
                    connection.as_mut().finish();
                }
                Action::End(end) => return Poll::Ready(Driven::Ended(Some(end))),
            }
        }
    })
    .await
}

/// Begins the orderly end of the connection when the drain has begun.
pub(super) fn look_for_drain(activity: &Activity, registration: &mut Registration) {
    if let Some(grace) = registration.drain_begun() {
        activity.state().wind_down(grace, clock::monotonic());
    }
}

/// Returns the end of a connection of which only the stream is in memory, when it is to end.
pub(super) fn poll_end(
    activity: &Activity,
    registration: &Registration,
    cx: &Context<'_>,
) -> Poll<Option<ConnectionError>> {
    let action = ready!(poll_action(activity, registration, false, cx));
    Poll::Ready(match action {
        Action::End(end) => Some(end),
        Action::Finish | Action::Park => None,
    })
}

/// Returns the next action of the connection, when it is due.
fn poll_action(
    activity: &Activity,
    registration: &Registration,
    is_crowded: bool,
    cx: &Context<'_>,
) -> Poll<Action> {
    let mut now = None;
    loop {
        let mut state = activity.state();
        if let Some(action) = state.next(now, is_crowded) {
            return Poll::Ready(action);
        }
        let Some(deadline) = state.deadline() else {
            registration.timer.wake_within(cx, state.recheck());
            return Poll::Pending;
        };
        now = Some(ready!(registration.timer.poll_deadline(cx, deadline)));
    }
}
