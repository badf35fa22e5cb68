//! Addresses to listen on: an IP address with a port, or the path of a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix-domain socket.
    Unix(PathBuf),
}

/// The prefix of the path of a Unix-domain socket.
const UNIX: &str = "unix:";

/// An error in the text of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not an IP address with a port.
    Ip,
    /// Not an absolute path, a directory, or too long a path.
    Socket,
}

impl Address {
    /// The longest path of a socket, in bytes, that every system can bind.
    pub const MAX_PATH: usize = 100;

    /// Returns the TCP address; `None` for a Unix-domain socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Returns whether two listeners exclude each other. Port 0 is a new port for each listener.
    /// `[::]` leaves IPv4 to another listener that asks for it. An IPv4-mapped IPv6 address (RFC
    /// 4291 §2.5.5.2) counts as the IPv4 address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Self::Ip(a), Self::Ip(b)) = (self, other) else {
            return self == other;
        };
        let (first, second) = (a.ip().to_canonical(), b.ip().to_canonical());
        let everywhere = first.is_unspecified() || second.is_unspecified();
        a.port() == b.port()
            && a.port() != 0
            && (first == second || first.is_ipv4() == second.is_ipv4() && everywhere)
    }
}

/// Parses an IP address with a port, or `unix:` and an absolute path.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(path) = text.strip_prefix(UNIX) else {
            let address = text.parse().map_err(|_| AddressError::Ip)?;
            return Ok(Self::Ip(address));
        };
        if path.starts_with('/') && !path.ends_with('/') && path.len() <= Self::MAX_PATH {
            return Ok(Self::Unix(path.into()));
        }
        Err(AddressError::Socket)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("not an IP address with a port, such as 127.0.0.1:8080"),
            Self::Socket => write!(
                f,
                "not unix: and an absolute path of at most {} bytes, such as \
                 unix:/run/scopegate/api.sock",
                Address::MAX_PATH
            ),
        }
    }
}

impl std::error::Error for AddressError {}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_cannot_coexist_overlap() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("127.0.0.1:80", "[::]:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "[::ffff:0.0.0.0]:80", true),
            ("[::]:80", "[::ffff:127.0.0.1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let address = |text: &str| Address::Ip(text.parse().unwrap());
            assert_eq!(address(a).overlaps(&address(b)), expected, "{a} {b}");
        }
        let socket = |path: &str| Address::Unix(path.into());
        assert!(socket("/run/a").overlaps(&socket("/run/a")));
        assert!(!socket("/run/a").overlaps(&socket("/run/b")));
    }
}
