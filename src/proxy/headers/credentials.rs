//! The credentials of a request: which of them are forwarded to the upstream, and which are
//! removed.

use http::header::{AUTHORIZATION, COOKIE, GetAll};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::Route;
use crate::token::{Carrier, Source, Withheld};

/// The credentials of a request that a route forwards.
#[derive(Clone, Copy)]
pub(super) struct Credentials<'r> {
    /// The sources of the route's tokens.
    sources: &'r [Source],
    /// The token sources of all protected routes to the same upstream, including this route's;
    /// `None` if there are no others, or if no token was looked for.
    all_sources: Option<&'r [Source]>,
    /// The route's `forward_token`. By default a token is forwarded in `Authorization`, where
    /// upstreams expect it, and in no other place.
    forward_token: Option<bool>,
    /// Set if an `Authorization` that was not checked is forwarded.
    forward_authorization: bool,
    /// The part of the request that carried the checked token; `None` if no token was looked for.
    carrier: Option<Carrier>,
}

impl<'r> Credentials<'r> {
    pub(super) fn of(route: &'r Route, carrier: Option<Carrier>) -> Self {
        Self {
            sources: &route.config.token_from,
            all_sources: carrier.and(route.upstream_token_from.as_deref()),
            forward_token: route.config.forward_token,
            forward_authorization: route.config.forward_authorization,
            carrier,
        }
    }

    /// Removes the credentials that the upstream must not get, under every name that it could take
    /// for the route's, or for that of another route to the same upstream: the application may read
    /// a token there, too, and that one was not checked.
    pub(super) fn remove(self, headers: &mut HeaderMap) {
        if !self.forwards_authorization() {
            headers.remove(AUTHORIZATION);
        }
        let withheld = self.withheld();
        if withheld.has_fields() {
            remove_fields(headers, withheld);
        }
        if withheld.has_cookies() {
            remove_cookies(headers, withheld);
        }
    }

    /// Returns the sources in header fields that are withheld from the upstream. With
    /// `forward_token` the checked token is forwarded, even if its place is a spelling of another
    /// route's source.
    fn withheld(self) -> Withheld<'r> {
        match (self.forward_token, self.all_sources) {
            (Some(true), None) => Withheld::default(),
            (Some(true), Some(all)) => Withheld::new(all).except(self.sources),
            (_, all) => Withheld::new(all.unwrap_or(self.sources)),
        }
    }

    /// Returns the query to forward in place of this one; `None` if it needs no change. A token in
    /// the query is never forwarded.
    fn query(self, query: Option<&str>) -> Option<String> {
        Withheld::new(self.all_sources.unwrap_or(self.sources)).without_parameters(query?)
    }

    /// Returns whether the checked token came in this field and is forwarded in it, even if the
    /// field is one that only proxies may set, such as `X-Forwarded-Access-Token`.
    pub(super) fn forwards_field(self, name: &str) -> bool {
        if self.forward_token != Some(true) || self.carrier != Some(Carrier::Header) {
            return false;
        }
        self.sources.iter().any(|source| match source {
            Source::Header(field) => field.as_str() == name,
            _ => false,
        })
    }

    /// Returns whether `Authorization` is forwarded. An upstream takes it for one that the gateway
    /// has checked; if the token came from another place, it was not checked.
    fn forwards_authorization(self) -> bool {
        match self.carrier {
            None | Some(Carrier::Authorization) => self.forward_token != Some(false),
            Some(Carrier::Header | Carrier::Cookie | Carrier::Query) => self.forward_authorization,
        }
    }
}

fn remove_fields(headers: &mut HeaderMap, withheld: Withheld<'_>) {
    let mut removed: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if withheld.is_field(name) {
            removed.push(name.clone());
        }
    }
    for name in removed {
        headers.remove(name);
    }
}

fn remove_cookies(headers: &mut HeaderMap, withheld: Withheld<'_>) {
    let fields = headers.get_all(COOKIE);
    if !has_withheld_cookie(&fields, withheld) {
        return;
    }
    let mut kept: Vec<HeaderValue> = Vec::new();
    for field in fields {
        let Some(rest) = withheld.without_cookies(field.as_bytes()) else {
            kept.push(field.clone());
            continue;
        };
        // Parts of a field value, joined with allowed characters, are a field value.
        if let Ok(rest) = HeaderValue::try_from(rest) {
            kept.push(rest);
        }
    }
    headers.remove(COOKIE);
    for field in kept {
        if !field.is_empty() {
            headers.append(COOKIE, field);
        }
    }
}

fn has_withheld_cookie(fields: &GetAll<'_, HeaderValue>, withheld: Withheld<'_>) -> bool {
    for field in fields {
        if withheld.without_cookies(field.as_bytes()).is_some() {
            return true;
        }
    }
    false
}

