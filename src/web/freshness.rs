//! The freshness lifetime of a response by its headers (RFC 9111 §4.2).

use std::time::Duration;

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

/// Returns a date of the form `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7) as seconds since
/// 1970. The two obsolete forms are not read; they count as expired.
fn parse_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.trim().strip_suffix(" GMT")?.split_once(", ")?;
    let mut parts = rest.split([' ', ':']);
    let day = number(parts.next()?, 1..=31)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|known| *known == name)? as u64 + 1;
    let year = number(parts.next()?, 1970..=9999)?;
    let hour = number(parts.next()?, 0..=23)?;
    let minute = number(parts.next()?, 0..=59)?;
    let second = number(parts.next()?, 0..=60)?;
    if parts.next().is_some() {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Returns the days since 1970-01-01 in the proleptic Gregorian calendar. A year begins in March
/// here, so that the leap day is its last day.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    /// The days from 0000-03-01 to 1970-01-01.
    const EPOCH: u64 = 719_468;
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // Five months of alternating length (31, 30, 31, 30, 31) have 153 days.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH
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
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:1 GMT",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
