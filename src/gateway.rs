//! The composition root: makes, wires and starts everything. `scopegate run`, `scopegate dev` and
//! the tests all start a [`Gateway`].

mod certificates;
#[cfg(test)]
mod defect_tests;
mod handover;
mod listeners;
mod reloading;
mod signals;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{self, LocalSet, spawn_local};
use tokio::time::interval;

use handover::{HandingOver, SuccessorListener, SuccessorSocket, Takeover};
use listeners::{Change, Listeners, remove};
use reloading::Reloading;
pub use signals::Signals;

use crate::admin::{Admin, AliveCheck};
use crate::clock;
use crate::config::{self, Config, Problems};
use crate::decision::REASONS;
use crate::issuer::{self, Issuer};
use crate::net::Address;
use crate::proxy::Worker;
use crate::reload::{self, Loader, Reloader, Watcher};
use crate::server::{Backlog, DescriptorError, Inherited, Server, connection_room};
use crate::snapshot::{CompileError, Live};
use crate::telemetry::{AccessLog, LogWriter, Metrics};
use crate::tls::Tls;
use crate::token::{SharedCache, TokenError};
use crate::upstream::{self, Upstream};
use crate::web::Client;

/// The interval at which expired entries of the shared token cache are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    listening: Vec<Address>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    commands: mpsc::UnboundedSender<Command>,
    control: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Reload,
    /// Begin the drain. A second command ends the drain at once.
    Drain,
}

/// The reason for which a gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration has problems.
    Config(Problems),
    /// The configuration cannot be compiled.
    Compile(CompileError),
    /// An address cannot be listened on.
    Bind(BindError),
    /// The running gateway does not hand over its sockets, or the socket for the next hand-over
    /// cannot be made.
    Handover(PathBuf, io::Error),
    /// The limit of open files is too low.
    Descriptors(DescriptorError),
    /// A thread or a runtime cannot be created.
    System(io::Error),
    /// A metric is defined wrongly, which is a defect that tests find.
    Metrics(Box<str>),
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// The error of the system.
    pub error: io::Error,
}

impl Gateway {
    /// Reads the configuration, binds its addresses, and starts the threads. When this returns,
    /// connections are accepted.
    ///
    /// # Errors
    /// Returns a [`StartError`] if one of these steps fails.
    pub fn start(load: Loader) -> Result<Self, StartError> {
        let mut inherited = Inherited::from_environment();
        let (config, watcher) = read(&load).map_err(StartError::Config)?;
        let metrics = Metrics::new(&REASONS, &TokenError::RESULTS)
            .map_err(|error| StartError::Metrics(error.to_string().into()))?;
        let metrics = Arc::new(metrics);
        // Compiled before the hand-over, whose steps have a short timeout.
        let snapshot = reload::first(config, &metrics).map_err(StartError::Compile)?;
        let settings = snapshot.config.server.clone();
        let room = connection_room(&settings).map_err(StartError::Descriptors)?;
        let takeover = Takeover::begin(settings.handover.as_deref(), &mut inherited)?;
        let Sockets {
            listeners,
            change,
            admin,
        } = Sockets::bind(inherited, &settings).map_err(StartError::Bind)?;
        let admin_address = admin.as_ref().and_then(|one| one.local_addr().ok());
        let tokens = Arc::new(SharedCache::new(snapshot.config.token_cache.bytes));
        let live = Arc::new(Live::new(snapshot));

        let (access_log, log_writer) =
            AccessLog::start(metrics.clone()).map_err(StartError::System)?;
        let make_worker = {
            let (live, tokens, metrics) = (live.clone(), tokens.clone(), metrics.clone());
            move || {
                Worker::new(
                    live.clone(),
                    tokens.clone(),
                    metrics.clone(),
                    access_log.clone(),
                )
            }
        };
        let server = Server::start(settings.workers, room, live.clone(), make_worker)
            .map_err(StartError::System)?;
        let listening = listeners.addresses();
        let addresses = listening.iter().filter_map(Address::ip).collect();
        // This closes no address, so there is nothing to wait for.
        drop(server.change(change.opened, change.closed));

        let (commands, inbox) = mpsc::unbounded_channel();
        let events = Events {
            admin,
            successor_socket: takeover.successor_socket()?,
            watcher,
            commands: inbox,
        };
        let make_control = move || Control {
            reloader: Arc::new(Reloader::new(load, live.clone(), metrics.clone())),
            live,
            metrics,
            tokens,
            reloading: Reloading::default(),
            listeners,
            server: Rc::new(server),
            fetching: Vec::new(),
            watching: Vec::new(),
        };
        let control =
            start_control(make_control, events, log_writer).map_err(StartError::System)?;
        let gateway = Self {
            listening,
            addresses,
            admin: admin_address,
            commands,
            control,
        };
        match takeover.complete() {
            Ok(()) => Ok(gateway),
            Err(error) => {
                gateway.shutdown();
                Err(error)
            }
        }
    }

