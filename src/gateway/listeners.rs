//! The listening sockets of a gateway: those that it has bound or inherited, and those that a
//! successor gets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::handover::HandedOverSocket;
use super::start_error::{ADMIN, BindError, LISTEN};
use crate::carry_over::CarryOver;
use crate::config::{Listener, Server};
use crate::net::Address;
use crate::server::{Binding, Inherited, InheritedSocket, ListenerSettings, Opened, Socket, bind};

/// The listening sockets of a gateway.
pub(super) struct Listeners {
    bound: Vec<Bound>,
    /// The admin listener, for a successor.
    admin: Option<AdminSocket>,
    pub(super) inherited: Inherited,
}

/// A listening socket.
struct Bound {
    configured: Address,
    /// The actual address, which differs from the configured one for port 0.
    address: Address,
    /// The settings of its connections.
    settings: ListenerSettings,
    origin: Origin,
    /// Set if the gateway removes the file of a Unix-domain socket when it closes it. The file of a
    /// supervisor's socket stays.
    owns_file: bool,
    /// The mode of the file, if this gateway has set it.
    mode: Option<u32>,
    /// A second handle to the socket, for a successor. It must be dropped with the listener.
    socket: Socket,
}

/// The admin listener's socket.
struct AdminSocket {
    address: Address,
    socket: Socket,
}

/// The origin of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A supervisor, or the predecessor. The options with which it was bound are not known.
    Inherited,
    /// This gateway, which may have bound the socket for IPv6 only.
    Bound { only_ipv6: bool },
}

/// The new sockets of a configuration. Clients can connect to them, and wait until they are
/// accepted.
pub(super) struct Prepared(Vec<NewSocket>);

/// A new listening socket.
struct NewSocket {
    bound: Bound,
    /// The handle for the acceptor.
    socket: Socket,
}

impl Prepared {
    /// Returns the addresses of the sockets.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.0.iter().map(|new| new.bound.address.clone())
    }
}

/// A change of the listeners, for the server.
pub(super) struct Change {
    pub(super) opened: Vec<Opened>,
    pub(super) closed: Vec<Address>,
}

impl Listeners {
    /// Returns the listeners of a gateway that has bound none yet.
    pub(super) fn new(inherited: Inherited) -> Self {
        Self {
            bound: Vec::new(),
            admin: None,
            inherited,
        }
    }

    /// Binds the addresses of a configuration that are not bound yet: all of them or none. Sockets
    /// that are bound already stay.
    pub(super) fn prepare(&mut self, server: &Server) -> Result<Prepared, BindError> {
        // Inherited sockets come first: a socket that is bound afterwards may have to share a port
        // with one of them.
        let mut new = self.take_inherited(server)?;
        let _shared = self.bind_missing(server, &mut new)?;
        // The sockets listen only after all are bound: if one cannot be bound, no client has
        // connected to the others.
        for NewSocket { bound, socket } in &new {
            socket
                .listen()
                .map_err(|error| self.explain(&bound.configured, LISTEN, error))?;
        }
        Ok(Prepared(new))
    }

    /// Takes the inherited sockets of listeners that have none yet.
    fn take_inherited(&mut self, server: &Server) -> Result<Vec<NewSocket>, BindError> {
        let mut new = Vec::new();
        for listener in &server.listeners {
            if self.has_socket_for(listener, server) {
                continue;
            }
            if let Some(inherited) = self.inherited.take(&listener.address) {
                new.push(NewSocket::inherited(listener, inherited)?);
            }
        }
        Ok(new)
    }

    /// Binds the addresses of listeners that have no socket yet, neither here nor in `new`. The
    /// ports stay shared until the new sockets listen.
    fn bind_missing(
        &self,
        server: &Server,
        new: &mut Vec<NewSocket>,
    ) -> Result<SharedPorts, BindError> {
        let mut ports = SharedPorts::default();
        for listener in &server.listeners {
            let address = &listener.address;
            let is_inherited = new.iter().any(|new| new.bound.configured == *address);
            if is_inherited || self.has_socket_for(listener, server) {
                continue;
            }
            let only_ipv6 = server.is_for_ipv6_alone(address);
            let binding = Binding {
                unix_mode: listener.unix_mode,
                only_ipv6,
                shares_port: false,
            };
            let neighbours = self.bound.iter().chain(new.iter().map(|new| &new.bound));
            let socket = ports
                .bind(address, binding, neighbours)
                .map_err(|error| self.explain(address, LISTEN, error))?;
            new.push(NewSocket::bound(listener, socket, only_ipv6)?);
        }
        Ok(ports)
    }

