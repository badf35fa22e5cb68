//! The route table: hosts, then a tree of path segments, then methods. The most specific rule wins;
//! the order of the file never decides. A rule that wins by a spelling alone, beside a stricter one
//! for what an application may take the path for, does not speak (see [`super::shadow`]).

use std::collections::BTreeMap;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use http::Method;

use super::marks::{Mark, marks};
use super::path::decode;
use super::stricter::{Rivals, speaking};
use super::{
    ANY, Access, Distinct, HostPattern, MethodPattern, Pattern, Segment, Tail, Target, host,
};

/// One line of the table: for which requests `value` speaks.
#[derive(Debug)]
pub struct Rule<T> {
    /// The host it is for; `None` for every host that no other rule names.
    pub host: Option<HostPattern>,
    /// The path.
    pub pattern: Pattern,
    /// The method.
    pub method: MethodPattern,
    /// The group in whose less specific patterns a method is looked for that is missing here;
    /// `None` for nowhere.
    pub method_fallthrough: Option<usize>,
    /// The differences that its application tells apart, so that it stands in no other rule's way.
    pub distinct: Distinct,
    /// What the table gives out.
    pub value: T,
}

/// A compiled table.
#[derive(Debug)]
pub struct Table<T> {
    rules: Vec<Rule<T>>,
    /// For each rule, on which paths it has to be compared with others.
    marks: Vec<Mark>,
    exact: HashMap<Box<str>, Root, RandomState>,
    wildcard: HashMap<Box<str>, Root, RandomState>,
    rest: Root,
}

/// Two rules with the same host, method and pattern: the indices of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict(pub usize, pub usize);

/// Why no rule speaks for a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss<'t, T> {
    /// No pattern matches the path: 404.
    NotFound,
    /// The path is there for other methods: 405.
    Method {
        /// The value of `Allow` (RFC 9110 §10.2.1).
        allow: &'t str,
        /// A rule of the pattern that would have matched.
        nearest: &'t T,
    },
    /// A rule matches, and a tolerant application would read the path as one of a stricter rule.
    Shadowed {
        /// The rule that matches.
        found: &'t T,
        /// The stricter one.
        by: &'t T,
    },
}

/// The rules of one host.
#[derive(Debug, Default)]
struct Root {
    node: Node,
    /// The patterns that its rules are compared with, where any of them has to be.
    rivals: Option<Rivals>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) literals: HashMap<Box<str>, Node, RandomState>,
    pub(super) param: Option<Box<Node>>,
    pub(super) here: Option<Leaf>,
    pub(super) rest: Option<Leaf>,
    pub(super) subtree: Option<Leaf>,
}

/// The rules of one pattern.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) rules: Vec<usize>,
    /// The group that all of them are of, if it falls through.
    pub(super) group: Option<usize>,
    allow: Box<str>,
}

impl<T> Default for Table<T> {
    /// A table without a rule.
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

    /// Compiles a table with marks that may be wider than need be.
    pub(super) fn compile(
        rules: Vec<Rule<T>>,
        marks: fn(&Node, &[Rule<T>], &mut [Mark]),
    ) -> Result<Self, Conflict> {
        let mut table = Self {
            marks: vec![Mark::Clear; rules.len()],
            rules,
            ..Self::default()
        };
        for index in 0..table.rules.len() {
            table.insert(index)?;
        }
        let Self {
            rules,
            marks: all,
            exact,
            wildcard,
            rest,
        } = &mut table;
        for root in exact
            .values_mut()
            .chain(wildcard.values_mut())
            .chain([rest])
        {
            root.node.finish(rules);
            marks(&root.node, rules, all);
            root.rivals = Rivals::of(&root.node, rules, all);
        }
        Ok(table)
    }

