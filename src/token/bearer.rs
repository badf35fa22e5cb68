//! Finding the one token of a request.

use std::fmt;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use super::{Source, TokenError};

/// A token as it came: nothing about it is known yet. It has no `Display`, and `Debug` shows its length alone.
#[derive(Clone, Copy)]
pub struct BearerToken<'r>(&'r [u8]);

impl<'r> BearerToken<'r> {
    /// The one token in the places that `sources` lists.
    ///
    /// # Errors
    /// [`TokenError::Missing`], [`TokenError::Several`], or [`TokenError::Malformed`] for what no token can be.
    pub fn find(
        sources: &[Source],
        headers: &'r HeaderMap,
        query: Option<&'r str>,
    ) -> Result<Self, TokenError> {
        let bearer = sources.contains(&Source::Bearer);
        let raw = sources.contains(&Source::Raw);
        let mut found = authorization(headers, bearer, raw)?;
        for source in sources {
            match source {
                Source::Bearer | Source::Raw => {}
                Source::Header(name) => {
                    for field in headers.get_all(name) {
                        let text = field.to_str().map_err(|_| TokenError::Malformed)?;
                        let (scheme, token) = scheme(text.as_bytes());
                        keep(&mut found, Some(if scheme { token } else { text.as_bytes() }))?;
                    }
                }
                Source::Cookie(name) => {
                    for field in headers.get_all(COOKIE) {
                        let text = field.to_str().map_err(|_| TokenError::Malformed)?;
                        for value in pairs(text, ';', |key| key == &**name) {
                            keep(&mut found, Some(value.as_bytes()))?;
                        }
                    }
                }
                Source::Query(_) => {
                    for value in pairs(query.unwrap_or_default(), '&', |key| source.is_parameter(key)) {
                        keep(&mut found, Some(value.as_bytes()))?;
                    }
                }
            }
        }
        match found {
            Some(token) => Ok(Self(token)),
            None => Err(TokenError::Missing),
        }
    }

    /// Refuses two `Authorization` fields, wherever a token is looked for: of two readers each could obey another one
    /// (attacks.md row 11). A public route forwards credentials that it does not look at, so this holds there, too.
    ///
    /// # Errors
    /// [`TokenError::Several`]
    pub fn refuse_two(headers: &HeaderMap) -> Result<(), TokenError> {
        only_authorization(headers).map(|_| ())
    }

    /// A token that came by another way than a request, such as a file.
    #[must_use]
    pub fn new(text: &'r str) -> Self {
        Self(text.as_bytes())
    }

    /// A token that was seen before is compared as it is; as text it is only read.
    pub(super) fn as_bytes(&self) -> &'r [u8] {
        self.0
    }

    /// # Errors
    /// [`TokenError::Malformed`]
    pub(super) fn as_str(&self) -> Result<&'r str, TokenError> {
        std::str::from_utf8(self.0).map_err(|_| TokenError::Malformed)
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes)", self.0.len())
    }
}

fn keep<'r>(found: &mut Option<&'r [u8]>, token: Option<&'r [u8]>) -> Result<(), TokenError> {
    match token {
        // A gateway that takes one of two tokens and forwards both is judged by one and obeyed for the other.
        Some(_) if found.is_some() => Err(TokenError::Several),
        Some(token) => {
            *found = Some(token);
            Ok(())
        }
        None => Ok(()),
    }
}

fn only_authorization(headers: &HeaderMap) -> Result<Option<&HeaderValue>, TokenError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(TokenError::Several),
        (only, None) => Ok(only),
    }
}

/// The token of the one `Authorization` field, where it is looked for there. Another scheme is no token.
fn authorization(headers: &HeaderMap, bearer: bool, raw: bool) -> Result<Option<&[u8]>, TokenError> {
    let Some(field) = only_authorization(headers)?.filter(|_| bearer || raw) else { return Ok(None) };
    // Values hold no control characters.
    let value = Some(field.as_bytes()).filter(|value| value.is_ascii()).ok_or(TokenError::Malformed)?;
    match scheme(value) {
        (true, b"") if bearer => Err(TokenError::Malformed),
        (true, token) => Ok(bearer.then_some(token)),
        (false, _) => Ok((raw && !value.is_empty() && !value.contains(&b' ')).then_some(value)),
    }
}

