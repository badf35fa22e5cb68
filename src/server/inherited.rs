//! Listening sockets that existed before this process: from a supervisor (systemd's
//! `sd_listen_fds`), or from the gateway that this one replaces.

use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::Socket;
use crate::net::Address;

/// The inherited sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<InheritedSocket>);

/// A listening socket that existed before this process.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The address that the socket is bound to.
    pub address: Address,
    /// The socket.
    pub socket: Socket,
    /// Set if this gateway has to remove the file of a Unix-domain socket when it closes it.
    pub owns_file: bool,
}

impl Inherited {
    /// Returns the sockets that the supervisor passed to this process. It must be called once, and
    /// before another thread is started.
    #[cfg(unix)]
    #[must_use]
    pub fn from_environment() -> Self {
        let mut inherited = Self::default();
        // With another process id the sockets are meant for a parent process.
        let is_ours =
            std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        if !is_ours {
            return inherited;
        }
        let mut passed = listenfd::ListenFd::from_env();
        for index in 0..passed.len() {
            let socket = match passed.take_tcp_listener(index) {
                Ok(Some(listener)) => Ok(OwnedFd::from(listener)),
                _ => match passed.take_unix_listener(index) {
                    Ok(Some(listener)) => Ok(OwnedFd::from(listener)),
                    Ok(None) => continue,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = socket.and_then(|socket| inherited.add(socket, false)) {
                tracing::warn!(index, %error, "an inherited descriptor cannot be used");
            }
        }
        inherited
    }

    /// Returns no sockets: this platform inherits none.
    #[cfg(not(unix))]
    #[must_use]
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// Adds a listening socket. `owns_file` tells whether this gateway has to remove the file of a
    /// Unix-domain socket.
    ///
    /// # Errors
    /// Returns an error if the descriptor is no listening socket, or has no address that a listener
    /// can have.
    #[cfg(unix)]
    pub fn add(&mut self, socket: OwnedFd, owns_file: bool) -> io::Result<()> {
        let socket = socket2::Socket::from(socket);
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a listening socket",
            ));
        }
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let (address, socket) = if let Some(address) = local.as_socket() {
            (Address::Ip(address), Socket::Tcp(socket.into()))
        } else if let Some(path) = local.as_pathname() {
            (Address::Unix(path.into()), Socket::Unix(socket.into()))
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it has neither IP address nor path",
            ));
        };
        self.0.push(InheritedSocket {
            address,
            socket,
            owns_file,
        });
        Ok(())
    }

    /// Adds a simulated socket.
    #[cfg(test)]
    pub(crate) fn add_simulated(&mut self, address: Address, socket: Socket) {
        self.0.push(InheritedSocket {
            address,
            socket,
            owns_file: false,
        });
    }

    /// Removes and returns the socket of an address.
    pub fn take(&mut self, wanted: &Address) -> Option<InheritedSocket> {
        let index = self.0.iter().position(|one| one.address == *wanted)?;
        Some(self.0.swap_remove(index))
    }

    /// Closes the sockets that no listener has taken.
    pub fn close(&mut self) {
        for InheritedSocket { address, .. } in self.0.drain(..) {
            tracing::warn!(%address, "an inherited socket is closed: no listener has its address");
        }
    }
}
