//! The order of the batches when they cannot all be issued at once.
//!
//! It owns tickets and turns. It knows nothing of what is written.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The batches that have not ended.
#[derive(Default)]
pub(super) struct Queue {
    last: Cell<u64>,
    open: RefCell<Vec<u64>>,
    waiting: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
}

/// A place outside the fast lane; as long as one is held, later batches wait too.
pub(super) struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

impl Queue {
    pub(super) fn enter(&self) -> u64 {
        let ticket = self.last.get() + 1;
        self.last.set(ticket);
        self.open.borrow_mut().push(ticket);
        ticket
    }

    pub(super) fn leave(&self, ticket: u64) {
        self.open.borrow_mut().retain(|open| *open != ticket);
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    /// Whether a batch is waiting, or is being written outside the fast lane.
    pub(super) fn is_jammed(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Waits until all earlier batches have ended.
    pub(super) async fn turn(&self, ticket: u64) -> Place<'_> {
        self.waiting.set(self.waiting.get() + 1);
        let place = Place(self);
        poll_fn(|context| {
            if self.open.borrow().iter().all(|open| *open >= ticket) {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
        place
    }
}
