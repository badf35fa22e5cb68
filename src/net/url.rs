//! An absolute http or https URL, as far as the gateway dials it; or a Unix socket, where http is
//! spoken as well.

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
    /// Where it is dialled instead of `host` and `port`.
    socket: Option<Box<Path>>,
}

/// Why a text is not a [`Url`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Not a URL at all.
    Syntax,
    /// Neither `http` nor `https`.
    Scheme,
    /// A user or password before the host.
    Userinfo,
    /// A `#…`.
    Fragment,
    /// `unix:` without an absolute path.
    Socket,
}

impl Url {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// [`UrlError`]
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
        if host.is_empty() || (has_port && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err(UrlError::Syntax);
        }
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase().into(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path_and_query: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .into(),
            socket: None,
        })
    }

    /// Parses an absolute URL, or `unix:/path/of/a/socket`: http with the host `localhost`, over
    /// that socket.
    ///
    /// # Errors
    /// [`UrlError`]
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

    /// The Unix socket to dial, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, in lower case; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as a name to resolve or to verify: without brackets.
    #[must_use]
    pub fn host_name(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    /// The port, the scheme's own if none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, at least `/`.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// `host` or `host:port`, as a `Host` field wants it: the scheme's own port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the host is this machine by its loopback address or the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.host_name();
        name == "localhost"
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// The same origin with another path, which begins with `/`.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        Self {
            path_and_query: path.into(),
            ..self.clone()
        }
    }
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
