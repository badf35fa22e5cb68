//! From a changed file, or a signal, to another snapshot. A bad file leaves the one in force serving.

mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Problems};
use crate::snapshot::{CompileError, Live, Snapshot};
use crate::telemetry::Metrics;
pub use watch::Watcher;

/// Reads the configuration: from its files in `run`, and made over for a laptop in `dev`.
pub type Loader = Box<dyn Fn() -> Result<Config, Problems> + Send>;

/// What has to be there for a reload.
pub struct Reloader {
    load: Loader,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
}

/// A reload, and what its files were.
#[derive(Debug)]
pub struct Attempt {
    /// What became of it.
    pub outcome: Reloaded,
    /// The paths that were looked at: of a file that failed, too, since the next change may be there.
    pub files: Vec<PathBuf>,
}

/// What became of a reload: an index into `GatewayMetrics::RELOAD_RESULTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Another snapshot is in force.
    Swapped = 0,
    /// The files are as they were.
    Unchanged = 1,
    /// The files are no configuration, or one that cannot take effect.
    Failed = 2,
}

impl Reloader {
    /// A reloader of what `load` reads.
    #[must_use]
    pub fn new(load: Loader, live: Arc<Live>, metrics: Arc<Metrics>) -> Self {
        Self { load, live, metrics }
    }

    /// Reads, compiles and swaps. `prepare` is everything else that has to succeed first, such as binding new listeners:
    /// it comes before the swap, and its failure is the reload's.
    pub fn reload<E: std::fmt::Display>(&self, prepare: impl FnOnce(&Config) -> Result<(), E>) -> Attempt {
        let mut files = Vec::new();
        let outcome = self.attempt(prepare, &mut files);
        let metrics = &self.metrics.gateway;
        metrics.reloads.increment(outcome as usize);
        metrics.reload_ok.set(i64::from(outcome != Reloaded::Failed));
        Attempt { outcome, files }
    }

    fn attempt<E: std::fmt::Display>(
        &self,
        prepare: impl FnOnce(&Config) -> Result<(), E>,
        files: &mut Vec<PathBuf>,
    ) -> Reloaded {
        let config = match (self.load)() {
            Ok(config) => config,
            Err(problems) => {
                files.extend_from_slice(problems.files());
                for line in problems.lines() {
                    tracing::error!(problem = %line, "the changed configuration is not in force");
                }
                return Reloaded::Failed;
            }
        };
        files.clone_from(&config.files);
        let before = self.live.load();
        if config.hash == before.config.hash {
            return Reloaded::Unchanged;
        }
        let refused = |error: &dyn std::fmt::Display| {
            // What was compiled has metrics by now.
            before.prune(&self.metrics);
            tracing::error!(%error, "the changed configuration is not in force");
            Reloaded::Failed
        };
        let snapshot = match Snapshot::compile(config, &self.metrics, Some(&before)) {
            Ok(snapshot) => snapshot,
            Err(error) => return refused(&error),
        };
        if let Err(error) = prepare(&snapshot.config) {
            return refused(&error);
        }
        snapshot.prune(&self.metrics);
        self.metrics.gateway.set_config(&snapshot.config.hash);
        let (hash, routes) = (snapshot.config.hash.clone(), snapshot.routes.len());
        self.live.swap(snapshot);
        tracing::info!(%hash, routes, "the changed configuration is in force");
        Reloaded::Swapped
    }
}

/// Compiles the first snapshot.
///
/// # Errors
/// [`CompileError`]
pub fn first(config: Config, metrics: &Metrics) -> Result<Snapshot, CompileError> {
    let snapshot = Snapshot::compile(config, metrics, None)?;
    metrics.gateway.set_config(&snapshot.config.hash);
    metrics.gateway.reload_ok.set(1);
    Ok(snapshot)
}
