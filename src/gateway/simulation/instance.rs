//! A gateway in a simulation: its workers and its control thread are tasks of one host, made as
//! [`Gateway::start`](super::super::Gateway::start) makes them, without threads, files and signals.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::super::control::{Command, Parts};
use super::super::handover::HandingOver;
use super::super::{Sockets, new_metrics, read};
use super::trace::{note, promise};
use crate::config::Config;
use crate::proxy::{SharedState, Worker};
use crate::reload::{self, Loader};
use crate::server::{Inherited, Server};
use crate::snapshot::Live;
use crate::telemetry::{AccessLog, SimulatedWriter};
use crate::token::SharedCache;

/// The connections for which a simulated process has descriptors.
const ROOM: usize = 1000;

/// The interval at which lines of the access log are taken over into the trace.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// A running gateway.
pub(super) struct Instance {
    pub(super) name: &'static str,
    pub(super) shared: SharedState,
    commands: mpsc::UnboundedSender<Command>,
    /// Further handles to its sockets, for a successor.
    sockets: RefCell<Inherited>,
    /// Tells it that its successor serves.
    successor: Cell<Option<oneshot::Sender<()>>>,
    has_ended: Rc<Cell<bool>>,
}

/// Returns a configuration's source, which the simulation can change.
pub(super) fn source(text: String) -> Arc<Mutex<String>> {
    Arc::new(Mutex::new(text))
}

fn loader(text: &Arc<Mutex<String>>) -> Loader {
    let text = text.clone();
    Box::new(move || {
        Config::parse(
            &text.lock().expect("no test panics with it"),
            "gateway.toml",
        )
    })
}

impl Instance {
    /// Starts a gateway on the current host.
    pub(super) fn start(name: &'static str, text: &Arc<Mutex<String>>) -> Rc<Self> {
        Self::start_with(name, text, Inherited::default())
    }

    fn start_with(name: &'static str, text: &Arc<Mutex<String>>, inherited: Inherited) -> Rc<Self> {
        let load = loader(text);
        let (config, watcher) = read(&load).unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = new_metrics().expect("the names are valid");
        let snapshot = reload::first(config, &metrics).expect("it is valid");
        let settings = snapshot.config.server.clone();
        let sockets = Sockets::bind(inherited, &settings).expect("the port is free");
        let duplicates = sockets.listeners.duplicates();
        let (access_log, lines) = AccessLog::simulated(metrics.clone());
        let shared = SharedState {
            tokens: Arc::new(SharedCache::new(snapshot.config.token_cache.bytes)),
            live: Arc::new(Live::new(snapshot)),
            metrics,
            access_log,
        };
        let (live, state) = (shared.live.clone(), shared.clone());
        let make = || Worker::new(state.clone());
        let server = Server::start_here(settings.workers, ROOM, live, make);
        drop(server.change(sockets.change.opened, sockets.change.closed));
        let (commands, inbox) = mpsc::unbounded_channel();
        let (successor, ready) = oneshot::channel();
        let parts = Parts {
            shared: shared.clone(),
            load,
            watcher,
            server,
            listeners: sockets.listeners,
            admin: None,
            successor_socket: None,
            control_socket: None,
            commands: inbox,
        };
        let has_ended = Rc::new(Cell::new(false));
        spawn_local(run(
            name,
            parts,
            HandingOver::simulated(ready),
            has_ended.clone(),
        ));
        spawn_local(show_log(name, lines));
        note(format_args!("{name} serves"));
        Rc::new(Self {
            name,
            shared,
            commands,
            sockets: RefCell::new(duplicates),
            successor: Cell::new(Some(successor)),
            has_ended,
        })
    }

    /// Starts a gateway that takes over the sockets of this one. This one drains once
    /// [`Self::relieve`] tells it that the successor serves.
    pub(super) fn succeed(&self, name: &'static str, text: &Arc<Mutex<String>>) -> Rc<Self> {
        Self::start_with(name, text, self.sockets.take())
    }

    /// Tells the gateway that its successor serves.
    pub(super) fn relieve(&self) {
        note(format_args!("{} is relieved", self.name));
        if let Some(successor) = self.successor.take() {
            let _ = successor.send(());
        }
    }

    /// Makes the gateway read its configuration again.
    pub(super) fn reload(&self) {
        let _ = self.commands.send(Command::Reload);
    }

    /// Makes the gateway drain and end, without a successor.
    pub(super) fn drain(&self) {
        note(format_args!("{} drains", self.name));
        self.sockets.take();
        // No successor comes any more.
        drop(self.successor.take());
        let _ = self.commands.send(Command::Drain);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Returns the value of a metric, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.split_once(' ')?;
            let is_it = series.split('{').next() == Some(name);
            is_it.then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }

    fn metrics(&self) -> String {
        self.shared.metrics.render().unwrap_or_default()
    }

    /// Notes the counters.
    pub(super) fn close_books(&self) {
        for line in self.metrics().lines() {
            if line.contains("_total") && !line.starts_with('#') && !line.ends_with(" 0") {
                note(format_args!("{} {line}", self.name));
            }
        }
        let panics = self.metric("scopegate_panics_total");
        promise(panics == 0.0, format_args!("{} panicked", self.name));
    }
}

async fn run(name: &str, parts: Parts, handing_over: HandingOver, has_ended: Rc<Cell<bool>>) {
    parts.run_here(handing_over).await;
    note(format_args!("{name} has ended"));
    has_ended.set(true);
}

/// Takes the lines of the access log over into the trace.
async fn show_log(name: &str, lines: SimulatedWriter) {
    loop {
        for line in lines.take().lines() {
            note(format_args!("{name} logs {line}"));
        }
        sleep(LOG_INTERVAL).await;
    }
}
