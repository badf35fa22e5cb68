//! `[upstreams.<name>.ejection]`: the exclusion of failing endpoints.

use crate::config::language::{Count, DefaultKey, Key, Reader, Subtable, Table, Time};
use crate::upstream::OutlierDetection;

pub(super) static TABLE: Table = Table {
    path: "upstreams.*.ejection",
    doc: "Excludes an endpoint that fails for some time, if there are several. A failure is a \
          request without a response, or a response with the status 502, 503 or 504. When all \
          remaining endpoints fail as well, all are tried.",
    keys: &[&FAILURES, &TIME, &MAX_PERCENT],
    refused: &[],
};

const FAILURES: DefaultKey<Count<u32>> = Key::new("failures", Count::new(0, 10_000))
    .doc("Consecutive failures after which an endpoint is excluded; 0 turns this off.")
    .example("3")
    .or(5);

const TIME: DefaultKey<Time> = Key::new("time", Time::POSITIVE)
    .doc(
        "The time of the first exclusion; the second in a row lasts twice as long, the third three \
         times, up to five minutes. After an exclusion one failure is enough for the next, until the endpoint has \
         answered a request.",
    )
    .example(r#""30s""#)
    .or("10s");

const MAX_PERCENT: DefaultKey<Count<usize>> = Key::new("max_percent", Count::new(0, 100))
    .doc("The limit on the excluded endpoints, in percent; the last endpoint is never excluded.")
    .example("30")
    .or(50);

pub(super) fn ejection(upstream: &mut Reader<'_>, key: &Key<Subtable>) -> OutlierDetection {
    let subject = format!("{}, ejection", upstream.subject);
    let mut reader = upstream.table(key, subject);
    let ejection = OutlierDetection {
        failures: reader.get(&FAILURES),
        time: reader.get(&TIME),
        max_percent: reader.get(&MAX_PERCENT),
    };
    reader.finish();
    ejection
}
