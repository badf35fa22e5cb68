//! The groups to which requests belong that no route answers.

use std::collections::HashSet;

use http::Method;

use crate::config::{Config, Group};
use crate::route::{
    Access, Ambiguities, Conflict, Distinct, HostPattern, MethodPattern, Pattern, Rule, Table,
    Target,
};

/// The groups by host and prefix. They are found by a table of their own: so hosts and prefixes are
/// compared exactly as those of routes.
#[derive(Debug, Default)]
pub struct Groups {
    table: Table<Entry>,
    list: Vec<Group>,
}

/// The index of a group; `None` for a host that has routes and no group.
#[derive(Debug)]
struct Entry(Option<usize>);

impl Groups {
    /// Compiles the groups of a configuration.
    ///
    /// # Errors
    /// The first two groups with the same host and prefix.
    pub(super) fn new(config: &Config) -> Result<Self, Conflict> {
        if config.groups.is_empty() {
            return Ok(Self::default());
        }
        let mut rules = Vec::new();
        let mut hosts = HashSet::new();
        for (index, group) in config.groups.iter().enumerate() {
            rules.push(rule(group.host.clone(), group.paths.clone(), Some(index)));
            if group.has_every_path() {
                hosts.insert(&group.host);
            }
        }
        // The first host that has any route is final.
        for route in &config.routes {
            if hosts.insert(&route.host)
                && let Ok(every) = Pattern::parse(Group::EVERY_PATH)
            {
                rules.push(rule(route.host.clone(), every, None));
            }
        }
        Ok(Self {
            table: Table::new(rules)?,
            list: config.groups.clone(),
        })
    }

    /// Returns the group with the host of a request and the longest prefix of its path.
    #[must_use]
    pub fn find(&self, target: &Target<'_>) -> Option<&Group> {
        if self.list.is_empty() {
            return None;
        }
        let target = target.with_method(&Method::GET);
        let Entry(index) = self.table.find(&target).ok()?;
        self.list.get((*index)?)
    }

    /// Returns whether there is any group.
    #[must_use]
    pub fn are_any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Returns the groups.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.list.iter()
    }
}

fn rule(host: Option<HostPattern>, pattern: Pattern, value: Option<usize>) -> Rule<Entry> {
    Rule {
        host,
        pattern,
        method: MethodPattern::One(Method::GET),
        method_fallthrough: None,
        head: true,
        distinct: Distinct::default(),
        value: Entry(value),
    }
}

/// No group is stricter than another.
impl Access for Entry {
    fn allows(&self) -> Ambiguities {
        Ambiguities::default()
    }

    fn same_upstream(&self, _: &Self) -> bool {
        true
    }

    fn is_denied(&self) -> bool {
        false
    }

    fn admits_all_of(&self, _: &Self) -> bool {
        true
    }

    fn class(&self) -> usize {
        0
    }
}
