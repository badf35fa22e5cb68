//! Cross-origin resource sharing: the rules of a route about the pages of other origins that may
//! read its answers (the Fetch standard, "CORS protocol").

use std::fmt;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::route::is_host;

/// The response fields that a page may always read, besides those that the standard exposes: a
/// client in a browser needs the challenge of a refusal, its request id and the delay of a retry.
const EXPOSED: [&str; 3] = ["www-authenticate", "x-request-id", "retry-after"];

/// The value of `Vary` in the answer to a preflight: the request fields on which it depends.
const PREFLIGHT_VARIES: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The CORS rules of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins whose pages may read the answers.
    pub origins: Origins,
    /// The methods that those pages may use; `None` for the methods of the route.
    pub methods: Option<Vec<Method>>,
    /// The request fields that those pages may send, besides the ones that need no permission.
    pub headers: Vec<HeaderName>,
    /// The response fields that those pages may read, besides the ones that any page may read.
    pub expose: Vec<HeaderName>,
    /// Set when browsers may send cookies. Never set together with [`Origins::Any`].
    pub credentials: bool,
    /// The time for which a browser may cache the answer to a preflight.
    pub max_age: Duration,
}

/// The origins whose pages may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// The listed origins.
    These(Vec<Origin>),
}

/// An origin of the configuration: `https://app.example.com`, or `https://*.example.com` for hosts
/// with exactly one more label. A port is given where it is not the default of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    /// Set when the host has one more label before `rest`.
    wildcard: bool,
    /// The host, without the `*.` of a wildcard, and the port.
    rest: Box<str>,
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
            wildcard,
            rest: rest.into(),
        })
    }

    /// Returns whether the origin has a wildcard, and so stands for hosts with one more label.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.wildcard
    }

    fn matches(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else {
            return false;
        };
        if scheme != &*self.scheme {
            return false;
        }
        if !self.wildcard {
            return host == &*self.rest;
        }
        match host.split_once('.') {
            Some((first, rest)) => rest == &*self.rest && is_label(first),
            None => false,
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

impl Origins {
    /// Returns whether an origin is listed, by its name or by a pattern. [`Origins::Any`] lists
    /// none.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::These(list) => list.iter().any(|listed| listed.matches(origin)),
        }
    }

    /// Returns whether an origin is listed by its full name, not by a pattern.
    #[must_use]
    pub fn names(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::These(list) => list
                .iter()
                .any(|listed| !listed.is_pattern() && listed.matches(origin)),
        }
    }
}

impl Cors {
    /// Permits a page of this origin to read an answer, if the rules do. The CORS fields of the
    /// upstream are removed: the gateway alone decides.
    pub fn permit(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let of_upstream = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"));
        for name in of_upstream.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        if self.origins != Origins::Any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.allow_origin(origin, headers) {
            let exposed = EXPOSED
                .into_iter()
                .chain(self.expose.iter().map(HeaderName::as_str));
            let names = comma_separated(exposed);
            insert_unless_empty(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &names);
        }
    }

    /// Returns the fields of the answer to a preflight. Without [`ACCESS_CONTROL_ALLOW_ORIGIN`] the
    /// browser does not send the request itself.
    #[must_use]
    pub fn preflight(&self, origin: &HeaderValue, method: &Method, is_routed: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARIES));
        let is_method_allowed = match &self.methods {
            None => true,
            Some(methods) => methods.contains(method),
        };
        if is_routed && is_method_allowed && self.allow_origin(Some(origin), &mut headers) {
            insert_unless_empty(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, method.as_str());
            let names = comma_separated(self.headers.iter().map(HeaderName::as_str));
            insert_unless_empty(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &names);
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        }
        headers
    }

    /// Writes the fields that name the origin, if the rules permit it. Returns whether they do.
    fn allow_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let Some(origin) = origin else { return false };
        let value = match &self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            listed if listed.lists(origin.to_str().unwrap_or_default()) => origin.clone(),
            _ => return false,
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if self.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        true
    }
}

/// Returns the `Origin` of a request; `None` if the field is missing or repeated.
#[must_use]
pub fn origin_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(ORIGIN).iter();
    fields.next().filter(|_| fields.next().is_none())
}

fn comma_separated<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn insert_unless_empty(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => {
                "an origin is a scheme, a host in lower case and a port if it is not the scheme's \
                 own: \"https://app.example.com\""
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
    fn an_origin_that_no_browser_sends_is_refused() {
        for text in [
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com:443",
            "http://a:080",
            "https://App.example.com",
            "https://*",
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
