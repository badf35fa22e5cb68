//! The search for the one token of a request.

use std::fmt;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use super::absence::Absence;
use super::malformation::Malformation;
use super::other_credential::OtherCredential;
use super::placeholder::Placeholder;
use super::source::{is_any_field, tokens_in_cookies, tokens_in_query};
use super::{Source, TokenError};

/// A token as the request holds it, which is not verified yet. It has no `Display`, and `Debug`
/// shows only its length.
#[derive(Clone, Copy)]
pub struct BearerToken<'r> {
    text: &'r [u8],
    carrier: Option<Carrier>,
}

/// The part of a request that carried its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The `Authorization` header field.
    Authorization,
    /// Another header field.
    Header,
    /// A cookie, which a browser adds to the requests of any page.
    Cookie,
    /// A parameter of the query.
    Query,
}

impl<'r> BearerToken<'r> {
    /// Returns the one token in the places that `sources` lists. Everything that an upstream could
    /// take for a token counts as one: cookies and parameters in all spellings, and fields with
    /// similar names.
    ///
    /// # Errors
    /// [`TokenError::Missing`] or [`TokenError::WrongScheme`] if there is none,
    /// [`TokenError::Several`], [`TokenError::Placeholder`] for a scheme with nothing after it, or
    /// [`TokenError::Malformed`] for text that cannot be a token.
    pub fn find(
        sources: &[Source],
        headers: &'r HeaderMap,
        query: Option<&'r str>,
    ) -> Result<Self, TokenError> {
        let kinds = SourceKinds::of(sources);
        let mut found = Found::default();
        found.keep_authorization(headers, &kinds)?;
        if kinds.header {
            found.keep_fields(headers, sources)?;
        }
        if kinds.cookie {
            found.keep_cookies(headers, sources)?;
        }
        if kinds.query {
            for token in tokens_in_query(query.unwrap_or_default(), sources) {
                found.keep(token, Carrier::Query)?;
            }
        }
        found.token.ok_or_else(|| missing(sources, headers, query))
    }

    /// Refuses two `Authorization` fields, wherever a token is looked for: two parsers could each
    /// read another one (attacks.md#row-11). This holds on a public route as well, which forwards
    /// credentials that it does not check.
    ///
    /// # Errors
    /// [`TokenError::Several`]
    pub fn refuse_two(headers: &HeaderMap) -> Result<(), TokenError> {
        only_authorization(headers)?;
        Ok(())
    }

    /// Makes a token that did not come in a request, but for example from a file.
    #[must_use]
    pub fn new(text: &'r str) -> Self {
        Self {
            text: text.as_bytes(),
            carrier: None,
        }
    }

    /// Returns its length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a request's token is never empty"
    )]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the part of the request that carried it; `None` if it did not come in a request.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        self.carrier
    }

    /// Returns its bytes, which are enough to find it in the cache.
    pub(super) fn as_bytes(&self) -> &'r [u8] {
        self.text
    }

    /// # Errors
    /// [`TokenError::Malformed`]
    pub(super) fn as_str(&self) -> Result<&'r str, TokenError> {
        std::str::from_utf8(self.text).map_err(|_| Malformation::NotAscii.into())
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes)", self.text.len())
    }
}

/// The kinds of places that a list of sources names.
#[derive(Default)]
struct SourceKinds {
    bearer: bool,
    raw: bool,
    header: bool,
    cookie: bool,
    query: bool,
}

impl SourceKinds {
    fn of(sources: &[Source]) -> Self {
        let mut kinds = Self::default();
        for source in sources {
            match source {
                Source::Bearer => kinds.bearer = true,
                Source::Raw => kinds.raw = true,
                Source::Header(_) => kinds.header = true,
                Source::Cookie(_) => kinds.cookie = true,
                Source::Query(_) => kinds.query = true,
            }
        }
        kinds
    }
}

/// The token that the search has found so far.
#[derive(Default)]
struct Found<'r> {
    token: Option<BearerToken<'r>>,
    /// The part of the request that had an empty value in the place of a token, the last of them.
    empty: Option<Carrier>,
}

impl<'r> Found<'r> {
    /// Keeps the token; fails if it is the second one. Of two tokens, the gateway could check one
    /// and the upstream use the other. An empty field, cookie or parameter is no token: a browser
    /// sends an empty cookie after a logout, beside the token of the page. Beside a token of its
    /// own kind it counts, since parsers differ in which of two they read.
    fn keep(&mut self, text: &'r [u8], carrier: Carrier) -> Result<(), TokenError> {
        let before = self.token.and_then(|token| token.carrier);
        if is_empty(text) {
            self.empty = Some(carrier);
            return refuse_if(before == Some(carrier));
        }
        refuse_if(before.is_some() || self.empty == Some(carrier))?;
        self.token = Some(BearerToken {
            text,
            carrier: Some(carrier),
        });
        Ok(())
    }

