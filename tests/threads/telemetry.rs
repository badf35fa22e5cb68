//! The sharded counters.

#[allow(dead_code, unused_imports)]
#[path = "../../src/telemetry/counters.rs"]
mod counters;
#[allow(dead_code, unused_imports)]
#[path = "../../src/telemetry/sharded.rs"]
mod sharded;

mod models;

pub(crate) use models::MODELS;
pub(crate) use scopegate::telemetry::{CacheResult, IssuerMetrics, Label, Refresh};
pub(crate) use sharded::ShardSlot;
