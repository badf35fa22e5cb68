//! Tokens on their way to the upstream: which of them go on, and which are removed.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::remove_where;
use crate::route::is_twin;
use crate::token::Source;

/// Removes the token, unless the route forwards it: by default from everywhere but `Authorization`, where upstreams expect
/// it. A route that forwards none lets no `Authorization` through, wherever it takes its token from.
pub(super) fn remove_tokens(headers: &mut HeaderMap, forward_token: Option<bool>, sources: &[Source]) {
    // Under every name that an upstream could take for it.
    let remove = |headers: &mut HeaderMap, name: &HeaderName| {
        remove_where(headers, |other| is_twin(other, name.as_str()));
    };
    match forward_token {
        Some(true) => return,
        Some(false) => remove(headers, &AUTHORIZATION),
        None => {}
    }
    for source in sources {
        match source {
            Source::Bearer | Source::Raw | Source::Query(_) => {}
            Source::Header(name) => remove(headers, name),
            Source::Cookie(name) => remove_cookie(headers, name),
        }
    }
}

fn remove_cookie(headers: &mut HeaderMap, name: &str) {
    let is_token = |pair: &&str| pair.trim().split_once('=').is_some_and(|(key, _)| key == name);
    let kept: Vec<HeaderValue> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .map(|field| {
            field.split(';').filter(|pair| !is_token(pair)).map(str::trim).collect::<Vec<_>>().join("; ")
        })
        .filter(|field| !field.is_empty())
        .filter_map(|field| HeaderValue::try_from(field).ok())
        .collect();
    headers.remove(COOKIE);
    for field in kept {
        headers.append(COOKIE, field);
    }
}

/// The query without the parameters that hold tokens; `None` when there is nothing to remove.
pub(in crate::proxy) fn query_without_tokens(query: Option<&str>, sources: &[Source]) -> Option<String> {
    let query = query?;
    let is_token = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        sources.iter().any(|source| source.is_parameter(name))
    };
    query
        .split('&')
        .any(is_token)
        .then(|| query.split('&').filter(|pair| !is_token(pair)).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, names};
    use super::*;

    #[test]
    fn a_token_leaves_the_places_it_was_taken_from() {
        let sources: Vec<_> = ["header:x-token", "cookie:t", "query:q"]
            .iter()
            .map(|text| Source::parse(text).unwrap())
            .collect();
        let mut headers = map(&[
            ("x-token", "t"),
            ("x_token", "t"),
            ("cookie", "a=b; t=x; c=d"),
            ("cookie", "t=y"),
            ("authorization", "x"),
        ]);
        let mut all = headers.clone();
        remove_tokens(&mut all, Some(true), &sources);
        assert_eq!(all, headers);
        remove_tokens(&mut all, Some(false), &sources);
        assert_eq!(names(&all), ["cookie"]);
        remove_tokens(&mut headers, None, &sources);
        assert_eq!(names(&headers), ["authorization", "cookie"]);
        assert_eq!(headers["cookie"], "a=b; c=d");
        assert_eq!(query_without_tokens(Some("a=1&q=t&b"), &sources).as_deref(), Some("a=1&b"));
        assert_eq!(query_without_tokens(Some("q=t"), &sources).as_deref(), Some(""));
        assert_eq!(query_without_tokens(Some("%71=t&a"), &sources).as_deref(), Some("a"));
        assert_eq!(query_without_tokens(Some("qq=t"), &sources), None);
        assert_eq!(query_without_tokens(None, &sources), None);
    }
}
