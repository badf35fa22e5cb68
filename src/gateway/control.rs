//! The control thread, which does all work that must not delay a worker: it handles commands and
//! changes of files, hands over to a successor, and drains.

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::thread::JoinHandle;

use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::background::Background;
use super::control_socket::{ControlRequests, ControlSocket, Reply};
use super::handover::{self, HandingOver, SuccessorListener, SuccessorSocket};
use super::listeners::{Listeners, remove};
use super::next_start::StartSettings;
use super::reloading::{Reloading, Step, Subsystems};
use super::service_manager::{self, Change};
use crate::net::Address;
use crate::proxy::SharedState;
use crate::reload::{Loader, Reloader, Watcher};
use crate::server::{Backlog, Server};
use crate::telemetry::LogWriter;

/// A command to the control thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Read the configuration again, and fetch the keys of all issuers.
    Reload,
    /// Begin the drain. A second command ends the drain at once.
    Drain,
}

/// The parts of the control thread. [`Control`], which is made of them, never leaves that thread.
pub(super) struct Parts {
    pub(super) shared: SharedState,
    pub(super) load: Loader,
    pub(super) watcher: Watcher,
    pub(super) server: Server,
    pub(super) listeners: Listeners,
    pub(super) admin: Option<TcpListener>,
    pub(super) successor_socket: Option<SuccessorSocket>,
    pub(super) control_socket: Option<ControlSocket>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
}

impl Parts {
    /// Starts the control thread, which ends when the gateway has drained.
    ///
    /// # Errors
    /// Returns an error if the thread or its runtime cannot be created.
    pub(super) fn start(self, log_writer: LogWriter) -> io::Result<JoinHandle<()>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let run = async { Control::new(self).run().await };
                LocalSet::new().block_on(&runtime, run);
                // Blocking tasks, such as a reload or a DNS query, are not waited for.
                runtime.shutdown_background();
                log_writer.finish();
            })
    }
}

#[cfg(test)]
impl Parts {
    /// Does the work of the control thread on this one, in a simulation.
    pub(super) async fn run_here(self, handing_over: HandingOver) {
        let run = async move {
            let mut control = Control::new(self);
            control.handing_over = Some(handing_over);
            control.run().await;
        };
        LocalSet::new().run_until(run).await;
    }
}

/// The state of the control thread.
struct Control {
    watcher: Watcher,
    reloading: Reloading,
    subsystems: Subsystems,
    commands: mpsc::UnboundedReceiver<Command>,
    successors: Option<SuccessorListener>,
    handing_over: Option<HandingOver>,
    /// The process of the last successor that connected, as the system tells it.
    successor_process: Option<i32>,
    requests: Option<ControlRequests>,
}

/// An event that the control thread handles.
enum Event {
    Command(Command),
    Request(Reply),
    FilesChanged,
    ReloadStep(Step),
    Successor(UnixStream),
    /// The hand-over has ended. Set if the successor serves.
    HandedOver(bool),
}

impl Control {
    /// Registers the sockets with the event loop of this thread.
    fn new(parts: Parts) -> Self {
        let shared = parts.shared;
        let server = Rc::new(parts.server);
        let files = parts.watcher.polled_files();
        let background = Background::new(&shared, &server, parts.admin, files);
        let (live, metrics) = (shared.live.clone(), shared.metrics.clone());
        let started = StartSettings::of(&live.load().config);
        Self {
            watcher: parts.watcher,
            reloading: Reloading::new(Reloader::new(parts.load, live, metrics)),
            subsystems: Subsystems {
                shared,
                listeners: parts.listeners,
                server,
                background,
                started,
            },
            commands: parts.commands,
            successors: parts.successor_socket.and_then(|one| one.listen().ok()),
            handing_over: None,
            successor_process: None,
            requests: parts.control_socket.and_then(|one| one.serve().ok()),
        }
    }

