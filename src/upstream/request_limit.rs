//! How many requests an upstream has at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection_limit::ConnectionLimit;
use super::{Fault, Upstream};

/// A place among the requests that are under way; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct RequestPermit(Arc<ConnectionLimit>);

impl RequestPermit {
    /// A place for one more request. `None` where any number may be under way: a count that all
    /// workers write would cost each request more than it tells.
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
