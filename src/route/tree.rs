//! The rules of one host as a tree of path segments, and the look-up of a path in it.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use http::Method;

use super::path::decode;
use super::rule::rule_for_method;
use super::{ANY, Access, MethodPattern, Pattern, Rule, Segment, Tail};

/// A node of the tree: the patterns that begin with the same segments.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The nodes behind a literal, by its decoded text.
    pub(super) literals: HashMap<Box<str>, Node, RandomState>,
    /// The node behind a parameter.
    pub(super) param: Option<Box<Node>>,
    /// The pattern that ends here.
    pub(super) here: Option<Leaf>,
    /// The pattern that ends here with `{rest+}`.
    pub(super) rest: Option<Leaf>,
    /// The pattern that ends here with `**`.
    pub(super) subtree: Option<Leaf>,
}

/// The rules of one pattern.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    /// The indices of the rules, in the order of their methods.
    pub(super) rules: Vec<usize>,
    /// The group of all of the rules, if it falls through.
    pub(super) group: Option<usize>,
}

impl Node {
    /// Returns the leaf of a pattern, and makes the nodes on the way to it.
    pub(super) fn leaf_mut(&mut self, pattern: &Pattern) -> &mut Leaf {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        match pattern.tail() {
            None => node.here.get_or_insert_default(),
            Some(Tail::Rest(_)) => node.rest.get_or_insert_default(),
            Some(Tail::Subtree) => node.subtree.get_or_insert_default(),
        }
    }

    /// Looks up the rest of a path, depth first, the most specific child first. `None` is the end
    /// of the path. Each step goes down one segment in both the tree and the path, so a node is
    /// visited at most once: the size of the tree bounds the work for any path
    /// (requirements.md#r08).
    pub(super) fn find<'t, T>(
        &'t self,
        path: Option<&str>,
        search: &mut Search<'t, '_, T>,
    ) -> Option<usize> {
        let Some(path) = path else {
            // `/admin/**` matches `/admin`, too.
            return search
                .consider(self.here.as_ref())
                .or_else(|| search.consider(self.subtree.as_ref()));
        };
        let (segment, below) = match path.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path, None),
        };
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

    /// Completes the leaves, when all rules are in the tree.
    pub(super) fn finish<T: Access>(&mut self, rules: &[Rule<T>]) {
        let leaves = [&mut self.here, &mut self.rest, &mut self.subtree];
        for leaf in leaves.into_iter().flatten() {
            leaf.finish(rules);
        }
        for node in self.literals.values_mut() {
            node.finish(rules);
        }
        if let Some(node) = &mut self.param {
            node.finish(rules);
        }
    }

    /// Returns the leaves of this node and of all nodes below it, in no order.
    pub(super) fn leaves(&self) -> Vec<&Leaf> {
        let mut leaves = Vec::new();
        self.collect_leaves(&mut leaves);
        leaves
    }

    fn collect_leaves<'t>(&'t self, leaves: &mut Vec<&'t Leaf>) {
        leaves.extend(&self.here);
        leaves.extend(&self.rest);
        leaves.extend(&self.subtree);
        for node in self.literals.values() {
            node.collect_leaves(leaves);
        }
        if let Some(node) = &self.param {
            node.collect_leaves(leaves);
        }
    }

    /// Appends the rules of the tree, the more specific before the less specific.
    pub(super) fn collect_in_match_order(&self, order: &mut Vec<usize>) {
        append_rules(self.here.as_ref(), order);
        let sorted: BTreeMap<_, _> = self.literals.iter().collect();
        for node in sorted.into_values() {
            node.collect_in_match_order(order);
        }
        if let Some(node) = &self.param {
            node.collect_in_match_order(order);
        }
        append_rules(self.rest.as_ref(), order);
        append_rules(self.subtree.as_ref(), order);
    }
}

fn append_rules(leaf: Option<&Leaf>, order: &mut Vec<usize>) {
    if let Some(leaf) = leaf {
        order.extend(&leaf.rules);
    }
}

