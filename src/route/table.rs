//! The route table: hosts, then a tree of path segments, then methods.
//!
//! The most specific rule wins; the order of the file never decides. A rule that matches only
//! because of the spelling of the path does not apply if a tolerant application may take the path
//! for that of a stricter rule (see [`super::stricter`]).

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use http::Method;

use super::marks::{Mark, marks};
use super::stricter::Rivals;
use super::tree::{Node, Search};
use super::{Access, HostPattern, Rule, Target, host};

/// A compiled table.
#[derive(Debug)]
pub struct Table<T> {
    rules: Vec<Rule<T>>,
    /// For each rule, the paths on which it is compared with other rules.
    marks: Vec<Mark>,
    exact: Hosts,
    wildcard: Hosts,
    /// The rules for hosts that no other rule names.
    rest: Root,
}

type Hosts = HashMap<Box<str>, Root, RandomState>;

/// Two rules with the same host, method and pattern: the indices of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict(pub usize, pub usize);

/// The reason why no rule applies to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss<'t, T> {
    /// No pattern matches the path: 404.
    NotFound,
    /// A pattern matches the path, but has other methods: 405.
    Method {
        /// The value of `Allow` (RFC 9110 §10.2.1).
        allow: String,
        /// A rule of the pattern that matches.
        nearest: &'t T,
    },
    /// A rule matches, and a tolerant application may take the path for that of a stricter rule.
    Shadowed {
        /// The rule that matches.
        found: &'t T,
        /// The stricter rule.
        by: &'t T,
    },
}

/// The rules of one host.
#[derive(Debug, Default)]
struct Root {
    node: Node,
    /// The patterns that the rules are compared with, if any rule is compared.
    rivals: Option<Rivals>,
}

impl<T> Default for Table<T> {
    /// Returns a table without rules.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            marks: Vec::new(),
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            rest: Root::default(),
        }
    }
}

impl<T: Access> Table<T> {
    /// Compiles a table.
    ///
    /// # Errors
    /// The first [`Conflict`].
    pub fn new(rules: Vec<Rule<T>>) -> Result<Self, Conflict> {
        Self::compile(rules, marks)
    }

    /// Compiles a table with another function that marks rules. Its marks may be wider than
    /// necessary, but not narrower.
    pub(super) fn compile(
        rules: Vec<Rule<T>>,
        marks: fn(&Node, &[Rule<T>], &mut [Mark]),
    ) -> Result<Self, Conflict> {
        let mut table = Self {
            marks: vec![Mark::Never; rules.len()],
            rules,
            ..Self::default()
        };
        for index in 0..table.rules.len() {
            table.insert(index)?;
        }
        let roots = table
            .exact
            .values_mut()
            .chain(table.wildcard.values_mut())
            .chain([&mut table.rest]);
        for root in roots {
            root.node.finish(&table.rules);
            marks(&root.node, &table.rules, &mut table.marks);
            root.rivals = Rivals::of(&root.node, &table.rules, &table.marks);
        }
        Ok(table)
    }

    fn insert(&mut self, index: usize) -> Result<(), Conflict> {
        let Some(rule) = self.rules.get(index) else {
            return Ok(());
        };
        let root = match &rule.host {
            None => &mut self.rest,
            Some(HostPattern::Exact(name)) => self.exact.entry(name.clone()).or_default(),
            Some(HostPattern::Wildcard(name)) => self.wildcard.entry(name.clone()).or_default(),
        };
        let leaf = root.node.leaf_mut(&rule.pattern);
        for other in &leaf.rules {
            if self
                .rules
                .get(*other)
                .is_some_and(|other| other.method == rule.method)
            {
                return Err(Conflict(*other, index));
            }
        }
        leaf.rules.push(index);
        Ok(())
    }

