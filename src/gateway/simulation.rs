//! Deterministic simulation: a gateway with its clients, upstreams and issuer on a simulated network
//! and under a simulated clock, in one thread. A seed chooses latencies, faults, their times and the
//! requests, and everything that happens follows from it.
//!
//! Each scenario has a file, with the promises that hold in every run. Each seed is run twice, and
//! both traces must be the same, byte for byte: a failure can be repeated as often as it takes.
//! `docs/reliability.md` has the command for one seed and for many.
//!
//! The simulation replaces what [`net`](crate::net) and [`clock`](crate::clock) do: sockets, names,
//! time and random numbers. The rest is the gateway as it runs, without TLS, whose library has
//! random numbers of its own.

#[cfg(test)]
mod client;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod http;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod network;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::net::simulated::Seeded;
use trace::{Recorded, Trace};

/// The number of seeds of all scenarios together.
const SEEDS: (&str, u64) = ("SCOPEGATE_SIMULATION_SEEDS", 200);

/// The first of the seeds.
const FIRST: (&str, u64) = ("SCOPEGATE_SIMULATION_FIRST", 1);

/// A directory for the traces.
const TRACES: &str = "SCOPEGATE_SIMULATION_TRACES";

/// A scenario: what a seed makes of a gateway and its environment.
struct Scenario {
    name: &'static str,
    run: fn(u64),
    /// Its part of the seeds, in percent: a run of one scenario takes longer than one of another.
    share: u64,
    /// Seeds that have found a fault, which are always run, each with the fault.
    kept: &'static [(u64, &'static str)],
}

impl Scenario {
    /// Runs the scenario with each seed, twice.
    fn hold(&self) {
        let (mut traces, mut counts) = (BTreeSet::new(), BTreeMap::new());
        let kept = self.kept.iter().map(|(seed, _)| *seed);
        let first = number(FIRST);
        let count = (number(SEEDS) * self.share).div_ceil(100);
        let seeds: BTreeSet<_> = (first..first + count).chain(kept).collect();
        for seed in &seeds {
            let run = self.record(*seed);
            let again = self.record(*seed);
            self.show(*seed, &run);
            self.expect_same(*seed, &run, &again);
            self.expect_kept(*seed, &run);
            let mut hasher = DefaultHasher::new();
            run.text.hash(&mut hasher);
            traces.insert(hasher.finish());
            for (name, count) in run.counts {
                *counts.entry(name).or_insert(0) += count;
            }
        }
        assert_eq!(traces.len(), seeds.len(), "two seeds have the same trace");
        println!(
            "{}: {} seeds, each twice; {counts:?}",
            self.name,
            seeds.len()
        );
    }

    fn record(&self, seed: u64) -> Recorded {
        let _seeded = Seeded::with(seed);
        let trace = Trace::begin();
        let run = catch_unwind(AssertUnwindSafe(|| (self.run)(seed)));
        let recorded = trace.finish();
        assert!(run.is_ok(), "{}\n{}", self.title(seed), recorded.end());
        recorded
    }

    /// Writes the trace to a file in the directory that the environment names.
    fn show(&self, seed: u64, run: &Recorded) {
        if let Some(directory) = std::env::var_os(TRACES) {
            let file = Path::new(&directory).join(format!("{}-{seed}.txt", self.name));
            std::fs::write(file, &run.text).expect("the directory is there");
        }
    }

    fn expect_same(&self, seed: u64, run: &Recorded, again: &Recorded) {
        let lines = run.text.lines().zip(again.text.lines());
        for (number, (line, other)) in lines.enumerate() {
            let title = self.title(seed);
            assert_eq!(
                line, other,
                "{title}: two runs differ first in line {number}"
            );
        }
        assert_eq!(run.text.len(), again.text.len(), "{}", self.title(seed));
    }

    fn expect_kept(&self, seed: u64, run: &Recorded) {
        let Recorded { broken, .. } = run;
        let title = self.title(seed);
        assert!(broken.is_empty(), "{title}: {broken:#?}\n{}", run.end());
    }

    /// Returns the command that repeats a run.
    fn title(&self, seed: u64) -> String {
        let ((seeds, _), (first, _)) = (SEEDS, FIRST);
        let name = self.name;
        format!("{first}={seed} {seeds}=1 cargo test --lib simulation::{name}")
    }
}

/// Returns the number in a variable of the environment.
fn number((name, default): (&str, u64)) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("it is a number"),
        Err(_) => default,
    }
}
