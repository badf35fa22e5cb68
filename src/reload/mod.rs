//! Reloads: from a changed file, or a signal, to another snapshot. A bad file changes nothing: the
//! snapshot in force stays.

mod look;
mod watch;

use std::sync::Arc;

use crate::config::{Config, Problems, ReadFile};
use crate::snapshot::{CompileError, Live, Snapshot};
use crate::telemetry::Metrics;
pub use crate::telemetry::Reloaded;
pub use look::{PolledFiles, poll_files};
pub use watch::Watcher;

/// Reads the configuration: from its files in `run`, and with changes for development in `dev`.
pub type Loader = Box<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// The steps of a reload: [`read`](Self::read), [`swap`](Self::swap) and [`finish`](Self::finish).
/// The time of the first and the last grows with the configuration.
pub struct Reloader {
    load: Loader,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
}

/// The result of reading the files.
#[derive(Debug)]
pub struct Attempt {
    /// The content of the files, compared with the configuration in force.
    pub found: Found,
    /// The files that were read, including files that failed: the next change may correct them.
    pub files: Vec<ReadFile>,
}

/// The content of the files, compared with the configuration in force.
#[derive(Debug)]
pub enum Found {
    /// Another configuration, compiled.
    Changed(Box<Snapshot>),
    /// The same configuration.
    Unchanged,
    /// No valid configuration, or one that cannot take effect. The causes, one per line, were
    /// logged.
    Broken(String),
}

impl Reloader {
    /// Returns a reloader that reads configurations with `load`.
    #[must_use]
    pub fn new(load: Loader, live: Arc<Live>, metrics: Arc<Metrics>) -> Self {
        Self {
            load,
            live,
            metrics,
        }
    }

    /// Reads and compiles the configuration, and puts nothing in force.
    #[must_use]
    pub fn read(&self) -> Attempt {
        let config = match (self.load)() {
            Ok(config) => config,
            Err(problems) => {
                for line in problems.lines() {
                    tracing::error!(problem = %line, "the changed configuration is not in force");
                }
                return Attempt {
                    found: Found::Broken(problems.to_string()),
                    files: problems.files().to_vec(),
                };
            }
        };
        let files = config.files.clone();
        let before = self.live.load();
        if config.hash == before.config.hash {
            tracing::info!("the files are unchanged: the configuration in force stays");
            return Attempt {
                found: Found::Unchanged,
                files,
            };
        }
        let found = match Snapshot::compile(config, &self.metrics, Some(&before)) {
            Ok(snapshot) => Found::Changed(Box::new(snapshot)),
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not in force");
                Found::Broken(error.to_string())
            }
        };
        Attempt { found, files }
    }

    /// Puts a snapshot in force for every request that begins from now on. All steps that can fail,
    /// such as binding new listeners, have to come before.
    pub fn swap(&self, snapshot: Snapshot) {
        self.metrics.gateway.set_config(&snapshot.config.hash);
        let (hash, routes) = (snapshot.config.hash.clone(), snapshot.routes.len());
        self.live.swap(snapshot);
        tracing::info!(%hash, routes, "the changed configuration is in force");
    }

    /// Removes the metrics of routes and upstreams that are not in force, and counts the reload. A
    /// snapshot that was compiled but not put in force has created metrics, too.
    pub fn finish(&self, outcome: Reloaded) {
        if outcome != Reloaded::Unchanged {
            self.live.load().prune(&self.metrics);
        }
        let metrics = &self.metrics.gateway;
        metrics
            .reload_ok
            .set(i64::from(outcome != Reloaded::Failed));
        metrics.reloads.increment(outcome);
    }

    /// Runs all steps, for tests without listeners.
    #[cfg(test)]
    pub(crate) fn reload(&self) -> Reloaded {
        let outcome = match self.read().found {
            Found::Changed(snapshot) => {
                self.swap(*snapshot);
                Reloaded::Swapped
            }
            Found::Unchanged => Reloaded::Unchanged,
            Found::Broken(_) => Reloaded::Failed,
        };
        self.finish(outcome);
        outcome
    }
}

/// Compiles the first snapshot.
///
/// # Errors
/// Returns a [`CompileError`] if the configuration cannot be compiled.
pub fn first(config: Config, metrics: &Metrics) -> Result<Snapshot, CompileError> {
    let snapshot = Snapshot::compile(config, metrics, None)?;
    metrics.gateway.set_config(&snapshot.config.hash);
    metrics.gateway.reload_ok.set(1);
    Ok(snapshot)
}