    /// The rule that speaks for a request.
    ///
    /// # Errors
    /// [`Miss`]
    pub fn find<'t>(&'t self, target: &Target<'_>) -> Result<&'t T, Miss<'t, T>> {
        let root = self.root(target.host);
        let mut search = Search::new(&self.rules, target.method);
        let path = target.path.strip_prefix('/').unwrap_or(target.path);
        let found = root.node.find(Some(path), &mut search);
        if let Some(index) = found
            && let Some(rule) = self.rules.get(index)
            && !search
                .outside
                .iter()
                .any(|other| self.is_stricter(*other, rule))
        {
            return match self.shadow(root, index, rule, target) {
                Some(by) => Err(Miss::Shadowed {
                    found: &rule.value,
                    by: &by.value,
                }),
                None => Ok(&rule.value),
            };
        }
        match search
            .passed
            .and_then(|leaf| Some((leaf, self.rules.get(*leaf.rules.first()?)?)))
        {
            Some((leaf, nearest)) => Err(Miss::Method {
                allow: &leaf.allow,
                nearest: &nearest.value,
            }),
            None => Err(Miss::NotFound),
        }
    }

    fn is_stricter(&self, index: usize, than: &Rule<T>) -> bool {
        self.rules
            .get(index)
            .is_none_or(|rule| !rule.value.admits_all_of(&than.value))
    }

    /// The stricter rule in whose way the one that was found would be.
    fn shadow<'t>(
        &'t self,
        root: &Root,
        index: usize,
        rule: &Rule<T>,
        target: &Target<'_>,
    ) -> Option<&'t Rule<T>> {
        let mark = self.marks.get(index).copied().unwrap_or(Mark::Always);
        if mark == Mark::Clear || mark == Mark::Unusual && target.is_plain() {
            return None;
        }
        // It is refused for what is ambiguous about it, and need not be read at all.
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
            _ => !target.ambiguities().is_empty() || rivals.is_strange(target.path),
        };
        if !may_be_read_otherwise {
            return None;
        }
        self.rules.get(rivals.stricter(&self.rules, rule, target)?)
    }

    /// Every rule, the one that wins over another before it: by host, then by path, then by method.
    #[must_use]
    pub fn in_match_order(&self) -> Vec<&Rule<T>> {
        let sorted = |map: &HashMap<Box<str>, Root, RandomState>, order: &mut Vec<usize>| {
            map.iter()
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .for_each(|root| root.node.collect(order));
        };
        let mut order = Vec::with_capacity(self.rules.len());
        sorted(&self.exact, &mut order);
        sorted(&self.wildcard, &mut order);
        self.rest.node.collect(&mut order);
        order
            .into_iter()
            .filter_map(|index| self.rules.get(index))
            .collect()
    }

    /// The first host that has any rule is final.
    fn root(&self, host: Option<&str>) -> &Root {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return &self.rest;
        }
        let Some(name) = host.and_then(host::normalize) else {
            return &self.rest;
        };
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact
            .get(&name)
            .or_else(wildcard)
            .unwrap_or(&self.rest)
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
        let mut node = &mut root.node;
        for segment in rule.pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        let leaf = match rule.pattern.tail() {
            None => node.here.get_or_insert_default(),
            Some(Tail::Rest(_)) => node.rest.get_or_insert_default(),
            Some(Tail::Subtree) => node.subtree.get_or_insert_default(),
        };
        let same = |other: &&usize| {
            self.rules
                .get(**other)
                .is_some_and(|other| other.method == rule.method)
        };
        if let Some(other) = leaf.rules.iter().find(same) {
            return Err(Conflict(*other, index));
        }
        leaf.rules.push(index);
        Ok(())
    }
}