/// Whether a value is of the scheme `Bearer`, in any case, and what follows it.
fn scheme(value: &[u8]) -> (bool, &[u8]) {
    let at = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(at);
    (scheme.eq_ignore_ascii_case(b"bearer"), token.trim_ascii())
}

/// The values of `name=value` pairs whose name is ours.
fn pairs(text: &str, separator: char, is_ours: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    text.split(separator).filter_map(move |pair| {
        let (key, value) = pair.trim_matches(' ').split_once('=')?;
        is_ours(key).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(sources: &[&str], headers: &[(&'static str, &str)], query: &str) -> Result<String, TokenError> {
        let sources: Vec<_> = sources.iter().map(|s| Source::parse(s).unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        BearerToken::find(&sources, &map, Some(query)).map(|token| token.as_str().unwrap().to_owned())
    }

    const BEARER: &[&str] = &["authorization:bearer"];
    const BOTH: &[&str] = &["authorization:raw", "authorization:bearer"];

    // T15, D1.
    #[test]
    fn by_default_only_bearer_counts_in_any_case() {
        for value in ["Bearer t", "bearer t", "BEARER   t"] {
            assert_eq!(find(BEARER, &[("authorization", value)], ""), Ok("t".into()), "{value}");
        }
        for value in ["t", "Basic t", "", "Token t"] {
            assert_eq!(find(BEARER, &[("authorization", value)], ""), Err(TokenError::Missing), "{value}");
        }
        assert_eq!(find(BEARER, &[("authorization", "Bearer")], ""), Err(TokenError::Malformed));
        assert_eq!(
            find(BEARER, &[("cookie", "t=t"), ("x-token", "t")], "access_token=t"),
            Err(TokenError::Missing)
        );
    }

    // api-gateway.md A2 to A4, P-01 to P-04.
    #[test]
    fn a_raw_token_counts_where_the_route_says_so() {
        assert_eq!(find(BOTH, &[("authorization", "t")], ""), Ok("t".into()));
        assert_eq!(find(BOTH, &[("authorization", "Bearer t")], ""), Ok("t".into()));
        assert_eq!(
            find(&["authorization:raw"], &[("authorization", "Bearer t")], ""),
            Err(TokenError::Missing)
        );
        for value in ["a b", "Basic x", ""] {
            assert_eq!(find(BOTH, &[("authorization", value)], ""), Err(TokenError::Missing), "{value}");
        }
    }

    // attacks.md row 11; D6.
    #[test]
    fn two_tokens_are_refused_wherever_they_are() {
        let all = ["authorization:bearer", "header:x-token", "cookie:c", "query:q"];
        let elsewhere = [("authorization", "Basic a"), ("authorization", "Basic b")];
        assert_eq!(find(&["query:q"], &elsewhere, "q=t"), Err(TokenError::Several));
        assert_eq!(find(&all, &[("x-token", "Bearer t")], ""), Ok("t".into()));
        assert_eq!(find(&all, &[("cookie", "a=b; c=t")], ""), Ok("t".into()));
        assert_eq!(find(&all, &[], "x=y&q=t"), Ok("t".into()));
        for (headers, query) in [
            (&[("authorization", "Bearer t"), ("authorization", "Bearer t")][..], ""),
            (&[("authorization", "Bearer t"), ("authorization", "Basic t")], ""),
            (&[("authorization", "Bearer t"), ("x-token", "t")], ""),
            (&[("x-token", "t"), ("x-token", "t")], ""),
            (&[("authorization", "Bearer t")], "q=t"),
            (&[("cookie", "c=t; c=t")], ""),
            (&[], "q=t&q=t"),
            (&[], "q=t&%71=t"),
        ] {
            assert_eq!(find(&all, headers, query), Err(TokenError::Several), "{headers:?} {query}");
        }
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", BearerToken::new("secret")), "BearerToken(6 bytes)");
    }
}