    fn has_socket_for(&self, listener: &Listener, server: &Server) -> bool {
        self.bound
            .iter()
            .any(|known| known.is_for(listener, server))
    }

    /// Adds the prepared sockets, drops those that are not `wanted`, and updates the settings of
    /// the rest. The acceptor must be told of the change: it holds the last handles of dropped
    /// sockets.
    pub(super) fn commit(&mut self, Prepared(new): Prepared, wanted: &[Listener]) -> Change {
        let before = std::mem::take(&mut self.bound);
        let mut earlier = CarryOver::new(before, |known| known.configured.clone());
        let mut new = CarryOver::new(new, |new| new.bound.configured.clone());
        let mut opened = Vec::new();
        for listener in wanted {
            let mut bound = if let Some(NewSocket { bound, socket }) = new.take(&listener.address) {
                opened.push(Opened {
                    address: bound.configured.clone(),
                    settings: bound.settings.clone(),
                    socket,
                });
                bound
            } else if let Some(kept) = earlier.take(&listener.address) {
                kept.settings.change(listener);
                kept
            } else {
                continue;
            };
            bound.set_mode(listener.unix_mode);
            self.bound.push(bound);
        }
        let closed = earlier.left().map(Bound::close).collect();
        Change { opened, closed }
    }

    /// Explains why an address cannot be listened on. If this gateway has the port itself, the
    /// operator need not look for another process.
    fn explain(&self, address: &Address, setting: &'static str, error: io::Error) -> BindError {
        let conflict = if error.kind() == io::ErrorKind::AddrInUse {
            self.conflict(address)
        } else {
            None
        };
        BindError {
            address: address.clone(),
            setting,
            error: conflict.map_or(error, io::Error::other),
        }
    }

    /// Describes the socket of this gateway that has the port of an address, if there is one.
    fn conflict(&self, address: &Address) -> Option<String> {
        for Bound {
            address: own,
            origin,
            ..
        } in &self.bound
        {
            if have_same_port(own, address) {
                return Some(match origin {
                    Origin::Inherited => {
                        format!("this gateway inherited the socket of {own}, which has that port")
                    }
                    Origin::Bound { .. } => format!(
                        "this gateway listens on {own}, \
                         and changes to that port's address at its next start"
                    ),
                });
            }
        }
        let own = &self.admin.as_ref()?.address;
        have_same_port(own, address)
            .then(|| format!("the admin listener is on {own} until the next start"))
    }

    /// Listens for the admin, on an inherited socket if there is one.
    pub(super) fn listen_admin(
        &mut self,
        address: SocketAddr,
        server: &Server,
    ) -> Result<TcpListener, BindError> {
        let configured = Address::Ip(address);
        let socket = match self.inherited.take(&configured) {
            Some(inherited) => inherited.socket,
            None => self
                .bind_admin(&configured, server)
                .map_err(|error| self.explain(&configured, ADMIN, error))?,
        };
        let handle = socket.try_clone().map_err(|error| BindError {
            address: configured.clone(),
            setting: ADMIN,
            error,
        })?;
        self.admin = Some(AdminSocket {
            address: socket.address(&configured),
            socket: handle,
        });
        match socket {
            Socket::Tcp(listener) => Ok(listener),
            _ => Err(BindError {
                address: configured,
                setting: ADMIN,
                error: io::ErrorKind::Unsupported.into(),
            }),
        }
    }

    fn bind_admin(&self, address: &Address, server: &Server) -> io::Result<Socket> {
        let binding = Binding {
            only_ipv6: server.is_for_ipv6_alone(address),
            ..Binding::default()
        };
        let socket = SharedPorts::default().bind(address, binding, self.bound.iter())?;
        socket.listen()?;
        Ok(socket)
    }

    /// Returns duplicates of all sockets, for a successor.
    ///
    /// # Errors
    /// Returns an error if the process has no file descriptor left.
    pub(super) fn sockets(&self) -> io::Result<Vec<HandedOverSocket>> {
        let mut sockets = Vec::new();
        for known in &self.bound {
            sockets.push(HandedOverSocket {
                socket: known.socket.as_fd().try_clone_to_owned()?,
                owns_file: known.owns_file,
            });
        }
        if let Some(admin) = &self.admin {
            sockets.push(HandedOverSocket {
                socket: admin.socket.as_fd().try_clone_to_owned()?,
                owns_file: false,
            });
        }
        Ok(sockets)
    }

