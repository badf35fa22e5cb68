//! The peer of a client connection, which is the same for all its requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;

use crate::tls::{Certificates, Fingerprint};

/// The other end of a client connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address; `None` for a peer on a Unix-domain socket.
    pub address: Option<SocketAddr>,
    /// The IP address, for `X-Forwarded-For`; `unknown` if there is none (RFC 7239 §6).
    pub forwarded_for: HeaderValue,
    /// The port to which the client connected according to a PROXY header, for `X-Forwarded-Port`.
    pub announced_port: Option<HeaderValue>,
    /// The TLS session; `None` for a plain connection.
    pub tls: Option<Session>,
}

/// The result of a TLS handshake with a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// The server name that the client sent (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
    /// The verified certificate of the client.
    pub client_certificate: Option<Fingerprint>,
    /// The certificates of the listener.
    pub certificates: Arc<Certificates>,
}

impl Session {
    /// Returns whether a request for `host` may come on this connection. If the client sent no
    /// server name, every host may.
    #[must_use]
    pub fn may_ask(&self, host: &str) -> bool {
        self.server_name
            .as_deref()
            .is_none_or(|name| self.certificates.may_ask(name, host))
    }
}

impl Peer {
    /// Returns the certificate of the client, if it has sent one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Fingerprint> {
        self.tls.as_ref()?.client_certificate.as_ref()
    }

    /// Returns the peer at an address. An IPv4-mapped IPv6 address becomes an IPv4 address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            address: Some(address),
            forwarded_for: text(address.ip()),
            announced_port: None,
            tls: None,
        }
    }

    /// Returns the peer at the other end of a Unix-domain socket.
    #[must_use]
    pub fn unix() -> Self {
        let forwarded_for = HeaderValue::from_static("unknown");
        Self {
            address: None,
            forwarded_for,
            announced_port: None,
            tls: None,
        }
    }
}

/// Returns the text of an IP address. It is needed for each connection, and nearly all addresses
/// are of IPv4: the standard formatter takes ten times as long for these as this function.
fn text(address: IpAddr) -> HeaderValue {
    let IpAddr::V4(address) = address else {
        return value(address.to_string().as_bytes());
    };
    let mut text = [0; "255.255.255.255".len()];
    let mut length = 0;
    let mut write = |byte| {
        if let Some(next) = text.get_mut(length) {
            *next = byte;
            length += 1;
        }
    };
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            write(b'.');
        }
        if octet >= 100 {
            write(b'0' + octet / 100);
        }
        if octet >= 10 {
            write(b'0' + octet / 10 % 10);
        }
        write(b'0' + octet % 10);
    }
    value(text.get(..length).unwrap_or_default())
}

/// Returns the header value of an IP address. Its text is always valid.
fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_formatted() {
        for octet in 0..=u8::MAX {
            let address = IpAddr::from([octet, 0, 255, octet]);
            assert_eq!(text(address), address.to_string());
        }
        for address in ["::1", "2001:db8::a", "::ffff:1.2.3.4"] {
            assert_eq!(text(address.parse().unwrap()), address);
        }
    }
}
