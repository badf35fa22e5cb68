//! What is known of a client connection, once for all its requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;

use super::Fingerprint;
use super::acceptor::Certificates;

/// The other end of a client connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; `None` for one that came by a Unix-domain socket.
    pub address: Option<SocketAddr>,
    /// Its IP address, as `X-Forwarded-For` has it; `unknown` where there is none (RFC 7239 §6).
    pub forwarded_for: HeaderValue,
    /// The port that it connected to, by the word of a PROXY header, as `X-Forwarded-Port` has it.
    pub announced_port: Option<HeaderValue>,
    /// What TLS told; `None` on a plain connection.
    pub tls: Option<Session>,
}

/// What a TLS handshake told of a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// The name it asked for (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
    /// Its certificate, which was verified.
    pub client_certificate: Option<Fingerprint>,
    /// The certificates of the listener.
    pub certificates: Arc<Certificates>,
}

impl Session {
    /// Whether a request for `host` may come on this connection. A client that named no server is
    /// taken at its word.
    #[must_use]
    pub fn may_ask(&self, host: &str) -> bool {
        self.server_name
            .as_deref()
            .is_none_or(|name| self.certificates.may_ask(name, host))
    }
}

impl Peer {
    /// The certificate that it has shown, where it was asked for one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Fingerprint> {
        self.tls.as_ref()?.client_certificate.as_ref()
    }

    /// The peer at an address. An IPv4 address that came by an IPv6 socket is an IPv4 address.
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

    /// The peer at the other end of a Unix-domain socket.
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

/// The text of an IP address. Every connection has one, and nearly all of four octets: to format
/// these takes ten times as long as to write their digits.
fn text(address: IpAddr) -> HeaderValue {
    let mut text = [0; "255.255.255.255".len()];
    let mut length = 0;
    let mut write = |byte| {
        if let Some(place) = text.get_mut(length) {
            *place = byte;
            length += 1;
        }
    };
    let IpAddr::V4(address) = address else {
        return value(address.to_string().as_bytes());
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

/// The text of an IP address is always a header value.
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