    /// Runs until the drain is over.
    async fn run(mut self) {
        self.subsystems.background.follow();
        let is_taken_over = self.handle_events().await;
        self.subsystems.background.drain();
        let has_successor = is_taken_over
            || match self.handing_over.take() {
                Some(handing_over) => handing_over.hasten().await,
                None => false,
            };
        self.tell_service_manager(has_successor);
        if has_successor {
            self.subsystems.background.leave_admin_listener();
        }
        let backlog = self.close_listeners(has_successor);
        self.drain(backlog).await;
    }

    /// Handles events until the gateway has to stop. Returns whether a successor serves.
    async fn handle_events(&mut self) -> bool {
        loop {
            match self.next_event().await {
                Event::Command(Command::Reload) => {
                    self.refresh_keys();
                    self.reloading.begin();
                }
                Event::Request(reply) => {
                    self.refresh_keys();
                    self.reloading.begin_for(reply);
                }
                Event::FilesChanged => self.reloading.begin(),
                Event::Command(Command::Drain) => return false,
                Event::ReloadStep(step) => {
                    let subsystems = &mut self.subsystems;
                    self.reloading.proceed(step, &mut self.watcher, subsystems);
                }
                Event::Successor(successor) => self.begin_handover(successor),
                Event::HandedOver(true) => return true,
                Event::HandedOver(false) => {}
            }
        }
    }

    /// Fetches the keys of all issuers: the operator, who asks for it, may know that they have
    /// changed. A change of a file says nothing about them.
    fn refresh_keys(&self) {
        for issuer in self.subsystems.shared.live.load().issuers() {
            issuer.refresh();
        }
    }

    async fn next_event(&mut self) -> Event {
        let settle = self.subsystems.shared.live.load().config.reload.settle;
        tokio::select! {
            biased;
            // The channel ends if the gateway was dropped without a shutdown.
            command = self.commands.recv() => Event::Command(command.unwrap_or(Command::Drain)),
            reply = ControlRequests::next(&mut self.requests) => Event::Request(reply),
            step = self.reloading.next() => Event::ReloadStep(step),
            successor = handover::accept_successor(self.successors.as_ref()),
                if self.handing_over.is_none() => Event::Successor(successor),
            taken_over = HandingOver::ended(&mut self.handing_over) => {
                Event::HandedOver(taken_over)
            }
            // Last: files that change all the time must not keep a reload from its next step.
            () = self.watcher.changed(settle) => Event::FilesChanged,
        }
    }

    /// Tells the service manager that the service stops, or that it is another process now.
    fn tell_service_manager(&self, has_successor: bool) {
        match self.successor_process.filter(|_| has_successor) {
            Some(process) => service_manager::notify(Change::TakenOver(process)),
            None => service_manager::notify(Change::Stopping),
        }
    }

    fn begin_handover(&mut self, successor: UnixStream) {
        self.successor_process = successor.peer_cred().ok().and_then(|peer| peer.pid());
        match self.subsystems.listeners.sockets() {
            Ok(sockets) => self.handing_over = Some(HandingOver::begin(successor, sockets)),
            Err(error) => tracing::warn!(%error, "nothing can be handed over"),
        }
    }

    /// Closes the listeners and the files of their sockets, or leaves them to the successor. This
    /// comes before the drain, since a gateway that is started then may bind the same paths.
    fn close_listeners(&mut self, has_successor: bool) -> Backlog {
        let successors = self.successors.take();
        let requests = self.requests.take();
        self.reloading.dismiss();
        let listeners = &mut self.subsystems.listeners;
        if has_successor {
            listeners.leave();
            return Backlog::Leave;
        }
        let paths = successors.into_iter().map(|one| one.path);
        for path in paths.chain(requests.into_iter().map(|one| one.path)) {
            remove(&Address::Unix(path));
        }
        listeners.close();
        Backlog::Serve
    }

    /// Drains the server, at once after a second command to drain.
    async fn drain(&mut self, backlog: Backlog) {
        let Subsystems { shared, server, .. } = &self.subsystems;
        let limit = shared.live.load().config.server.drain;
        let mut drained = pin!(server.drain(backlog, limit));
        tokio::select! {
            biased;
            () = &mut drained => return,
            () = second_drain(&mut self.commands) => {}
        }
        server.hasten_drain().await;
        drained.await;
    }
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
