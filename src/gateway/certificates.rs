//! The expiry of the certificates of TLS listeners: a metric, and warnings while there is time to
//! renew them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{self, UnixTime};
use crate::config::Config;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::tls::Life;

/// The interval of the checks, besides the check after each reload.
const CHECK_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The remaining lifetime, in seconds, from which on a certificate has to be renewed.
const SOON: u64 = 14 * 24 * 60 * 60;

/// The part of its lifetime in which a short-lived certificate has to be renewed: the last fifth.
const SHARE: u64 = 5;

/// The state of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    NotYet,
    EndsSoon,
    Ended,
}

impl State {
    fn of(life: Life, now: UnixTime) -> Self {
        let soon = SOON.min(life.ends.saturating_sub(life.begins) / SHARE);
        match now.0 {
            now if now < life.begins => Self::NotYet,
            now if now > life.ends => Self::Ended,
            now if life.ends - now <= soon => Self::EndsSoon,
            _ => Self::Good,
        }
    }
}

/// Checks the certificates of a snapshot, now and then once a day, until the snapshot is dropped.
pub(super) async fn maintain(snapshot: Weak<Snapshot>, metrics: Arc<Metrics>) {
    while let Some(current) = snapshot.upgrade() {
        check(&current.config, &metrics, clock::now().unix);
        drop(current);
        sleep(CHECK_INTERVAL).await;
    }
}

/// Sets the metric of each certificate's expiry, and warns of the certificates that clients refuse
/// or soon will.
fn check(config: &Config, metrics: &Metrics, now: UnixTime) {
    let lives = lives(config);
    let ends = lives.iter().map(|(file, life)| (&**file, life.ends));
    metrics.gateway.show_certificates(ends);
    for (file, life) in &lives {
        warn(file, *life, State::of(*life, now));
    }
}

/// Returns the lifetime of each certificate by its file, which several listeners may share.
fn lives(config: &Config) -> BTreeMap<String, Life> {
    let mut lives = BTreeMap::new();
    for listener in &config.server.listeners {
        let Some(acceptor) = &listener.tls else {
            continue;
        };
        for certificate in acceptor.certificates().iter() {
            if let Some(life) = certificate.life() {
                lives.insert(certificate.file().to_owned(), life);
            }
        }
    }
    lives
}

/// Logs a warning for a certificate that is not valid, or will soon not be.
fn warn(file: &str, life: Life, state: State) {
    let ends = std::time::UNIX_EPOCH + Duration::from_secs(life.ends);
    let until = humantime::format_rfc3339_seconds(ends);
    match state {
        State::Good => {}
        State::NotYet => {
            tracing::warn!(
                file,
                "a certificate is not valid yet: clients refuse it, or this clock is wrong"
            );
        }
        State::EndsSoon => {
            tracing::warn!(file, %until, "a certificate ends soon: renew it");
        }
        State::Ended => {
            tracing::warn!(file, %until, "a certificate has ended: clients refuse it; renew it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_certificate_is_warned_of_while_there_is_time() {
        let state = |days: u64, now: u64| {
            State::of(
                Life {
                    begins: 100 * DAY,
                    ends: (100 + days) * DAY,
                },
                UnixTime(100 * DAY + now),
            )
        };
        assert_eq!(
            State::of(
                Life {
                    begins: 100,
                    ends: 200
                },
                UnixTime(99)
            ),
            State::NotYet
        );
        for (days, quiet) in [(365, 351), (90, 76)] {
            assert_eq!(state(days, quiet * DAY - 1), State::Good, "{days}");
            assert_eq!(state(days, quiet * DAY), State::EndsSoon, "{days}");
            assert_eq!(
                state(days, days * DAY),
                State::EndsSoon,
                "{days}: RFC 5280 §4.1.2.5 takes the end in"
            );
            assert_eq!(state(days, days * DAY + 1), State::Ended, "{days}");
        }
        assert_eq!(
            (state(5, 4 * DAY - 1), state(5, 4 * DAY)),
            (State::Good, State::EndsSoon)
        );
    }
}
