//! Preflights of browsers (the Fetch standard, "CORS-preflight request").

use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderMap, Method};

use super::rule::find;
use super::{Cause, OwnAnswer, Refusal};
use crate::route::Target;
use crate::snapshot::{Route, Snapshot};
use crate::transform::origin_of;

/// Returns the answer to a preflight for a path whose routes have CORS rules, unless one of them
/// lists `OPTIONS` itself. It comes before authorization, since browsers send no credentials with a
/// preflight, and tells only which requests a page may send.
pub(super) fn answer<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
    headers: &HeaderMap,
) -> Option<OwnAnswer<'s>> {
    if !snapshot.has_cors || *target.method() != Method::OPTIONS {
        return None;
    }
    let origin = origin_of(headers)?;
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    if answers_options(snapshot, target) {
        return None;
    }
    let Asked { route, has_method } = asked(snapshot, &target.with_method(&method))?;
    let cors = route.config.heads.cors.as_ref()?;
    let mut headers = cors.preflight(origin, &method, has_method);
    route.config.heads.response.complete(&mut headers);
    Some(OwnAnswer::Preflight { route, headers })
}

/// Returns whether a route of the configuration answers the `OPTIONS` request.
fn answers_options(snapshot: &Snapshot, target: &Target<'_>) -> bool {
    match snapshot.table.find(target) {
        Ok(own) => snapshot
            .routes
            .get(own.route)
            .is_some_and(|route| route.answers_options),
        Err(_) => false,
    }
}

/// The route that a preflight asks about.
struct Asked<'s> {
    route: &'s Route,
    /// Set if the route has the method.
    has_method: bool,
}

/// Returns the route of the request that a preflight asks about.
fn asked<'s>(snapshot: &'s Snapshot, target: &Target<'_>) -> Option<Asked<'s>> {
    match find(snapshot, target) {
        Ok(rule) => Some(Asked {
            route: rule.route,
            has_method: true,
        }),
        Err(Refusal {
            cause: Cause::Method { .. },
            route,
            ..
        }) => Some(Asked {
            route: route?,
            has_method: false,
        }),
        Err(_) => None,
    }
}