    /// Returns further handles to all sockets, for a successor in the same simulation.
    #[cfg(test)]
    pub(super) fn duplicates(&self) -> Inherited {
        let mut inherited = Inherited::default();
        for known in &self.bound {
            let socket = known.socket.try_clone().expect("it is simulated");
            inherited.add_simulated(known.address.clone(), socket);
        }
        inherited
    }

    /// Closes all sockets, and leaves the files of Unix-domain sockets to the successor.
    pub(super) fn leave(&mut self) {
        self.bound.clear();
        self.admin = None;
    }

    /// Closes all sockets but the admin listener's, and removes their files.
    pub(super) fn close(&mut self) {
        for known in self.bound.drain(..) {
            known.close();
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.bound
            .iter()
            .map(|known| known.address.clone())
            .collect()
    }
}

impl NewSocket {
    fn inherited(listener: &Listener, inherited: InheritedSocket) -> Result<Self, BindError> {
        let InheritedSocket {
            socket, owns_file, ..
        } = inherited;
        Self::new(listener, socket, Origin::Inherited, owns_file)
    }

    fn bound(listener: &Listener, socket: Socket, only_ipv6: bool) -> Result<Self, BindError> {
        Self::new(listener, socket, Origin::Bound { only_ipv6 }, true)
    }

    fn new(
        listener: &Listener,
        socket: Socket,
        origin: Origin,
        owns_file: bool,
    ) -> Result<Self, BindError> {
        let configured = listener.address.clone();
        let handle = socket.try_clone().map_err(|error| BindError {
            address: configured.clone(),
            setting: LISTEN,
            error,
        })?;
        let bound = Bound {
            address: socket.address(&configured),
            configured,
            settings: ListenerSettings::new(listener),
            origin,
            owns_file,
            mode: (origin != Origin::Inherited).then_some(listener.unix_mode),
            socket: handle,
        };
        Ok(Self { bound, socket })
    }
}

impl Bound {
    /// Drops this handle to the socket and removes its file. Returns the configured address.
    fn close(self) -> Address {
        if self.owns_file {
            remove(&self.configured);
        }
        self.configured
    }

    /// Gives the socket's file this mode, unless this gateway has set it before.
    fn set_mode(&mut self, mode: u32) {
        let Address::Unix(path) = &self.configured else {
            return;
        };
        if !self.owns_file || self.mode == Some(mode) {
            return;
        }
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
            Ok(()) => self.mode = Some(mode),
            Err(error) => {
                tracing::error!(
                    %error, path = %path.display(),
                    "the mode of a socket's file stays as it was"
                );
            }
        }
    }

    /// Returns whether this is the socket that a listener needs. A socket that this gateway has
    /// bound for IPv6 only does not serve a listener for both families, nor the reverse: the option
    /// cannot be changed after the bind.
    fn is_for(&self, listener: &Listener, server: &Server) -> bool {
        let only_ipv6 = server.is_for_ipv6_alone(&listener.address);
        self.configured == listener.address
            && (self.origin == Origin::Inherited || self.origin == Origin::Bound { only_ipv6 })
    }
}

/// Sockets that share their port with another socket of this gateway during a reload, because one
/// replaces the other or is for other addresses. The sharing ends when this is dropped, so that a
/// second gateway that is started by mistake is told that the address is in use. (On Linux, a
/// process of the same user that asks for a shared port still gets it: the kernel does not undo the
/// sharing fully.)
#[derive(Default)]
struct SharedPorts(Vec<Socket>);

impl SharedPorts {
    /// Binds an address. If its port is in use, shares it with the `neighbours` that have it.
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
        let mut has_neighbour = false;
        for neighbour in neighbours {
            if have_same_port(&neighbour.address, address) {
                self.share(&neighbour.socket)?;
                has_neighbour = true;
            }
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

/// Returns whether both addresses have a port, and the same one.
fn have_same_port(one: &Address, other: &Address) -> bool {
    match (one.ip(), other.ip()) {
        (Some(one), Some(other)) => one.port() == other.port(),
        _ => false,
    }
}

/// Logs the addresses on which connections are accepted. With port 0 only the log tells the port.
pub(super) fn announce(addresses: impl Iterator<Item = Address>) {
    for address in addresses {
        tracing::info!(%address, "listening");
    }
}

/// Removes the file of a closed Unix-domain socket.
pub(super) fn remove(address: &Address) {
    if let Address::Unix(path) = address
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(%error, path = %path.display(), "the file of a socket is left behind");
    }
}
