//! Ports that a configuration can name.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// A port that is reserved for one test, for both address families: the system gives it to no other
/// test while this exists. No socket listens on it, so that a gateway can.
pub(crate) struct KeptPort {
    _socket: Socket,
    number: u16,
}

impl KeptPort {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let any: SocketAddr = if has_ipv6() { "[::]:0" } else { "0.0.0.0:0" }
            .parse()
            .unwrap();
        let socket =
            Socket::new(Domain::for_address(any), Type::STREAM, Some(Protocol::TCP)).unwrap();
        // Both sockets set this option, so that one may listen where the other is bound.
        socket.set_reuse_address(true).unwrap();
        socket.bind(&any.into()).unwrap();
        let number = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self {
            _socket: socket,
            number,
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Returns an address with this port, such as `[::1]`.
    #[track_caller]
    pub(crate) fn at(&self, ip: &str) -> SocketAddr {
        format!("{ip}:{}", self.number).parse().unwrap()
    }
}

/// Returns whether this machine has IPv6, which containers often lack.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
