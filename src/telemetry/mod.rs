//! Metrics, the access log, and the log of the gateway's own events. It takes plain labels, and
//! knows no types of the other rooms.
//!
//! It never contains a token, a secret, or a label that a client chose (requirements.md#o08, #o09).

mod access_log;
mod connection_error;
mod counters;
mod event_log;
mod exposition;
mod families;
mod gateway_metrics;
mod handles;
mod histogram;
mod label;
mod labels;
mod metrics;
#[cfg(test)]
mod metrics_tests;
mod output;
mod quoted;
mod reason;
mod sharded;
mod throttle;
mod words;

#[cfg(test)]
pub(crate) use access_log::SimulatedWriter;
pub use access_log::{
    AccessFormat, AccessLine, AccessLog, FailedPart, LineContext, LineRoute, LogWriter,
    TokenFields, UnknownVariable, VARIABLES, WorkerLog, push_json,
};
pub use connection_error::ConnectionError;
pub use counters::{Counter, Counters, Gauge};
pub use event_log::EventLog;
pub use gateway_metrics::GatewayMetrics;
pub use handles::{Ending, IssuerMetrics, RouteMetrics, UpstreamMetrics};
pub use histogram::Histogram;
pub use label::Label;
pub use labels::{
    CacheResult, ConnectionProtocol, Departure, FaultKind, Refresh, Reloaded, Verification,
};
pub use metrics::{EndpointState, KeptLabels, Metrics};
pub use quoted::{HiddenToken, Quoted, may_hold_token};
pub use reason::Reason;
pub use sharded::{ShardGuard, ShardSlot};
pub use throttle::{Throttle, Throttles};
pub use words::{common_log_time, protocol_name};
