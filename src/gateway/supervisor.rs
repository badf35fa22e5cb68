//! The supervisor of background tasks. It follows a wanted set: a task runs for as long as it is
//! wanted, and starts again if it panics.

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::sleep;

use crate::carry_over::CarryOver;
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

/// The background tasks that run.
pub(super) struct Supervisor {
    metrics: Arc<GatewayMetrics>,
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
        let purpose = identity.purpose.clone();
        let metrics = self.metrics.clone();
        Running {
            identity,
            _subject: subject,
            handle: spawn_local(keep_running(purpose, start, metrics)),
        }
    }
}

/// Runs a task until it returns, and starts it again after each panic.
async fn keep_running(purpose: Arc<str>, start: Start, metrics: Arc<GatewayMetrics>) {
    let mut delay = FIRST_DELAY;
    loop {
        // The set of this one task ends it when this future is dropped.
        let mut run = JoinSet::new();
        run.spawn_local(start());
        let ended = tokio::select! {
            ended = run.join_next() => ended,
            () = sleep(HEALTHY_AFTER) => {
                delay = FIRST_DELAY;
                run.join_next().await
            }
        };
        let Some(Err(_panic)) = ended else {
            return;
        };
        metrics.panics.inc();
        // The message of the panic has been logged where it happened.
        tracing::error!(
            task = &*purpose,
            ?delay,
            "a background task panicked: it starts again"
        );
        sleep(delay).await;
        delay = (delay * 2).min(MAX_DELAY);
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
