//! `token_from`: the places of a request where a token is looked for, and the only ones.

use std::fmt;

use http::HeaderName;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};

use super::spelling::could_be;
use super::{cookie, parameter};
use crate::transform::is_twin;

/// One place of a request that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `authorization:bearer`: `Authorization: Bearer …`, the scheme in any case (RFC 6750 §2.1).
    Bearer,
    /// `authorization:raw`: `Authorization: …` without a scheme, as API Gateway takes it.
    Raw,
    /// `header:<name>`: the whole value of another header, or after `Bearer `.
    Header(HeaderName),
    /// `cookie:<name>`
    Cookie(Box<str>),
    /// `query:<name>`; never by default (RFC 9700 §4.3.2).
    Query(Box<str>),
}

/// An error in the text of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// The text has none of the five forms.
    Form,
    /// The name cannot be that of a header field, cookie or query parameter, or another source
    /// reads it.
    Name(Box<str>),
}

impl Source {
    /// Parses one entry of `token_from`.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        match text.split_once(':') {
            Some(("authorization", "bearer")) => Ok(Self::Bearer),
            Some(("authorization", "raw")) => Ok(Self::Raw),
            Some(("header", name)) => match name.parse() {
                Ok(header) if !NOT_SOURCES.contains(&header) => Ok(Self::Header(header)),
                _ => Err(SourceError::Name(name.into())),
            },
            Some(("cookie", name)) if is_plain(name) => Ok(Self::Cookie(name.into())),
            Some(("query", name)) if is_plain(name) => Ok(Self::Query(name.into())),
            Some(("cookie" | "query", name)) => Err(SourceError::Name(name.into())),
            _ => Err(SourceError::Form),
        }
    }
}

/// The header fields that cannot be a source: those with a source of their own, and those that
/// frame or route the message.
const NOT_SOURCES: [HeaderName; 6] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    HOST,
    TRANSFER_ENCODING,
];

impl Source {
    /// Returns whether the token is in `Authorization`, which has a forwarding rule of its own.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Bearer | Self::Raw)
    }

    /// Returns whether a token in the place of another source is a token of this source, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Bearer | Self::Raw => self == other,
            Self::Header(name) => self.is_field(name),
            Self::Cookie(name) => self.is_cookie(name.as_bytes()),
            Self::Query(name) => self.is_parameter(name.as_bytes()),
        }
    }

    /// Returns whether an upstream could take a field for the one that holds a token.
    #[must_use]
    pub fn is_field(&self, other: &HeaderName) -> bool {
        matches!(self, Self::Header(name) if is_twin(other.as_str(), name.as_str()))
    }

    /// Returns whether an upstream could take a cookie for the one that holds a token.
    pub(super) fn is_cookie(&self, spelling: &[u8]) -> bool {
        matches!(self, Self::Cookie(name) if could_be(spelling, name))
    }

    /// Returns whether an upstream could take a query parameter for the one that holds a token.
    pub(super) fn is_parameter(&self, spelling: &[u8]) -> bool {
        matches!(self, Self::Query(name) if could_be(spelling, name))
    }
}

/// Returns whether an upstream could take a field for one that holds a token of `sources`.
pub(super) fn is_any_field(sources: &[Source], name: &HeaderName) -> bool {
    sources.iter().any(|source| source.is_field(name))
}

/// Returns whether an upstream could take a cookie for one that holds a token of `sources`.
pub(super) fn is_any_cookie(sources: &[Source], spelling: &[u8]) -> bool {
    sources.iter().any(|source| source.is_cookie(spelling))
}

/// Returns whether an upstream could take a query parameter for one that holds a token of
/// `sources`.
pub(super) fn is_any_parameter(sources: &[Source], spelling: &[u8]) -> bool {
    sources.iter().any(|source| source.is_parameter(spelling))
}

/// Returns the values in a `Cookie` field that an upstream could take for tokens of `sources`.
pub(super) fn tokens_in_cookies<'f>(
    field: &'f [u8],
    sources: &[Source],
) -> impl Iterator<Item = &'f [u8]> {
    cookie::values(field, |name| is_any_cookie(sources, name))
}

/// Returns the values in a query that an upstream could take for tokens of `sources`.
pub(super) fn tokens_in_query<'q>(
    query: &'q str,
    sources: &[Source],
) -> impl Iterator<Item = &'q [u8]> {
    parameter::values(query, |name| is_any_parameter(sources, name))
}

/// Returns whether a name needs no decoding in a cookie or a query.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("authorization:bearer"),
            Self::Raw => f.write_str("authorization:raw"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "a token source is \"authorization:bearer\", \"authorization:raw\", \
                 \"header:<name>\", \"cookie:<name>\" or \"query:<name>\"",
            ),
            Self::Name(name) => write!(f, "\"{name}\" cannot be the name here"),
        }
    }
}

impl std::error::Error for SourceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_covers_the_spellings_of_its_name() {
        for (one, other, expected) in [
            ("header:x-token", "header:x_token", true),
            ("cookie:session", "cookie:Session", true),
            ("query:access_token", "query:access.token", true),
            ("authorization:raw", "authorization:raw", true),
            ("authorization:raw", "authorization:bearer", false),
            ("cookie:session", "query:session", false),
            ("cookie:session", "cookie:sid", false),
            ("header:x-token", "header:x-key", false),
        ] {
            let covers = Source::parse(one)
                .unwrap()
                .covers(&Source::parse(other).unwrap());
            assert_eq!(covers, expected, "{one} {other}");
        }
    }

    #[test]
    fn a_source_reads_back_as_it_is_written() {
        for text in [
            "authorization:bearer",
            "authorization:raw",
            "header:x-token",
            "cookie:session",
            "query:access_token",
        ] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "bearer",
            "authorization:basic",
            "header:",
            "header:a b",
            "header:Authorization",
            "cookie:a b",
        ] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
