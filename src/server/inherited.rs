//! Listening sockets that were there before this process: a supervisor's (systemd's
//! `sd_listen_fds`), or those of the gateway that this one follows.

use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::Socket;
use crate::net::Address;

/// Sockets that wait to be asked for by their address.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(Address, Socket, bool)>);

impl Inherited {
    /// What the supervisor passed, if it passed it to this very process. To be called once, while
    /// there is one thread.
    #[cfg(unix)]
    #[must_use]
    pub fn from_environment() -> Self {
        let mut inherited = Self::default();
        // Without it the sockets may be meant for a parent of ours.
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
                tracing::warn!(index, %error, "an inherited descriptor is of no use");
            }
        }
        inherited
    }

    /// Where nothing is inherited.
    #[cfg(not(unix))]
    #[must_use]
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// Takes over a listening socket; `is_ours` if the file of a Unix-domain one is this gateway's
    /// to remove.
    ///
    /// # Errors
    /// When it is none, or has no address that a listener can have.
    #[cfg(unix)]
    pub fn add(&mut self, socket: OwnedFd, is_ours: bool) -> io::Result<()> {
        let socket = socket2::Socket::from(socket);
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "nobody listens on it",
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
        self.0.push((address, socket, is_ours));
        Ok(())
    }

    /// The socket of an address, which is then the caller's, and whether its file is too.
    pub fn take(&mut self, wanted: &Address) -> Option<(Socket, bool)> {
        let index = self.0.iter().position(|(address, ..)| address == wanted)?;
        let (_, socket, is_ours) = self.0.swap_remove(index);
        Some((socket, is_ours))
    }

    /// Closes what nobody asked for.
    pub fn close(&mut self) {
        for (address, ..) in self.0.drain(..) {
            tracing::warn!(%address, "an inherited socket is closed: no listener has its address");
        }
    }
}
