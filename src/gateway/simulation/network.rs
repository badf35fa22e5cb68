//! The simulated network, and what the seed decides of it.

use std::time::{Duration, UNIX_EPOCH};

use turmoil::{Builder, IpVersion, Sim};

use super::trace::promise;
use crate::proxy::cached_tests::chance::Chance;

/// The time at which a simulation begins, since 1970.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// The longest latencies, of which the seed draws one.
const LATENCIES: [u64; 4] = [1, 10, 25, 50];

/// The most segments that are on their way on a connection, and connections that wait to be
/// accepted.
const CAPACITY: usize = 1024;

/// The longest that a simulation may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Returns a network without hosts, which moves in steps of `tick`.
pub(super) fn network(seed: u64, chance: &mut Chance, tick: Duration) -> Sim<'static> {
    Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + EPOCH)
        .simulation_duration(LIMIT)
        .tick_duration(tick)
        .ip_version(IpVersion::V4)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(chance.of(&LATENCIES)))
        .tcp_capacity(CAPACITY)
        .enable_random_order()
        .build()
}

/// Runs a simulation until its clients have ended. A panic of one of them breaks a promise.
pub(super) fn run(sim: &mut Sim<'_>) {
    if let Err(error) = sim.run() {
        failed(&error.to_string());
    }
}

/// Notes that an actor has failed. The number of its task differs between runs.
pub(super) fn failed(error: &str) {
    let message = error
        .split_once(" panicked")
        .map_or(error, |(_, rest)| rest);
    promise(false, format_args!("an actor failed{message}"));
}

/// Returns the generator of another actor.
pub(super) fn fork(chance: &mut Chance) -> Chance {
    Chance::new(chance.below(usize::MAX) as u64)
}

/// Returns a duration from `least` to `most`, in milliseconds.
pub(super) fn between(chance: &mut Chance, least: usize, most: usize) -> Duration {
    Duration::from_millis((least + chance.below(most - least + 1)) as u64)
}
