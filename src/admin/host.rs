//! The hosts that the admin listener is asked by.
//!
//! A page in a browser cannot read another origin's answers, but its own it can: by DNS rebinding a
//! name of the page's own leads to this listener, and the browser takes the answer for the page's
//! own (the request has no `Origin`). The browser still says in `Host` which name it asked for, so
//! that names are listed. An IP address in `Host` is no name that an attacker could have pointed
//! here.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::{HeaderValue, Request, Version};

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    /// `Host` is missing or there several times (RFC 9112 §3.2), or is no text.
    Malformed,
    /// It is for a host that is not listed (RFC 9110 §15.5.20).
    Misdirected,
}

/// Judges the host of a request: in its target, where it has one there, and in `Host`.
///
/// # Errors
/// [`HostError`]
pub(super) fn admit<B>(request: &Request<B>, names: &[Box<str>]) -> Result<(), HostError> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(text(field)?),
        // No browser leaves it out, and old health checks do.
        (None, _) if request.version() == Version::HTTP_10 => None,
        _ => return Err(HostError::Malformed),
    };
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    if field
        .into_iter()
        .chain(target)
        .all(|authority| is_ours(authority, names))
    {
        Ok(())
    } else {
        Err(HostError::Misdirected)
    }
}

fn text(field: &HeaderValue) -> Result<&str, HostError> {
    field.to_str().map_err(|_| HostError::Malformed)
}

/// Whether `host` or `host:port` is an IP address, `localhost`, or one of these names. The port may
/// be any: a tunnel or a published port of a container has its own.
fn is_ours(authority: &str, names: &[Box<str>]) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port));
    }
    let colon = authority.find(':').unwrap_or(authority.len());
    let (host, port) = authority.split_at(colon);
    if !port.is_empty() && !is_port(port) {
        return false;
    }
    // The root's dot, which makes no other name of it.
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<Ipv4Addr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Returns whether a text is a colon and digits. There may be no digit (RFC 3986 §3.2.3).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<Box<str>> {
        vec!["gateway".into(), "metrics.internal".into()]
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_ours() {
        for authority in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.0.0.7:80",
            "192.0.2.1:",
            "[::1]",
            "[::1]:9090",
            "[2001:db8::7]:1",
            "[::ffff:127.0.0.1]:9090",
            "localhost",
            "LocalHost:1234",
            "localhost.",
            "gateway",
            "GateWay:9090",
            "gateway.:9090",
            "metrics.internal",
        ] {
            assert!(is_ours(authority, &names()), "{authority}");
        }
    }

    #[test]
    fn another_name_is_not_ours_however_it_is_spelled() {
        for authority in [
            "",
            ":9090",
            "evil.test",
            "evil.test:9090",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "evil.localhost",
            "gateway.evil.test",
            "metrics",
            // Only a browser's own reading makes addresses of these, and it sends what it made.
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[evil.test]",
            "[fe80::1%25eth0]",
            "user@localhost",
            "localhost:80@evil.test",
            "localhost:80:80",
            "localhost/evil",
            "localhost,evil.test",
            " localhost",
            "localhost..",
        ] {
            assert!(!is_ours(authority, &names()), "{authority}");
        }
    }

    #[test]
    fn a_request_says_its_host_once() {
        let request = |version, target: &str, hosts: &[&str]| {
            let mut builder = Request::get(target).version(version);
            for host in hosts {
                builder = builder.header(HOST, *host);
            }
            admit(&builder.body(()).unwrap(), &names())
        };
        let (new, old) = (Version::HTTP_11, Version::HTTP_10);
        assert_eq!(request(new, "/metrics", &["localhost"]), Ok(()));
        assert_eq!(request(old, "/livez", &[]), Ok(()));
        assert_eq!(
            request(new, "http://localhost/metrics", &["localhost"]),
            Ok(())
        );
        let malformed = Err(HostError::Malformed);
        assert_eq!(request(new, "/metrics", &[]), malformed);
        assert_eq!(
            request(new, "/metrics", &["localhost", "localhost"]),
            malformed
        );
        assert_eq!(
            request(new, "/metrics", &["localhost", "evil.test"]),
            malformed
        );
        assert_eq!(
            request(old, "/metrics", &["localhost", "evil.test"]),
            malformed
        );
        assert_eq!(request(new, "/metrics", &["löcalhost"]), malformed);
        let misdirected = Err(HostError::Misdirected);
        assert_eq!(request(old, "/metrics", &["evil.test"]), misdirected);
        assert_eq!(request(old, "http://evil.test/metrics", &[]), misdirected);
        assert_eq!(
            request(new, "http://evil.test/metrics", &["localhost"]),
            misdirected
        );
        assert_eq!(
            request(new, "http://localhost/metrics", &["evil.test"]),
            misdirected
        );
    }
}