    /// Returns the TCP addresses on which requests are accepted, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the address of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the configuration again, as SIGHUP does. Returns before the reload is done.
    pub fn reload(&self) {
        // The control thread lives as long as the gateway, so the channel is open.
        let _ = self.commands.send(Command::Reload);
    }

    /// Stops accepting, lets connections finish within the configured drain, and returns when the
    /// control thread has ended.
    pub fn shutdown(self) {
        let _ = self.commands.send(Command::Drain);
        let _ = self.control.join();
    }

    /// Serves until SIGTERM or SIGINT, or until another gateway has taken over, and then drains.
    /// SIGHUP reloads. A second SIGTERM or SIGINT ends the drain at once.
    ///
    /// # Errors
    /// Returns an error if signals cannot be received.
    pub fn run_until_signal(self, signals: Signals) -> io::Result<()> {
        signals.pass(&self.commands, || {
            // Logged only now: a program that waits for these lines may send a signal next.
            announce(self.listening.iter().cloned());
            if let Some(address) = self.admin {
                tracing::info!(%address, "listening for the admin");
            }
        })?;
        // The control thread also waits until the access log is written.
        let _ = self.control.join();
        Ok(())
    }
}

/// The sockets of a gateway that starts.
struct Sockets {
    listeners: Listeners,
    /// The change that makes the server accept on them.
    change: Change,
    admin: Option<TcpListener>,
}

impl Sockets {
    /// Binds the addresses of a configuration, and closes the inherited sockets that it does not
    /// use.
    fn bind(inherited: Inherited, settings: &config::Server) -> Result<Self, BindError> {
        let mut listeners = Listeners::new(inherited);
        let prepared = listeners.prepare(settings)?;
        let change = listeners.commit(prepared, &settings.listeners);
        let admin = match settings.admin {
            Some(address) => Some(listeners.listen_admin(address, settings)?),
            None => None,
        };
        listeners.inherited.close();
        Ok(Self {
            listeners,
            change,
            admin,
        })
    }
}

/// Starts the control thread. `make` runs on it.
fn start_control(
    make: impl FnOnce() -> Control + Send + 'static,
    events: Events,
    log_writer: LogWriter,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, make().run(events));
            // Blocking tasks, such as a reload or a DNS query, are not waited for.
            runtime.shutdown_background();
            log_writer.finish();
        })
}

/// The sources of the events that the control thread handles.
struct Events {
    admin: Option<TcpListener>,
    successor_socket: Option<SuccessorSocket>,
    watcher: Watcher,
    commands: mpsc::UnboundedReceiver<Command>,
}

/// The reason for which the gateway stops.
enum Stop {
    /// A successor serves.
    TakenOver,
    /// A command. The hand-over, if there is one, is in progress.
    Commanded(Option<HandingOver>),
}

/// The state of the control thread, which does all work that must not delay a worker.
struct Control {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    tokens: Arc<SharedCache>,
    reloader: Arc<Reloader>,
    reloading: Reloading,
    listeners: Listeners,
    server: Rc<Server>,
    /// The tasks that keep the keys of issuers fresh.
    fetching: Vec<Background<Issuer>>,
    /// The tasks that resolve and probe the endpoints of upstreams.
    watching: Vec<Background<Upstream>>,
}

