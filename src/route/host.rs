//! The host a route is for.

use std::fmt;

/// `api.example.com`, or `*.example.com` for exactly one label more. Lower case, without port or
/// trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This name alone.
    Exact(Box<str>),
    /// Any one label before this name (kept without the `*.`).
    Wildcard(Box<str>),
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Empty, or with characters that no host name has.
    Syntax,
    /// A port: routes are told apart by host name, listeners by port.
    Port,
    /// A star elsewhere than as the whole first label.
    Wildcard,
}

impl HostPattern {
    /// Parses a host pattern; case does not matter.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.contains(':') && !text.starts_with('[') {
            return Err(HostError::Port);
        }
        let (wildcard, name) = text
            .strip_prefix("*.")
            .map_or((false, text), |name| (true, name));
        if name.contains('*') {
            return Err(HostError::Wildcard);
        }
        let name = normalize(name).ok_or(HostError::Syntax)?;
        Ok(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }
}

/// A host name as it is compared: lower case, without the root's dot (attacks.md#row-6); `None`
/// when it is no host name or IP literal.
pub(super) fn normalize(host: &str) -> Option<Box<str>> {
    is_valid(host).then(|| {
        host.strip_suffix('.')
            .unwrap_or(host)
            .to_ascii_lowercase()
            .into()
    })
}

/// Whether a text is a host name or an IP literal.
pub(super) fn is_valid(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let literal = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inside) => !inside.is_empty() && inside.bytes().all(literal),
        None => host.len() <= 253 && is_name(host.as_bytes()),
    }
}

/// Labels of letters, digits, hyphens and underscores, none of them empty. One pass: each request's
/// host is looked at.
fn is_name(host: &[u8]) -> bool {
    let mut previous = b'.';
    for &b in host {
        let fits = if b == b'.' {
            previous != b'.'
        } else {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
        };
        if !fits {
            return false;
        }
        previous = b;
    }
    previous != b'.'
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "a host is a name like \"api.example.com\"",
            Self::Port => "a host is given without its port",
            Self::Wildcard => "a wildcard is the whole first label: \"*.example.com\"",
        })
    }
}

impl std::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_lower_case_without_the_roots_dot() {
        assert_eq!(
            HostPattern::parse("API.Example.com."),
            Ok(HostPattern::Exact("api.example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("*.example.com"),
            Ok(HostPattern::Wildcard("example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("[::1]"),
            Ok(HostPattern::Exact("[::1]".into()))
        );
        for (text, error) in [
            ("", HostError::Syntax),
            ("a..b", HostError::Syntax),
            ("a b", HostError::Syntax),
            ("a:80", HostError::Port),
            ("a.*.b", HostError::Wildcard),
            ("*.*.b", HostError::Wildcard),
        ] {
            assert_eq!(HostPattern::parse(text), Err(error), "{text}");
        }
    }
}
