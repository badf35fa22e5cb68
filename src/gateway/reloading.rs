//! A reload, in steps. Steps whose time grows with the configuration run on a thread of their own,
//! so that health checks, key fetches and signals do not wait for them. The control thread runs the
//! short steps.
//!
//! The files are read and compiled. Then the changed snapshot takes effect
//! ([`Subsystems::take_effect`]): *prepare* does what can fail and changes nothing, *swap* puts the
//! snapshot in force, and *commit* makes the subsystems follow it and cannot fail. Each subsystem
//! has its part of this in its own file.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::background::Background;
use super::control_socket::{Reply, Report};
use super::listeners::{Listeners, announce};
use super::next_start::{self, StartSettings};
use super::service_manager::{self, Change};
use super::start_error::BindError;
use crate::blocking;
use crate::proxy::SharedState;
use crate::reload::{Attempt, Found, Reloaded, Reloader, Watcher};
use crate::server::Server;
use crate::snapshot::Snapshot;

/// The longest wait for the acceptor before the next reload may begin. The acceptor answers at once
/// unless its worker is stuck.
const ACCEPTOR_TIMEOUT: Duration = Duration::from_secs(1);

/// The report of a reload that a panic has ended.
const DEFECT: &str = "a defect: the changed configuration is not in force";

/// The current reload, if there is one.
pub(super) struct Reloading {
    reloader: Arc<Reloader>,
    step: Option<Pin<Box<dyn Future<Output = Step>>>>,
    /// Set if the files may have changed since they were read.
    again: bool,
    /// The requests that the current reload answers.
    answered: Vec<Reply>,
    /// The requests that came after the files were read. The next reload answers them.
    waiting: Vec<Reply>,
}

/// The result of a step.
pub(super) enum Step {
    /// The files were read.
    Read(Attempt),
    /// The reload is over and counted.
    Finished(Report),
}

impl Reloading {
    pub(super) fn new(reloader: Reloader) -> Self {
        Self {
            reloader: Arc::new(reloader),
            step: None,
            again: false,
            answered: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Reads the files again, now or after the current reload.
    pub(super) fn begin(&mut self) {
        if self.step.is_some() {
            self.again = true;
            return;
        }
        service_manager::notify(Change::Reloading);
        self.answered = std::mem::take(&mut self.waiting);
        self.step = Some(Box::pin(read(self.reloader.clone())));
    }

    /// Reads the files again as [`Self::begin`] does, and reports how that reload ended.
    pub(super) fn begin_for(&mut self, reply: Reply) {
        self.waiting.push(reply);
        self.begin();
    }

    /// Leaves the requests unanswered, since the gateway stops.
    pub(super) fn dismiss(&mut self) {
        self.answered.clear();
        self.waiting.clear();
    }

    /// Waits for the end of the current step. Dropping the future does not interrupt the step.
    pub(super) async fn next(&mut self) -> Step {
        let Some(step) = &mut self.step else {
            return std::future::pending().await;
        };
        let done = step.await;
        self.step = None;
        done
    }

    /// Continues the reload after a step.
    pub(super) fn proceed(
        &mut self,
        step: Step,
        watcher: &mut Watcher,
        subsystems: &mut Subsystems,
    ) {
        match step {
            Step::Read(Attempt { found, files }) => {
                let in_force = subsystems.shared.live.load();
                watcher.follow(&in_force.config.files, &files);
                match found {
                    Found::Changed(snapshot) => self.apply(*snapshot, subsystems),
                    Found::Unchanged => {
                        let waiting = subsystems.started.waiting(&in_force.config);
                        self.finish(unchanged(&waiting), None);
                    }
                    Found::Broken(causes) => self.finish(refused(causes), None),
                }
            }
            Step::Finished(report) => {
                // The service manager is told before those who asked it for the reload.
                service_manager::notify(Change::Reloaded(report.outcome));
                for reply in self.answered.drain(..) {
                    // An error means that the client has left.
                    let _ = reply.send(report.clone());
                }
                if std::mem::take(&mut self.again) {
                    self.begin();
                }
            }
        }
    }

    fn apply(&mut self, next: Snapshot, subsystems: &mut Subsystems) {
        let routes = next.routes.len();
        let waiting = subsystems.started.waiting(&next.config);
        match subsystems.take_effect(next, &self.reloader) {
            Ok(changed) => {
                next_start::log(&waiting);
                self.finish(in_force(routes, &waiting), Some(changed));
            }
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not in force");
                self.finish(refused(error.to_string()), None);
            }
        }
    }

    /// Counts the reload, after the acceptor has made its changes.
    fn finish(&mut self, report: Report, changed: Option<oneshot::Receiver<()>>) {
        let reloader = self.reloader.clone();
        self.step = Some(Box::pin(finish(reloader, report, changed)));
    }
}

fn in_force(routes: usize, waiting: &[&'static str]) -> Report {
    let waiting = next_start::lines(waiting);
    Report {
        outcome: Reloaded::Swapped,
        text: format!("the changed configuration is in force (routes: {routes}){waiting}"),
    }
}

fn unchanged(waiting: &[&'static str]) -> Report {
    let waiting = next_start::lines(waiting);
    Report {
        outcome: Reloaded::Unchanged,
        text: format!("the files are unchanged: the configuration in force stays{waiting}"),
    }
}

fn refused(causes: String) -> Report {
    Report {
        outcome: Reloaded::Failed,
        text: causes,
    }
}

/// The parts of the gateway that a reload changes.
pub(super) struct Subsystems {
    pub(super) shared: SharedState,
    pub(super) listeners: Listeners,
    pub(super) server: Rc<Server>,
    pub(super) background: Background,
    pub(super) started: StartSettings,
}

impl Subsystems {
    /// Puts a snapshot in force, and makes each subsystem follow it. The receiver fires when the
    /// acceptor has made its changes.
    ///
    /// # Errors
    /// Returns an error if a new address cannot be listened on. Then nothing has changed.
    fn take_effect(
        &mut self,
        next: Snapshot,
        reloader: &Reloader,
    ) -> Result<oneshot::Receiver<()>, BindError> {
        // Prepare. From now on clients can connect to the new addresses, and wait.
        let prepared = self.listeners.prepare(&next.config.server)?;
        announce(prepared.addresses());

        // Swap.
        reloader.swap(next);
        let now = self.shared.live.load();

        // Commit. The acceptor serves the clients that wait at new and at removed addresses.
        let wanted = &now.config.server.listeners;
        let change = self.listeners.commit(prepared, wanted);
        let changed = self.server.change(change.opened, change.closed);
        self.background.follow();
        Ok(changed)
    }
}

async fn read(reloader: Arc<Reloader>) -> Step {
    let attempt = blocking::run(move || reloader.read()).await;
    Step::Read(attempt.unwrap_or_else(|error| {
        tracing::error!(%error, "{DEFECT}");
        Attempt {
            found: Found::Broken(DEFECT.to_owned()),
            files: Vec::new(),
        }
    }))
}

async fn finish(
    reloader: Arc<Reloader>,
    report: Report,
    changed: Option<oneshot::Receiver<()>>,
) -> Step {
    let outcome = report.outcome;
    if let Some(changed) = changed {
        let _ = timeout(ACCEPTOR_TIMEOUT, changed).await;
    }
    // An error is a panic, which has been logged with its own message.
    let _ = blocking::run(move || reloader.finish(outcome)).await;
    Step::Finished(report)
}