impl Node {
    /// Depth first, the most specific child first. Every step goes one segment down both the tree
    /// and the path, so a node is visited at most once: the work is bounded by the table, whatever
    /// the path (requirements.md#r08).
    fn find<'t, T>(&'t self, path: Option<&str>, search: &mut Search<'t, '_, T>) -> Option<usize> {
        let Some(path) = path else {
            // `/admin/**` takes `/admin`, too.
            return search
                .consider(self.here.as_ref())
                .or_else(|| search.consider(self.subtree.as_ref()));
        };
        let (segment, below) = path
            .split_once('/')
            .map_or((path, None), |(segment, below)| (segment, Some(below)));
        let segment = decode(segment);
        if let Some(node) = self.literals.get(&*segment)
            && let Some(found) = node.find(below, search)
        {
            return Some(found);
        }
        if !segment.is_empty() {
            if let Some(node) = &self.param
                && let Some(found) = node.find(below, search)
            {
                return Some(found);
            }
            if let Some(found) = search.consider(self.rest.as_ref()) {
                return Some(found);
            }
        }
        search.consider(self.subtree.as_ref())
    }

    fn finish<T>(&mut self, rules: &[Rule<T>]) {
        for leaf in [&mut self.here, &mut self.rest, &mut self.subtree]
            .into_iter()
            .flatten()
        {
            leaf.finish(rules);
        }
        self.literals
            .values_mut()
            .chain(self.param.as_deref_mut())
            .for_each(|node| node.finish(rules));
    }

    /// The rules of each pattern from here on, in no order.
    pub(super) fn leaves<'t>(&'t self, found: &mut Vec<&'t Leaf>) {
        found.extend(
            [&self.here, &self.rest, &self.subtree]
                .into_iter()
                .flatten(),
        );
        self.literals
            .values()
            .chain(self.param.as_deref())
            .for_each(|node| node.leaves(found));
    }

    fn collect(&self, order: &mut Vec<usize>) {
        let leaf = |leaf: &Option<Leaf>, order: &mut Vec<usize>| {
            order.extend(leaf.iter().flat_map(|leaf| &leaf.rules));
        };
        leaf(&self.here, order);
        let sorted: BTreeMap<_, _> = self.literals.iter().collect();
        sorted
            .into_values()
            .chain(self.param.as_deref())
            .for_each(|node| node.collect(order));
        leaf(&self.rest, order);
        leaf(&self.subtree, order);
    }
}

impl Leaf {
    /// Methods before `ANY`, so that the first that fits is the right one.
    fn finish<T>(&mut self, rules: &[Rule<T>]) {
        let key = |index: &usize| match rules.get(*index).map(|rule| &rule.method) {
            Some(MethodPattern::One(method)) => (false, method.to_string()),
            _ => (true, String::new()),
        };
        self.rules.sort_by_cached_key(key);
        let own = || self.rules.iter().filter_map(|index| rules.get(*index));
        let group = own().next().and_then(|rule| rule.method_fallthrough);
        self.group = group.filter(|_| own().all(|rule| rule.method_fallthrough == group));
        self.allow = allow(own().map(|rule| &rule.method)).into();
    }
}

/// The value of `Allow`: `HEAD` follows `GET`, `ANY` is spelled out.
fn allow<'m>(methods: impl Iterator<Item = &'m MethodPattern>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for method in methods {
        match method {
            MethodPattern::One(method) if *method == Method::GET => names.extend(["GET", "HEAD"]),
            MethodPattern::One(method) => names.push(method.as_str()),
            MethodPattern::Any => names.extend(ANY.iter().map(Method::as_str)),
        }
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The state of one look-up.
struct Search<'t, 'r, T> {
    rules: &'t [Rule<T>],
    method: &'r Method,
    /// The most specific pattern that matched without the method.
    passed: Option<&'t Leaf>,
    /// Set when no less specific pattern may speak for it.
    halted: bool,
    /// Rules outside of that pattern's group that would speak before the one that is found.
    outside: Vec<usize>,
}

impl<'t, 'r, T> Search<'t, 'r, T> {
    fn new(rules: &'t [Rule<T>], method: &'r Method) -> Self {
        Self {
            rules,
            method,
            passed: None,
            halted: false,
            outside: Vec::new(),
        }
    }

    fn consider(&mut self, leaf: Option<&'t Leaf>) -> Option<usize> {
        let leaf = leaf?;
        if self.halted {
            return None;
        }
        let found = speaking(&leaf.rules, self.method, self.rules);
        let Some(first) = self.passed else {
            if found.is_none() {
                self.passed = Some(leaf);
                self.halted = leaf.group.is_none();
            }
            return found;
        };
        // A group goes on within its own patterns alone: a scoped `GET /admin` there must open
        // `POST /admin` neither to another group's public `/**`, nor to its own where a stricter
        // route of others lies between.
        let Some(index) = found else {
            self.halted = leaf.group != first.group;
            return None;
        };
        if self
            .rules
            .get(index)
            .is_some_and(|rule| rule.method_fallthrough == first.group)
        {
            return found;
        }
        self.outside.push(index);
        None
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
