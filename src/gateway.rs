//! The composition root: everything is made, wired and started here. `scopegate run`, `scopegate
//! dev` and the tests all start a [`Gateway`].

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

use handover::{HandingOver, Offered, Takeover};
use listeners::{Listeners, remove};
use reloading::Reloading;
pub use signals::Signals;

use crate::admin::Admin;
use crate::clock;
use crate::config::{Config, Problems};
use crate::issuer::{self, Issuer};
use crate::net::{Address, Client, Tls};
use crate::proxy::{REASONS, Worker};
use crate::reload::{self, Loader, Reloader, Watcher};
use crate::server::{Backlog, DescriptorError, Inherited, Server, connection_room};
use crate::snapshot::{CompileError, Live};
use crate::telemetry::{AccessLog, Metrics};
use crate::token::{SharedCache, TokenError};
use crate::upstream::{self, Upstream};

/// How often the shared token cache lets go of what has expired.
const SWEEP: Duration = Duration::from_secs(60);

/// A gateway that runs.
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
    /// Asked for again, the drain ends at once.
    Drain,
}

/// Why a gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration has problems.
    Config(Problems),
    /// The configuration cannot be compiled.
    Compile(CompileError),
    /// An address cannot be listened on.
    Bind(BindError),
    /// The gateway that runs does not hand over, or no other could follow this one.
    Handover(PathBuf, io::Error),
    /// The limit of open files is too low.
    Descriptors(DescriptorError),
    /// No thread or runtime can be had.
    System(io::Error),
    /// The metrics are defined wrongly; a test would show it.
    Metrics(Box<str>),
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// What the system says.
    pub error: io::Error,
}

impl Gateway {
    /// Reads the configuration, binds its addresses, starts the threads, and returns. From then on
    /// connections are accepted.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(load: Loader) -> Result<Self, StartError> {
        let mut inherited = Inherited::from_environment();
        let (config, watcher) = read(&load).map_err(StartError::Config)?;
        let metrics = Metrics::new(&REASONS, &TokenError::RESULTS);
        let metrics =
            Arc::new(metrics.map_err(|error| StartError::Metrics(error.to_string().into()))?);
        // Before the hand-over, whose steps are short.
        let snapshot = reload::first(config, &metrics).map_err(StartError::Compile)?;
        let room = connection_room(&snapshot.config.server).map_err(StartError::Descriptors)?;
        let takeover = Takeover::begin(snapshot.config.server.handover.as_deref(), &mut inherited)?;
        let mut listeners = Listeners::new(inherited);
        let server = snapshot.config.server.clone();
        let prepared = listeners.prepare(&server).map_err(StartError::Bind)?;
        let change = listeners.commit(prepared, &server.listeners);
        let admin = server
            .admin
            .map(|address| listeners.listen_admin(address, &server))
            .transpose();
        let admin = admin.map_err(StartError::Bind)?;
        listeners.inherited.close();
        let admin_address = admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let tokens = Arc::new(SharedCache::new(snapshot.config.token_cache.bytes));
        let live = Arc::new(Live::new(snapshot));

        let (access_log, log_writer) =
            AccessLog::start(metrics.clone()).map_err(StartError::System)?;
        let make = {
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
        let workers =
            Server::start(server.workers, room, live.clone(), make).map_err(StartError::System)?;
        let listening = listeners.addresses();
        let addresses = listening.iter().filter_map(Address::ip).collect();
        // Nothing is closed by it that would have to be waited for.
        drop(workers.change(change.opened, change.closed));

        let offered = takeover.offered()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(StartError::System)?;
        let control = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let reloader = Arc::new(Reloader::new(load, live.clone(), metrics.clone()));
                let control = Control {
                    live,
                    metrics,
                    tokens,
                    reloader,
                    reloading: Reloading::default(),
                    listeners,
                    server: Rc::new(workers),
                    fetching: Vec::new(),
                    watching: Vec::new(),
                };
                LocalSet::new().block_on(&runtime, control.run(admin, offered, watcher, inbox));
                // A configuration that is still being read, or a name that is still being looked
                // up, is of no use any more.
                runtime.shutdown_background();
                log_writer.finish();
            });
        let control = control.map_err(StartError::System)?;
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

    /// Where requests are taken over TCP, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the configuration again, as SIGHUP does. Returns before that is done.
    pub fn reload(&self) {
        // The control thread ends with the gateway alone.
        let _ = self.commands.send(Command::Reload);
    }

    /// Stops accepting, lets connections finish within the configured drain, and returns when all
    /// is over.
    pub fn shutdown(self) {
        let _ = self.commands.send(Command::Drain);
        let _ = self.control.join();
    }

    /// Serves until SIGTERM or SIGINT, then drains, or until another gateway has taken over. SIGHUP
    /// reloads, and a second SIGTERM or SIGINT ends the drain at once.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub fn run_until_signal(self, signals: Signals) -> io::Result<()> {
        signals.pass(&self.commands, || {
            // Not earlier: whoever waits for these lines may send a signal next.
            announce(self.listening.iter().cloned());
            if let Some(address) = self.admin {
                tracing::info!(%address, "listening for the admin");
            }
        })?;
        // The last lines of the access log are written by then.
        let _ = self.control.join();
        Ok(())
    }
}

/// What the control thread keeps: everything that no worker should be held up by.
struct Control {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    tokens: Arc<SharedCache>,
    reloader: Arc<Reloader>,
    reloading: Reloading,
    listeners: Listeners,
    server: Rc<Server>,
    /// The issuers whose keys are being kept fresh.
    fetching: Vec<Tended<Issuer>>,
    /// The upstreams whose endpoints are being looked after.
    watching: Vec<Tended<Upstream>>,
}

