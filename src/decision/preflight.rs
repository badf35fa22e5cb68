//! Preflights of browsers (the Fetch standard, "CORS-preflight request").

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
};
use http::{HeaderMap, HeaderValue, Method};

use super::rule::find;
use super::{Cause, OwnAnswer, Refusal};
use crate::policy::{Denial, Requirement};
use crate::route::Target;
use crate::snapshot::{Route, Snapshot, is_metadata_path};
use crate::transform::{Preflight, origin_of};

/// Returns the answer to a preflight for the metadata of a protected resource, or for a path whose
/// routes have CORS rules, unless one of them lists `OPTIONS` itself. It comes before
/// authorization, since browsers send no credentials with a preflight, and tells only which
/// requests a page may send.
pub(super) fn answer<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
    headers: &HeaderMap,
) -> Option<OwnAnswer<'s>> {
    if *target.method() != Method::OPTIONS {
        return None;
    }
    let is_of_metadata = is_metadata_path(target.path());
    if !snapshot.has_cors && !is_of_metadata {
        return None;
    }
    let origin = origin_of(headers)?;
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let wanted = target.with_method(&method);
    if is_of_metadata && is_for_metadata(snapshot, target, &wanted) {
        return Some(OwnAnswer::Preflight {
            route: None,
            headers: metadata_preflight(),
        });
    }
    if answers_options(snapshot, target) {
        return None;
    }
    let Asked { route, has_method } = asked(snapshot, &wanted)?;
    let cors = route.config.heads.cors.as_ref()?;
    let asked = Preflight {
        origin,
        method: &method,
        fields: headers,
    };
    let mut headers = cors.preflight(asked, has_method);
    route.config.heads.response.complete(&mut headers);
    Some(OwnAnswer::Preflight {
        route: Some(route),
        headers,
    })
}

/// Returns whether a page asks to read metadata, or to learn that there is none where it looked.
/// Other methods, and paths that a route has, are for the CORS rules of that route.
fn is_for_metadata(snapshot: &Snapshot, target: &Target<'_>, wanted: &Target<'_>) -> bool {
    if !matches!(*wanted.method(), Method::GET | Method::HEAD) {
        return false;
    }
    snapshot.metadata_of(target).is_some()
        || is_not_found(snapshot, target) && is_not_found(snapshot, wanted)
}

fn is_not_found(snapshot: &Snapshot, target: &Target<'_>) -> bool {
    match find(snapshot, target) {
        Ok(_) => false,
        Err(refusal) => matches!(refusal.cause, Cause::NoMetadata),
    }
}

/// The time for which a browser may cache the answer to a preflight, in seconds: that of the
/// metadata itself.
const METADATA_MAX_AGE: HeaderValue = HeaderValue::from_static("300");

/// Returns the fields that let any page read metadata, with any request field: MCP clients in
/// browsers send `MCP-Protocol-Version`. The asterisk does not stand for `Authorization`.
fn metadata_preflight() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*, Authorization"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, METADATA_MAX_AGE);
    headers
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
    /// Set if the route has the method, and does not deny it.
    has_method: bool,
}

/// Returns the route of the request that a preflight asks about.
fn asked<'s>(snapshot: &'s Snapshot, target: &Target<'_>) -> Option<Asked<'s>> {
    match find(snapshot, target) {
        Ok(rule) => Some(Asked {
            route: rule.route,
            has_method: rule.entry.requirement != Requirement::Denied,
        }),
        Err(Refusal {
            cause: Cause::Method { .. } | Cause::Denied(Denial::RouteDenied),
            route,
            ..
        }) => Some(Asked {
            route: route?,
            has_method: false,
        }),
        Err(_) => None,
    }
}
