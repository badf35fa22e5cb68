//! The background tasks of the control thread. [`Background::wanted`] lists them: a new kind of
//! task is one function here and one entry of that list.

use std::net::TcpListener as StdTcpListener;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::certificates;
use super::supervisor::{Supervisor, Task};
use crate::admin::{Admin, AliveCheck};
use crate::issuer::{self, Issuer};
use crate::net::Proxies;
use crate::proxy::SharedState;
use crate::reload::{self, PolledFiles};
use crate::server::Server;
use crate::snapshot::Snapshot;
use crate::token::SharedCache;
use crate::upstream::{self, Upstream};

/// The background tasks of a gateway, and what they work for besides the snapshot in force.
pub(super) struct Background {
    supervisor: Supervisor,
    shared: SharedState,
    admin: Rc<Admin>,
    /// The proxies of the environment, for fetches of keys.
    proxies: Proxies,
    /// `None` without an admin listener, and when a successor has it.
    admin_listener: Option<Arc<TcpListener>>,
    /// `None` when the gateway drains, since it does not reload any more.
    polled_files: Option<Arc<PolledFiles>>,
}

impl Background {
    /// Registers the admin listener with the event loop of this thread. No task runs before
    /// [`Background::follow`].
    pub(super) fn new(
        shared: &SharedState,
        server: &Rc<Server>,
        admin_listener: Option<StdTcpListener>,
        polled_files: Arc<PolledFiles>,
    ) -> Self {
        let (live, metrics) = (shared.live.clone(), shared.metrics.clone());
        let admin_listener = admin_listener.and_then(|one| TcpListener::from_std(one).ok());
        Self {
            supervisor: Supervisor::new(metrics.gateway.clone()),
            shared: shared.clone(),
            admin: Admin::new(live, metrics, alive_check(server)),
            proxies: Proxies::from_environment(),
            admin_listener: admin_listener.map(Arc::new),
            polled_files: Some(polled_files),
        }
    }

    /// Starts and ends tasks, so that those run which are wanted now. The snapshot in force, or
    /// another part of what is wanted, has changed.
    pub(super) fn follow(&mut self) {
        let wanted = self.wanted();
        self.supervisor.follow(wanted);
    }

    /// Begins the drain: the gateway is not ready any more.
    pub(super) fn drain(&mut self) {
        self.admin.drain();
        self.polled_files = None;
        self.follow();
    }

    /// Leaves the admin listener, and so the health checks, to the successor.
    pub(super) fn leave_admin_listener(&mut self) {
        self.admin_listener = None;
        self.follow();
    }

    fn wanted(&self) -> Vec<Task> {
        let shared = &self.shared;
        let snapshot = shared.live.load();
        let mut wanted = vec![check_certificates(&snapshot, shared), sweep_tokens(shared)];
        for issuer in snapshot.issuers() {
            wanted.push(fetch_keys(issuer, &self.proxies));
        }
        wanted.extend(snapshot.upstreams.iter().map(watch_endpoints));
        if let Some(files) = &self.polled_files {
            wanted.push(poll_files(files, shared));
        }
        if let Some(listener) = &self.admin_listener {
            wanted.push(serve_admin(listener, &self.admin));
        }
        wanted
    }
}

/// Returns the check with which the admin listener asks whether all workers are alive.
fn alive_check(server: &Rc<Server>) -> AliveCheck {
    let server = server.clone();
    Box::new(move || {
        let server = server.clone();
        Box::pin(async move { server.is_alive().await })
    })
}

fn check_certificates(snapshot: &Arc<Snapshot>, shared: &SharedState) -> Task {
    let metrics = shared.metrics.clone();
    Task::new("certificates", snapshot, move |snapshot| {
        certificates::maintain(snapshot, metrics.clone())
    })
}

fn sweep_tokens(shared: &SharedState) -> Task {
    Task::new("token cache", &shared.tokens, SharedCache::maintain)
}

/// Returns the task that fetches the keys of an issuer. When the issuer leaves the configuration,
/// requests of an old snapshot still use its keys, but no new keys are fetched.
fn fetch_keys(issuer: &Arc<Issuer>, proxies: &Proxies) -> Task {
    // Not the names of its entries: a reload that adds one keeps the task, and so its schedule.
    let purpose = format!("keys of \"{}\"", issuer.entry().issuer);
    let proxies = proxies.clone();
    Task::new(purpose, issuer, move |issuer| {
        issuer::maintain(issuer, proxies.clone())
    })
}

fn watch_endpoints(upstream: &Arc<Upstream>) -> Task {
    let purpose = format!("endpoints of upstream \"{}\"", upstream.settings.name);
    Task::new(purpose, upstream, upstream::maintain)
}

fn poll_files(files: &Arc<PolledFiles>, shared: &SharedState) -> Task {
    let (live, metrics) = (shared.live.clone(), shared.metrics.clone());
    Task::new("configuration files", files, move |files| {
        reload::poll_files(files, live.clone(), metrics.clone())
    })
}

fn serve_admin(listener: &Arc<TcpListener>, admin: &Rc<Admin>) -> Task {
    let admin = admin.clone();
    Task::new("admin listener", listener, move |listener| {
        admin.clone().serve(listener)
    })
}
