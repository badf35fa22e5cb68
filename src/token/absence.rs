//! Requests without a token in the places where their route looks for one.

use std::fmt::{self, Display as _};

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::Source;
use super::excerpt::Excerpt;
use super::source::is_plain;

/// The longest name of a place that is shown. Clients choose these names.
const MAX_NAME: usize = 64;

/// The beginning of a JWT: `{"` in base64url.
const JWT: &[u8] = b"eyJ";

/// The places of a request that has no token for its route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// The places where the route looks.
    places: Box<[Source]>,
    /// Another place, which has a JWT.
    elsewhere: Option<Excerpt>,
}

impl Absence {
    /// Describes a request in which no source has a token. `Authorization` has none either.
    pub(super) fn of(sources: &[Source], headers: &HeaderMap, query: Option<&str>) -> Self {
        let elsewhere = in_fields(headers)
            .or_else(|| in_cookies(headers))
            .or_else(|| in_query(query.unwrap_or_default()));
        Self {
            places: sources.into(),
            elsewhere,
        }
    }
}

fn in_fields(headers: &HeaderMap) -> Option<Excerpt> {
    for (name, value) in headers {
        let is_other = *name != AUTHORIZATION && *name != COOKIE;
        if is_other && is_jwt(last_word(value.as_bytes())) {
            return place("header", name.as_str());
        }
    }
    None
}

fn in_cookies(headers: &HeaderMap) -> Option<Excerpt> {
    for field in headers.get_all(COOKIE) {
        let text = field.to_str().unwrap_or_default();
        if let Some(name) = name_of_jwt(text.split(';')) {
            return place("cookie", name);
        }
    }
    None
}

fn in_query(query: &str) -> Option<Excerpt> {
    place("query", name_of_jwt(query.split('&'))?)
}

/// Returns the name of the first pair whose value is a JWT.
fn name_of_jwt<'p>(pairs: impl Iterator<Item = &'p str>) -> Option<&'p str> {
    for pair in pairs {
        if let Some((name, value)) = pair.trim().split_once('=')
            && is_jwt(value.as_bytes())
        {
            return Some(name);
        }
    }
    None
}

/// Returns a place in the form of `token_from`, if its name is short and plain.
fn place(kind: &str, name: &str) -> Option<Excerpt> {
    let is_shown = name.len() <= MAX_NAME && is_plain(name);
    is_shown.then(|| Excerpt::of(&format!("{kind}:{name}")))
}

/// Returns the text after a scheme, or the whole value.
fn last_word(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b' ').next().unwrap_or(value)
}

/// Returns whether a text has the form of a JWT: three parts, the first of which is an object.
fn is_jwt(text: &[u8]) -> bool {
    text.starts_with(JWT) && text.iter().filter(|byte| **byte == b'.').count() == 2
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no token where this route looks for one")?;
        write_places(f, &self.places)?;
        match &self.elsewhere {
            Some(place) => write!(f, "; {place} has a JWT, and the route does not look there"),
            None => Ok(()),
        }
    }
}

/// The most places that a sentence names.
const MAX_PLACES: usize = 8;

/// Writes the first places of a route, after a colon.
pub(super) fn write_places(f: &mut fmt::Formatter<'_>, places: &[Source]) -> fmt::Result {
    for (index, place) in places.iter().take(MAX_PLACES).enumerate() {
        f.write_str(if index == 0 { ": " } else { ", " })?;
        place.fmt(f)?;
    }
    match places.len().saturating_sub(MAX_PLACES) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";

    fn said(name: &'static str, value: &str, query: &str) -> String {
        let sources = ["authorization:bearer", "cookie:session"];
        let sources = sources.map(|text| Source::parse(text).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Absence::of(&sources, &headers, Some(query)).to_string()
    }

    #[test]
    fn the_sentence_names_the_places_and_the_one_that_has_a_jwt_instead() {
        let looked = "there is no token where this route looks for one: authorization:bearer, \
                      cookie:session";
        let jwt = TOKEN.to_owned();
        for (name, value, query, place) in [
            ("x-token", jwt.clone(), "", "header:x-token"),
            ("x-token", format!("Bearer {jwt}"), "", "header:x-token"),
            ("cookie", format!("a=b; id={jwt}"), "", "cookie:id"),
            (
                "x-a",
                "-".to_owned(),
                "a=b&access_token=",
                "query:access_token",
            ),
        ] {
            let query = match query {
                "" => String::new(),
                query => format!("{query}{jwt}"),
            };
            let said = said(name, &value, &query);
            let wanted =
                format!("{looked}; \"{place}\" has a JWT, and the route does not look there");
            assert_eq!(said, wanted);
        }
        // A cookie without a name.
        assert_eq!(said("cookie", TOKEN, ""), looked);
        // An opaque text, two parts, and names that clients may have filled with anything.
        let long = format!("{}={jwt}", "n".repeat(65));
        for query in [
            "access_token=abc",
            "access_token=eyJ.a",
            "a%20b=eyJ.a.b",
            &long,
        ] {
            assert_eq!(said("x-a", "-", query), looked, "{query}");
        }
    }
}
