//! The swap of the snapshot. A worker's side of it is `Live::newer_than`.

#[allow(dead_code)]
#[path = "../../src/snapshot/live.rs"]
mod live;

mod models;

pub(crate) use models::MODELS;

/// A snapshot with a number instead of a configuration.
#[derive(Debug)]
struct Snapshot(u64);

impl Snapshot {
    fn name_entries(&self) {}
}
