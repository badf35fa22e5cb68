//! One element of `Forwarded` (RFC 7239 §4), which one proxy wrote.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderValue;

use super::hop::{UNKNOWN, address};

/// An element: `for`, `by`, `host` and `proto`, each at most once, as a token or a quoted string
/// without escapes. The values are kept without their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// The text of the element, unchanged.
    pub(super) text: &'a str,
    node: Option<&'a str>,
    by: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) proto: Option<&'a str>,
}

impl<'a> Element<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let mut element = Self {
            text,
            ..Self::default()
        };
        let mut rest = text;
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = split_value(after)?;
            let parameter = element.parameter(name)?;
            if parameter.replace(value).is_some() {
                return None;
            }
            if after.is_empty() {
                return Some(element);
            }
            rest = after.strip_prefix(';')?;
        }
    }

    /// Returns the field that holds the parameter of this name.
    fn parameter(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        if name.eq_ignore_ascii_case("for") {
            Some(&mut self.node)
        } else if name.eq_ignore_ascii_case("by") {
            Some(&mut self.by)
        } else if name.eq_ignore_ascii_case("host") {
            Some(&mut self.host)
        } else if name.eq_ignore_ascii_case("proto") {
            Some(&mut self.proto)
        } else {
            None
        }
    }

    /// Returns the address of the node in `for`, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.node.and_then(address)
    }

    /// Returns the node in `for` as `X-Forwarded-For` would list it.
    pub(super) fn hop(&self) -> String {
        match self.node {
            Some(node) if address(node).is_some() => node.to_owned(),
            _ => UNKNOWN.to_owned(),
        }
    }
}

/// Splits a text into the value that it begins with and the text after it.
fn split_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (inside, after) = quoted.split_once('"')?;
        return inside.bytes().all(is_quotable).then_some((inside, after));
    }
    let (token, after) = text.split_at(text.find(';').unwrap_or(text.len()));
    (!token.is_empty() && token.bytes().all(is_token)).then_some((token, after))
}

fn is_quotable(b: u8) -> bool {
    matches!(b, b' '..=b'~') && b != b'\\'
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Returns the elements of a field without the white space around them, the last one first. Quotes
/// are matched from the end as well, so that a quote that a client left open in front hides
/// nothing.
pub(super) fn from_the_end(field: &[u8]) -> FromTheEnd<'_> {
    FromTheEnd { rest: Some(field) }
}

/// The iterator of [`from_the_end`].
pub(super) struct FromTheEnd<'f> {
    rest: Option<&'f [u8]>,
}

impl<'f> Iterator for FromTheEnd<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        let text = self.rest?;
        let element = match last_unquoted_comma(text) {
            Some(at) => {
                self.rest = text.get(..at);
                text.get(at + 1..)?
            }
            None => {
                self.rest = None;
                text
            }
        };
        Some(element.trim_ascii())
    }
}

fn last_unquoted_comma(text: &[u8]) -> Option<usize> {
    let mut in_quotes = false;
    for (index, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b',' if !in_quotes => return Some(index),
            _ => {}
        }
    }
    None
}

/// Formats an element for a node, which is an address as proxies write it, or `unknown`. A value
/// that is not a token is quoted (RFC 7239 §6).
pub(super) fn format(node: &str, host: Option<&HeaderValue>, proto: Option<&str>) -> String {
    // `X-Forwarded-For` may list an IPv6 address without brackets; `Forwarded` requires them.
    let is_bare = node.parse::<Ipv6Addr>().is_ok();
    let mut element = if is_bare {
        format!("for=\"[{node}]\"")
    } else if node.bytes().all(is_token) {
        format!("for={node}")
    } else {
        format!("for=\"{node}\"")
    };
    if let Some(host) = host
        && let Ok(host) = host.to_str()
        && !host.contains(['"', '\\'])
    {
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    if let Some(proto) = proto {
        element.push_str(";proto=");
        element.push_str(proto);
    }
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_element_is_closed() {
        for text in [
            "for=192.0.2.1",
            "For=\"[2001:db8::1]:4711\";proto=https;host=a.example",
            "for=_hidden;by=unknown",
            "for=\"a, b\"",
            "for=\"a;b\"",
        ] {
            assert!(Element::parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            "for",
            "for=",
            "for=a b",
            "for=\"a",
            "for=\"a\\\"b\"",
            "for=\"a\"b",
            "for=a;for=b",
            "secret=1",
            "for=[::1]",
            "for =a",
            "for=a;",
            ";for=a",
        ] {
            assert_eq!(Element::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn an_element_says_which_node_it_is_for() {
        for (text, address, hop) in [
            ("for=192.0.2.1", Some("192.0.2.1"), "192.0.2.1"),
            (
                "for=\"[2001:db8::1]:80\";proto=https",
                Some("2001:db8::1"),
                "[2001:db8::1]:80",
            ),
            ("for=_hidden", None, "unknown"),
            ("proto=https", None, "unknown"),
        ] {
            let element = Element::parse(text.as_bytes()).unwrap();
            assert_eq!(
                element.address(),
                address.map(|text| text.parse().unwrap()),
                "{text}"
            );
            assert_eq!(element.hop(), hop, "{text}");
        }
    }

    #[test]
    fn a_formatted_element_can_be_parsed() {
        let host = HeaderValue::from_static("a.example:81");
        for (node, expected) in [
            (
                "192.0.2.1",
                "for=192.0.2.1;host=\"a.example:81\";proto=https",
            ),
            (
                "192.0.2.1:80",
                "for=\"192.0.2.1:80\";host=\"a.example:81\";proto=https",
            ),
            ("::1", "for=\"[::1]\";host=\"a.example:81\";proto=https"),
            (
                "[::1]:80",
                "for=\"[::1]:80\";host=\"a.example:81\";proto=https",
            ),
            ("unknown", "for=unknown;host=\"a.example:81\";proto=https"),
        ] {
            let text = format(node, Some(&host), Some("https"));
            assert_eq!(text, expected);
            assert!(Element::parse(text.as_bytes()).is_some(), "{text}");
        }
        assert_eq!(format("unknown", None, None), "for=unknown");
    }
}
