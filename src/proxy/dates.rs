//! The `Date` field of responses.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::header::{DATE, Entry};
use http::{HeaderMap, HeaderValue};

use crate::clock;

/// Returns a time as `Date` gives it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(since_epoch: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch)
}

/// The date of a worker's responses, rendered once per second. Without it the HTTP library would
/// add a date of its own, which stays the same after the clock is set back, until the clock has
/// caught up.
#[derive(Debug)]
pub(super) struct Dates {
    rendered: RefCell<Rendered>,
}

#[derive(Debug)]
struct Rendered {
    second: u64,
    /// The field's value; `None` for a time that has none.
    date: Option<HeaderValue>,
}

impl Rendered {
    fn new(since_epoch: Duration) -> Self {
        Self {
            second: since_epoch.as_secs(),
            date: HeaderValue::try_from(http_date(since_epoch)).ok(),
        }
    }
}

impl Dates {
    pub(super) fn new() -> Self {
        Self {
            rendered: RefCell::new(Rendered::new(clock::since_epoch())),
        }
    }

    /// Adds the current date to a response that has none.
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        if let Entry::Vacant(place) = headers.entry(DATE)
            && let Some(date) = self.at(clock::since_epoch())
        {
            place.insert(date);
        }
    }

    fn at(&self, since_epoch: Duration) -> Option<HeaderValue> {
        let mut rendered = self.rendered.borrow_mut();
        if rendered.second != since_epoch.as_secs() {
            *rendered = Rendered::new(since_epoch);
        }
        rendered.date.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_a_clock_that_goes_back() {
        let dates = Dates::new();
        for (seconds, date) in [
            (784_111_800, "Sun, 06 Nov 1994 08:50:00 GMT"),
            (784_111_801, "Sun, 06 Nov 1994 08:50:01 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            let at = dates
                .at(Duration::from_millis(seconds * 1000 + 999))
                .unwrap();
            assert_eq!(at, date, "{seconds}");
        }
    }

    #[test]
    fn an_upstreams_date_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("upstream's"));
        Dates::new().complete(&mut headers);
        assert_eq!(headers[DATE], "upstream's");
    }
}
