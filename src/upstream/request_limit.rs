//! The limit of requests that an upstream processes at a time (`max_requests`).

use std::sync::Arc;

use super::connection_limit::ConnectionLimit;
use super::{Fault, Upstream};

/// A permit for one request under way. Dropping it frees the permit.
#[derive(Debug)]
pub struct RequestPermit(Arc<ConnectionLimit>);

impl RequestPermit {
    /// Returns a permit for one more request. `None` if the upstream has no limit: a counter that
    /// all workers write would cost each request more than its value is worth.
    pub(super) fn of(upstream: &Upstream) -> Result<Option<Self>, Fault> {
        let Some(most) = upstream.settings.max_requests else {
            return Ok(None);
        };
        if upstream.connection_limit.under_way.try_add(most) {
            Ok(Some(Self(upstream.connection_limit.clone())))
        } else {
            Err(Fault::Full)
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.0.under_way.subtract();
    }
}
