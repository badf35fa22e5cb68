//! The answerer of a route: an upstream, or the gateway itself.

use std::fmt;
use std::sync::Arc;

use crate::transform::Respond;

/// The answerer of the requests that a route permits.
#[derive(Clone, Debug)]
pub enum Handler {
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// The gateway itself, with this answer.
    Respond(Arc<Respond>),
    /// None: the route denies every method, and names no upstream.
    Nobody,
}

impl Handler {
    /// Returns the name of the upstream.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<str>> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Respond(_) | Self::Nobody => None,
        }
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => f.write_str(name),
            Self::Respond(respond) => write!(f, "answer {}", respond.status.as_u16()),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}
