//! Paths of a document as paths of routes.

use super::document::Node;
use super::finding::{Code, Finding, Untranslated};
use super::openapi::{Api, ApiError, ApiFault, Operation};
use super::options::{BasePath, Prefix};
use crate::route::Pattern;

/// Returns the path of an operation's route, without the prefix of its group.
///
/// # Errors
/// Returns an error for a path that no route can have.
pub(super) fn route_path(operation: &Operation<'_>, prefix: &Prefix) -> Result<String, ApiError> {
    let path = match operation.is_default_route() {
        true => "/**".to_owned(),
        false => pattern(operation.path),
    };
    match Pattern::join(&prefix.text, &path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let fault = ApiFault::Pattern(operation.path.into(), error.to_string().into());
            Err(ApiError::at(operation.place, fault))
        }
    }
}

/// Returns the path that an upstream gets unless it is rewritten.
pub(super) fn forwarded(path: &str, prefix: &Prefix) -> String {
    match prefix.is_stripped {
        true => path.to_owned(),
        false => format!("{}{path}", prefix.text),
    }
}

/// Returns a path whose parameters have names that routes can have.
fn pattern(path: &str) -> String {
    let segments = path.split('/').map(|segment| match parameter(segment) {
        Some((name, is_greedy)) => placeholder(name, is_greedy),
        None => literal(segment),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Returns a segment as a literal of a pattern, in which a star would match other paths.
fn literal(segment: &str) -> String {
    segment.replace('*', "%2A")
}

/// Returns the prefix of the routes: of the first server.
///
/// # Errors
/// Returns an error for a server whose path no prefix can be.
pub(super) fn prefix(api: &Api<'_>, mode: BasePath) -> Result<Prefix, ApiError> {
    let Some(server) = api.servers.first() else {
        return Ok(mode.prefix(""));
    };
    let mut prefix = mode.prefix(&server.base_path);
    prefix.text = literal(&prefix.text);
    if prefix.text.is_empty() {
        return Ok(prefix);
    }
    let reason = match Pattern::parse(&prefix.text) {
        Ok(_) => return Ok(prefix),
        Err(reason) => reason.to_string(),
    };
    let fault = ApiFault::Server(prefix.text.into(), reason.into());
    Err(ApiError::at(server.place, fault))
}

/// Returns the finding about a first server whose path decides about the prefix, and is not known.
pub(super) fn unknown_prefix(api: &Api<'_>, mode: BasePath) -> Option<Finding> {
    let server = api.servers.first()?;
    let counts = !server.is_known && mode != BasePath::Ignore;
    let url = server.node.get("url").and_then(Node::text);
    let about = url.map(|url| format!("{url:?}")).unwrap_or_default();
    let note = Untranslated::new(Code::UnreadableServer, server.place, about);
    counts.then(|| note.of_document())
}

/// Returns the name of a segment's parameter, and whether it is greedy.
pub(super) fn parameter(segment: &str) -> Option<(&str, bool)> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    // Two parameters in one segment are none.
    if name.contains(['{', '}']) {
        return None;
    }
    match name.strip_suffix('+') {
        Some(name) => Some((name, true)),
        None => Some((name, false)),
    }
}

/// Returns the parameter of a path by its name, which an export may have with or without its `+`.
pub(super) fn parameter_of(path: &str, name: &str) -> Option<String> {
    let name = name.strip_suffix('+').unwrap_or(name);
    let mut parameters = path.split('/').filter_map(parameter);
    let (_, is_greedy) = parameters.find(|(known, _)| *known == name)?;
    Some(placeholder(name, is_greedy))
}

fn placeholder(name: &str, is_greedy: bool) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name
        .chars()
        .map(|c| if is_part(c) { c } else { '_' })
        .collect();
    let plus = if is_greedy { "+" } else { "" };
    format!("{{{name}{plus}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_names_where_routes_can_have_them() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/{id}/b", "/a/{id}/b"),
            ("/{proxy+}", "/{proxy+}"),
            ("/{a.b:c}/x", "/{a_b_c}/x"),
            ("/{order-id}", "/{order-id}"),
            ("/f/**", "/f/%2A%2A"),
            ("/a*b/*", "/a%2Ab/%2A"),
            ("/{a}{b}", "/{a}{b}"),
            ("/a:b/$x", "/a:b/$x"),
        ] {
            assert_eq!(pattern(path), expected);
        }
        assert_eq!(
            parameter_of("/a/{proxy+}", "proxy").as_deref(),
            Some("{proxy+}")
        );
        assert_eq!(
            parameter_of("/a/{proxy+}", "proxy+").as_deref(),
            Some("{proxy+}")
        );
        assert_eq!(parameter_of("/a/{x.y}", "x.y").as_deref(), Some("{x_y}"));
        assert_eq!(parameter_of("/a/{x}", "y"), None);
    }
}
