//! The route of a request as the events of functions and the access log name it.

use crate::lambda::{ApiRoute, Function};
use crate::snapshot::{Route, Snapshot};

/// Returns a route as API Gateway names it.
#[must_use]
pub fn api_route<'s>(snapshot: &'s Snapshot, route: &'s Route) -> ApiRoute<'s> {
    let function = function_of(snapshot, route);
    ApiRoute {
        pattern: &route.config.pattern,
        prefix: route.config.strip.as_deref(),
        stage: function.and_then(|function| function.stage.as_deref()),
    }
}

/// Returns the function that a route invokes; `None` if it invokes none.
pub(super) fn function_of<'s>(snapshot: &'s Snapshot, route: &Route) -> Option<&'s Function> {
    let upstream = snapshot.upstreams.get(route.handler.upstream()?)?;
    upstream.settings.lambda.as_deref()
}
