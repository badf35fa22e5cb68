//! The sockets that a gateway listens on: which are bound, which were inherited, which a successor gets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::{BindError, handover};
use crate::config::Listener;
use crate::net::Address;
use crate::server::{Inherited, Socket, bind, bind_tcp};

/// The sockets that are listened on.
pub(super) struct Listeners {
    bound: Vec<Bound>,
    /// The admin listener, for a successor.
    admin: Option<Socket>,
    pub(super) inherited: Inherited,
}

/// A socket that is listened on.
struct Bound {
    configured: Address,
    /// Where that is.
    address: Address,
    /// Whether the file of a Unix-domain socket goes when it does. A supervisor's stays.
    is_ours: bool,
    /// The mode of its file, where this gateway set it.
    mode: Option<u32>,
    /// The socket once more, for a successor. It must go when the listener does.
    socket: Socket,
}

impl Listeners {
    /// Nothing is bound yet.
    pub(super) fn new(inherited: Inherited) -> Self {
        Self { bound: Vec::new(), admin: None, inherited }
    }

    /// Binds those of `wanted` that are not bound yet: all of them or none.
    pub(super) fn bind(&mut self, wanted: &[Listener]) -> Result<Vec<(Address, Socket)>, BindError> {
        let is_missing = |one: &&Listener| !self.bound.iter().any(|known| known.configured == one.address);
        let missing: Vec<_> = wanted.iter().filter(is_missing).collect();
        let mut new = Vec::new();
        for listener in missing {
            let address = listener.address.clone();
            let (socket, is_ours, mode) = match self.inherited.take(&address) {
                Some((socket, is_ours)) => (socket, is_ours, None),
                None => (self.listen(listener)?, true, Some(listener.unix_mode)),
            };
            let again = socket.try_clone().map_err(|error| BindError { address: address.clone(), error })?;
            let place = socket.address(&address);
            new.push((socket, Bound { configured: address, address: place, is_ours, mode, socket: again }));
        }
        let keep = |(socket, bound): (Socket, Bound)| {
            let configured = bound.configured.clone();
            self.bound.push(bound);
            (configured, socket)
        };
        let new = new.into_iter().map(keep).collect();
        self.set_modes(wanted);
        Ok(new)
    }

    /// Files of sockets that were there before get the mode that is configured now.
    fn set_modes(&mut self, wanted: &[Listener]) {
        for known in self.bound.iter_mut().filter(|known| known.is_ours) {
            let listener = wanted.iter().find(|one| one.address == known.configured);
            let (Address::Unix(path), Some(listener)) = (&known.configured, listener) else { continue };
            let mode = listener.unix_mode;
            if known.mode == Some(mode) {
                continue;
            }
            match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
                Ok(()) => known.mode = Some(mode),
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "the mode of a socket's file stays as it was");
                }
            }
        }
    }

    /// Two sockets of ours cannot share a port, not even for the moment in which one replaces the other.
    fn listen(&self, listener: &Listener) -> Result<Socket, BindError> {
        let address = listener.address.clone();
        let error = match bind(&address, listener.unix_mode) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let port = |address: &Address| address.ip().map(|address| address.port());
        let shares =
            |known: &&Bound| port(&known.address).is_some() && port(&known.address) == port(&address);
        Err(match self.bound.iter().find(shares) {
            Some(Bound { address: own, .. }) if error.kind() == io::ErrorKind::AddrInUse => {
                let why = format!(
                    "this gateway listens on {own}, and changes to that port's address at its next start"
                );
                BindError { address, error: io::Error::other(why) }
            }
            _ => BindError { address, error },
        })
    }

    pub(super) fn listen_admin(&mut self, address: SocketAddr) -> Result<TcpListener, BindError> {
        let listener = match self.inherited.take(&Address::Ip(address)) {
            Some((Socket::Tcp(listener), _)) => Ok(listener),
            _ => bind_tcp(address),
        };
        let listener = listener.and_then(|listener| {
            self.admin = Some(Socket::Tcp(listener.try_clone()?));
            Ok(listener)
        });
        listener.map_err(|error| BindError { address: Address::Ip(address), error })
    }

    /// What a successor gets.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn estate(&self) -> io::Result<handover::Estate> {
        let bound = self.bound.iter().map(|known| (&known.socket, known.is_ours));
        let all = bound.chain(self.admin.iter().map(|admin| (admin, false)));
        all.map(|(socket, is_ours)| Ok((socket.as_fd().try_clone_to_owned()?, is_ours))).collect()
    }

    /// Closes all, but leaves the files of Unix-domain sockets to a successor.
    pub(super) fn leave(&mut self) {
        self.bound.clear();
        self.admin = None;
    }

    pub(super) fn keep(&mut self, wanted: &[Listener]) {
        self.bound.retain(|known| {
            let kept = wanted.iter().any(|one| one.address == known.configured);
            if !kept && known.is_ours {
                remove(&known.configured);
            }
            kept
        });
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.bound.iter().map(|known| known.address.clone()).collect()
    }
}

/// The file of a socket says nothing once nobody listens.
pub(super) fn remove(address: &Address) {
    if let Address::Unix(path) = address
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(%error, path = %path.display(), "the file of a socket is left behind");
    }
}
