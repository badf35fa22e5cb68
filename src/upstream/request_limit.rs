//! The limit of requests that an upstream processes at a time (`max_requests`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
        let others = upstream
            .connection_limit
            .under_way
            .fetch_add(1, Ordering::Relaxed);
        let permit = Self(upstream.connection_limit.clone());
        if others < most {
            Ok(Some(permit))
        } else {
            Err(Fault::Full)
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
