//! The policy's no.

use std::sync::Arc;

use super::Scope;

/// Why a caller may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The caller is anonymous and the route is not public. The walk authenticates first, so this
    /// is the last line of defence, not an expected answer.
    Anonymous,
    /// The token is good and does not carry what the route needs (RFC 6750 §3.1
    /// `insufficient_scope`).
    InsufficientScope {
        /// The smallest set of scopes that would do, less what the token has. Of several equally
        /// small sets the one that is written first.
        missing: Vec<Scope>,
        /// The issuer of the token, by its name in the configuration.
        issuer: Arc<str>,
    },
}
