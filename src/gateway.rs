//! The composition root: makes, wires and starts everything. `scopegate run`, `scopegate dev` and
//! the tests all start a [`Gateway`].
//!
//! This file starts a gateway. The control thread (`control`) then runs it: it handles commands,
//! reloads (`reloading`), and keeps the background tasks running (`background`).

mod background;
mod certificates;
mod control;
mod control_socket;
#[cfg(test)]
mod defect_tests;
mod handover;
mod listeners;
mod next_start;
mod own_socket;
mod reloading;
mod service_manager;
mod signals;
#[cfg(test)]
mod simulation;
mod start_error;
mod supervisor;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use control::{Command, Parts};
use control_socket::ControlSocket;
pub use control_socket::{ControlError, Report, request_reload};
use handover::{SuccessorSocket, Takeover};
use listeners::{Change, Listeners, announce};
use own_socket::OwnSocket;
use service_manager::Change as ServiceChange;
pub use signals::Signals;
pub use start_error::{BindError, StartError};

use crate::config::{self, Config, Problems};
use crate::decision::Reason;
use crate::net::Address;
use crate::proxy::{SharedState, Worker};
use crate::reload::{self, Loader, Watcher};
use crate::server::{Inherited, Server, connection_room};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{AccessLog, Label as _, LogWriter, Metrics};
use crate::token::SharedCache;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    listening: Vec<Address>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    commands: mpsc::UnboundedSender<Command>,
    control: JoinHandle<()>,
}

impl Gateway {
    /// Reads the configuration, binds its addresses, and starts the threads. When this returns,
    /// connections are accepted.
    ///
    /// # Errors
    /// Returns a [`StartError`] if one of these steps fails.
    pub fn start(load: Loader) -> Result<Self, StartError> {
        Self::start_with_control(load, None)
    }

    /// Starts a gateway as [`Self::start`] does, which also takes reloads from the Unix-domain socket
    /// with this path ([`request_reload`]).
    ///
    /// # Errors
    /// Returns a [`StartError`] if one of the steps fails.
    pub fn start_with_control(load: Loader, control: Option<&Path>) -> Result<Self, StartError> {
        let mut inherited = Inherited::from_environment();
        let (config, watcher) = read(&load)?;
        let metrics = new_metrics()?;
        // Compiled before the hand-over, whose steps have a short timeout.
        let snapshot = reload::first(config, &metrics)?;
        let settings = snapshot.config.server.clone();
        let room = connection_room(&settings)?;
        let takeover = Takeover::begin(settings.handover.as_deref(), &mut inherited)?;
        let control = Control::prepare(control)?;
        let assembly = Assembly {
            load,
            watcher,
            metrics,
            snapshot,
            room,
            sockets: Sockets::bind(inherited, &settings)?,
            successor_socket: takeover.successor_socket()?,
            control_socket: control.socket()?,
        };
        let gateway = assembly.start().map_err(StartError::System)?;
        match takeover.complete().and_then(|()| control.publish()) {
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

    /// Reads the configuration again and fetches the keys of all issuers, as SIGHUP does. Returns
    /// before either is done.
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
    /// SIGHUP reloads and fetches keys. A second SIGTERM or SIGINT ends the drain at once.
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
            service_manager::notify(ServiceChange::Ready);
        })?;
        // The control thread also waits until the access log is written.
        let _ = self.control.join();
        Ok(())
    }
}

/// A gateway that has its configuration and its sockets, but no threads yet.
struct Assembly {
    load: Loader,
    watcher: Watcher,
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
    /// The number of client connections for which there are file descriptors.
    room: usize,
    sockets: Sockets,
    successor_socket: Option<SuccessorSocket>,
    control_socket: Option<ControlSocket>,
}

/// The control socket of a gateway that starts; `None` if it has none.
struct Control(Option<OwnSocket>);

impl Control {
    fn prepare(path: Option<&Path>) -> Result<Self, StartError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        match OwnSocket::prepare(path) {
            Ok(socket) => Ok(Self(Some(socket))),
            Err(error) => Err(StartError::Control(path.into(), error)),
        }
    }

    /// Returns the socket for the control thread.
    fn socket(&self) -> Result<Option<ControlSocket>, StartError> {
        let Some(own) = &self.0 else {
            return Ok(None);
        };
        let path = own.path().to_owned();
        match own.listener() {
            Ok(listener) => Ok(Some(ControlSocket { listener, path })),
            Err(error) => Err(StartError::Control(path, error)),
        }
    }

    /// Moves the socket to its path, since the gateway serves.
    fn publish(self) -> Result<(), StartError> {
        let Some(own) = self.0 else {
            return Ok(());
        };
        own.publish()
            .map_err(|error| StartError::Control(own.path().into(), error))
    }
}

impl Assembly {
    /// Starts the threads.
    ///
    /// # Errors
    /// Returns an error if a thread or a runtime cannot be created.
    fn start(self) -> io::Result<Gateway> {
        let workers = self.snapshot.config.server.workers;
        let (shared, log_writer) = share(self.snapshot, self.metrics)?;
        let server = start_workers(workers, self.room, &shared)?;
        let Sockets {
            listeners,
            change,
            admin,
        } = self.sockets;
        // This closes no address, so there is nothing to wait for.
        drop(server.change(change.opened, change.closed));
        let listening = listeners.addresses();
        let admin_address = admin.as_ref().and_then(|one| one.local_addr().ok());
        let (commands, inbox) = mpsc::unbounded_channel();
        let control = Parts {
            shared,
            load: self.load,
            watcher: self.watcher,
            server,
            listeners,
            admin,
            successor_socket: self.successor_socket,
            control_socket: self.control_socket,
            commands: inbox,
        };
        Ok(Gateway {
            addresses: listening.iter().filter_map(Address::ip).collect(),
            listening,
            admin: admin_address,
            commands,
            control: control.start(log_writer)?,
        })
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

fn new_metrics() -> Result<Arc<Metrics>, StartError> {
    match Metrics::new(Reason::NAMES) {
        Ok(metrics) => Ok(Arc::new(metrics)),
        Err(error) => Err(StartError::Metrics(error.to_string().into())),
    }
}

/// Makes the state that all threads share, and starts the access log.
fn share(snapshot: Snapshot, metrics: Arc<Metrics>) -> io::Result<(SharedState, LogWriter)> {
    let (access_log, log_writer) = AccessLog::start(metrics.clone())?;
    let shared = SharedState {
        tokens: Arc::new(SharedCache::new(snapshot.config.token_cache.bytes)),
        live: Arc::new(Live::new(snapshot)),
        metrics,
        access_log,
    };
    Ok((shared, log_writer))
}

fn start_workers(count: usize, room: usize, shared: &SharedState) -> io::Result<Server> {
    let live = shared.live.clone();
    let shared = shared.clone();
    Server::start(count, room, live, move || Worker::new(shared.clone()))
}
