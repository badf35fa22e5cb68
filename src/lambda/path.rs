//! What the path and the pattern of a request are in its event.

use std::collections::BTreeMap;

use super::{EventFacts, Function};
use crate::route::{MethodPattern, Segment, Tail};

/// The stage of a route outside of a group with a prefix.
const DEFAULT: &str = "$default";

/// The name of the parameter that stands for `**`, which has no name of its own.
const PROXY: &str = "proxy";

/// The values of path parameters, by name. They are the bytes of the path as they came.
pub(super) type PathParameters<'r> = BTreeMap<String, &'r str>;

/// Returns the stage: that of the configuration, or the prefix of the group without its slash.
pub(super) fn stage<'r>(function: &'r Function, facts: &EventFacts<'r>) -> &'r str {
    if let Some(stage) = &function.stage {
        return stage;
    }
    match facts.prefix {
        Some(prefix) => prefix.trim_start_matches('/'),
        None => DEFAULT,
    }
}

/// Returns the path without the stage.
pub(super) fn path<'r>(facts: &EventFacts<'r>) -> &'r str {
    without_prefix(facts.path, facts.prefix)
}

/// Returns the pattern in the form of API Gateway, without the stage: `**` is `{proxy+}`.
pub(super) fn resource(facts: &EventFacts<'_>) -> String {
    let pattern = without_prefix(facts.pattern.as_str(), facts.prefix);
    match (facts.pattern.tail(), pattern.strip_suffix("**")) {
        (Some(Tail::Subtree), Some(before)) => format!("{before}{{{}+}}", greedy_name(facts)),
        _ => pattern.to_owned(),
    }
}

/// Returns whether the route is what an HTTP API calls `$default`: any method of any path.
pub(super) fn is_default(facts: &EventFacts<'_>) -> bool {
    *facts.rule == MethodPattern::Any
        && without_prefix(facts.pattern.as_str(), facts.prefix) == "/**"
}

/// Returns the parameters of the path. A greedy one has no slash at its end, and is absent if
/// nothing else is left of it.
pub(super) fn parameters<'r>(facts: &EventFacts<'r>) -> PathParameters<'r> {
    let mut parameters = PathParameters::new();
    let pattern = facts.pattern;
    let mut rest = facts.path;
    for segment in pattern.segments() {
        rest = rest.strip_prefix('/').unwrap_or_default();
        let (value, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if let Segment::Param(name) = segment {
            parameters.insert(name.to_string(), value);
        }
        rest = after;
    }
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let name = match pattern.tail() {
        Some(Tail::Rest(name)) => name.to_string(),
        Some(Tail::Subtree) => greedy_name(facts),
        None => return parameters,
    };
    if !rest.is_empty() {
        parameters.insert(name, rest);
    }
    parameters
}

/// Returns the name of the parameter for `**`: `proxy`, unless another parameter has that name.
fn greedy_name(facts: &EventFacts<'_>) -> String {
    let mut name = PROXY.to_owned();
    let has = |name: &str| {
        let mut segments = facts.pattern.segments().iter();
        segments.any(|segment| matches!(segment, Segment::Param(known) if **known == *name))
    };
    while has(&name) {
        name.push('_');
    }
    name
}

/// Returns a path or a pattern without as many segments as a prefix has; `/` if none is left.
fn without_prefix<'t>(text: &'t str, prefix: Option<&str>) -> &'t str {
    let count = prefix.map_or(0, |prefix| prefix.matches('/').count());
    match text.match_indices('/').nth(count) {
        Some((at, _)) => text.get(at..).unwrap_or("/"),
        None => "/",
    }
}
