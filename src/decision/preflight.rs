//! Preflights of browsers (the Fetch standard, "CORS-preflight request").

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
};
use http::{HeaderMap, HeaderValue, Method};

use super::rule::find;
use super::{Cause, OwnAnswer};
use crate::config::{Errors, Group};
use crate::policy::Denial;
use crate::route::Target;
use crate::snapshot::{Route, Snapshot, is_metadata_path};
use crate::transform::{Cors, HeaderRules, Preflight, origin_of};

/// Returns the answer to a preflight for the metadata of a protected resource, for a path whose
/// routes have CORS rules, unless one of them lists `OPTIONS` itself, or for a path without routes
/// in a group with CORS rules. It comes before authorization, since browsers send no credentials
/// with a preflight, and tells only which requests a page may send.
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
            errors: &snapshot.config.errors,
            headers: metadata_preflight(),
        });
    }
    if answers_options(snapshot, target) {
        return None;
    }
    let asked = asked(snapshot, &wanted)?;
    let preflight = Preflight {
        origin,
        method: &method,
        fields: headers,
    };
    let mut headers = asked.cors()?.preflight(preflight, asked.has_method());
    asked.response_rules().complete(&mut headers);
    Some(OwnAnswer::Preflight {
        route: asked.route(),
        errors: asked.errors(),
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

/// The route or the group of the request that a preflight asks about.
enum Asked<'s> {
    Route {
        route: &'s Route,
        /// Set if the route has the method, and does not deny it.
        has_method: bool,
    },
    /// No route has the path. A page that may read the answers of the group may read that it is a
    /// 404.
    Group(&'s Group),
}

impl<'s> Asked<'s> {
    fn route(&self) -> Option<&'s Route> {
        match self {
            Self::Route { route, .. } => Some(route),
            Self::Group(_) => None,
        }
    }

    fn has_method(&self) -> bool {
        match self {
            Self::Route { has_method, .. } => *has_method,
            Self::Group(_) => true,
        }
    }

    fn cors(&self) -> Option<&'s Cors> {
        let cors = match self {
            Self::Route { route, .. } => &route.config.heads.cors,
            Self::Group(group) => &group.cors,
        };
        cors.as_deref()
    }

    fn response_rules(&self) -> &'s HeaderRules {
        match self {
            Self::Route { route, .. } => &route.config.heads.response,
            Self::Group(group) => &group.response,
        }
    }

    fn errors(&self) -> &'s Errors {
        match self {
            Self::Route { route, .. } => &route.config.errors,
            Self::Group(group) => &group.errors,
        }
    }
}

/// Returns the route of the request that a preflight asks about, or the group of a path that no
/// route has.
fn asked<'s>(snapshot: &'s Snapshot, target: &Target<'_>) -> Option<Asked<'s>> {
    let refusal = match find(snapshot, target) {
        Ok(rule) => {
            return Some(Asked::Route {
                route: rule.route,
                has_method: !rule.entry.requirement.is_denied(),
            });
        }
        Err(refusal) => refusal,
    };
    match refusal.cause {
        Cause::Method { .. } | Cause::Denied(Denial::RouteDenied) => Some(Asked::Route {
            route: refusal.route?,
            has_method: false,
        }),
        Cause::NotFound => Some(Asked::Group(refusal.group?)),
        _ => None,
    }
}
