//! The target of a request: its method, host and path, as the client sent them.

use http::header::HOST;
use http::{HeaderMap, Method, Uri, Version};

use super::path::inspect;
use super::{Ambiguities, host};

/// The target of a request, borrowed and unchanged, with the ambiguities of its path.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    pub(super) method: &'r Method,
    pub(super) host: Option<&'r str>,
    pub(super) path: &'r str,
    pub(super) ambiguities: Ambiguities,
}

/// A request without a target that the route table can look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// `CONNECT`, `*`, another scheme than http or https, a user before the host, or a path that
    /// does not begin with `/`.
    Form,
    /// `Host` is missing, repeated, not a host name (RFC 9112 §3.2), or differs from `:authority`.
    Host,
}

impl<'r> Target<'r> {
    /// Parses the target of a request. In absolute form the authority of the target replaces `Host`
    /// (RFC 9112 §3.2.2); in HTTP/2 both have to be the same (RFC 9113 §8.3.1).
    ///
    /// # Errors
    /// [`TargetError`]
    pub fn parse(
        method: &'r Method,
        uri: &'r Uri,
        version: Version,
        headers: &'r HeaderMap,
    ) -> Result<Self, TargetError> {
        let text = uri.path_and_query().map_or("", |text| text.as_str());
        // `:path` is never empty (RFC 9113 §8.3.1); an absolute form of HTTP/1.1 may have no path.
        if version >= Version::HTTP_2 && !text.starts_with('/') {
            return Err(TargetError::Form);
        }
        let path = uri.path();
        let is_http = uri
            .scheme_str()
            .is_none_or(|scheme| scheme == "http" || scheme == "https");
        if *method == Method::CONNECT || !is_http || !path.starts_with('/') {
            return Err(TargetError::Form);
        }
        let host = match uri.authority() {
            Some(authority) => Some(authority_host(authority.as_str(), headers, version)?),
            None => host_field(headers, version)?,
        };
        Ok(Self {
            method,
            host,
            path,
            ambiguities: inspect(path),
        })
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &'r Method {
        self.method
    }

    /// Returns the same target with another method.
    #[must_use]
    pub fn with_method(self, method: &'r Method) -> Self {
        Self { method, ..self }
    }

    /// Returns the host as the client sent it, without its port.
    #[must_use]
    pub fn host(&self) -> Option<&'r str> {
        self.host
    }

    /// Returns the path as the client sent it: percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.path
    }

    /// Returns whether the path is its own only tolerant reading.
    pub(super) fn is_plain(&self) -> bool {
        self.ambiguities.is_empty() && super::tolerant::is_plain(self.path)
    }

    /// Returns the ways in which two readers could understand the path differently.
    #[must_use]
    pub fn ambiguities(&self) -> Ambiguities {
        self.ambiguities
    }
}

/// Returns the host of the authority in a target, and checks `Host` beside it.
#[inline]
fn authority_host<'r>(
    authority: &'r str,
    headers: &HeaderMap,
    version: Version,
) -> Result<&'r str, TargetError> {
    if authority.contains('@') {
        return Err(TargetError::Form);
    }
    if version < Version::HTTP_2 {
        host_field(headers, version)?;
    } else {
        let mut fields = headers.get_all(HOST).iter();
        let is_same = fields
            .next()
            .is_none_or(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
        if !is_same || fields.next().is_some() {
            return Err(TargetError::Host);
        }
    }
    split_port(authority).ok_or(TargetError::Host)
}

/// Returns the value of the only `Host` field, without its port. A request of HTTP/1.0 may have no
/// such field.
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

/// Returns whether a text is `host` or `host:port`, as in the field `Host`.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    split_port(text).is_some() && !text.ends_with(':')
}

/// Returns the host of `host[:port]`; `None` if the host or the port is invalid.
fn split_port(authority: &str) -> Option<&str> {
    let host = host::leading_host(authority)?;
    let rest = authority.get(host.len()..)?;
    let is_valid = match rest.strip_prefix(':') {
        Some(port) => is_port(port),
        None => rest.is_empty(),
    };
    is_valid.then_some(host)
}

/// Returns whether a text is empty or a number of at most 65535.
fn is_port(digits: &str) -> bool {
    const MAX: u32 = 65_535;
    let mut value = 0;
    for digit in digits.bytes() {
        if !digit.is_ascii_digit() {
            return false;
        }
        value = (value * 10 + u32::from(digit - b'0')).min(MAX + 1);
    }
    value <= MAX
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
        let target = Target::parse(&method, &uri, Version::HTTP_11, &headers)?;
        Ok((target.host.map(str::to_owned), target.path.to_owned()))
    }

    #[test]
    fn the_target_has_one_host_and_a_path() {
        let ok = |host: &str, path: &str| Ok((Some(host.to_owned()), path.to_owned()));
        assert_eq!(parse("GET", "/a?b", &["x.y:80"]), ok("x.y", "/a"));
        assert_eq!(parse("GET", "/a", &["[::1]:80"]), ok("[::1]", "/a"));
        assert_eq!(parse("GET", "/a", &["[::1]"]), ok("[::1]", "/a"));
        assert_eq!(parse("GET", "/a", &["x.y.:"]), ok("x.y.", "/a"));
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
            ("GET", "/a", &["."], TargetError::Host),
            ("GET", "/a", &[":80"], TargetError::Host),
            ("GET", "/a", &["x..y"], TargetError::Host),
            ("GET", "/a", &["x.y..:80"], TargetError::Host),
            ("GET", "/a", &["x.y:80:80"], TargetError::Host),
            ("GET", "/a", &["x.y:65536"], TargetError::Host),
            ("GET", "/a", &["[::1"], TargetError::Host),
            ("GET", "/a", &["[::1]x:80"], TargetError::Host),
            ("GET", "/a", &["[]:80"], TargetError::Host),
            ("GET", "/a", &["[::g]"], TargetError::Host),
        ] {
            assert_eq!(
                parse(method, uri, hosts),
                Err(error),
                "{method} {uri} {hosts:?}"
            );
        }
    }
}