impl Leaf {
    /// Returns the methods that its rules name; those of `ANY` are spelled out.
    pub(super) fn methods<'t, T>(&self, rules: &'t [Rule<T>]) -> Vec<&'t Method> {
        let mut methods = Vec::new();
        for rule in self.rules.iter().filter_map(|index| rules.get(*index)) {
            match &rule.method {
                MethodPattern::One(method) => methods.push(method),
                MethodPattern::Any => methods.extend(ANY.iter()),
            }
        }
        methods
    }

    fn finish<T: Access>(&mut self, rules: &[Rule<T>]) {
        self.rules
            .sort_by_key(|index| method_order(rules.get(*index)));
        self.group = common_group(&self.rules, rules);
    }

    /// Returns the value of `Allow`: the methods that a rule of the pattern answers and does not
    /// deny. `ANY` is spelled out.
    pub(super) fn allow<T: Access>(&self, rules: &[Rule<T>]) -> String {
        let mut methods = self.methods(rules);
        methods.push(&Method::HEAD);
        methods.retain(|method| {
            let rule = rule_for_method(&self.rules, method, rules);
            let rule = rule.and_then(|index| rules.get(index));
            rule.is_some_and(|rule| !rule.value.is_denied())
        });
        let mut names: Vec<&str> = methods.into_iter().map(Method::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

/// Returns a key that sorts by the names of methods, `ANY` behind all others.
fn method_order<T>(rule: Option<&Rule<T>>) -> (bool, &str) {
    match rule.map(|rule| &rule.method) {
        Some(MethodPattern::One(method)) => (false, method.as_str()),
        _ => (true, ""),
    }
}

/// Returns the group of the first rule, if it falls through and all other rules are in it.
fn common_group<T>(shared: &[usize], rules: &[Rule<T>]) -> Option<usize> {
    let group_of = |index: &usize| rules.get(*index)?.method_fallthrough;
    let group = group_of(shared.first()?)?;
    let is_common = shared.iter().all(|index| group_of(index) == Some(group));
    is_common.then_some(group)
}

/// The state of one look-up.
pub(super) struct Search<'t, 'r, T> {
    rules: &'t [Rule<T>],
    method: &'r Method,
    /// The most specific pattern that matches the path and lacks the method.
    pub(super) nearest: Option<&'t Leaf>,
    /// Set when no less specific pattern may answer in place of `nearest`.
    is_over: bool,
    /// The rules outside of the group of `nearest` that are more specific than the one that is
    /// found.
    pub(super) outside: Vec<usize>,
    /// All patterns that match the path, if the look-up is for them and for no rule.
    pub(super) all: Option<Vec<&'t Leaf>>,
}

impl<'t, 'r, T> Search<'t, 'r, T> {
    pub(super) fn new(rules: &'t [Rule<T>], method: &'r Method) -> Self {
        Self {
            rules,
            method,
            nearest: None,
            is_over: false,
            outside: Vec::new(),
            all: None,
        }
    }

    /// Creates a look-up that collects all patterns that match the path, and finds no rule.
    pub(super) fn of_all(rules: &'t [Rule<T>], method: &'r Method) -> Self {
        Self {
            all: Some(Vec::new()),
            ..Self::new(rules, method)
        }
    }

    /// Takes the next pattern that matches the path. Returns its rule if that is the result of the
    /// look-up.
    fn consider(&mut self, leaf: Option<&'t Leaf>) -> Option<usize> {
        let leaf = leaf?;
        if let Some(all) = &mut self.all {
            all.push(leaf);
            return None;
        }
        if self.is_over {
            return None;
        }
        let found = rule_for_method(&leaf.rules, self.method, self.rules);
        let Some(nearest) = self.nearest else {
            if found.is_none() {
                self.nearest = Some(leaf);
                self.is_over = leaf.group.is_none();
            }
            return found;
        };
        // A group falls through to its own patterns only. A scoped `GET /admin` in it must not open
        // `POST /admin` to the public `/**` of another group, nor to its own `/**` if a stricter
        // route outside of the group lies between.
        let Some(index) = found else {
            self.is_over = leaf.group != nearest.group;
            return None;
        };
        if self
            .rules
            .get(index)
            .is_some_and(|rule| rule.method_fallthrough == nearest.group)
        {
            return found;
        }
        self.outside.push(index);
        None
    }
}