    fn keep_authorization(
        &mut self,
        headers: &'r HeaderMap,
        kinds: &SourceKinds,
    ) -> Result<(), TokenError> {
        // Two fields are refused even where neither can hold the token.
        let field = only_authorization(headers)?;
        if let Some(field) = field
            && (kinds.bearer || kinds.raw)
            && let Some(token) = in_authorization(field, kinds)?
        {
            self.keep(token, Carrier::Authorization)?;
        }
        Ok(())
    }

    fn keep_fields(
        &mut self,
        headers: &'r HeaderMap,
        sources: &[Source],
    ) -> Result<(), TokenError> {
        for (name, value) in headers {
            if is_any_field(sources, name) {
                self.keep(in_field(value)?, Carrier::Header)?;
            }
        }
        Ok(())
    }

    fn keep_cookies(
        &mut self,
        headers: &'r HeaderMap,
        sources: &[Source],
    ) -> Result<(), TokenError> {
        for field in headers.get_all(COOKIE) {
            for token in tokens_in_cookies(field.as_bytes(), sources) {
                self.keep(token, Carrier::Cookie)?;
            }
        }
        Ok(())
    }
}

fn refuse_if(is_second: bool) -> Result<(), TokenError> {
    if is_second {
        Err(TokenError::Several)
    } else {
        Ok(())
    }
}

/// Returns whether a value is empty, or empty between quotation marks.
fn is_empty(text: &[u8]) -> bool {
    matches!(text, b"" | b"\"\"")
}

/// Returns the error of a request in which no token was found.
fn missing(sources: &[Source], headers: &HeaderMap, query: Option<&str>) -> TokenError {
    let field = headers.get(AUTHORIZATION);
    let other = field.and_then(|field| OtherCredential::of(field.as_bytes(), sources));
    match other {
        Some(other) => TokenError::WrongScheme(Box::new(other)),
        None => TokenError::Missing(Box::new(Absence::of(sources, headers, query))),
    }
}

/// Returns the token in a field of its own: the whole value, or the text after `Bearer`.
fn in_field(value: &HeaderValue) -> Result<&[u8], TokenError> {
    let Ok(text) = value.to_str() else {
        return Err(Malformation::NotAscii.into());
    };
    let text = text.as_bytes();
    Ok(after_bearer(text).unwrap_or(text))
}

fn only_authorization(headers: &HeaderMap) -> Result<Option<&HeaderValue>, TokenError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(TokenError::Several),
        (only, None) => Ok(only),
    }
}

/// Returns the token of an `Authorization` field. A credential of another scheme is not a token.
fn in_authorization<'r>(
    field: &'r HeaderValue,
    kinds: &SourceKinds,
) -> Result<Option<&'r [u8]>, TokenError> {
    let value = field.as_bytes();
    // Field values hold no control characters, so an ASCII value is text.
    if !value.is_ascii() {
        return Err(Malformation::NotAscii.into());
    }
    if let Some(token) = after_bearer(value) {
        return match token {
            _ if !kinds.bearer => Ok(None),
            b"" => Err(TokenError::Placeholder(Placeholder::Nothing)),
            token => Ok(Some(token)),
        };
    }
    let is_raw_token = kinds.raw && !value.is_empty() && !value.contains(&b' ');
    Ok(is_raw_token.then_some(value))
}

