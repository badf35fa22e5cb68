//! What is known of a client connection, once for all its requests.

use std::net::SocketAddr;

use http::HeaderValue;

/// The other end of a client connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its IP address, as `X-Forwarded-For` has it.
    pub forwarded_for: HeaderValue,
    /// The port of ours that it connected to.
    pub port: u16,
    /// What TLS told; `None` on a plain connection.
    pub tls: Option<Session>,
}

/// What a TLS handshake told of a client.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The name it asked for (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
}

impl Peer {
    /// The peer at an address. An IPv4 address that came by an IPv6 socket is an IPv4 address.
    #[must_use]
    pub fn new(address: SocketAddr, port: u16) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let text = address.ip().to_string();
        // The text of an IP address is always a header value.
        let forwarded_for =
            HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { address, forwarded_for, port, tls: None }
    }
}
