//! What the gateway tells of itself: metrics and the access log. Knows plain labels, none of the other rooms' types.
//!
//! Nothing here ever holds a token, a secret, or a label that a client chose (checklist O08, O09).

mod access_log;
mod counters;
mod families;
mod metrics;
#[cfg(test)]
mod metrics_tests;

pub use access_log::{AccessLine, AccessLog, LogWriter};
pub use counters::Counters;
pub use metrics::{EndpointState, GatewayMetrics, IssuerMetrics, Metrics, RouteMetrics, UpstreamMetrics};
