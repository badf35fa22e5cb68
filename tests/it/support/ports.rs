//! Ports that a configuration can name.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// A port that is kept for one test, for both families: no other test is given it by the system as
/// long as this is there. Nothing listens on it, so that a gateway can.
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
        // Both sides say it; then one may listen where the other is bound.
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

    /// An address on it, such as `[::1]`.
    #[track_caller]
    pub(crate) fn at(&self, ip: &str) -> SocketAddr {
        format!("{ip}:{}", self.number).parse().unwrap()
    }
}

/// Whether this machine has IPv6, of which containers are often without.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
