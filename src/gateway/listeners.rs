//! The sockets that a gateway listens on: which are bound, which were inherited, which a successor gets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;

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
            let (socket, is_ours) = match self.inherited.take(&address) {
                Some(inherited) => inherited,
                None => (self.listen(listener)?, true),
            };
            match socket.try_clone() {
                Ok(again) => new.push((address, socket, again, is_ours)),
                Err(error) => return Err(BindError { address, error }),
            }
        }
        let keep = |(configured, socket, again, is_ours): (Address, Socket, Socket, bool)| {
            let address = socket.address(&configured);
            self.bound.push(Bound { configured: configured.clone(), address, is_ours, socket: again });
            (configured, socket)
        };
        Ok(new.into_iter().map(keep).collect())
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
    pub(super) fn estate(&self) -> handover::Estate<'_> {
        let bound = self.bound.iter().map(|known| (known.socket.as_fd(), known.is_ours));
        bound.chain(self.admin.iter().map(|admin| (admin.as_fd(), false))).collect()
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
