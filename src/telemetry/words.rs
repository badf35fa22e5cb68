//! The words of a request that access logs and the events of functions have in common.

use std::time::{Duration, UNIX_EPOCH};

use http::Version;

/// The last second of the year 9999, beyond which a date of HTTP has no form.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Returns a time since 1970 as the common log format has it, in UTC:
/// `12/Mar/2020:19:03:58 +0000`.
#[must_use]
pub fn common_log_time(since_epoch: Duration) -> String {
    // `Thu, 12 Mar 2020 19:03:58 GMT`
    let date = httpdate::fmt_http_date(UNIX_EPOCH + since_epoch.min(LAST));
    let mut words = date.split(' ').skip(1);
    let mut next = || words.next().unwrap_or_default();
    let (day, month, year, time) = (next(), next(), next(), next());
    format!("{day}/{month}/{year}:{time} +0000")
}

/// Returns the name of the protocol of a request.
#[must_use]
pub fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_common_log_format() {
        for (millis, expected) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_400_999, "29/Feb/2000:00:00:00 +0000"),
            (1_583_348_638_390, "04/Mar/2020:19:03:58 +0000"),
            (u64::MAX, "31/Dec/9999:23:59:59 +0000"),
        ] {
            assert_eq!(common_log_time(Duration::from_millis(millis)), expected);
        }
    }
}
