//! The connections of a worker, and what each is woken for besides its socket: the drain, and its deadline. One worker's
//! own, so that a connection that is polled asks a cell and takes no lock that others take.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::ticks::{Tick, Ticks};
use crate::clock;

/// How long the next request of a client that has none under way is waited for: it may be on its way, and to close would
/// fail it.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// From so many on that are awake, the next rest when they have their answer. What serves one is some 24 KiB, and made anew
/// in memory that was just used it costs less than to be fetched from where it was left.
const CROWD: usize = 1024;

/// The connections of a worker: whether they are to finish, and when each is to be woken.
pub(super) struct Roster {
    /// Once it has begun: how long each connection waits for one more request.
    begun: Cell<Option<Duration>>,
    expired: Cell<bool>,
    places: RefCell<Vec<Place>>,
    /// Places that nobody has.
    free: RefCell<Vec<usize>>,
    ticks: RefCell<Ticks>,
    keeper: Keeper,
    members: Cell<usize>,
    awake: Cell<usize>,
    /// Woken when the last member leaves.
    empty: tokio::sync::Notify,
}

/// A member's.
#[derive(Default)]
struct Place {
    waker: Option<Waker>,
    /// When it is to be woken.
    tick: Option<Tick>,
}

/// Who wakes those whose tick has come.
#[derive(Default)]
struct Keeper {
    waker: Cell<Option<Waker>>,
    /// Until when it sleeps, if it does not sleep without end.
    until: Cell<Option<Tick>>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            begun: Cell::default(),
            expired: Cell::default(),
            places: RefCell::default(),
            free: RefCell::default(),
            ticks: RefCell::new(Ticks::new(clock::monotonic())),
            keeper: Keeper::default(),
            members: Cell::default(),
            awake: Cell::default(),
            empty: tokio::sync::Notify::default(),
        }
    }

    /// Tells all members, who have so long.
    pub(super) fn begin_drain(&self, limit: Duration) {
        self.begun.set(Some(GRACE.min(limit / 2)));
        self.wake();
    }

    /// Tells those that are still there that their time is over.
    pub(super) fn end_drain(&self) {
        self.expired.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.places.borrow().iter().filter_map(|place| place.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    /// A connection that wants to be told.
    pub(super) fn join(self: &Rc<Self>) -> Member {
        self.members.set(self.members.get() + 1);
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut places = self.places.borrow_mut();
            places.push(Place::default());
            places.len() - 1
        });
        Member { roster: self.clone(), place, registered: false, told: false }
    }

    fn change<T>(&self, place: usize, change: impl FnOnce(&mut Place) -> T) -> Option<T> {
        self.places.borrow_mut().get_mut(place).map(change)
    }

    fn set_waker(&self, place: usize, waker: Option<Waker>) {
        // The last waker of a task drops the task and with it its member, which comes here: not while this is borrowed.
        let _before = self.change(place, |place| std::mem::replace(&mut place.waker, waker));
    }

    fn set_alarm(&self, place: usize, at: Instant) {
        let tick = self.ticks.borrow_mut().insert(place, at);
        self.change(place, |place| place.tick = Some(tick));
        if self.keeper.until.get().is_none_or(|until| tick < until)
            && let Some(keeper) = self.keeper.waker.take()
        {
            keeper.wake();
        }
    }

    /// Wakes each member when its time has come.
    pub(super) async fn keep_time(self: Rc<Self>) {
        let mut sleep = pin!(sleep_until(clock::monotonic().into()));
        poll_fn(|cx| {
            loop {
                self.ring(clock::monotonic());
                let first = self.ticks.borrow().first();
                self.keeper.until.set(first);
                self.keeper.waker.set(Some(cx.waker().clone()));
                let Some(first) = first else { return Poll::<()>::Pending };
                sleep.as_mut().reset(self.ticks.borrow().time_of(first).into());
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await;
    }

    fn ring(&self, now: Instant) {
        loop {
            let Some((tick, due)) = self.ticks.borrow_mut().take(now) else { return };
            for place in due {
                self.change(place, |place| {
                    // Another tick is that of who was moved, or of who has the place now.
                    if place.tick == Some(tick) {
                        place.tick = None;
                        place.waker.iter().for_each(Waker::wake_by_ref);
                    }
                });
            }
        }
    }

    /// Returns how many connections are registered.
    pub(super) fn count(&self) -> usize {
        self.members.get()
    }

    /// Waits until no member is left.
    pub(super) async fn emptied(&self) {
        while self.members.get() > 0 {
            self.empty.notified().await;
        }
    }
}

/// One connection's membership; it leaves when it is dropped.
pub(super) struct Member {
    roster: Rc<Roster>,
    place: usize,
    registered: bool,
    told: bool,
}

impl Member {
    /// Where others of the same worker join.
    pub(super) fn seat(&self) -> Rc<Roster> {
        self.roster.clone()
    }

    /// Is to be woken at that time, and at no other that was said before.
    pub(super) fn set_alarm(&self, at: Instant) {
        self.roster.set_alarm(self.place, at);
    }

    /// Whether the time that was said last is still to come.
    pub(super) fn has_alarm(&self) -> bool {
        self.roster.change(self.place, |place| place.tick.is_some()) == Some(true)
    }

    /// Is counted among those that are awake, until what is returned is dropped.
    pub(super) fn awaken(&self) -> Awake {
        self.roster.awake.set(self.roster.awake.get() + 1);
        Awake(self.roster.clone())
    }

    /// Once, when the drain has begun: how long one more request is waited for.
    pub(super) fn poll_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        // A connection stays in its task, so its first waker is its waker.
        if !self.registered {
            self.registered = true;
            self.roster.set_waker(self.place, Some(cx.waker().clone()));
        }
        let grace = self.roster.begun.get()?;
        (!std::mem::replace(&mut self.told, true)).then_some(grace)
    }

    /// Ready when the drain has lasted as long as it may.
    pub(super) async fn closing(&self) {
        poll_fn(|cx| {
            if self.roster.expired.get() {
                return Poll::Ready(());
            }
            self.roster.set_waker(self.place, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A connection that is awake.
pub(super) struct Awake(Rc<Roster>);

impl Awake {
    /// Whether it is one of so many that none finds anything of its own in a cache any more.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.0.awake.get() > CROWD
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.awake.set(self.0.awake.get() - 1);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _left = self.roster.change(self.place, std::mem::take);
        self.roster.free.borrow_mut().push(self.place);
        self.roster.members.set(self.roster.members.get() - 1);
        if self.roster.members.get() == 0 {
            self.roster.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_are_awake_all_are_told_and_of_few_none() {
        let member = Rc::new(Roster::new()).join();
        let few: Vec<_> = (0..CROWD).map(|_| member.awaken()).collect();
        assert!(!few[0].is_one_of_many());
        let one_more = member.awaken();
        assert!(few[0].is_one_of_many() && one_more.is_one_of_many());
        drop(one_more);
        assert!(!few[0].is_one_of_many());
    }

    #[test]
    fn a_member_has_its_alarm_until_it_has_rung() {
        let roster = Rc::new(Roster::new());
        let (now, soon) = (clock::monotonic(), clock::monotonic() + Duration::from_secs(1));
        let (member, other) = (roster.join(), roster.join());
        assert!(!member.has_alarm());
        member.set_alarm(soon);
        roster.ring(now);
        assert!(member.has_alarm(), "never early");
        member.set_alarm(soon + GRACE);
        other.set_alarm(soon);
        drop(other);
        let heir = roster.join();
        roster.ring(soon + GRACE / 2);
        assert!(member.has_alarm(), "it was moved");
        assert!(!heir.has_alarm(), "a place that is taken over comes without its time");
        roster.ring(soon + 2 * GRACE);
        assert!(!member.has_alarm());
    }
}
