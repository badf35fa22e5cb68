//! Which pages of other origins may read what a route answers (the Fetch standard, "CORS
//! protocol").

use std::fmt;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// What a page may always read of an answer, besides what the standard lets it: a browser client
/// has to see the challenge.
const EXPOSED: [&str; 3] = ["www-authenticate", "x-request-id", "retry-after"];

/// What makes a preflight's answer another one.
const PREFLIGHT_VARIES: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The rules of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages may read.
    pub origins: Origins,
    /// With which methods; `None` for those of the route.
    pub methods: Option<Vec<Method>>,
    /// The request's fields beyond those that need no permission.
    pub headers: Vec<HeaderName>,
    /// The answer's fields beyond those that a page may always read.
    pub expose: Vec<HeaderName>,
    /// Whether cookies go along. Never with [`Origins::Any`].
    pub credentials: bool,
    /// How long browsers may remember a preflight.
    pub max_age: Duration,
}

/// Whose pages may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of these origins.
    These(Vec<Origin>),
}

/// `https://app.example.com`, or `https://*.example.com` for exactly one label more; with a port
/// where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// What an origin begins with, and whether one label follows before `rest`.
    scheme: Box<str>,
    wildcard: bool,
    rest: Box<str>,
}

/// Why a text is not an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// Not as browsers write one.
    Syntax,
    /// `null`, which any page can make its own.
    Null,
}

impl Origin {
    /// Parses an origin as browsers send it (RFC 6454 §6.2), which is how it is compared.
    ///
    /// # Errors
    /// [`OriginError`]
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, host) = text.split_once("://").ok_or(OriginError::Syntax)?;
        let (wildcard, rest) = host
            .strip_prefix("*.")
            .map_or((false, host), |rest| (true, rest));
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (rest, None),
        };
        let own = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(OriginError::Syntax),
        };
        let written = |port: &str| {
            port.parse::<u16>()
                .is_ok_and(|number| number > 0 && number.to_string() == port)
                && port != own
        };
        let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
        let plain = super::host::is_valid(name) && !name.ends_with('.') && lower;
        if !plain || !port.is_none_or(written) || wildcard && name.starts_with('[') {
            return Err(OriginError::Syntax);
        }
        Ok(Self {
            scheme: scheme.into(),
            wildcard,
            rest: rest.into(),
        })
    }

    /// Whether it stands for every host of one label more.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.wildcard
    }

    fn is(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else {
            return false;
        };
        if scheme != &*self.scheme {
            return false;
        }
        if !self.wildcard {
            return host == &*self.rest;
        }
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        host.split_once('.')
            .is_some_and(|(first, rest)| rest == &*self.rest && label(first))
    }
}

impl Origins {
    /// Whether an origin is among those that are listed. [`Origins::Any`] lists none.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        matches!(self, Self::These(list) if list.iter().any(|one| one.is(origin)))
    }

    /// Whether an origin is listed by its whole name, not by a pattern.
    #[must_use]
    pub fn names(&self, origin: &str) -> bool {
        matches!(self, Self::These(list) if list.iter().any(|one| !one.is_pattern() && one.is(origin)))
    }
}

impl Cors {
    /// Permits a page to read an answer, if its origin may. What the upstream says of it is not
    /// asked.
    pub fn permit(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let theirs = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"));
        for name in theirs.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        if self.origins != Origins::Any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.allow_origin(origin, headers) {
            let exposed = EXPOSED
                .into_iter()
                .chain(self.expose.iter().map(HeaderName::as_str));
            insert(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &joined(exposed));
        }
    }

    /// The fields of the answer to a preflight. Without [`ACCESS_CONTROL_ALLOW_ORIGIN`] the browser
    /// asks no further.
    #[must_use]
    pub fn preflight(&self, origin: &HeaderValue, method: &Method, is_routed: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARIES));
        let may = is_routed
            && self
                .methods
                .as_ref()
                .is_none_or(|methods| methods.contains(method));
        if may && self.allow_origin(Some(origin), &mut headers) {
            insert(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, method.as_str());
            let names = joined(self.headers.iter().map(HeaderName::as_str));
            insert(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &names);
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        }
        headers
    }

    fn allow_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let Some(origin) = origin else { return false };
        let value = match &self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            Origins::These(list) => {
                let text = origin.to_str().unwrap_or_default();
                if !list.iter().any(|one| one.is(text)) {
                    return false;
                }
                origin.clone()
            }
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

/// The one `Origin` of a request.
#[must_use]
pub fn origin_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(ORIGIN).iter();
    fields.next().filter(|_| fields.next().is_none())
}

fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
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
                "an origin is a scheme, a host in lower case and a port if it is not the scheme's own: \
                 \"https://app.example.com\""
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
        let is = |pattern: &str, origin: &str| Origin::parse(pattern).unwrap().is(origin);
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
