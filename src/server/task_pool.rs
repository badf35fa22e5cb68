//! The tasks of a worker that serve its connections, each one connection after the other. To make a
//! task costs as much as a tenth of a request: it is a large piece of memory, and has its place in
//! the runtime's lists.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tasks that wait when nothing comes. So many connections can begin at a time without a new one;
/// what is more ends with its connection.
const MOST: usize = 64;

/// Those who wait for something to do, and how it is given to them.
pub(super) struct TaskPool<T> {
    waiting: RefCell<Vec<Rc<Slot<T>>>>,
}

/// Where one of them waits.
pub(super) struct Slot<T> {
    next: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
}

impl<T> TaskPool<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: RefCell::default(),
        }
    }

    /// Gives it to one who waits; where nobody does, it lies at a new post, for which somebody has
    /// to be found.
    pub(super) fn give(&self, work: T) -> Option<Rc<Slot<T>>> {
        // The last that came: what it touches is warm.
        let Some(slot) = self.waiting.borrow_mut().pop() else {
            return Some(Slot::with(work));
        };
        slot.next.set(Some(work));
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
        None
    }

    /// Waits for the next; `None` where enough others wait.
    pub(super) async fn next(&self, slot: &Rc<Slot<T>>) -> Option<T> {
        if let Some(work) = slot.next.take() {
            return Some(work);
        }
        if self.waiting.borrow().len() >= MOST {
            return None;
        }
        self.waiting.borrow_mut().push(slot.clone());
        poll_fn(|cx| match slot.next.take() {
            Some(work) => Poll::Ready(Some(work)),
            None => {
                slot.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl<T> Slot<T> {
    fn with(work: T) -> Rc<Self> {
        Rc::new(Self {
            next: Cell::new(Some(work)),
            waker: Cell::new(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn what_comes_is_given_to_one_who_waits() {
        let task_pool = TaskPool::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (first, second) = (task_pool.give(1).unwrap(), task_pool.give(2).unwrap());
        for (slot, work) in [(&first, 1), (&second, 2)] {
            assert_eq!(
                pin!(task_pool.next(slot)).poll(&mut cx),
                Poll::Ready(Some(work))
            );
        }
        let mut first = pin!(task_pool.next(&first));
        let mut second = pin!(task_pool.next(&second));
        assert!(
            first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending()
        );
        assert!(task_pool.give(3).is_none() && task_pool.give(4).is_none());
        assert!(task_pool.give(5).is_some(), "nobody waits");
        assert_eq!(
            second.poll(&mut cx),
            Poll::Ready(Some(3)),
            "the last that came is the first that goes"
        );
        assert_eq!(first.poll(&mut cx), Poll::Ready(Some(4)));
    }

    #[test]
    fn no_more_wait_than_are_of_use() {
        let task_pool = TaskPool::new();
        let mut cx = Context::from_waker(Waker::noop());
        let posts: Vec<_> = (0..=MOST).map(|_| task_pool.give(()).unwrap()).collect();
        posts.iter().for_each(|slot| slot.next.set(None));
        let mut waiting: Vec<_> = posts
            .iter()
            .map(|slot| Box::pin(task_pool.next(slot)))
            .collect();
        let ends = waiting
            .iter_mut()
            .filter_map(|one| match one.as_mut().poll(&mut cx) {
                Poll::Ready(work) => Some(work),
                Poll::Pending => None,
            });
        assert_eq!(ends.collect::<Vec<_>>(), [None]);
    }
}
