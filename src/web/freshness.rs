//! The freshness lifetime of a response by its headers (RFC 9111 §4.2).

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES};

use crate::clock::UnixTime;

/// Returns the remaining lifetime of a response; `None` if its headers do not tell. Returns zero if
/// the response must not be stored, is stale already, or has headers that cannot be read. The
/// caller has a lower bound of its own.
pub(super) fn lifetime(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    match max_age(headers) {
        Some(seconds) => {
            let age = text(headers, AGE)
                .and_then(|age| age.trim().parse().ok())
                .unwrap_or(0);
            Some(Duration::from_secs(seconds.saturating_sub(age)))
        }
        None => expires(headers, now),
    }
}

/// Returns the shortest lifetime of all `Cache-Control` directives, in seconds.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let mut shortest = None;
    for line in headers.get_all(CACHE_CONTROL) {
        let directives = line.to_str().unwrap_or_default().split(',');
        for seconds in directives.filter_map(directive) {
            shortest = Some(seconds.min(shortest.unwrap_or(u64::MAX)));
        }
    }
    shortest
}

/// Returns the lifetime that a directive of `Cache-Control` gives, in seconds.
fn directive(text: &str) -> Option<u64> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let name = name.trim();
    if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
        return Some(0);
    }
    if !name.eq_ignore_ascii_case("max-age") {
        return None;
    }
    let digits = value.trim().trim_matches('"');
    let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // RFC 9111 §1.2.2: a number that is too large counts as the largest number.
    Some(if numeric {
        digits.parse().unwrap_or(u64::MAX)
    } else {
        0
    })
}

fn expires(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let expires = parse_date(text(headers, EXPIRES)?).unwrap_or(0);
    // `Date` is the server's clock, so that a difference between the two clocks does not count.
    let from = text(headers, DATE).and_then(parse_date).unwrap_or(now.0);
    Some(Duration::from_secs(expires.saturating_sub(from)))
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}

/// Returns a date in one of the three forms of RFC 9110 §5.6.7, as seconds since 1970.
fn parse_date(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        lifetime(&map, UnixTime(784_111_777)).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn a_lifetime_is_the_shortest_that_is_stated() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("cache-control", "public")]), None);
        assert_eq!(
            of(&[("cache-control", "public, Max-Age=300, must-revalidate")]),
            Some(300)
        );
        assert_eq!(of(&[("cache-control", "max-age=\"300\"")]), Some(300));
        assert_eq!(
            of(&[
                ("cache-control", "max-age=300"),
                ("cache-control", "max-age=60")
            ]),
            Some(60)
        );
        assert_eq!(of(&[("cache-control", "max-age=300, no-cache")]), Some(0));
        assert_eq!(of(&[("cache-control", "no-store")]), Some(0));
        assert_eq!(of(&[("cache-control", "max-age=0")]), Some(0));
        assert_eq!(of(&[("cache-control", "max-age=-1")]), Some(0));
        assert_eq!(
            of(&[("cache-control", "max-age=99999999999999999999999")]),
            Some(u64::MAX)
        );
        assert_eq!(
            of(&[("cache-control", "max-age=300"), ("age", "290")]),
            Some(10)
        );
        assert_eq!(
            of(&[("cache-control", "max-age=300"), ("age", "301")]),
            Some(0)
        );
    }

    #[test]
    fn expires_counts_from_the_servers_own_date() {
        let expires = ("expires", "Sun, 06 Nov 1994 08:59:37 GMT");
        assert_eq!(of(&[expires]), Some(600));
        assert_eq!(
            of(&[expires, ("date", "Sun, 06 Nov 1994 08:58:37 GMT")]),
            Some(60)
        );
        assert_eq!(of(&[expires, ("cache-control", "max-age=5")]), Some(5));
        for obsolete in ["Sunday, 06-Nov-94 08:59:37 GMT", "Sun Nov  6 08:59:37 1994"] {
            assert_eq!(of(&[("expires", obsolete)]), Some(600), "{obsolete}");
        }
        for past in [
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1993 08:49:37 GMT",
        ] {
            assert_eq!(of(&[("expires", past)]), Some(0), "{past}");
        }
    }

    #[test]
    fn a_date_is_read_to_the_second() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Tue, 01 Mar 2033 12:00:00 GMT", 1_993_291_200),
            // The two obsolete forms, which RFC 9110 §5.6.7 requires to be accepted.
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Tuesday, 01-Mar-33 12:00:00 GMT", 1_993_291_200),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Wed Nov 16 08:49:37 1994", 784_975_777),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sunday, 32-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37",
            "Sun, 06 Nov 1994 08:49:37:1 GMT",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