impl Control {
    /// Runs until the drain is over.
    async fn run(mut self, events: Events) {
        let Events {
            admin,
            successor_socket,
            mut watcher,
            mut commands,
        } = events;
        let view = Admin::new(self.live.clone(), self.metrics.clone(), self.alive_check());
        let admin = admin
            .map(tokio::net::TcpListener::from_std)
            .and_then(Result::ok);
        let admin = admin.map(|listener| spawn_local(view.clone().serve(listener)));
        let successors = successor_socket.and_then(|socket| socket.listen().ok());
        let polling = spawn_local(watcher.poll_files(self.live.clone(), self.metrics.clone()));
        self.fetch_keys();
        self.watch_upstreams();
        let stop = self
            .handle_events(&mut watcher, &mut commands, successors.as_ref())
            .await;
        polling.abort();
        view.drain();
        let has_successor = match stop {
            Stop::TakenOver => true,
            Stop::Commanded(Some(handing_over)) => handing_over.hasten().await,
            Stop::Commanded(None) => false,
        };
        // Health checks are for the successor from now on.
        if let Some(task) = admin.filter(|_| has_successor) {
            task.abort();
        }
        let backlog = self.close_listeners(successors, has_successor);
        self.drain(backlog, &mut commands).await;
    }

    /// Handles events until the gateway has to stop.
    async fn handle_events(
        &mut self,
        watcher: &mut Watcher,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        successors: Option<&SuccessorListener>,
    ) -> Stop {
        let mut handing_over = None;
        let mut sweep = interval(SWEEP_INTERVAL);
        // The first tick is immediate.
        let mut check_certificates = interval(certificates::CHECK_INTERVAL);
        loop {
            let settle = self.live.load().config.reload.settle;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Reload) => self.reload(),
                    Some(Command::Drain) | None => return Stop::Commanded(handing_over),
                },
                () = watcher.changed(settle) => self.reload(),
                step = self.reloading.next() => self.reload_step(step, watcher),
                successor = handover::accept_successor(successors),
                    if handing_over.is_none() => match self.listeners.sockets() {
                        Ok(sockets) => handing_over = Some(HandingOver::begin(successor, sockets)),
                        Err(error) => tracing::warn!(%error, "nothing can be handed over"),
                    },
                taken_over = HandingOver::ended(&mut handing_over) => {
                    if taken_over {
                        return Stop::TakenOver;
                    }
                }
                _ = check_certificates.tick() => self.check_certificates(),
                _ = sweep.tick() => self.tokens.sweep(clock::now().unix),
            }
        }
    }

    /// Returns the check with which the admin listener asks whether all workers are alive.
    fn alive_check(&self) -> AliveCheck {
        let server = self.server.clone();
        Box::new(move || {
            let server = server.clone();
            Box::pin(async move { server.is_alive().await })
        })
    }

    /// Closes the listeners and the files of their sockets, or leaves them to the successor. This
    /// comes before the drain, since a gateway that is started then may bind the same paths.
    fn close_listeners(
        &mut self,
        successors: Option<SuccessorListener>,
        has_successor: bool,
    ) -> Backlog {
        if has_successor {
            self.listeners.leave();
            return Backlog::Leave;
        }
        if let Some(successors) = successors {
            remove(&Address::Unix(successors.path));
        }
        self.listeners.close();
        Backlog::Serve
    }

    /// Drains the server, at once after a second command to drain.
    async fn drain(self, backlog: Backlog, commands: &mut mpsc::UnboundedReceiver<Command>) {
        let limit = self.live.load().config.server.drain;
        let mut drained = pin!(self.server.drain(backlog, limit));
        tokio::select! {
            () = &mut drained => return,
            () = second_drain(commands) => {}
        }
        self.server.hasten_drain().await;
        drained.await;
    }

    fn check_certificates(&self) {
        certificates::check(&self.live.load().config, &self.metrics, clock::now().unix);
    }

    /// Starts a task for each issuer that has none, and ends the tasks of issuers that left the
    /// configuration. Requests of an old snapshot still use the keys of such an issuer, but no new
    /// keys are fetched.
    fn fetch_keys(&mut self) {
        let snapshot = self.live.load();
        let known = retain(&mut self.fetching, snapshot.issuers());
        for issuer in snapshot.issuers() {
            if known.contains(&Arc::as_ptr(issuer)) {
                continue;
            }
            let subject = Arc::downgrade(issuer);
            let client = Client::new(Tls::system());
            let task = spawn_local(issuer::maintain(subject.clone(), client));
            self.fetching.push(Background { subject, task });
        }
    }

    /// Starts a task for each upstream that has none, and ends the tasks of upstreams that left the
    /// configuration or changed.
    fn watch_upstreams(&mut self) {
        let snapshot = self.live.load();
        let known = retain(&mut self.watching, snapshot.upstreams.iter());
        for upstream in &snapshot.upstreams {
            if known.contains(&Arc::as_ptr(upstream)) {
                continue;
            }
            let subject = Arc::downgrade(upstream);
            let task = spawn_local(upstream::look_after(subject.clone()));
            self.watching.push(Background { subject, task });
        }
    }
}

