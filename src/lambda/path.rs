//! The parameters of a path in its event.

use std::collections::BTreeMap;

use super::EventFacts;
use crate::route::{Segment, Tail};

/// The values of path parameters, by name. They are the bytes of the path as they came.
pub(super) type PathParameters<'r> = BTreeMap<String, &'r str>;

/// Returns the parameters of the path. A greedy one has no slash at its end, and is absent if
/// nothing else is left of it.
pub(super) fn parameters<'r>(facts: &EventFacts<'r>) -> PathParameters<'r> {
    let mut parameters = PathParameters::new();
    let pattern = facts.route.pattern;
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
        Some(Tail::Subtree) => facts.route.greedy_name(),
        None => return parameters,
    };
    if !rest.is_empty() {
        parameters.insert(name, rest);
    }
    parameters
}
