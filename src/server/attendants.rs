//! The tasks of a worker that serve its connections, each one connection after the other. To make a task costs as much as a
//! tenth of a request: it is a large piece of memory, and has its place in the runtime's lists.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tasks that wait when nothing comes. So many connections can begin at a time without a new one; what is more ends with its
/// connection.
const MOST: usize = 64;

/// Those who wait for something to do, and how it is given to them.
pub(super) struct Attendants<T> {
    waiting: RefCell<Vec<Rc<Post<T>>>>,
}

/// Where one of them waits.
pub(super) struct Post<T> {
    next: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
}

impl<T> Attendants<T> {
    pub(super) fn new() -> Self {
        Self { waiting: RefCell::default() }
    }

    /// Gives it to one who waits; it comes back where nobody does.
    pub(super) fn give(&self, work: T) -> Option<T> {
        // The last that came: what it touches is warm.
        let Some(post) = self.waiting.borrow_mut().pop() else { return Some(work) };
        post.next.set(Some(work));
        if let Some(waker) = post.waker.take() {
            waker.wake();
        }
        None
    }

    /// Waits for the next; `None` where enough others wait.
    pub(super) async fn next(&self, post: &Rc<Post<T>>) -> Option<T> {
        if self.waiting.borrow().len() >= MOST {
            return None;
        }
        self.waiting.borrow_mut().push(post.clone());
        poll_fn(|cx| match post.next.take() {
            Some(work) => Poll::Ready(Some(work)),
            None => {
                post.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl<T> Post<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { next: Cell::new(None), waker: Cell::new(None) })
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
        let attendants = Attendants::new();
        assert_eq!(attendants.give(1), Some(1), "nobody is there");
        let (first, second) = (Post::new(), Post::new());
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = pin!(attendants.next(&first));
        let mut second = pin!(attendants.next(&second));
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        assert_eq!((attendants.give(2), attendants.give(3), attendants.give(4)), (None, None, Some(4)));
        assert_eq!(second.poll(&mut cx), Poll::Ready(Some(2)), "the last that came is the first that goes");
        assert_eq!(first.poll(&mut cx), Poll::Ready(Some(3)));
    }

    #[test]
    fn no_more_wait_than_are_of_use() {
        let attendants = Attendants::<()>::new();
        let posts: Vec<_> = (0..=MOST).map(|_| Post::new()).collect();
        let mut waiting: Vec<_> = posts.iter().map(|post| Box::pin(attendants.next(post))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let ends = waiting.iter_mut().filter_map(|one| match one.as_mut().poll(&mut cx) {
            Poll::Ready(work) => Some(work),
            Poll::Pending => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [None]);
    }
}
