//! Dialling through a forward proxy: a tunnel for `https`, and the proxy itself for `http`.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::dial::handshake;
use super::{DialError, DialTimeouts, Proxy, Stage, Stream, TunnelFault, Url};
use super::{dial_addresses, resolve};
use crate::clock;
use crate::tls::Tls;

/// The most bytes of a proxy's answer to CONNECT.
const MAX_HEAD: usize = 8 * 1024;

/// Opens a connection to the host and port of `url` through a proxy (RFC 9110 §9.3.6) if the scheme
/// is `https`. Otherwise opens a connection to the proxy, which takes requests in absolute form
/// (RFC 9112 §3.2.2).
///
/// # Errors
/// Returns a [`DialError`] if a step fails or takes too long.
pub async fn dial_through(
    proxy: &Proxy,
    url: &Url,
    tls: &Tls,
    timeout: Duration,
) -> Result<Stream, DialError> {
    let to = proxy.url();
    let addresses = resolve(to.host_name(), to.port()).await?;
    let timeouts = DialTimeouts::each(timeout);
    let stream = dial_addresses(to, &addresses, tls, timeouts).await?;
    let Stream::Tcp(mut tcp) = stream else {
        return Ok(stream);
    };
    if !url.is_tls() {
        return Ok(Stream::Tcp(tcp));
    }
    let deadline = Instant::from_std(clock::monotonic()) + timeout;
    let late = |stage| DialError::Timeout {
        authority: url.authority().into(),
        stage,
    };
    match timeout_at(deadline, open(&mut tcp, proxy, url)).await {
        Ok(opened) => opened.map_err(DialError::Tunnel)?,
        Err(_) => return Err(late(Stage::Connecting)),
    }
    timeout_at(deadline, handshake(url, tls, tcp))
        .await
        .unwrap_or_else(|_| Err(late(Stage::Handshaking)))
}

/// Asks the proxy for a tunnel.
async fn open(tcp: &mut TcpStream, proxy: &Proxy, url: &Url) -> Result<(), TunnelFault> {
    let target = format!("{}:{}", url.host(), url.port());
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    tcp.write_all(request.as_bytes())
        .await
        .map_err(TunnelFault::Io)?;
    let head = read_head(tcp).await?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(TunnelFault::Status(status)),
        None => Err(TunnelFault::NotHttp),
    }
}

/// Reads the head of the answer, and nothing of what follows.
async fn read_head(tcp: &mut TcpStream) -> Result<Vec<u8>, TunnelFault> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(TunnelFault::NotHttp);
        }
        head.push(tcp.read_u8().await.map_err(TunnelFault::Io)?);
    }
    Ok(head)
}

/// Returns the status of an answer of HTTP/1 (RFC 9112 §4).
fn status(head: &[u8]) -> Option<u16> {
    let version = head.strip_prefix(b"HTTP/1.")?;
    let (b"0 " | b"1 ", rest) = version.split_at_checked(2)? else {
        return None;
    };
    let (code, after) = rest.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if !matches!(after.first(), Some(b' ' | b'\r')) {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_three_digits_behind_the_version() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\n\r\n", Some(407)),
            ("HTTP/2 200\r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 20\r\n\r\n", None),
            ("HTTP/1.1 +20 OK\r\n\r\n", None),
            ("SSH-2.0\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }
}
