//! Credentials on their way to the upstream: which of them go on, and which are removed.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::snapshot::Route;
use crate::token::{Carrier, Source, Withheld};

/// The credentials of a request that a route forwards.
#[derive(Clone, Copy)]
pub(super) struct Credentials<'r> {
    /// The places where the route looks for a token.
    sources: &'r [Source],
    /// The places where the protected routes to the same upstream look, these among them; `None`
    /// where there are no others, and where no token was looked for.
    all_sources: Option<&'r [Source]>,
    /// Whether the token goes on: by default in `Authorization`, where upstreams expect it, and
    /// nowhere else.
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
            all_sources: carrier.and(route.upstream_token_from.as_deref()),
            forward_token: route.forward_token,
            forward_authorization: route.forward_authorization,
            carrier,
        }
    }

    /// Removes what the upstream is not to get, under every name that it could take for the
    /// route's, or for that of another route to the same upstream: the application may take a token
    /// from there, too, and this one was not judged.
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

    /// The places in headers that the upstream does not get. What was judged goes on with
    /// `forward_token`, and is no spelling of another route's.
    fn withheld(self) -> Withheld<'r> {
        match (self.forward_token, self.all_sources) {
            (Some(true), None) => Withheld::default(),
            (Some(true), Some(all)) => Withheld::new(all).except(self.sources),
            (_, all) => Withheld::new(all.unwrap_or(self.sources)),
        }
    }

    /// The query that goes in the place of this one; `None` where it goes on as it is. A token in
    /// it never goes on.
    fn query(self, query: Option<&str>) -> Option<String> {
        Withheld::new(self.all_sources.unwrap_or(self.sources)).without_parameters(query?)
    }

    /// Whether the token that was judged came in this field and goes on in it, though a proxy alone
    /// may say such a thing, as in `X-Forwarded-Access-Token`.
    pub(super) fn forwards_field(self, name: &str) -> bool {
        let is_source =
            |source: &Source| matches!(source, Source::Header(field) if field.as_str() == name);
        self.forward_token == Some(true)
            && self.carrier == Some(Carrier::Header)
            && self.sources.iter().any(is_source)
    }

    /// An upstream that finds an `Authorization` takes it for what the gateway has judged. Where
    /// the token came from elsewhere, nothing was.
    fn forwards_authorization(self) -> bool {
        match self.carrier {
            None | Some(Carrier::Authorization) => self.forward_token != Some(false),
            Some(Carrier::Header | Carrier::Cookie | Carrier::Query) => self.forward_authorization,
        }
    }
}

fn remove_fields(headers: &mut HeaderMap, withheld: Withheld<'_>) {
    let removed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| withheld.is_field(name))
        .cloned()
        .collect();
    for name in removed {
        headers.remove(name);
    }
}

fn remove_cookies(headers: &mut HeaderMap, withheld: Withheld<'_>) {
    let fields = headers.get_all(COOKIE);
    let without = |field: &HeaderValue| withheld.without_cookies(field.as_bytes());
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

/// The query without the parameters that hold tokens, or could hold one for another route to the
/// same upstream; `None` when there is nothing to remove.
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
    fn an_authorization_that_was_not_judged_is_removed() {
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

    // Else the upstream would not get it: the gateway removes what only proxies may say.
    #[test]
    fn a_judged_token_goes_on_in_a_field_of_proxies() {
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

    // The application takes a token from there, since on another route it was judged.
    #[test]
    fn what_other_routes_take_for_their_token_is_removed() {
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
        // Where there is no other place nothing else is removed.
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
