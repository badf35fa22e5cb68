//! A route and a host as API Gateway names them: in events, and in lines of the access log.

use crate::route::{MethodPattern, Pattern, Segment, Tail};

/// The stage of a route outside of a group with a prefix, and the key of the route that takes every
/// request.
const DEFAULT: &str = "$default";

/// The name of the parameter that stands for `**`, which has no name of its own.
const PROXY: &str = "proxy";

/// A route as API Gateway names it.
#[derive(Clone, Copy, Debug)]
pub struct ApiRoute<'r> {
    /// The pattern, with the prefix of its group.
    pub pattern: &'r Pattern,
    /// The prefix of the group, if it is removed before forwarding.
    pub prefix: Option<&'r str>,
    /// The stage that the configuration of the function names.
    pub stage: Option<&'r str>,
}

impl<'r> ApiRoute<'r> {
    /// Returns the stage: that of the configuration, or the prefix of the group without its slash.
    #[must_use]
    pub fn stage(&self) -> &'r str {
        match (self.stage, self.prefix) {
            (Some(stage), _) => stage,
            (None, Some(prefix)) => prefix.trim_start_matches('/'),
            (None, None) => DEFAULT,
        }
    }

    /// Returns the pattern in the form of API Gateway, without the stage: `**` is `{proxy+}`.
    #[must_use]
    pub fn resource(&self) -> String {
        let pattern = self.without_stage(self.pattern.as_str());
        match (self.pattern.tail(), pattern.strip_suffix("**")) {
            (Some(Tail::Subtree), Some(before)) => format!("{before}{{{}+}}", self.greedy_name()),
            _ => pattern.to_owned(),
        }
    }

    /// Returns the key of the route by which it answers with this method: the method and the
    /// resource, or `$default`.
    #[must_use]
    pub fn key(&self, method: &MethodPattern) -> String {
        match self.is_default(method) {
            true => DEFAULT.to_owned(),
            false => format!("{method} {}", self.resource()),
        }
    }

    /// Returns whether the route is what an HTTP API calls `$default`: any method of any path.
    pub(super) fn is_default(&self, method: &MethodPattern) -> bool {
        *method == MethodPattern::Any && self.without_stage(self.pattern.as_str()) == "/**"
    }

    /// Returns a path or a pattern without as many segments as the prefix has; `/` if none is left.
    pub(super) fn without_stage<'t>(&self, text: &'t str) -> &'t str {
        let count = self.prefix.map_or(0, |prefix| prefix.matches('/').count());
        match text.match_indices('/').nth(count) {
            Some((at, _)) => text.get(at..).unwrap_or("/"),
            None => "/",
        }
    }

    /// Returns the name of the parameter for `**`: `proxy`, unless another parameter has that name.
    pub(super) fn greedy_name(&self) -> String {
        let mut name = PROXY.to_owned();
        while self.has_parameter(&name) {
            name.push('_');
        }
        name
    }

    fn has_parameter(&self, name: &str) -> bool {
        let mut segments = self.pattern.segments().iter();
        segments.any(|segment| matches!(segment, Segment::Param(known) if **known == *name))
    }
}

/// Returns a host without its port.
#[must_use]
pub fn domain_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The last colon of an address of IPv6 is inside of its brackets.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// Returns the first label of a host.
#[must_use]
pub fn domain_prefix(host: &str) -> &str {
    let name = domain_name(host);
    match name.split_once('.') {
        Some((first, _)) => first,
        None => name,
    }
}
