//! The check of the host for which a request to the admin listener is.
//!
//! A page in a browser cannot read the answers of another origin. By DNS rebinding, an attacker can
//! point a name of its own at this listener; the browser then takes the answers for those of the
//! page's origin, and sends no `Origin`. But `Host` still has that name, so that only listed names
//! are allowed. An IP address in `Host` is allowed: an attacker cannot point it here.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::{HeaderValue, Request, Version};

/// The reason for which the host of a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    /// `Host` is missing, occurs several times (RFC 9112 §3.2), or is no text.
    Malformed,
    /// The request is for a host that is not listed (RFC 9110 §15.5.20).
    Misdirected,
}

/// Checks the host of a request, in `Host` and in the target if the target has one.
///
/// # Errors
/// Returns a [`HostError`] if the host is refused.
pub(super) fn admit<B>(request: &Request<B>, names: &[Box<str>]) -> Result<(), HostError> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(text(field)?),
        // Browsers always send it; old health checks over HTTP/1.0 do not.
        (None, _) if request.version() == Version::HTTP_10 => None,
        _ => return Err(HostError::Malformed),
    };
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    for authority in field.into_iter().chain(target) {
        if !is_ours(authority, names) {
            return Err(HostError::Misdirected);
        }
    }
    Ok(())
}

fn text(field: &HeaderValue) -> Result<&str, HostError> {
    field.to_str().map_err(|_| HostError::Malformed)
}

/// Returns whether `host` or `host:port` is an IP address, `localhost`, or one of these names. Any
/// port is allowed: a tunnel or a published port of a container differs from the listener's.
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
    // The dot of the DNS root does not make it another name.
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<Ipv4Addr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Returns whether a text is a colon and digits. The digits may be missing (RFC 3986 §3.2.3).
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
            // Browsers read these as IPv4 addresses, but send the usual form in `Host`.
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