/// Returns the text after the scheme `Bearer`, in any case; `None` for another scheme.
fn after_bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    Some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(
        sources: &[&str],
        headers: &[(&'static str, &str)],
        query: &str,
    ) -> Result<String, TokenError> {
        let sources: Vec<_> = sources.iter().map(|s| Source::parse(s).unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        BearerToken::find(&sources, &map, Some(query))
            .map(|token| token.as_str().unwrap().to_owned())
    }

    fn assert_missing(found: Result<String, TokenError>) {
        assert!(matches!(found, Err(TokenError::Missing(_))), "{found:?}");
    }

    const BEARER: &[&str] = &["authorization:bearer"];
    const BOTH: &[&str] = &["authorization:raw", "authorization:bearer"];

    #[test]
    fn by_default_only_bearer_counts_in_any_case() {
        for value in ["Bearer t", "bearer t", "BEARER   t"] {
            assert_eq!(
                find(BEARER, &[("authorization", value)], ""),
                Ok("t".into()),
                "{value}"
            );
        }
        let placeholder = TokenError::Placeholder(Placeholder::Nothing);
        assert_eq!(
            find(BEARER, &[("authorization", "Bearer")], ""),
            Err(placeholder)
        );
        let elsewhere = [("cookie", "t=t"), ("x-token", "t")];
        assert_missing(find(BEARER, &elsewhere, "access_token=t"));
    }

    #[test]
    fn another_credential_in_the_place_of_a_token_is_named() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
        for (sources, value, says) in [
            (
                BEARER,
                jwt,
                "token_from = [\"authorization:raw\", \"authorization:bearer\"] accepts both",
            ),
            (BEARER, "t", "one word and no scheme Bearer"),
            (BEARER, "Token t", "the scheme Token,"),
            (BEARER, "Basic dTpw", "the scheme Basic,"),
            (BEARER, "DPoP eyJ.e30.x", "the scheme DPoP,"),
            (BEARER, "\"Bearer t\"", "a value in quotation marks"),
            (BEARER, "Bearer: t", "\"Bearer:\", whose colon"),
            (BEARER, "bearer:t", "\"Bearer:\", whose colon"),
            (
                BEARER,
                "c2VjcmV0IHNlY3JldCBzZWNyZXQ t",
                "a scheme with which",
            ),
            (BEARER, "Digest2 t", "a scheme with which"),
            (BEARER, "CorrectHorse battery staple", "a scheme with which"),
            (BEARER, "aws4-hmac-sha256 t", "the scheme AWS4-HMAC-SHA256,"),
            (BEARER, "scram-sha-256 t", "the scheme SCRAM-SHA-256,"),
            (BEARER, "Bearer\tt", "without a space after it"),
            (BEARER, "BearereyJ.e30.x", "without a space after it"),
            (
                &["authorization:raw"],
                "Bearer t",
                "the scheme Bearer, and this route takes",
            ),
            (
                &["authorization:raw"],
                "Bearer",
                "the scheme Bearer, and this route takes",
            ),
            (BOTH, "Token t", "the scheme Token,"),
            (
                &["cookie:c"],
                "Bearer t",
                "takes its token elsewhere: cookie:c",
            ),
        ] {
            let error = find(sources, &[("authorization", value)], "").unwrap_err();
            assert!(
                matches!(error, TokenError::WrongScheme(_)),
                "{value}: {error}"
            );
            let said = error.to_string();
            assert!(said.contains(says), "{value}: {said}");
            assert!(!said.contains("eyJ") && !said.contains("dTpw"), "{said}");
        }
        assert_missing(find(BEARER, &[("authorization", "")], ""));
    }

    #[test]
    fn an_empty_place_holds_no_token() {
        let all = [
            "authorization:bearer",
            "header:x-token",
            "cookie:c",
            "query:q",
        ];
        for (headers, query) in [
            (&[("cookie", "c=")][..], ""),
            (&[("cookie", "a=b; c=\"\"; d=e")], ""),
            (&[("x-token", "")], ""),
            (&[("x-token", "Bearer ")], ""),
            (&[], "q="),
            (&[], "q"),
        ] {
            assert_missing(find(&all, headers, query));
            let mut with_token = headers.to_vec();
            with_token.push(("authorization", "Bearer t"));
            assert_eq!(
                find(&all, &with_token, query),
                Ok("t".into()),
                "{headers:?} {query}"
            );
        }
        for (headers, query) in [
            (&[("cookie", "c=; c=t")][..], ""),
            (&[("cookie", "c=t; c=")], ""),
            (&[("cookie", "c=t"), ("cookie", "a=b,%63=")], ""),
            (&[("x-token", ""), ("x-token", "t")], ""),
            (&[], "q=t&q"),
        ] {
            assert_eq!(find(&all, headers, query), Err(TokenError::Several));
        }
    }

    #[test]
    fn a_raw_token_counts_where_the_route_says_so() {
        assert_eq!(find(BOTH, &[("authorization", "t")], ""), Ok("t".into()));
        assert_eq!(
            find(BOTH, &[("authorization", "Bearer t")], ""),
            Ok("t".into())
        );
        let empty = find(BOTH, &[("authorization", "")], "");
        assert_missing(empty);
    }

    #[test]
    fn two_tokens_are_refused_wherever_they_are() {
        let all = [
            "authorization:bearer",
            "header:x-token",
            "cookie:c",
            "query:q",
        ];
        let elsewhere = [("authorization", "Basic a"), ("authorization", "Basic b")];
        assert_eq!(
            find(&["query:q"], &elsewhere, "q=t"),
            Err(TokenError::Several)
        );
        assert_eq!(find(&all, &[("x-token", "Bearer t")], ""), Ok("t".into()));
        assert_eq!(find(&all, &[("cookie", "a=b; c=t")], ""), Ok("t".into()));
        assert_eq!(find(&all, &[], "x=y&q=t"), Ok("t".into()));
        for (headers, query) in [
            (
                &[("authorization", "Bearer t"), ("authorization", "Bearer t")][..],
                "",
            ),
            (
                &[("authorization", "Bearer t"), ("authorization", "Basic t")],
                "",
            ),
            (&[("authorization", "Bearer t"), ("x-token", "t")], ""),
            (&[("x-token", "t"), ("x-token", "t")], ""),
            (&[("authorization", "Bearer t")], "q=t"),
            (&[("cookie", "c=t; c=t")], ""),
            (&[], "q=t&q=t"),
            (&[], "q=t&%71=t"),
        ] {
            assert_eq!(
                find(&all, headers, query),
                Err(TokenError::Several),
                "{headers:?} {query}"
            );
        }
    }

    #[test]
    fn what_an_upstream_could_take_for_a_token_counts_as_one() {
        let all = ["header:x-token", "cookie:session", "query:access_token"];
        for (headers, query) in [
            (&[("cookie", "session =F; session=G")][..], ""),
            (&[("cookie", "session=G; session =F")], ""),
            (&[("cookie", "session=G"), ("cookie", "=Session=F")], ""),
            (&[("x-token", "G"), ("x_token", "F")], ""),
            (&[("x_token", "F"), ("x-token", "G")], ""),
            (&[], "access.token=F&access_token=G"),
            (&[], "a=b;access_token=F&access_token=G"),
            (&[("x_token", "F")], "access.token=G"),
        ] {
            assert_eq!(
                find(&all, headers, query),
                Err(TokenError::Several),
                "{headers:?} {query}"
            );
        }
        // One alone is accepted.
        for (headers, query) in [
            (&[("cookie", "\"Session\" = t")][..], ""),
            (&[("x_token", "Bearer t")], ""),
            (&[], "access.token=t"),
        ] {
            assert_eq!(
                find(&all, headers, query),
                Ok("t".into()),
                "{headers:?} {query}"
            );
        }
        // Two sources that are spellings of each other count as one place.
        let twins = [
            "cookie:session",
            "cookie:Session",
            "header:x-token",
            "header:x_token",
        ];
        assert_eq!(find(&twins, &[("cookie", "session=t")], ""), Ok("t".into()));
        assert_eq!(find(&twins, &[("x-token", "t")], ""), Ok("t".into()));
    }

    #[test]
    fn a_token_knows_what_carried_it() {
        let sources: Vec<_> = [
            "authorization:bearer",
            "header:x-token",
            "cookie:c",
            "query:q",
        ]
        .iter()
        .map(|text| Source::parse(text).unwrap())
        .collect();
        for (name, value, query, carrier) in [
            ("authorization", "Bearer t", "", Carrier::Authorization),
            ("x-token", "t", "", Carrier::Header),
            ("cookie", "c=t", "", Carrier::Cookie),
            ("authorization", "Basic x", "q=t", Carrier::Query),
        ] {
            let headers: HeaderMap = [(name.parse().unwrap(), value.parse().unwrap())]
                .into_iter()
                .collect::<HeaderMap>();
            let token = BearerToken::find(&sources, &headers, Some(query)).unwrap();
            assert_eq!(token.carrier(), Some(carrier));
        }
        assert_eq!(BearerToken::new("t").carrier(), None);
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        assert_eq!(
            format!("{:?}", BearerToken::new("secret")),
            "BearerToken(6 bytes)"
        );
    }

    #[test]
    fn two_authorization_fields_are_refused_before_a_token_is_looked_for() {
        let mut headers = HeaderMap::new();
        assert!(BearerToken::refuse_two(&headers).is_ok());
        headers.append(AUTHORIZATION, "Basic dTpw".parse().unwrap());
        assert!(BearerToken::refuse_two(&headers).is_ok());
        headers.append(AUTHORIZATION, "Basic dTpw".parse().unwrap());
        let refused = BearerToken::refuse_two(&headers);
        assert_eq!(refused, Err(TokenError::Several));
    }
}
