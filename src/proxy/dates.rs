//! `Date` when the clock was set back.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{HeaderMap, HeaderValue};

/// The latest second of a worker. The HTTP library renders `Date` once for each second and keeps it until a later one has
/// come: after the clock was set back by an hour it would say the same for an hour.
#[derive(Debug, Default)]
pub(super) struct Dates {
    latest: Cell<u64>,
}

impl Dates {
    /// Adds the date to an answer that has none, where the library would write one that is to come.
    pub(super) fn correct(&self, headers: &mut HeaderMap, since_epoch: Duration) {
        if since_epoch.as_secs() >= self.latest.get() {
            return self.latest.set(since_epoch.as_secs());
        }
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch);
        if let Ok(date) = HeaderValue::try_from(date) {
            headers.entry(DATE).or_insert(date);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_at(dates: &Dates, seconds: u64, own: Option<&'static str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(own) = own {
            headers.insert(DATE, HeaderValue::from_static(own));
        }
        dates.correct(&mut headers, Duration::from_secs(seconds));
        headers.get(DATE).map(|date| date.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_date_follows_a_clock_that_goes_back() {
        let dates = Dates::default();
        assert_eq!(date_at(&dates, 784_111_800, None), None, "the library's is right");
        assert_eq!(date_at(&dates, 784_111_801, None), None);
        let back = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(date_at(&dates, 784_111_777, None).as_deref(), Some(back));
        assert_eq!(date_at(&dates, 784_111_777, Some("upstream's")).as_deref(), Some("upstream's"));
        assert_eq!(date_at(&dates, 784_111_801, None), None, "it has caught up");
    }
}
