//! The settings of groups for requests that no route answers.

use std::collections::HashMap;
use std::sync::Arc;

use super::errors::Errors;
use super::header_rules::LocatedRules;
use crate::config::context::Context;
use crate::config::language::{Problem, Span};
use crate::route::{HostPattern, Pattern};
use crate::transform::{Cors, HeaderRules};

/// The settings of a group for the paths under its prefix that no route has.
#[derive(Clone, Debug)]
pub struct Group {
    /// The host of the group; `None` for every host that no route names.
    pub host: Option<HostPattern>,
    /// The paths under the prefix of the group.
    pub paths: Pattern,
    /// The form of the answers.
    pub errors: Arc<Errors>,
    /// The header rules for responses.
    pub response: HeaderRules,
    /// The CORS settings.
    pub cors: Option<Arc<Cors>>,
}

impl Group {
    /// The paths of a group without a prefix.
    pub const EVERY_PATH: &str = "/**";

    /// Returns whether the group has no prefix.
    #[must_use]
    pub fn has_every_path(&self) -> bool {
        self.paths.as_str() == Self::EVERY_PATH
    }
}

/// A group of the file.
pub(super) struct LocatedGroup {
    pub(super) host: Option<HostPattern>,
    /// Further hosts, which only routes of the group name.
    pub(super) route_hosts: Vec<HostPattern>,
    pub(super) prefix: Option<String>,
    pub(super) errors: Arc<Errors>,
    pub(super) response: Option<Arc<LocatedRules>>,
    pub(super) cors: Option<Arc<Cors>>,
    /// The beginning of messages.
    pub(super) subject: String,
    pub(super) span: Span,
}

impl LocatedGroup {
    fn rules(&self) -> HeaderRules {
        match &self.response {
            Some(located) => located.rules.clone(),
            None => HeaderRules::default(),
        }
    }

    /// Returns the hosts of the group and of its routes.
    fn hosts(&self) -> Vec<Option<HostPattern>> {
        let mut hosts = vec![self.host.clone()];
        for host in &self.route_hosts {
            let host = Some(host.clone());
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// Returns the settings at one host.
    fn at(&self, host: Option<HostPattern>) -> Option<Group> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        Some(Group {
            host,
            // The prefix is one, so the whole is a pattern.
            paths: Pattern::join(prefix, Group::EVERY_PATH).ok()?,
            errors: Arc::clone(&self.errors),
            response: self.rules(),
            cors: self.cors.clone(),
        })
    }
}

/// Returns the settings for each host and prefix. Where several groups have the same, what they
/// agree on holds. `outer` is the form of answers without a group.
pub(super) fn merge(
    context: &Context,
    located: &[LocatedGroup],
    outer: &Arc<Errors>,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(Option<HostPattern>, &str), (usize, &LocatedGroup)> = HashMap::new();
    for group in located {
        for host in group.hosts() {
            let prefix = group.prefix.as_deref().unwrap_or_default();
            let place = (host.clone(), prefix);
            if let Some((index, first)) = known.get(&place)
                && let Some(merged) = groups.get_mut(*index)
            {
                if !agree(merged, group, outer) {
                    report(context, first, group);
                }
                continue;
            }
            if let Some(settings) = group.at(host) {
                known.insert(place, (groups.len(), group));
                groups.push(settings);
            }
        }
    }
    groups
}

/// Leaves in the settings what another group has as well. Returns `false` if the groups state
/// different answers for paths that only they have: only one of them could hold.
fn agree(merged: &mut Group, other: &LocatedGroup, outer: &Arc<Errors>) -> bool {
    if merged.response != other.rules() {
        merged.response = HeaderRules::default();
    }
    if merged.cors != other.cors {
        merged.cors = None;
    }
    if merged.errors == other.errors {
        return true;
    }
    merged.errors = Arc::clone(outer);
    // Every path is not theirs alone: without a prefix and a host a group is a list of routes.
    merged.host.is_none() && merged.has_every_path()
}

fn report(context: &Context, first: &LocatedGroup, second: &LocatedGroup) {
    let message = format!(
        "{}: a group with the same host and prefix states other \"errors\"",
        second.subject
    );
    context.problem(
        Problem::at(second.span, message)
            .label("these would hold as well for paths that no route has")
            .related(first.span, "the other group")
            .hint("write the same \"errors\" in both, or another prefix"),
    );
}
