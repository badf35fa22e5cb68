//! Origins of web pages (RFC 6454), as the configuration names them.

use std::fmt;

use crate::route::is_host;

/// An origin of the configuration: `https://app.example.com`; `https://*.example.com` for hosts
/// with exactly one more label; or `https://*` for every host and port. A port is given where it is
/// not the default of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    hosts: Hosts,
}

/// The hosts of an origin of the configuration, with their ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    /// This one.
    One(Box<str>),
    /// Origins with one more label before this one.
    Below(Box<str>),
    /// Every host and port.
    Any,
}

/// A text that is not an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// Not an origin as browsers write it.
    Syntax,
    /// `null`, an origin that any page can give itself.
    Null,
}

impl Origin {
    /// Parses an origin in the form in which browsers send it (RFC 6454 §6.2) and in which it is
    /// compared.
    ///
    /// # Errors
    /// [`OriginError`]
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        Self::parse_canonical(text).ok_or(OriginError::Syntax)
    }

    fn parse_canonical(text: &str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let default_port = default_port(scheme)?;
        if host == "*" {
            let (scheme, hosts) = (scheme.into(), Hosts::Any);
            return Some(Self { scheme, hosts });
        }
        let (wildcard, rest) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (rest, None),
        };
        if let Some(port) = port
            && (port == default_port || !is_canonical_port(port))
        {
            return None;
        }
        // An IP literal has no labels that a wildcard could stand for.
        if !is_canonical_host(name) || wildcard && name.starts_with('[') {
            return None;
        }
        Some(Self {
            scheme: scheme.into(),
            hosts: match wildcard {
                true => Hosts::Below(rest.into()),
                false => Hosts::One(rest.into()),
            },
        })
    }

    /// Returns whether the origin has a wildcard, and so stands for several hosts.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        !matches!(self.hosts, Hosts::One(_))
    }

    /// Returns whether the origin stands for every host of its scheme.
    #[must_use]
    pub fn is_of_any_host(&self) -> bool {
        self.hosts == Hosts::Any
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else {
            return false;
        };
        if scheme != &*self.scheme {
            return false;
        }
        match &self.hosts {
            Hosts::One(own) => host == &**own,
            Hosts::Below(parent) => match host.split_once('.') {
                Some((first, rest)) => rest == &**parent && is_label(first),
                None => false,
            },
            // The answer repeats it, and a browser sends no other form.
            Hosts::Any => Self::parse_canonical(origin).is_some_and(|one| !one.is_pattern()),
        }
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "https" => Some("443"),
        "http" => Some("80"),
        _ => None,
    }
}

/// Returns whether a host is valid and written as browsers write it: in lower case and without the
/// dot of the root.
fn is_canonical_host(name: &str) -> bool {
    is_host(name) && !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase())
}

/// Returns whether a port is a number from 1 to 65535 without a sign or leading zeros.
fn is_canonical_port(port: &str) -> bool {
    port.parse::<u16>()
        .is_ok_and(|number| number > 0 && number.to_string() == port)
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => {
                "an origin is a scheme, a host in lower case and a port if it is not the scheme's \
                 own: \"https://app.example.com\"; \"https://*\" stands for every host"
            }
            Self::Null => "any page can make itself \"null\"",
        })
    }
}

impl std::error::Error for OriginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let is = |pattern: &str, origin: &str| Origin::parse(pattern).unwrap().matches(origin);
        assert!(is("https://app.example.com", "https://app.example.com"));
        assert!(is("http://localhost:3000", "http://localhost:3000"));
        assert!(is("https://*.example.com", "https://a.example.com"));
        assert!(is(
            "https://*.example.com:8443",
            "https://a.example.com:8443"
        ));
        for (pattern, origin) in [
            ("https://app.example.com", "http://app.example.com"),
            ("https://app.example.com", "https://app.example.com:8443"),
            (
                "https://app.example.com",
                "https://app.example.com.evil.test",
            ),
            (
                "https://app.example.com",
                "https://evil.test/https://app.example.com",
            ),
            ("https://*.example.com", "https://example.com"),
            ("https://*.example.com", "https://a.b.example.com"),
            ("https://*.example.com", "https://evil.test#.example.com"),
            ("https://*.example.com", "https://.example.com"),
            ("https://*.example.com", "https://aexample.com"),
            ("https://app.example.com", "null"),
        ] {
            assert!(!is(pattern, origin), "{pattern} {origin}");
        }
    }

    #[test]
    fn a_scheme_with_an_asterisk_stands_for_every_host_and_port() {
        let https = Origin::parse("https://*").unwrap();
        assert!(https.is_pattern() && https.is_of_any_host());
        assert!(
            !Origin::parse("https://*.example.com")
                .unwrap()
                .is_of_any_host()
        );
        for (origin, expected) in [
            ("https://app.example.com", true),
            ("https://localhost:8443", true),
            ("https://[::1]:3000", true),
            ("http://app.example.com", false),
            ("httpss://app.example.com", false),
            ("https://", false),
            ("https://*", false),
            ("https://*.example.com", false),
            ("https://App.example.com", false),
            ("https://app.example.com/", false),
            ("https://app.example.com:443", false),
            ("https://user@app.example.com", false),
            ("https://a b", false),
            ("chrome-extension://abcdef", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(https.matches(origin), expected, "{origin}");
        }
        assert!(
            Origin::parse("http://*")
                .unwrap()
                .matches("http://localhost:3000")
        );
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        for text in [
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com:443",
            "http://a:080",
            "https://App.example.com",
            "https://*:8443",
            "https://*/",
            "*://*",
            "https://**",
            "https://a.*.com",
            "ftp://a",
            "https://*.[::1]",
            "https://a.",
            "https://a:",
            "https://a:0",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError::Syntax), "{text}");
        }
        assert_eq!(Origin::parse("null"), Err(OriginError::Null));
        assert!(Origin::parse("http://[::1]:3000").is_ok());
    }
}
