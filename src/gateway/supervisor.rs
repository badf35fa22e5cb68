//! The supervisor of background tasks. It follows a wanted set: a task runs for as long as it is
//! wanted, and starts again if it panics.

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::sleep;

use crate::carry_over::CarryOver;
use crate::clock;
use crate::telemetry::GatewayMetrics;

/// The delay before a task that has panicked starts again. It doubles with each further panic.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest delay before a task that has panicked starts again.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The time after which a task that has not panicked counts as healthy: the delay after its next
/// panic is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// A background task that is wanted.
pub(super) struct Task {
    identity: Identity,
    subject: Weak<dyn Any>,
    start: Start,
}

/// Makes the future of a task, once for each start.
type Start = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

/// The identity of a task: its purpose, and the address of the one thing that it works for. Another
/// thing with the same name in the configuration has another task.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Identity {
    purpose: Arc<str>,
    subject: *const (),
}

impl Task {
    /// Returns a task that works for `subject`, but does not keep it alive. `purpose` is a noun
    /// phrase for the log, which names the subject.
    pub(super) fn new<T, F>(
        purpose: impl Into<Arc<str>>,
        subject: &Arc<T>,
        run: impl Fn(Weak<T>) -> F + Clone + 'static,
    ) -> Self
    where
        T: Any,
        F: Future<Output = ()> + 'static,
    {
        let weak = Arc::downgrade(subject);
        let identity = Identity {
            purpose: purpose.into(),
            subject: Arc::as_ptr(subject).cast(),
        };
        Self {
            identity,
            subject: weak.clone(),
            start: Box::new(move || {
                let (run, weak) = (run.clone(), weak.clone());
                // `run` is called by the task, since it may panic as well.
                Box::pin(async move { run(weak).await })
            }),
        }
    }
}

/// The delays before a task starts again after a panic. Each is twice as long as the one before.
#[derive(Clone, Copy)]
struct BackOff {
    first: Duration,
    next: Duration,
}

impl BackOff {
    fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// Returns the delay after a panic of a task that ran for `time`.
    fn after_panic(&mut self, time: Duration) -> Duration {
        if time >= HEALTHY_AFTER {
            self.next = self.first;
        }
        let delay = self.next;
        self.next = (delay * 2).min(MAX_DELAY);
        delay
    }
}

/// The background tasks that run.
pub(super) struct Supervisor {
    metrics: Arc<GatewayMetrics>,
    back_off: BackOff,
    running: Vec<Running>,
}

/// A task that was started. It stays here when it has ended, so that it is not started again.
struct Running {
    identity: Identity,
    /// Keeps the address of the subject from being used for another thing.
    _subject: Weak<dyn Any>,
    handle: JoinHandle<()>,
}

impl Supervisor {
    /// Returns a supervisor without tasks, which counts panics in `metrics`.
    pub(super) fn new(metrics: Arc<GatewayMetrics>) -> Self {
        Self {
            metrics,
            back_off: BackOff::new(FIRST_DELAY),
            running: Vec::new(),
        }
    }

    /// Starts the wanted tasks that do not run yet, keeps those that run, and ends all others.
    pub(super) fn follow(&mut self, wanted: Vec<Task>) {
        let before = std::mem::take(&mut self.running);
        let mut earlier = CarryOver::new(before, |running| running.identity.clone());
        for task in wanted {
            self.running.push(match earlier.take(&task.identity) {
                Some(running) => running,
                None => self.start(task),
            });
        }
        for unwanted in earlier.left() {
            unwanted.handle.abort();
        }
    }

    fn start(&self, task: Task) -> Running {
        let Task {
            identity,
            subject,
            start,
        } = task;
        let kept = Kept {
            purpose: identity.purpose.clone(),
            start,
            metrics: self.metrics.clone(),
            back_off: self.back_off,
        };
        Running {
            identity,
            _subject: subject,
            handle: spawn_local(kept.run()),
        }
    }
}

/// A task that starts again after each panic.
struct Kept {
    purpose: Arc<str>,
    start: Start,
    metrics: Arc<GatewayMetrics>,
    back_off: BackOff,
}

impl Kept {
    /// Runs the task until it returns.
    async fn run(mut self) {
        loop {
            let began = clock::monotonic();
            // The set of this one task ends it when this future is dropped.
            let mut run = JoinSet::new();
            run.spawn_local((self.start)());
            let Some(Err(_panic)) = run.join_next().await else {
                return;
            };
            let delay = self.back_off.after_panic(clock::monotonic() - began);
            self.metrics.panics.inc();
            // The message of the panic has been logged where it happened.
            tracing::error!(
                task = &*self.purpose,
                ?delay,
                "a background task panicked: it starts again"
            );
            sleep(delay).await;
        }
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