    /// Returns the value of the rule that applies to a request.
    ///
    /// # Errors
    /// [`Miss`]
    pub fn find<'t>(&'t self, target: &Target<'_>) -> Result<&'t T, Miss<'t, T>> {
        let root = self.root(target.host);
        let mut search = Search::new(&self.rules, target.method);
        if let Some((index, rule)) = self.look_up(root, target, &mut search) {
            return match self.shadow(root, index, rule, target) {
                Some(by) => Err(Miss::Shadowed {
                    found: &rule.value,
                    by: &by.value,
                }),
                None => Ok(&rule.value),
            };
        }
        Err(self.miss(root, target, &search))
    }

    /// Returns the rule that matches a request, whatever spellings of its path mean.
    #[inline]
    fn look_up<'t>(
        &'t self,
        root: &'t Root,
        target: &Target<'_>,
        search: &mut Search<'t, '_, T>,
    ) -> Option<(usize, &'t Rule<T>)> {
        let path = target.path.strip_prefix('/').unwrap_or(target.path);
        let index = root.node.find(Some(path), search)?;
        let rule = self.rules.get(index)?;
        let mut outside = search.outside.iter();
        (!outside.any(|other| self.is_stricter(*other, rule))).then_some((index, rule))
    }

    /// Returns the reason why a search has found no rule.
    fn miss<'t>(
        &'t self,
        root: &Root,
        target: &Target<'_>,
        search: &Search<'t, '_, T>,
    ) -> Miss<'t, T> {
        if let Some(leaf) = search.nearest
            && let Some(index) = leaf.rules.first()
            && let Some(rule) = self.rules.get(*index)
        {
            return Miss::Method {
                allow: match leaf.group {
                    Some(_) => self.allow_of_group(root, target),
                    None => leaf.allow(&self.rules),
                },
                nearest: &rule.value,
            };
        }
        Miss::NotFound
    }

    /// Returns the methods that are answered for a path whose patterns fall through to others.
    #[cold]
    fn allow_of_group(&self, root: &Root, target: &Target<'_>) -> String {
        let mut search = Search::of_all(&self.rules, target.method);
        self.look_up(root, target, &mut search);
        let mut methods: Vec<&Method> = vec![&Method::HEAD];
        for leaf in search.all.into_iter().flatten() {
            methods.extend(leaf.methods(&self.rules));
        }
        methods.sort_unstable_by_key(|method| method.as_str());
        methods.dedup();
        methods.retain(|method| {
            let mut search = Search::new(&self.rules, method);
            let found = self.look_up(root, target, &mut search);
            found.is_some_and(|(_, rule)| !rule.value.is_denied())
        });
        let names: Vec<_> = methods.into_iter().map(Method::as_str).collect();
        names.join(", ")
    }

    /// Returns the rules of a host. The first host pattern that matches is final, in the order:
    /// the exact name, a wildcard, the rules without a host.
    fn root(&self, host: Option<&str>) -> &Root {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return &self.rest;
        }
        let Some(name) = host.and_then(host::normalize) else {
            return &self.rest;
        };
        if let Some(root) = self.exact.get(&name) {
            return root;
        }
        match name.split_once('.') {
            Some((_, parent)) => self.wildcard.get(parent).unwrap_or(&self.rest),
            None => &self.rest,
        }
    }

    fn is_stricter(&self, index: usize, than: &Rule<T>) -> bool {
        self.rules
            .get(index)
            .is_none_or(|rule| !rule.value.admits_all_of(&than.value))
    }

    /// Returns a stricter rule that a tolerant application may find in place of `rule`, which has
    /// this index and matches the path.
    fn shadow<'t>(
        &'t self,
        root: &Root,
        index: usize,
        rule: &Rule<T>,
        target: &Target<'_>,
    ) -> Option<&'t Rule<T>> {
        let mark = self.marks.get(index).copied().unwrap_or(Mark::Always);
        if mark == Mark::Never || mark == Mark::UnlessPlain && target.is_plain() {
            return None;
        }
        // The request is refused for its ambiguity, so its path need not be read.
        if target
            .ambiguities()
            .first_beyond(rule.value.allows())
            .is_some()
        {
            return None;
        }
        let rivals = root.rivals.as_ref()?;
        let may_be_read_otherwise = match mark {
            Mark::Always if target.is_plain() => rivals.may_match_plain(target.path, &self.rules),
            Mark::Always => true,
            _ => !target.ambiguities().is_empty() || rivals.may_match_folded(target.path),
        };
        if !may_be_read_otherwise {
            return None;
        }
        self.rules.get(rivals.stricter(&self.rules, rule, target)?)
    }

    /// Returns all rules, in the order in which they were given.
    #[must_use]
    pub fn rules(&self) -> &[Rule<T>] {
        &self.rules
    }

    /// Returns all rules, each one before those that it takes precedence over: by host, then by
    /// path, then by method.
    #[must_use]
    pub fn in_match_order(&self) -> Vec<&Rule<T>> {
        let mut order = Vec::with_capacity(self.rules.len());
        for hosts in [&self.exact, &self.wildcard] {
            let sorted: BTreeMap<_, _> = hosts.iter().collect();
            for root in sorted.into_values() {
                root.node.collect_in_match_order(&mut order);
            }
        }
        self.rest.node.collect_in_match_order(&mut order);
        let rules = order.into_iter();
        rules.filter_map(|index| self.rules.get(index)).collect()
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
