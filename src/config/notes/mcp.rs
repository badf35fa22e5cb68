//! A note on MCP servers whose metadata clients refuse.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::detours;
use crate::config::Route;
use crate::config::context::Context;
use crate::config::language::Problem;

/// The last segment by which a route is taken for one of an MCP server, as the protocol's own
/// examples have it.
const SEGMENT: &str = "/mcp";

/// Notes routes of MCP servers that are a part of a resource with another URL. Clients compare the
/// resource with the URL that they asked (RFC 9728 §3.3).
pub(crate) fn note(context: &Context, routes: &[Arc<Route>]) {
    for route in routes {
        let Some(resource) = &route.resource else {
            continue;
        };
        let pattern = route.pattern.as_str();
        let path = pattern.strip_suffix("/**").unwrap_or(pattern);
        let url = resource.to_string();
        if !path.ends_with(SEGMENT) || is_end(path, &url) || !route.needs_token() {
            continue;
        }
        let message = format!(
            "route \"{}\" is a part of the resource \"{}\", which MCP clients refuse if they are \
             given the URL of the route (RFC 9728 section 3.3); a group with prefix = \"{path}\", \
             strip = false and the path \"/**\" is a resource of its own",
            detours::label(route),
            url.trim_end_matches('/'),
        );
        context.note(Problem::without_span(message));
    }
}

/// Returns whether a URL ends with a path. The path may have escapes where the URL has others.
fn is_end(path: &str, url: &str) -> bool {
    let (path, url) = (percent_decode_str(path), percent_decode_str(url));
    let (path, url): (Vec<u8>, Vec<u8>) = (path.collect(), url.collect());
    url.ends_with(&path)
}
