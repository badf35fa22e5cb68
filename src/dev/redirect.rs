//! The redirect URIs to which the embedded issuer sends a browser (RFC 6749 §3.1.2).
//!
//! The issuer sends a code without a consent page, so it sends one to programs on this machine, and
//! to URIs that the command line names, and nowhere else: otherwise any link could use it to lead a
//! browser to another site.

use std::net::Ipv4Addr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The rules for redirect URIs of all clients.
#[derive(Clone, Debug, Default)]
pub(super) struct RedirectRules {
    /// The URIs that the command line names.
    pub(super) named: Vec<Box<str>>,
}

impl RedirectRules {
    /// Returns whether a browser may be sent to a URI.
    pub(super) fn allow(&self, uri: &str) -> bool {
        self.named.iter().any(|named| **named == *uri) || Loopback::parse(uri).is_some()
    }
}

impl RedirectRules {
    /// Returns whether pages of an origin may read the answers of the issuer: pages of this
    /// machine, and those of redirect URIs that the command line names. Any other page that a
    /// person happens to visit could have a token otherwise.
    pub(super) fn allow_page(&self, origin: &str) -> bool {
        match Loopback::parse(origin) {
            Some(page) => page.path_and_query.is_empty(),
            None => self.named.iter().any(|uri| origin_of(uri) == Some(origin)),
        }
    }
}

/// Returns the origin of a URI; `None` if its scheme has none.
fn origin_of(uri: &str) -> Option<&str> {
    let start = uri.find("://")?.checked_add(3)?;
    let rest = uri.get(start..)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    uri.get(..start.checked_add(end)?)
}

/// Checks a redirect URI that a person names.
///
/// # Errors
/// The reason why the text is no redirect URI.
pub fn named_redirect_uri(text: &str) -> Result<Box<str>, &'static str> {
    let Some((scheme, _)) = text.split_once(':') else {
        return Err("not an absolute URI like https://app.example.com/callback");
    };
    let has_letter = scheme.starts_with(|c: char| c.is_ascii_lowercase());
    let mut others = scheme.bytes();
    if !has_letter
        || !others.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        || !text.bytes().all(is_plain)
    {
        return Err("not a URI: characters need escapes, and there is no fragment");
    }
    if matches!(scheme, "javascript" | "data" | "vbscript") {
        return Err("a browser would run it");
    }
    Ok(text.into())
}

/// Returns whether a URI is the registered one. The port of a loopback address may differ, because
/// a native application gets it from the system (RFC 8252 §7.3).
pub(super) fn is_registered(registered: &str, uri: &str) -> bool {
    if registered == uri {
        return true;
    }
    match (Loopback::parse(registered), Loopback::parse(uri)) {
        (Some(registered), Some(uri)) => registered == uri,
        _ => false,
    }
}

/// Adds a parameter to the query of a URI.
pub(super) fn add_parameter(uri: &mut String, name: &str, value: &str) {
    uri.push(if uri.contains('?') { '&' } else { '?' });
    uri.push_str(name);
    uri.push('=');
    uri.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
}

/// A redirect URI of a program on this machine, without its port.
#[derive(PartialEq, Eq)]
struct Loopback<'a> {
    scheme: &'a str,
    host: &'a str,
    path_and_query: &'a str,
}

impl<'a> Loopback<'a> {
    /// Parses a URI. Only the plain form is taken, which every browser reads in the same way: no
    /// user, no fragment, no backslash, no other spelling of an address.
    fn parse(uri: &'a str) -> Option<Self> {
        if !uri.bytes().all(is_plain) {
            return None;
        }
        let (scheme, rest) = uri.split_once("://")?;
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        let host = without_port(authority)?;
        is_loopback(host).then_some(Self {
            scheme,
            host,
            path_and_query,
        })
    }
}

/// Returns whether a character is one that a URI may have without escapes, but for the fragment's.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`')
}

fn without_port(authority: &str) -> Option<&str> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let is_number = port.bytes().all(|b| b.is_ascii_digit());
            (is_number && port.parse::<u16>().is_ok()).then_some(host)
        }
        _ => Some(authority),
    }
}

