//! What a request asks for: method, host and path, as they came.

use std::fmt;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::path::inspect;
use super::{Ambiguities, host};

/// The target of a request: borrowed, unchanged, with what is ambiguous about its path noted.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    pub(super) method: &'r Method,
    pub(super) host: Option<&'r str>,
    pub(super) path: &'r str,
    pub(super) ambiguities: Ambiguities,
}

/// Why a request has no target that the route table could be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Longer than the limit: 414.
    TooLong,
    /// `CONNECT`, `*`, another scheme than http(s), a user before the host, or a path that does not
    /// begin with `/`.
    Form,
    /// `Host` is missing, repeated, no host name (RFC 9112 §3.2), or another than `:authority`.
    Host,
}

impl<'r> Target<'r> {
    /// Reads the target of a request. In absolute form its authority binds and `Host` does not (RFC
    /// 9112 §3.2.2); in HTTP/2 they have to be the same (RFC 9113 §8.3.1).
    ///
    /// # Errors
    /// [`TargetError`]
    pub fn parse(
        (method, uri, version): (&'r Method, &'r Uri, Version),
        headers: &'r HeaderMap,
        max_bytes: usize,
    ) -> Result<Self, TargetError> {
        let text = uri.path_and_query().map_or("", |text| text.as_str());
        if text.len() > max_bytes {
            return Err(TargetError::TooLong);
        }
        // `:path` is never less than a slash (RFC 9113 §8.3.1); an absolute form may leave it out.
        if version >= Version::HTTP_2 && !text.starts_with('/') {
            return Err(TargetError::Form);
        }
        let path = uri.path();
        let scheme = uri
            .scheme_str()
            .is_none_or(|scheme| scheme == "http" || scheme == "https");
        if *method == Method::CONNECT || !scheme || !path.starts_with('/') {
            return Err(TargetError::Form);
        }
        let host = match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => return Err(TargetError::Form),
            Some(authority) => {
                let same = |host: &HeaderValue| {
                    host.as_bytes()
                        .eq_ignore_ascii_case(authority.as_str().as_bytes())
                };
                if version < Version::HTTP_2 {
                    host_field(headers, version)?;
                } else {
                    let mut fields = headers.get_all(HOST).iter();
                    if !fields.next().is_none_or(same) || fields.next().is_some() {
                        return Err(TargetError::Host);
                    }
                }
                Some(split_port(authority.as_str()).ok_or(TargetError::Host)?)
            }
            None => host_field(headers, version)?,
        };
        Ok(Self {
            method,
            host,
            path,
            ambiguities: inspect(path),
        })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'r Method {
        self.method
    }

    /// The same target, asked for by another method.
    #[must_use]
    pub fn with_method(self, method: &'r Method) -> Self {
        Self { method, ..self }
    }

    /// The host as it came, without its port.
    #[must_use]
    pub fn host(&self) -> Option<&'r str> {
        self.host
    }

    /// The path as it came: percent-encoded, without query.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.path
    }

    /// Whether the path is its own tolerant reading.
    pub(super) fn is_plain(&self) -> bool {
        self.ambiguities.is_empty() && super::tolerant::is_plain(self.path)
    }

    /// What two readers could disagree about.
    #[must_use]
    pub fn ambiguities(&self) -> Ambiguities {
        self.ambiguities
    }
}

/// The one `Host` field, without its port. Only HTTP/1.0 may leave it out.
fn host_field(headers: &HeaderMap, version: Version) -> Result<Option<&str>, TargetError> {
    let mut fields = headers.get_all(HOST).iter();
    let Some(field) = fields.next() else {
        return if version >= Version::HTTP_11 {
            Err(TargetError::Host)
        } else {
            Ok(None)
        };
    };
    if fields.next().is_some() {
        return Err(TargetError::Host);
    }
    let text = std::str::from_utf8(field.as_bytes()).map_err(|_| TargetError::Host)?;
    split_port(text).map(Some).ok_or(TargetError::Host)
}

/// Whether a text is `host` or `host:port`, as `Host` has it.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    split_port(text).is_some() && !text.ends_with(':')
}

/// The host of `host[:port]`; `None` when either is invalid.
fn split_port(authority: &str) -> Option<&str> {
    // No colon is part of a name, and every one of an address is in its brackets.
    let after = if authority.starts_with('[') {
        authority.find(']')?
    } else {
        0
    };
    let colon = authority
        .bytes()
        .skip(after)
        .position(|b| b == b':')
        .map(|at| after + at);
    let (host, port) = match colon {
        Some(colon) => (authority.get(..colon)?, authority.get(colon + 1..)?),
        None => (authority, ""),
    };
    (is_port(port) && host::is_valid(host)).then_some(host)
}

/// Whether digits are a port, or there are none.
fn is_port(digits: &str) -> bool {
    let value = digits.bytes().try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'9' => Some((value * 10 + u32::from(digit - b'0')).min(u32::from(u16::MAX) + 1)),
        _ => None,
    });
    value.is_some_and(|value| value <= u32::from(u16::MAX))
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request target is too long",
            Self::Form => "the request target is not a path of this server",
            Self::Host => "the Host field is missing, repeated, invalid or not the authority",
        })
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {

    use super::*;

    fn parse(
        method: &str,
        uri: &str,
        hosts: &[&str],
    ) -> Result<(Option<String>, String), TargetError> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = uri.parse().unwrap();
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let target = Target::parse((&method, &uri, Version::HTTP_11), &headers, 64)?;
        Ok((target.host.map(str::to_owned), target.path.to_owned()))
    }

    #[test]
    fn the_target_has_one_host_and_a_path() {
        let ok = |host: &str, path: &str| Ok((Some(host.to_owned()), path.to_owned()));
        assert_eq!(parse("GET", "/a?b", &["x.y:80"]), ok("x.y", "/a"));
        assert_eq!(parse("GET", "/a", &["[::1]:80"]), ok("[::1]", "/a"));
        assert_eq!(parse("GET", "http://b.c:81/a", &["x.y"]), ok("b.c", "/a"));
        assert_eq!(parse("GET", "http://b.c", &["x.y"]), ok("b.c", "/"));
        for (method, uri, hosts, error) in [
            ("CONNECT", "x.y:80", &["x.y"][..], TargetError::Form),
            ("OPTIONS", "*", &["x.y"], TargetError::Form),
            ("GET", "ftp://x.y/a", &["x.y"], TargetError::Form),
            ("GET", "http://u@x.y/a", &["x.y"], TargetError::Form),
            ("GET", "http://x.y/a", &[], TargetError::Host),
            ("GET", "/a", &[], TargetError::Host),
            ("GET", "/a", &["x.y", "x.y"], TargetError::Host),
            ("GET", "/a", &["x.y:http"], TargetError::Host),
            ("GET", "/a", &["x y"], TargetError::Host),
            ("GET", "/a", &["x,y"], TargetError::Host),
            ("GET", "/a", &[""], TargetError::Host),
            (
                "GET",
                &format!("/{}", "a".repeat(64)),
                &["x.y"],
                TargetError::TooLong,
            ),
        ] {
            assert_eq!(
                parse(method, uri, hosts),
                Err(error),
                "{method} {uri} {hosts:?}"
            );
        }
    }
}
