//! The sockets that a gateway listens on: which are bound, which were inherited, which a successor
//! gets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::{BindError, handover};
use crate::config::{Listener, Server};
use crate::net::Address;
use crate::server::{Binding, Inherited, ListenerSettings, Opened, Socket, bind};

/// The sockets that are listened on.
pub(super) struct Listeners {
    bound: Vec<Bound>,
    /// The admin listener, for a successor.
    admin: Option<(Address, Socket)>,
    pub(super) inherited: Inherited,
}

/// A socket that is listened on.
struct Bound {
    configured: Address,
    /// Where that is.
    address: Address,
    /// The settings of its connections.
    settings: ListenerSettings,
    origin: Origin,
    /// Whether the file of a Unix-domain socket goes when it does. A supervisor's stays.
    is_ours: bool,
    /// The mode of its file, where this gateway set it.
    mode: Option<u32>,
    /// The socket once more, for a successor. It must go when the listener does.
    socket: Socket,
}

/// The origin of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A supervisor, or the gateway before: what it was bound for stays.
    Inherited,
    /// This gateway, which may have bound it for IPv6 alone.
    Bound { only_ipv6: bool },
}

/// Sockets that a configuration asks for and that were not there: clients can connect to them, and
/// wait.
pub(super) struct Prepared(Vec<(Bound, Socket)>);

impl Prepared {
    /// Their addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.0.iter().map(|(bound, _)| bound.address.clone())
    }
}

/// A change of the listeners, for the server.
pub(super) struct Change {
    pub(super) opened: Vec<Opened>,
    pub(super) closed: Vec<Address>,
}

impl Listeners {
    /// Nothing is bound yet.
    pub(super) fn new(inherited: Inherited) -> Self {
        Self {
            bound: Vec::new(),
            admin: None,
            inherited,
        }
    }

    /// Binds the addresses of a configuration that are not bound yet: all of them or none. Sockets
    /// that are bound stay.
    pub(super) fn prepare(&mut self, server: &Server) -> Result<Prepared, BindError> {
        let is_missing = |listener: &&Listener| {
            !self
                .bound
                .iter()
                .any(|known| known.is_for(listener, server))
        };
        let (mut inherited, mut missing) = (Vec::new(), Vec::new());
        for listener in server.listeners.iter().filter(is_missing) {
            match self.inherited.take(&listener.address) {
                Some(found) => inherited.push((listener, found)),
                None => missing.push(listener),
            }
        }
        // Inherited sockets come first: one may have a port that another is to be bound beside.
        let mut new = Vec::new();
        for (listener, (socket, is_ours)) in inherited {
            new.push(Bound::new(listener, socket, Origin::Inherited, is_ours)?);
        }
        let mut ports = SharedPorts::default();
        for listener in missing {
            let only_ipv6 = server.is_for_ipv6_alone(&listener.address);
            let binding = Binding {
                unix_mode: listener.unix_mode,
                only_ipv6,
                shares_port: false,
            };
            let neighbours = self.bound.iter().chain(new.iter().map(|(bound, _)| bound));
            let socket = ports.bind(&listener.address, binding, neighbours);
            let socket = socket.map_err(|error| self.explained(&listener.address, error))?;
            new.push(Bound::new(
                listener,
                socket,
                Origin::Bound { only_ipv6 },
                true,
            )?);
        }
        // Not before all are bound: where one cannot be, no client has connected to the others.
        for (bound, socket) in &new {
            socket
                .listen()
                .map_err(|error| self.explained(&bound.configured, error))?;
        }
        Ok(Prepared(new))
    }

    /// Adds the prepared sockets, drops removed ones, and updates the settings of the rest. The
    /// acceptor must be told too: it holds the removed sockets last, and closes them.
    pub(super) fn commit(&mut self, Prepared(new): Prepared, wanted: &[Listener]) -> Change {
        let mut closed = Vec::new();
        self.bound.retain(|known| {
            let replaced = new
                .iter()
                .any(|(bound, _)| bound.configured == known.configured);
            let listener = wanted
                .iter()
                .find(|listener| listener.address == known.configured);
            if let Some(listener) = listener.filter(|_| !replaced) {
                known.settings.change(listener);
                return true;
            }
            if known.is_ours {
                remove(&known.configured);
            }
            closed.push(known.configured.clone());
            false
        });
        let mut opened = Vec::new();
        for (bound, socket) in new {
            let (address, settings) = (bound.configured.clone(), bound.settings.clone());
            opened.push(Opened {
                address,
                settings,
                socket,
            });
            self.bound.push(bound);
        }
        self.set_modes(wanted);
        Change { opened, closed }
    }

