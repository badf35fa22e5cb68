//! Absolute URLs of the schemes `http` and `https` that the gateway dials, and Unix sockets, over
//! which it speaks HTTP as well.

use std::fmt;
use std::path::Path;

use http::Uri;

/// `scheme://host[:port][/path[?query]]`, without user, password or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    tls: bool,
    host: Box<str>,
    port: u16,
    path_and_query: Box<str>,
    /// The Unix socket that is dialled instead of `host` and `port`.
    socket: Option<Box<Path>>,
}

/// The reason for which a text is not a [`Url`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// The text is not an absolute URL.
    Syntax,
    /// The scheme is neither `http` nor `https`.
    Scheme,
    /// The URL has a user or a password.
    Userinfo,
    /// The URL has a fragment (`#…`).
    Fragment,
    /// The text after `unix:` is not an absolute path.
    Socket,
}

impl Url {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// Returns a [`UrlError`] if the text is not such a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Syntax)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or(UrlError::Syntax)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Userinfo);
        }
        let host = authority.host();
        let has_port = authority.as_str().len() > host.len();
        let port = match authority.port_u16() {
            Some(0) => return Err(UrlError::Syntax),
            Some(port) => port,
            // A port that is no number, or no number of 16 bits.
            None if has_port => return Err(UrlError::Syntax),
            None => default_port(tls),
        };
        if host.is_empty() {
            return Err(UrlError::Syntax);
        }
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase().into(),
            port,
            path_and_query: path_and_query.into(),
            socket: None,
        })
    }

    /// Parses an absolute URL, or `unix:/path/of/a/socket`, which is HTTP over that socket with the
    /// host `localhost`.
    ///
    /// # Errors
    /// Returns a [`UrlError`] if the text is neither.
    pub fn parse_with_sockets(text: &str) -> Result<Self, UrlError> {
        let Some(path) = text.strip_prefix("unix:") else {
            return Self::parse(text);
        };
        if path.starts_with("//")
            || !path.starts_with('/')
            || path.ends_with('/')
            || path.contains('\0')
        {
            return Err(UrlError::Socket);
        }
        let socket = Some(Path::new(path).into());
        Ok(Self {
            tls: false,
            host: "localhost".into(),
            port: 80,
            path_and_query: "/".into(),
            socket,
        })
    }

    /// Returns the Unix socket to dial, if there is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Returns whether the scheme is `https`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the host in lower case; an IPv6 address has its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host without brackets, as a name to resolve or to verify.
    #[must_use]
    pub fn host_name(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    /// Returns the port, or the default of the scheme if the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns path and query, at least `/`.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Returns `host` or `host:port`, as for a `Host` field: the default port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns whether the host is a loopback address or the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.host_name();
        name == "localhost"
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns the URL of another path, which begins with `/`, on the same origin.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        Self {
            path_and_query: path.into(),
            ..self.clone()
        }
    }
}

/// Returns the default port of `https` or `http`.
fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(socket) = &self.socket {
            return write!(f, "unix:{}", socket.display());
        }
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not an absolute URL like \"https://idp.example.com/\"",
            Self::Scheme => "the scheme is \"http\" or \"https\"",
            Self::Userinfo => "a URL here holds no user or password",
            Self::Fragment => "a URL here holds no \"#\"",
            Self::Socket => {
                "a Unix socket is \"unix:\" and an absolute path, like \"unix:/run/app.sock\""
            }
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_scheme_host_port_and_path() {
        let url = Url::parse("https://IDP.example.com/a/b?c").unwrap();
        assert_eq!(
            (url.is_tls(), url.host(), url.port()),
            (true, "idp.example.com", 443)
        );
        assert_eq!(url.path_and_query(), "/a/b?c");
        assert_eq!(url.to_string(), "https://idp.example.com/a/b?c");
        assert_eq!(Url::parse("http://[::1]:81").unwrap().host_name(), "::1");
        assert_eq!(
            Url::parse("http://[::1]:81").unwrap().authority(),
            "[::1]:81"
        );
        assert!(Url::parse("http://127.0.0.9").unwrap().is_loopback());
        assert!(
            !Url::parse("http://localhost.example.com")
                .unwrap()
                .is_loopback()
        );
    }

    #[test]
    fn a_unix_socket_is_a_url_where_it_may_be() {
        let url = Url::parse_with_sockets("unix:/run/app.sock").unwrap();
        assert_eq!(url.socket(), Some(Path::new("/run/app.sock")));
        assert_eq!(
            (url.is_tls(), url.authority().as_str(), url.path_and_query()),
            (false, "localhost", "/")
        );
        assert_eq!(url.to_string(), "unix:/run/app.sock");
        assert_eq!(
            Url::parse_with_sockets("http://a").unwrap(),
            Url::parse("http://a").unwrap()
        );
        assert!(Url::parse("unix:/run/app.sock").is_err());
        for text in [
            "unix:",
            "unix:app.sock",
            "unix:///run/app.sock",
            "unix:/",
            "unix:/run/",
        ] {
            assert_eq!(
                Url::parse_with_sockets(text),
                Err(UrlError::Socket),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for (text, error) in [
            ("", UrlError::Syntax),
            ("idp.example.com", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("http://user:pw@a/", UrlError::Userinfo),
            ("http://a/#x", UrlError::Fragment),
            ("http://a:99999/", UrlError::Syntax),
            ("http://a:0/", UrlError::Syntax),
            ("/a", UrlError::Scheme),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
