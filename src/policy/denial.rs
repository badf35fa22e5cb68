//! Denials: the refusals of the policy.

use super::Scope;

/// The reason why the policy refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The route admits no caller.
    RouteDenied,
    /// The caller is anonymous and the route is not public. The walk authenticates first, so this
    /// is the last line of defence, and does not normally occur.
    Anonymous,
    /// The token is valid and does not grant the scopes that the route requires (RFC 6750 §3.1
    /// `insufficient_scope`).
    InsufficientScope {
        /// The whole set of scopes that satisfies the requirement and lacks the fewest. Of several
        /// that lack equally many, the one that the configuration names first.
        needed: Vec<Scope>,
        /// The scopes of `needed` that the token does not grant.
        missing: Vec<Scope>,
    },
}
