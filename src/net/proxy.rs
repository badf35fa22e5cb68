//! Forward proxies, through which the control plane reaches servers outside.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{Url, UrlError};

/// A forward proxy: `http://[user:password@]host[:port]`. The user and the password show in neither
/// `Display` nor `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    /// The value of `Proxy-Authorization` (RFC 7617).
    authorization: Option<Box<str>>,
}

/// The reason for which a text is not a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// It is not a URL.
    Url(UrlError),
    /// The scheme is not `http`.
    Scheme,
    /// The URL has a path.
    Path,
}

/// The reason for which a proxy has opened no tunnel.
#[derive(Debug)]
pub enum TunnelFault {
    /// The connection broke.
    Io(io::Error),
    /// The answer is not HTTP/1.
    NotHttp,
    /// The status is not 2xx.
    Status(u16),
}

impl Proxy {
    /// Parses the URL of a proxy.
    ///
    /// # Errors
    /// Returns a [`ProxyError`], which quotes nothing of the text.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(ProxyError::Url(UrlError::Syntax))?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(ProxyError::Scheme);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !matches!(path, "" | "/") {
            return Err(ProxyError::Path);
        }
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let url = Url::parse(&format!("http://{host}/")).map_err(ProxyError::Url)?;
        Ok(Self {
            url,
            authorization: userinfo.map(basic),
        })
    }

    /// Returns the URL without user and password.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the value of `Proxy-Authorization`, if the URL has a user.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

/// Returns the credentials of a userinfo in the scheme Basic (RFC 7617 §2).
fn basic(userinfo: &str) -> Box<str> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut credentials: Vec<u8> = percent_decode_str(user).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(password));
    format!("Basic {}", STANDARD.encode(credentials)).into()
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.url.authority())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("not a URL like \"http://proxy.example.com:3128\""),
            Self::Scheme => f.write_str(
                "the scheme of a proxy is \"http\": an https fetch goes through it as a tunnel, \
                 and SOCKS is not supported",
            ),
            Self::Path => f.write_str("the URL of a proxy has no path"),
        }
    }
}

impl std::error::Error for ProxyError {}

impl fmt::Display for TunnelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection broke at CONNECT: {error}"),
            Self::NotHttp => f.write_str("its answer to CONNECT is not HTTP/1"),
            Self::Status(407) => f.write_str("it asks for a user and a password (407)"),
            Self::Status(status) => write!(f, "its answer to CONNECT was {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_http_with_a_host_and_maybe_a_user() {
        for (text, shown, authorization) in [
            ("http://proxy:3128", "http://proxy:3128", None),
            ("HTTP://Proxy/", "http://proxy", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            // "user:pa:ss@word" and "user:"
            (
                "http://user:pa%3Ass%40word@proxy:3128",
                "http://proxy:3128",
                Some("Basic dXNlcjpwYTpzc0B3b3Jk"),
            ),
            ("http://user@proxy", "http://proxy", Some("Basic dXNlcjo=")),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(proxy.authorization(), authorization, "{text}");
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        }
        for (text, error) in [
            ("https://proxy:3128", ProxyError::Scheme),
            ("socks5://proxy:1080", ProxyError::Scheme),
            ("http://proxy/path", ProxyError::Path),
            ("http://proxy?a", ProxyError::Path),
            ("proxy:3128", ProxyError::Url(UrlError::Syntax)),
            ("http://", ProxyError::Url(UrlError::Syntax)),
            ("http://user:secret@", ProxyError::Url(UrlError::Syntax)),
            ("http://proxy:99999", ProxyError::Url(UrlError::Syntax)),
            ("", ProxyError::Url(UrlError::Syntax)),
        ] {
            assert_eq!(Proxy::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
