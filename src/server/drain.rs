//! The drain: telling every connection of a worker to finish. One worker's own, so that a connection that is polled asks
//! a cell and takes no lock that others take.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long the next request of a client that has none under way is waited for: it may be on its way, and to close would
/// fail it.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// Whether a worker's connections are to finish.
#[derive(Default)]
pub(super) struct Drain {
    /// Once it has begun: how long each connection waits for one more request.
    begun: Cell<Option<Duration>>,
    expired: Cell<bool>,
    /// What wakes each member, if it is to be woken.
    places: RefCell<Vec<Option<Waker>>>,
    /// Places that nobody has.
    free: RefCell<Vec<usize>>,
    members: Cell<usize>,
    /// Woken when the last member leaves.
    empty: tokio::sync::Notify,
}

impl Drain {
    /// Tells all members, who have so long.
    pub(super) fn begin(&self, limit: Duration) {
        self.begun.set(Some(GRACE.min(limit / 2)));
        self.wake();
    }

    /// Tells those that are still there that their time is over.
    pub(super) fn expire(&self) {
        self.expired.set(true);
        self.wake();
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = self.places.borrow_mut().iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A connection that wants to be told.
    pub(super) fn join(self: &Rc<Self>) -> Member {
        self.members.set(self.members.get() + 1);
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut places = self.places.borrow_mut();
            places.push(None);
            places.len() - 1
        });
        Member { drain: self.clone(), place, registered: false, told: false }
    }

    fn set_waker(&self, place: usize, waker: Option<Waker>) {
        // The last waker of a task drops the task and with it its member, which comes here: not while this is borrowed.
        let _before =
            self.places.borrow_mut().get_mut(place).and_then(|taken| std::mem::replace(taken, waker));
    }

    /// Waits until no member is left.
    pub(super) async fn finished(&self) {
        while self.members.get() > 0 {
            self.empty.notified().await;
        }
    }
}

/// One connection's membership; it leaves when it is dropped.
pub(super) struct Member {
    drain: Rc<Drain>,
    place: usize,
    registered: bool,
    told: bool,
}

impl Member {
    /// Where others of the same worker join.
    pub(super) fn seat(&self) -> Rc<Drain> {
        self.drain.clone()
    }

    /// Once, when the drain has begun: how long one more request is waited for.
    pub(super) fn poll_begun(&mut self, cx: &Context<'_>) -> Option<Duration> {
        if let Some(grace) = self.drain.begun.get() {
            return (!std::mem::replace(&mut self.told, true)).then_some(grace);
        }
        // A connection stays in its task, so its first waker is its waker.
        if !self.registered {
            self.registered = true;
            self.drain.set_waker(self.place, Some(cx.waker().clone()));
        }
        None
    }

    /// Ready when the drain has lasted as long as it may.
    pub(super) async fn closing(&self) {
        poll_fn(|cx| {
            if self.drain.expired.get() {
                return Poll::Ready(());
            }
            self.drain.set_waker(self.place, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.drain.set_waker(self.place, None);
        self.drain.free.borrow_mut().push(self.place);
        self.drain.members.set(self.drain.members.get() - 1);
        if self.drain.members.get() == 0 {
            self.drain.empty.notify_one();
        }
    }
}