    /// Files of sockets that were there before get the mode that is configured now.
    fn set_modes(&mut self, wanted: &[Listener]) {
        for known in self.bound.iter_mut().filter(|known| known.is_ours) {
            let listener = wanted.iter().find(|one| one.address == known.configured);
            let (Address::Unix(path), Some(listener)) = (&known.configured, listener) else {
                continue;
            };
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

    /// Why an address cannot be listened on. Where this gateway has the port itself, no other
    /// process is to be looked for.
    fn explained(&self, address: &Address, error: io::Error) -> BindError {
        let port = |address: &Address| address.ip().map(|address| address.port());
        let shares = |other: &Address| port(other).is_some() && port(other) == port(address);
        let refused = |why: String| BindError {
            address: address.clone(),
            error: io::Error::other(why),
        };
        if error.kind() != io::ErrorKind::AddrInUse {
            return BindError {
                address: address.clone(),
                error,
            };
        }
        if let Some(Bound {
            address: own,
            origin,
            ..
        }) = self.bound.iter().find(|known| shares(&known.address))
        {
            return refused(match origin {
                Origin::Inherited => {
                    format!("this gateway inherited the socket of {own}, which has that port")
                }
                Origin::Bound { .. } => {
                    format!(
                        "this gateway listens on {own}, and changes to that port's address at its next start"
                    )
                }
            });
        }
        match self.admin.as_ref().filter(|(own, _)| shares(own)) {
            Some((own, _)) => refused(format!(
                "the admin listener is on {own} until the next start"
            )),
            None => BindError {
                address: address.clone(),
                error,
            },
        }
    }

    pub(super) fn listen_admin(
        &mut self,
        address: SocketAddr,
        server: &Server,
    ) -> Result<TcpListener, BindError> {
        let configured = Address::Ip(address);
        let inherited = self.inherited.take(&configured).map(|(socket, _)| socket);
        let socket = inherited.map_or_else(
            || {
                let only_ipv6 = server.is_for_ipv6_alone(&configured);
                let binding = Binding {
                    only_ipv6,
                    ..Binding::default()
                };
                let mut ports = SharedPorts::default();
                let socket = ports.bind(&configured, binding, self.bound.iter())?;
                socket.listen()?;
                Ok(socket)
            },
            Ok,
        );
        let socket = socket.map_err(|error| self.explained(&configured, error))?;
        let failed = |error| BindError {
            address: configured.clone(),
            error,
        };
        self.admin = Some((
            socket.address(&configured),
            socket.try_clone().map_err(failed)?,
        ));
        match socket {
            Socket::Tcp(listener) => Ok(listener),
            Socket::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
        }
    }

    /// What a successor gets.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn sockets(&self) -> io::Result<handover::HandedOverSockets> {
        let bound = self
            .bound
            .iter()
            .map(|known| (&known.socket, known.is_ours));
        let all = bound.chain(self.admin.iter().map(|(_, admin)| (admin, false)));
        all.map(|(socket, is_ours)| Ok((socket.as_fd().try_clone_to_owned()?, is_ours)))
            .collect()
    }

    /// Closes all, but leaves the files of Unix-domain sockets to a successor.
    pub(super) fn leave(&mut self) {
        self.bound.clear();
        self.admin = None;
    }

    /// Closes all that requests are taken on.
    pub(super) fn close(&mut self) {
        for known in self.bound.drain(..).filter(|known| known.is_ours) {
            remove(&known.configured);
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.bound
            .iter()
            .map(|known| known.address.clone())
            .collect()
    }
}

impl Bound {
    fn new(
        listener: &Listener,
        socket: Socket,
        origin: Origin,
        is_ours: bool,
    ) -> Result<(Self, Socket), BindError> {
        let configured = listener.address.clone();
        let again = socket.try_clone().map_err(|error| BindError {
            address: configured.clone(),
            error,
        })?;
        let bound = Self {
            address: socket.address(&configured),
            configured,
            settings: ListenerSettings::new(listener),
            origin,
            is_ours,
            mode: (origin != Origin::Inherited).then_some(listener.unix_mode),
            socket: again,
        };
        Ok((bound, socket))
    }

    /// Whether it is the socket that a listener needs. One of our own that is for both families, or
    /// for one, while the other is needed is not: whether it is cannot be changed once it is bound.
    fn is_for(&self, listener: &Listener, server: &Server) -> bool {
        let only_ipv6 = server.is_for_ipv6_alone(&listener.address);
        self.configured == listener.address
            && (self.origin == Origin::Inherited || self.origin == Origin::Bound { only_ipv6 })
    }
}

/// Sockets that share a port with another socket of this gateway during a reload, because the one
/// replaces the other or is for other addresses. They do not keep sharing: another gateway that is
/// started by mistake is told that the address is in use. (On Linux one of the same user that asks
/// for a shared port still gets it: the kernel does not forget the sharing exactly.)
#[derive(Default)]
struct SharedPorts(Vec<Socket>);

impl SharedPorts {
    /// Binds an address, if need be beside those of `neighbours` that have its port.
    fn bind<'b>(
        &mut self,
        address: &Address,
        binding: Binding,
        neighbours: impl Iterator<Item = &'b Bound>,
    ) -> io::Result<Socket> {
        let in_use = match bind(address, binding) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
            result => return result,
        };
        let port = |address: &Address| address.ip().map(|address| address.port());
        let mut has_neighbour = false;
        for neighbour in neighbours
            .filter(|known| port(address).is_some() && port(&known.address) == port(address))
        {
            self.share(&neighbour.socket)?;
            has_neighbour = true;
        }
        if !has_neighbour {
            return Err(in_use);
        }
        let socket = bind(
            address,
            Binding {
                shares_port: true,
                ..binding
            },
        )?;
        self.share(&socket)?;
        Ok(socket)
    }

    fn share(&mut self, socket: &Socket) -> io::Result<()> {
        self.0.push(socket.try_clone()?);
        socket.share_port(true);
        Ok(())
    }
}

impl Drop for SharedPorts {
    fn drop(&mut self) {
        self.0.iter().for_each(|socket| socket.share_port(false));
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
