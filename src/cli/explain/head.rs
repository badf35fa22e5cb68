//! The request that is explained, as the bytes that a client sends.

use http::{HeaderValue, Method};
use zeroize::Zeroizing;

use super::token_file::Credential;
use crate::token::Source;

/// The request of the command line.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a str,
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) origin: Option<&'a HeaderValue>,
}

/// A credential, and the place that its client puts it in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) credential: &'a Credential,
    pub(super) source: &'a Source,
}

impl Head<'_> {
    /// Returns the bytes of the head, with the credential if there is one.
    pub(super) fn bytes(&self, placed: Option<Placed<'_>>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
        let parts: [&[u8]; 3] = [
            self.method.as_str().as_bytes(),
            b" ",
            self.target.as_bytes(),
        ];
        write(&mut bytes, &parts);
        if let Some(Placed { credential, source }) = placed
            && let (Credential::Token(token), Source::Query(name)) = (credential, source)
        {
            let separator = if self.target.contains('?') { "&" } else { "?" };
            let parameter: [&[u8]; 4] = [
                separator.as_bytes(),
                name.as_bytes(),
                b"=",
                token.as_bytes(),
            ];
            write(&mut bytes, &parameter);
        }
        write(&mut bytes, &[b" HTTP/1.1\r\nHost: ", self.host(), b"\r\n"]);
        if let Some(origin) = self.origin {
            write(&mut bytes, &[b"Origin: ", origin.as_bytes(), b"\r\n"]);
        }
        if let Some(placed) = placed {
            write_field(&mut bytes, placed);
        }
        write(&mut bytes, &[b"\r\n"]);
        bytes
    }

    /// Returns the value of `Host`: that of a target with an authority is the authority (RFC 9112
    /// §3.2.2).
    fn host(&self) -> &[u8] {
        if let Some(host) = self.host {
            return host.as_bytes();
        }
        let after_scheme = self.target.split_once("://").map(|(_, rest)| rest);
        match after_scheme {
            Some(rest) if !self.target.starts_with('/') => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let authority = rest.get(..end).unwrap_or_default();
                let host = authority.rsplit('@').next().unwrap_or(authority);
                host.as_bytes()
            }
            _ => b"localhost",
        }
    }
}

/// Writes the field that carries a credential, unless the query carries it.
fn write_field(bytes: &mut Vec<u8>, placed: Placed<'_>) {
    let token = match placed.credential {
        Credential::Authorization(value) => {
            return write(bytes, &[b"Authorization: ", value.as_bytes(), b"\r\n"]);
        }
        Credential::Token(token) => token.as_bytes(),
    };
    match placed.source {
        Source::Bearer => write(bytes, &[b"Authorization: Bearer ", token, b"\r\n"]),
        Source::Raw => write(bytes, &[b"Authorization: ", token, b"\r\n"]),
        Source::Header(name) => {
            write(bytes, &[name.as_str().as_bytes(), b": ", token, b"\r\n"]);
        }
        Source::Cookie(name) => {
            write(bytes, &[b"Cookie: ", name.as_bytes(), b"=", token, b"\r\n"]);
        }
        Source::Query(_) => {}
    }
}

fn write(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, credential: Credential, source: &str) -> String {
        let head = Head {
            method: &Method::GET,
            target,
            host: None,
            origin: None,
        };
        let source = Source::parse(source).unwrap();
        let bytes = head.bytes(Some(Placed {
            credential: &credential,
            source: &source,
        }));
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_token_is_put_where_the_route_looks() {
        for (source, line) in [
            ("authorization:bearer", "Authorization: Bearer eyJ"),
            ("authorization:raw", "Authorization: eyJ"),
            ("header:x-token", "x-token: eyJ"),
            ("cookie:session", "Cookie: session=eyJ"),
        ] {
            let token = Credential::Token("eyJ".to_owned().into());
            assert_eq!(
                head("/a?b=1", token, source),
                format!("GET /a?b=1 HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n")
            );
        }
        for (target, sent) in [("/a", "/a?token=eyJ"), ("/a?b=1", "/a?b=1&token=eyJ")] {
            let token = Credential::Token("eyJ".to_owned().into());
            let expected = format!("GET {sent} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(head(target, token, "query:token"), expected);
        }
        let other = Credential::Authorization("Token a".to_owned().into());
        let expected = "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token a\r\n\r\n";
        assert_eq!(head("/", other, "cookie:a"), expected);
    }

    #[test]
    fn the_host_is_that_of_the_target() {
        let host = |target: &str, host: Option<&'static str>| {
            let host = host.map(HeaderValue::from_static);
            let head = Head {
                method: &Method::GET,
                target,
                host: host.as_ref(),
                origin: Some(&HeaderValue::from_static("https://o.test")),
            };
            let text = String::from_utf8(head.bytes(None).to_vec()).unwrap();
            assert!(text.contains("\r\nOrigin: https://o.test\r\n"), "{text}");
            let (_, rest) = text.split_once("Host: ").unwrap();
            rest.split("\r\n").next().unwrap().to_owned()
        };
        for (target, given, expected) in [
            ("/a", None, "localhost"),
            ("/a", Some("b.test"), "b.test"),
            ("http://c.test:81/a?b", None, "c.test:81"),
            ("https://u@c.test", None, "c.test"),
            ("http://c.test/a", Some("b.test"), "b.test"),
            ("/a?u=http://c.test/", None, "localhost"),
        ] {
            assert_eq!(host(target, given), expected, "{target}");
        }
    }
}