fn is_loopback(host: &str) -> bool {
    let is_address = host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    is_address || matches!(host, "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_this_machine_alone() {
        let rules = RedirectRules::default();
        for uri in [
            "http://127.0.0.1/callback",
            "http://127.0.0.1:33418/",
            "http://127.8.9.10:1?a=b",
            "http://localhost:6274/oauth/callback",
            "https://localhost",
            "http://[::1]:5/x?y=z/../@",
        ] {
            assert!(rules.allow(uri), "{uri}");
        }
        for uri in [
            "",
            "/callback",
            "//127.0.0.1/",
            "https://example.com/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://example.com/127.0.0.1",
            "http://127.0.0.1@example.com/",
            "http://localhost:1@example.com/",
            "http://localhost:@example.com",
            "http://[::1]@example.com/",
            "http://[::1].example.com/",
            "http://[::1]example.com:80/",
            "http://example.com]:80/",
            "http://example.com\\@127.0.0.1/",
            "http://127.0.0.1\\.example.com/",
            "http://example.com#@127.0.0.1/",
            "http://127.0.0.1/#fragment",
            "http://127.0.0.1:80:80/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:+1/",
            "http://127.0.0.1:80\t/",
            "http://exa\tmple.com/",
            "http://127.0.0.1 /",
            "http://0177.0.0.1/",
            "http://0/",
            "http://2130706433/",
            "http://localhost%2eexample.com/",
            "http://\u{ff4c}ocalhost/",
            "HTTP://127.0.0.1/",
            "http:127.0.0.1",
            "http:///127.0.0.1",
            "javascript://127.0.0.1/%0aalert(1)",
            "data:text/html,http://127.0.0.1/",
            "file://localhost/etc",
            "com.example.app:/callback",
        ] {
            assert!(!rules.allow(uri), "{uri}");
        }
    }

    #[test]
    fn the_command_line_may_name_others_in_full() {
        let rules = RedirectRules {
            named: vec!["https://app.example.com/callback".into()],
        };
        assert!(rules.allow("https://app.example.com/callback"));
        assert!(!rules.allow("https://app.example.com/callback?x"));
        assert!(!rules.allow("https://app.example.com/"));
    }

    #[test]
    fn a_page_of_this_machine_or_of_a_named_uri_reads_answers() {
        let rules = RedirectRules {
            named: vec![
                "https://app.example.com/callback".into(),
                "com.example.app:/x".into(),
            ],
        };
        for origin in [
            "http://localhost:5173",
            "http://127.0.0.1",
            "https://app.example.com",
        ] {
            assert!(rules.allow_page(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "https://example.com",
            "https://app.example.co",
            "https://app.example.com.evil.test",
            "http://app.example.com",
            "https://app.example.com/callback",
            "http://localhost.evil.test",
            "http://localhost:5173/",
            "com.example.app:",
        ] {
            assert!(!rules.allow_page(origin), "{origin}");
        }
    }

    #[test]
    fn a_named_uri_is_absolute_and_plain() {
        for uri in ["https://app.example.com/callback?a=b", "com.example.app:/x"] {
            assert_eq!(named_redirect_uri(uri).as_deref(), Ok(uri));
        }
        for uri in [
            "",
            "app.example.com/callback",
            "/callback",
            "https://app.example.com/#x",
            "https://app.example.com/ x",
            "1a:/x",
            "javascript:alert(1)",
        ] {
            assert!(named_redirect_uri(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_registered_uri_has_any_port_of_this_machine() {
        let registered = "http://127.0.0.1:1/a?b";
        assert!(is_registered(registered, registered));
        assert!(is_registered(registered, "http://127.0.0.1/a?b"));
        assert!(is_registered(registered, "http://127.0.0.1:65535/a?b"));
        for other in [
            "http://127.0.0.1:1/a",
            "https://127.0.0.1:1/a?b",
            "http://localhost:1/a?b",
            "http://127.0.0.1:1/a?b&c",
        ] {
            assert!(!is_registered(registered, other), "{other}");
        }
        assert!(!is_registered("https://a.test:1/", "https://a.test:2/"));
    }

    #[test]
    fn parameters_are_added_to_what_is_there() {
        let mut uri = "http://127.0.0.1/a".to_owned();
        add_parameter(&mut uri, "code", "x y&z=\u{e9}");
        add_parameter(&mut uri, "state", "#");
        assert_eq!(uri, "http://127.0.0.1/a?code=x%20y%26z%3D%C3%A9&state=%23");
        let mut uri = "http://127.0.0.1/a?b".to_owned();
        add_parameter(&mut uri, "code", "c");
        assert_eq!(uri, "http://127.0.0.1/a?b&code=c");
    }
}