/// A background task, and the part of a snapshot that it works for.
struct Background<T> {
    subject: Weak<T>,
    task: task::JoinHandle<()>,
}

/// Ends the tasks whose subject is not in `wanted`, and returns the subjects of the others.
fn retain<'s, T: 's>(
    background: &mut Vec<Background<T>>,
    wanted: impl Iterator<Item = &'s Arc<T>>,
) -> HashSet<*const T> {
    let wanted: HashSet<*const T> = wanted.map(Arc::as_ptr).collect();
    background.retain(|one| {
        let kept = wanted.contains(&one.subject.as_ptr());
        if !kept {
            one.task.abort();
        }
        kept
    });
    background.iter().map(|one| one.subject.as_ptr()).collect()
}

/// Reads the configuration. If its files are to be watched, reads it again after the watch has
/// begun, so that a change during the start is not missed.
fn read(load: &Loader) -> Result<(Config, Watcher), Problems> {
    let config = load()?;
    let mut watcher = Watcher::new(&config.files, config.reload.watch);
    if !config.reload.watch {
        return Ok((config, watcher));
    }
    let config = load()?;
    watcher.follow(&config.files, &config.files);
    Ok((config, watcher))
}

/// Waits for another command to drain. A reload has no effect any more.
async fn second_drain(commands: &mut mpsc::UnboundedReceiver<Command>) {
    loop {
        match commands.recv().await {
            Some(Command::Drain) => return,
            Some(Command::Reload) => {}
            None => std::future::pending().await,
        }
    }
}

/// Logs the changed settings that take effect only after a restart.
fn warn_of_restart(before: &Config, now: &Config) {
    let changed = [
        (
            "server.workers",
            before.server.workers != now.server.workers,
        ),
        (
            "server.handover",
            before.server.handover != now.server.handover,
        ),
        ("server.admin", before.server.admin != now.server.admin),
        ("token_cache", before.token_cache != now.token_cache),
        ("reload.watch", before.reload.watch != now.reload.watch),
        ("log.level", before.log.level != now.log.level),
    ];
    for (key, has_changed) in changed {
        if has_changed {
            tracing::warn!(key, "this setting takes effect at the next start");
        }
    }
}

/// Logs the addresses on which connections are accepted. With port 0 only the log tells the port.
fn announce(addresses: impl Iterator<Item = Address>) {
    for address in addresses {
        tracing::info!(%address, "listening");
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another process does already; \
                 stop it, or choose another address"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {address}: not permitted; \
                 ports below 1024 need CAP_NET_BIND_SERVICE"
            ),
            _ => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => problems.fmt(f),
            Self::Compile(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Handover(path, error) => write!(f, "no hand-over at {}: {error}", path.display()),
            Self::Descriptors(error) => error.fmt(f),
            Self::System(error) => {
                write!(f, "a thread or an event loop cannot be created: {error}")
            }
            Self::Metrics(error) => write!(f, "the metrics are defined wrongly: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