/// Returns the query without the parameters that hold tokens of this route, or could hold one for
/// another route to the same upstream; `None` if there is nothing to remove.
pub(in crate::proxy) fn query_without_tokens(
    query: Option<&str>,
    route: &Route,
    carrier: Option<Carrier>,
) -> Option<String> {
    Credentials::of(route, carrier).query(query)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, names};
    use super::*;

    const NONE: Credentials<'static> = Credentials {
        sources: &[],
        all_sources: None,
        forward_token: None,
        forward_authorization: false,
        carrier: None,
    };

    fn parsed(texts: &[&str]) -> Vec<Source> {
        texts
            .iter()
            .map(|text| Source::parse(text).unwrap())
            .collect()
    }

    fn sources() -> Vec<Source> {
        parsed(&["header:x-token", "cookie:t", "query:q"])
    }

    fn remove(
        headers: &HeaderMap,
        forward_token: Option<bool>,
        carrier: Option<Carrier>,
    ) -> HeaderMap {
        let mut headers = headers.clone();
        Credentials {
            sources: &sources(),
            forward_token,
            carrier,
            ..NONE
        }
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
        assert_eq!(
            left.get_all("cookie").iter().collect::<Vec<_>>(),
            ["a=b; c=d"]
        );
        let others = map(&[("cookie", "a=b;c=d;; e"), ("cookie", "f")]);
        assert_eq!(
            remove(&others, None, None),
            others,
            "nothing of ours is there"
        );
    }

    #[test]
    fn an_authorization_that_was_not_checked_is_removed() {
        let headers = map(&[("authorization", "Bearer FORGED")]);
        let goes_on = |forward_token, forward_authorization, carrier| {
            let mut headers = headers.clone();
            Credentials {
                forward_token,
                forward_authorization,
                carrier,
                ..NONE
            }
            .remove(&mut headers);
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

    // Without this rule the upstream would not get the token: the gateway removes fields that only
    // proxies may set.
    #[test]
    fn a_checked_token_is_forwarded_in_a_field_of_proxies() {
        let sources = [Source::parse("header:x-forwarded-access-token").unwrap()];
        let forwards = |name, forward_token, carrier| {
            Credentials {
                sources: &sources,
                forward_token,
                carrier,
                ..NONE
            }
            .forwards_field(name)
        };
        let (own, header) = ("x-forwarded-access-token", Some(Carrier::Header));
        assert!(forwards(own, Some(true), header));
        assert!(
            !forwards("x_forwarded_access_token", Some(true), header),
            "a twin was not judged"
        );
        assert!(!forwards("x-forwarded-user", Some(true), header));
        assert!(!forwards(own, None, header));
        assert!(
            !forwards(own, Some(true), None),
            "on a public route nothing was judged"
        );
    }

    #[test]
    fn a_token_leaves_the_query() {
        let sources = sources();
        let own = Credentials {
            sources: &sources,
            ..NONE
        };
        for (query, expected) in [
            ("a=1&q=t&b", Some("a=1&b")),
            ("q=t", Some("")),
            ("%71=t&a", Some("a")),
            ("a;q=t", Some("a")),
            ("qq=t", None),
        ] {
            assert_eq!(own.query(Some(query)).as_deref(), expected, "{query}");
        }
        assert_eq!(own.query(None), None);
        assert_eq!(
            Credentials {
                sources: &[Source::Bearer],
                ..NONE
            }
            .query(Some("q=t")),
            None
        );
    }

    // The application reads tokens there, since on another route they are checked.
    #[test]
    fn tokens_of_other_routes_are_removed() {
        let sources = parsed(&["authorization:bearer", "cookie:t"]);
        let all = parsed(&["cookie:t", "cookie:session", "header:x-token", "query:q"]);
        let headers = map(&[
            ("authorization", "Bearer t"),
            ("cookie", "a=b; t=x; Session =FORGED; c=d"),
            ("x_token", "FORGED"),
        ]);
        let left = |forward_token, carrier, all_sources| {
            let mut headers = headers.clone();
            let credentials = Credentials {
                sources: &sources,
                all_sources,
                forward_token,
                carrier,
                ..NONE
            };
            credentials.remove(&mut headers);
            (headers, credentials.query(Some("a=1&Q=FORGED")))
        };
        for (forward_token, carrier, fields) in [
            (
                None,
                Carrier::Authorization,
                &[("authorization", "Bearer t"), ("cookie", "a=b; c=d")][..],
            ),
            (
                Some(true),
                Carrier::Authorization,
                &[("authorization", "Bearer t"), ("cookie", "a=b; t=x; c=d")],
            ),
            (Some(true), Carrier::Cookie, &[("cookie", "a=b; t=x; c=d")]),
            (Some(false), Carrier::Cookie, &[("cookie", "a=b; c=d")]),
        ] {
            let (headers, query) = left(forward_token, Some(carrier), Some(&all));
            assert_eq!(headers, map(fields), "{forward_token:?} {carrier:?}");
            assert_eq!(query.as_deref(), Some("a=1"));
        }
        // Without sources of other routes nothing else is removed.
        let (headers, query) = left(None, Some(Carrier::Cookie), None);
        assert_eq!(
            headers,
            map(&[
                ("cookie", "a=b; Session =FORGED; c=d"),
                ("x_token", "FORGED")
            ])
        );
        assert_eq!(query, None);
    }
}
