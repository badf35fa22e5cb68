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
}

impl Peer {
    /// The peer at an address. An IPv4 address that came by an IPv6 socket is an IPv4 address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let text = address.ip().to_string();
        // The text of an IP address is always a header value.
        let forwarded_for =
            HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { address, forwarded_for }
    }
}
