//! The check of the host for which a request to the embedded issuer is.
//!
//! By DNS rebinding, an attacker can point a name of its own at this machine. A page of that name
//! would then be of the issuer's own origin, and could have a token of it. But the request still
//! has that name, and no attacker can point an IP address or `localhost` (RFC 6761 §6.3) anywhere.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Request;
use http::header::HOST;
use http::uri::Authority;

/// Returns whether a request is for an IP address or `localhost`, in `Host` and in the target. One
/// without a host is from no browser.
pub(super) fn is_local<B>(request: &Request<B>) -> bool {
    let fields = request.headers().get_all(HOST).iter();
    let target = request.uri().authority();
    fields
        .map(|field| field.to_str().unwrap_or_default())
        .chain(target.map(Authority::as_str))
        .all(is_local_authority)
}

fn is_local_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    if text.contains('@') {
        return false;
    }
    let host = authority.host();
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    // The dot of the DNS root does not make it another name.
    let host = host.strip_suffix('.').unwrap_or(host);
    let top = host.rsplit('.').next().unwrap_or_default();
    host.parse::<Ipv4Addr>().is_ok() || top.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_local() {
        for authority in [
            "127.0.0.1",
            "127.0.0.1:9400",
            "10.0.0.7:80",
            "[::1]:9400",
            "[2001:db8::7]",
            "localhost",
            "LocalHost:1234",
            "localhost.",
            "app.localhost:9400",
        ] {
            assert!(is_local_authority(authority), "{authority}");
        }
    }

    #[test]
    fn another_name_is_not_local_however_it_is_spelled() {
        for authority in [
            "",
            ":9400",
            "evil.test",
            "evil.test:9400",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "notlocalhost",
            "127.1",
            "2130706433",
            "::1",
            "[::1",
            "[evil.test]",
            "user@localhost",
            "localhost:80@evil.test",
            "localhost/evil",
            "localhost,evil.test",
            "localhost..",
            "evil.test#.localhost",
        ] {
            assert!(!is_local_authority(authority), "{authority}");
        }
    }

    #[test]
    fn every_host_of_a_request_counts() {
        let is_local = |target: &str, hosts: &[&str]| {
            let mut builder = Request::get(target);
            for host in hosts {
                builder = builder.header(HOST, *host);
            }
            is_local(&builder.body(()).unwrap())
        };
        assert!(is_local("/", &["localhost"]));
        assert!(is_local("/", &[]));
        assert!(!is_local("/", &["localhost", "evil.test"]));
        assert!(!is_local("http://evil.test/", &["localhost"]));
        assert!(!is_local("http://localhost/", &["evil.test"]));
        assert!(!is_local("/", &["löcalhost"]));
    }
}