impl Control {
    async fn run(
        mut self,
        admin: Option<TcpListener>,
        offered: Option<Offered>,
        mut watcher: Watcher,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let alive = {
            let server = self.server.clone();
            Box::new(move || {
                let server = server.clone();
                Box::pin(async move { server.is_alive().await }) as _
            })
        };
        let view = Admin::new(self.live.clone(), self.metrics.clone(), alive);
        let admin = admin
            .map(tokio::net::TcpListener::from_std)
            .and_then(Result::ok);
        let admin = admin.map(|listener| spawn_local(view.clone().serve(listener)));
        let offered = offered.and_then(|offered| offered.listen().ok());
        let look_out = spawn_local(watcher.look_out(self.live.clone(), self.metrics.clone()));
        self.fetch_keys();
        self.watch_upstreams();
        let mut successor = false;
        let mut handing_over = None;
        let mut sweep = interval(SWEEP);
        // The first tick is now.
        let mut look = interval(certificates::LOOK);
        loop {
            let settle = self.live.load().config.reload.settle;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Reload) => self.reload(),
                    Some(Command::Drain) | None => break,
                },
                () = watcher.changed(settle) => self.reload(),
                step = self.reloading.next() => self.reload_step(step, &mut watcher),
                successor = handover::successor(offered.as_ref().map(|(listener, _)| listener)),
                    if handing_over.is_none() => match self.listeners.sockets() {
                        Ok(sockets) => handing_over = Some(HandingOver::begin(successor, sockets)),
                        Err(error) => tracing::warn!(%error, "nothing can be handed over"),
                    },
                taken_over = HandingOver::ended(&mut handing_over) => {
                    if taken_over {
                        successor = true;
                        break;
                    }
                }
                _ = look.tick() => self.look_at_certificates(),
                _ = sweep.tick() => self.tokens.sweep(clock::now().unix),
            }
        }
        look_out.abort();
        view.drain();
        if let Some(handing_over) = handing_over {
            successor = handing_over.hasten().await;
        }
        // Who asks for the health of the gateway means the next one.
        if let Some(task) = admin.filter(|_| successor) {
            task.abort();
        }
        // Before the drain, in which a successor may bind the same paths.
        let backlog = match offered {
            _ if successor => {
                self.listeners.leave();
                Backlog::Leave
            }
            offered => {
                if let Some((_, path)) = offered {
                    remove(&Address::Unix(path));
                }
                self.listeners.close();
                Backlog::Serve
            }
        };
        let limit = self.live.load().config.server.drain;
        let mut drained = pin!(self.server.drain(backlog, limit));
        tokio::select! {
            () = &mut drained => return,
            () = asked_again(&mut commands) => {}
        }
        self.server.hasten_drain().await;
        drained.await;
    }

    fn look_at_certificates(&self) {
        certificates::look_at(&self.live.load().config, &self.metrics, clock::now().unix);
    }

    /// Starts a task for each issuer that has none, and ends those of issuers that left the
    /// configuration: requests that still see one keep its keys, but nobody asks for new ones.
    fn fetch_keys(&mut self) {
        let snapshot = self.live.load();
        let known = retain(&mut self.fetching, snapshot.issuers());
        for issuer in snapshot
            .issuers()
            .filter(|issuer| !known.contains(&Arc::as_ptr(issuer)))
        {
            let weak = Arc::downgrade(issuer);
            let task = spawn_local(issuer::maintain(weak.clone(), Client::new(Tls::system())));
            self.fetching.push((weak, task));
        }
    }

    /// Starts a task for each upstream that has none, and ends those of upstreams that left the
    /// configuration or changed.
    fn watch_upstreams(&mut self) {
        let snapshot = self.live.load();
        let known = retain(&mut self.watching, snapshot.upstreams.iter());
        for upstream in snapshot
            .upstreams
            .iter()
            .filter(|upstream| !known.contains(&Arc::as_ptr(upstream)))
        {
            let weak = Arc::downgrade(upstream);
            let task = spawn_local(upstream::look_after(weak.clone()));
            self.watching.push((weak, task));
        }
    }
}

/// A thing of the configuration, and the task that looks after it.
type Tended<T> = (Weak<T>, task::JoinHandle<()>);

/// Ends the tasks of what is not in `wanted`, and returns what the others are for.
fn retain<'s, T: 's>(
    tended: &mut Vec<Tended<T>>,
    wanted: impl Iterator<Item = &'s Arc<T>>,
) -> HashSet<*const T> {
    let wanted: HashSet<*const T> = wanted.map(Arc::as_ptr).collect();
    tended.retain(|(known, task)| {
        let kept = wanted.contains(&known.as_ptr());
        if !kept {
            task.abort();
        }
        kept
    });
    tended.iter().map(|(known, _)| known.as_ptr()).collect()
}

/// Reads the configuration, the second time with an eye on its files already: a change that comes
/// while the gateway starts is not missed.
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

/// Waits for another command to drain; the configuration does not matter any more.
async fn asked_again(commands: &mut mpsc::UnboundedReceiver<Command>) {
    loop {
        match commands.recv().await {
            Some(Command::Drain) => return,
            Some(Command::Reload) => {}
            None => std::future::pending().await,
        }
    }
}

/// Says which settings a running process cannot change.
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
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "this setting takes effect at the next start");
    }
}

/// Says where connections are taken: with port 0 nobody could know otherwise.
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
                "cannot listen on {address}: another process does already; stop it, or choose another address"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {address}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE"
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
            Self::System(error) => write!(f, "no thread or event loop can be had: {error}"),
            Self::Metrics(error) => write!(f, "the metrics are defined wrongly: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
