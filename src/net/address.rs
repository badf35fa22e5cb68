//! Where connections are taken: an IP address with a port, or a path of the file system.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix-domain socket.
    Unix(PathBuf),
}

impl Address {
    /// The address of TCP, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether two listeners cannot be there at once. Port 0 is a new port for each. `[::]` leaves
    /// IPv4 to another that asks for it, and an IPv4 address that is written as one of IPv6 (RFC
    /// 4291 §2.5.5.2) is what it stands for.
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
