//! Credentials on their way to the upstream: which of them go on, and which are removed.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::Route;
use crate::token::{self, Carrier, Source};

/// The credentials of a request that a route forwards.
#[derive(Clone, Copy)]
pub(super) struct Credentials<'r> {
    /// The places where the route looks for a token.
    sources: &'r [Source],
    /// Whether the token goes on: by default in `Authorization`, where upstreams expect it, and nowhere else.
    forward_token: Option<bool>,
    /// Whether an `Authorization` that was not judged goes on.
    forward_authorization: bool,
    /// The carrier of the token that was checked; `None` where none was looked for.
    carrier: Option<Carrier>,
}

impl<'r> Credentials<'r> {
    pub(super) fn of(route: &'r Route, carrier: Option<Carrier>) -> Self {
        Self {
            sources: &route.token_from,
            forward_token: route.forward_token,
            forward_authorization: route.forward_authorization,
            carrier,
        }
    }

    /// Removes what the upstream is not to get, under every name that it could take for the route's.
    pub(super) fn remove(self, headers: &mut HeaderMap) {
        if !self.forwards_authorization() {
            headers.remove(AUTHORIZATION);
        }
        if self.forward_token == Some(true) {
            return;
        }
        for source in self.sources {
            if matches!(source, Source::Header(_)) {
                remove_fields(headers, source);
            }
        }
        if self.sources.iter().any(|source| matches!(source, Source::Cookie(_))) {
            remove_cookies(headers, self.sources);
        }
    }

    /// Whether the token that was judged came in this field and goes on in it, though a proxy alone may say such a thing, as
    /// in `X-Forwarded-Access-Token`.
    pub(super) fn forwards_field(self, name: &str) -> bool {
        let is_source = |source: &Source| matches!(source, Source::Header(field) if field.as_str() == name);
        self.forward_token == Some(true)
            && self.carrier == Some(Carrier::Header)
            && self.sources.iter().any(is_source)
    }

    /// An upstream that finds an `Authorization` takes it for what the gateway has judged. Where the token came from
    /// elsewhere, nothing was.
    fn forwards_authorization(self) -> bool {
        match self.carrier {
            None | Some(Carrier::Authorization) => self.forward_token != Some(false),
            Some(Carrier::Header | Carrier::Cookie | Carrier::Query) => self.forward_authorization,
        }
    }
}

fn remove_fields(headers: &mut HeaderMap, source: &Source) {
    let removed: Vec<HeaderName> = headers.keys().filter(|name| source.is_field(name)).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

fn remove_cookies(headers: &mut HeaderMap, sources: &[Source]) {
    let fields = headers.get_all(COOKIE);
    let without = |field: &HeaderValue| token::cookies_without_tokens(field.as_bytes(), sources);
    if fields.iter().all(|field| without(field).is_none()) {
        return;
    }
    let kept: Vec<HeaderValue> = fields
        .iter()
        .map(|field| without(field).unwrap_or_else(|| field.as_bytes().to_vec()))
        .filter(|field| !field.is_empty())
        // Parts of a value, joined by what a value may hold, are one.
        .filter_map(|field| HeaderValue::try_from(field).ok())
        .collect();
    headers.remove(COOKIE);
    for field in kept {
        headers.append(COOKIE, field);
    }
}

/// The query without the parameters that hold tokens; `None` when there is nothing to remove.
pub(in crate::proxy) fn query_without_tokens(query: Option<&str>, sources: &[Source]) -> Option<String> {
    if !sources.iter().any(|source| matches!(source, Source::Query(_))) {
        return None;
    }
    token::query_without_tokens(query?, sources)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, names};
    use super::*;

    fn sources() -> Vec<Source> {
        ["header:x-token", "cookie:t", "query:q"].map(|text| Source::parse(text).unwrap()).into()
    }

    fn remove(headers: &HeaderMap, forward_token: Option<bool>, carrier: Option<Carrier>) -> HeaderMap {
        let mut headers = headers.clone();
        let sources = sources();
        Credentials { sources: &sources, forward_token, forward_authorization: false, carrier }
            .remove(&mut headers);
        headers
    }

    #[test]
    fn a_token_leaves_the_places_it_was_taken_from() {
        let headers = map(&[
            ("x-token", "t"),
            ("x_token", "t"),
            ("cookie", "a=b; t=x; c=d"),
            ("cookie", "T =y"),
            ("authorization", "x"),
        ]);
        assert_eq!(remove(&headers, Some(true), None), headers);
        assert_eq!(names(&remove(&headers, Some(false), None)), ["cookie"]);
        let left = remove(&headers, None, None);
        assert_eq!(names(&left), ["authorization", "cookie"]);
        assert_eq!(left.get_all("cookie").iter().collect::<Vec<_>>(), ["a=b; c=d"]);
        let others = map(&[("cookie", "a=b;c=d;; e"), ("cookie", "f")]);
        assert_eq!(remove(&others, None, None), others, "nothing of ours is there");
    }

    #[test]
    fn an_authorization_that_was_not_judged_is_removed() {
        let headers = map(&[("authorization", "Bearer FORGED")]);
        let goes_on = |forward_token, forward_authorization, carrier| {
            let mut headers = headers.clone();
            Credentials { sources: &[], forward_token, forward_authorization, carrier }.remove(&mut headers);
            !headers.is_empty()
        };
        for carrier in [Carrier::Cookie, Carrier::Header, Carrier::Query].map(Some) {
            for forward_token in [None, Some(true), Some(false)] {
                assert!(!goes_on(forward_token, false, carrier), "{carrier:?}");
                assert!(goes_on(forward_token, true, carrier), "{carrier:?}");
            }
        }
        for carrier in [Some(Carrier::Authorization), None] {
            for forward_authorization in [true, false] {
                assert!(goes_on(None, forward_authorization, carrier));
                assert!(goes_on(Some(true), forward_authorization, carrier));
                assert!(!goes_on(Some(false), forward_authorization, carrier));
            }
        }
    }

    // Else the upstream would not get it: the gateway removes what only proxies may say.
    #[test]
    fn a_judged_token_goes_on_in_a_field_of_proxies() {
        let sources = [Source::parse("header:x-forwarded-access-token").unwrap()];
        let forwards = |name, forward_token, carrier| {
            Credentials { sources: &sources, forward_token, forward_authorization: false, carrier }
                .forwards_field(name)
        };
        let (own, header) = ("x-forwarded-access-token", Some(Carrier::Header));
        assert!(forwards(own, Some(true), header));
        assert!(!forwards("x_forwarded_access_token", Some(true), header), "a twin was not judged");
        assert!(!forwards("x-forwarded-user", Some(true), header));
        assert!(!forwards(own, None, header));
        assert!(!forwards(own, Some(true), None), "on a public route nothing was judged");
    }

    #[test]
    fn a_token_leaves_the_query() {
        let sources = sources();
        for (query, expected) in [
            ("a=1&q=t&b", Some("a=1&b")),
            ("q=t", Some("")),
            ("%71=t&a", Some("a")),
            ("a;q=t", Some("a")),
            ("qq=t", None),
        ] {
            assert_eq!(query_without_tokens(Some(query), &sources).as_deref(), expected, "{query}");
        }
        assert_eq!(query_without_tokens(None, &sources), None);
        assert_eq!(query_without_tokens(Some("q=t"), &[Source::Bearer]), None);
    }
}
