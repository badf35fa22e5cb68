//! The host pattern of a route, and the names that hosts may have.

use std::fmt;

/// A host of the route table: `api.example.com`, or `*.example.com` for names with exactly one more
/// label. In lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This name only.
    Exact(Box<str>),
    /// Any one label before this name, which is kept without the `*.`.
    Wildcard(Box<str>),
}

/// An error in a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Empty, or with characters that no host name has.
    Syntax,
    /// With a port: routes differ in their host name, listeners in their port.
    Port,
    /// With a star that is not the whole first label.
    Wildcard,
}

impl HostPattern {
    /// Parses a host pattern and lowers its case.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.contains(':') && !text.starts_with('[') {
            return Err(HostError::Port);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
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

/// Returns a host name in the form in which it is compared: in lower case, without the dot of the
/// root (attacks.md#row-6). `None` if the text is neither a host name nor an IP literal.
pub(super) fn normalize(host: &str) -> Option<Box<str>> {
    if !is_host(host) {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    Some(name.to_ascii_lowercase().into())
}

/// Returns whether a text is a host name or an IP literal.
pub(crate) fn is_host(host: &str) -> bool {
    leading_host(host) == Some(host)
}

/// Returns the host name or the IP literal that a text begins with, perhaps with the dot of the
/// root; `None` if the text begins with neither.
pub(super) fn leading_host(text: &str) -> Option<&str> {
    if text.starts_with('[') {
        leading_literal(text)
    } else {
        leading_name(text)
    }
}

/// Returns the IP literal in brackets (RFC 3986 §3.2.2) that a text begins with.
fn leading_literal(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    if inside.is_empty() || !inside.bytes().all(is_literal_byte) {
        return None;
    }
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    text.strip_suffix(rest)
}

fn is_literal_byte(b: u8) -> bool {
    b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
}

/// The longest host name, in bytes and without the dot of the root.
const MOST_BYTES: usize = 253;

/// Set for the bytes of host names: letters, digits, hyphens, underscores and dots.
const IS_NAME_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < table.len() {
        let byte = index as u8;
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler, which refuses to go beyond the end"
        )]
        {
            table[index] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        }
        index += 1;
    }
    table
};

/// Returns the host name that a text begins with: labels of which none is empty, and perhaps the
/// dot of the root. It looks at each byte once: this runs for every request.
fn leading_name(text: &str) -> Option<&str> {
    let mut previous = b'.';
    let mut length = 0;
    for byte in text.bytes() {
        if IS_NAME_BYTE.get(usize::from(byte)) != Some(&true) {
            break;
        }
        if byte == b'.' && previous == b'.' {
            return None;
        }
        previous = byte;
        length += 1;
    }
    let most = MOST_BYTES + usize::from(previous == b'.');
    if length == 0 || length > most {
        return None;
    }
    text.get(..length)
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
