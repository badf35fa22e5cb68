//! Marks for the rules that may have a stricter rival, computed when the table is compiled, so that
//! requests by any other rule cost nothing.
//!
//! A mark may be wider than necessary, but never narrower: a test compares tables with and without
//! marks. Patterns are compared by what their rules require, and many rules require the same, so
//! the work is almost linear in the number of rules.

use std::collections::HashMap;

use http::Method;

use super::forms::{FoldedName, is_folded_name};
use super::index::has_irregular_literal;
use super::rule::{pattern_of, refuses};
use super::tree::{Leaf, Node};
use super::{ANY, Access, MethodPattern, Pattern, Rule, Segment};

/// The paths on which a rule is compared with its rivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// No path.
    Never,
    /// The paths that are not plain, which means that they have other tolerant readings.
    UnlessPlain,
    /// All paths.
    Always,
}

/// The number of different profiles that are kept of the patterns below a node. Of more profiles,
/// one is stricter than most rules.
const MOST_PROFILES: usize = 32;

/// Marks the rules of one host. A mark that a rule has already is never narrowed.
pub(super) fn marks<T: Access>(root: &Node, rules: &[Rule<T>], marks: &mut [Mark]) {
    let mut marker = Marker {
        rules,
        marks,
        numbers: HashMap::new(),
        representatives: Vec::new(),
        compared: HashMap::new(),
    };
    // A reading may leave out an irregular literal, or cut the path there, so its pattern may match
    // any path.
    if root.leaves().iter().any(|leaf| is_irregular(leaf, rules)) {
        marker.mark_below(root, &Summary::of_anything());
    }
    marker.visit(root);
}

fn is_irregular<T>(leaf: &Leaf, rules: &[Rule<T>]) -> bool {
    pattern_of(&leaf.rules, rules).is_some_and(has_irregular_literal)
}

struct Marker<'t, T> {
    rules: &'t [Rule<T>],
    marks: &'t mut [Mark],
    /// The number of each profile.
    numbers: HashMap<Profile, usize>,
    /// For each profile the rules of a pattern that has it.
    representatives: Vec<&'t [usize]>,
    /// The comparisons that are done: whether the first profile is stricter than the second.
    compared: HashMap<(usize, usize), bool>,
}

/// The requirements of the rules of a pattern. Patterns with the same profile are compared once.
#[derive(PartialEq, Eq, Hash)]
struct Profile {
    group: Option<usize>,
    /// The method of each rule, and the class of its value.
    rules: Vec<(MethodPattern, usize)>,
}

/// A literal below a node.
struct Child<'t> {
    text: &'t str,
    node: &'t Node,
    below: Summary,
}

impl<'t, T: Access> Marker<'t, T> {
    /// Marks the rules below a node that have rivals below the same node. Returns the summary of
    /// all of its patterns.
    ///
    /// A segment that a pattern spells, with a literal that folding leaves as it is, stands in
    /// every reading. So the rivals of a pattern below a literal have the same literal but for its
    /// case, or a parameter in its place. A reading may put any path in the place of a parameter. A
    /// rival with an open end above these nodes matches the path as it stands, and is not compared.
    fn visit(&mut self, node: &'t Node) -> Summary {
        let mut all = Summary::default();
        let mut children = Vec::with_capacity(node.literals.len());
        for (text, child) in &node.literals {
            let below = self.visit(child);
            all.merge(&below);
            children.push(Child {
                text,
                node: child,
                below,
            });
        }
        self.mark_alike(&children);
        if let Some(param) = &node.param {
            let below = self.visit(param);
            for child in &children {
                self.mark_below(child.node, &below);
            }
            all.merge(&below);
        }
        self.summarize(node.here.as_ref(), &mut all);
        if let Some(param) = &node.param {
            self.mark_below(param, &all);
        }
        for leaf in [&node.rest, &node.subtree] {
            self.mark(leaf.as_ref(), &all);
            self.summarize(leaf.as_ref(), &mut all);
        }
        all
    }

    /// Marks the rules below literals that have the same folded name, such as `Admin` and `admin`.
    fn mark_alike(&mut self, children: &[Child<'t>]) {
        if children.iter().all(|child| is_folded_name(child.text)) {
            return;
        }
        let mut by_name: HashMap<Option<String>, Vec<&Child<'t>>> = HashMap::new();
        for child in children {
            let name = FoldedName::of(child.text).text;
            by_name.entry(name).or_default().push(child);
        }
        for alike in by_name.into_values() {
            if alike.len() < 2 {
                continue;
            }
            let mut rivals = Summary::default();
            for child in &alike {
                rivals.merge(&child.below);
            }
            for child in alike {
                self.mark_below(child.node, &rivals);
            }
        }
    }

    /// Marks all rules below a node that have a stricter rival among these.
    fn mark_below(&mut self, node: &'t Node, rivals: &Summary) {
        for leaf in node.leaves() {
            self.mark(Some(leaf), rivals);
        }
    }

    fn mark(&mut self, leaf: Option<&'t Leaf>, rivals: &Summary) {
        let Some(leaf) = leaf else { return };
        let mark = if rivals.has_unplain {
            Mark::Always
        } else {
            Mark::UnlessPlain
        };
        if self.is_marked(leaf, mark) || self.is_spelled(leaf) || !self.has_stricter(leaf, rivals) {
            return;
        }
        for index in &leaf.rules {
            if let Some(known) = self.marks.get_mut(*index) {
                *known = mark.max(*known);
            }
        }
    }

    /// Returns whether all rules of a pattern have this mark or a wider one.
    fn is_marked(&self, leaf: &Leaf, mark: Mark) -> bool {
        leaf.rules
            .iter()
            .all(|index| self.marks.get(*index).is_some_and(|known| *known >= mark))
    }

    /// Returns whether a pattern consists of literals, and so spells every segment of its paths.
    fn is_spelled(&self, leaf: &Leaf) -> bool {
        let Some(pattern) = pattern_of(&leaf.rules, self.rules) else {
            return false;
        };
        let mut segments = pattern.segments().iter();
        pattern.tail().is_none() && segments.all(|segment| matches!(segment, Segment::Literal(_)))
    }

    fn has_stricter(&mut self, leaf: &'t Leaf, rivals: &Summary) -> bool {
        if rivals.is_full {
            return true;
        }
        let own = self.profile(leaf);
        rivals
            .profiles
            .iter()
            .any(|rival| self.is_stricter(*rival, own))
    }

    fn is_stricter(&mut self, rival: usize, own: usize) -> bool {
        if let Some(known) = self.compared.get(&(rival, own)) {
            return *known;
        }
        let is_stricter = match (
            self.representatives.get(rival),
            self.representatives.get(own),
        ) {
            (Some(rival), Some(own)) => is_stricter(rival, own, self.rules),
            _ => false,
        };
        self.compared.insert((rival, own), is_stricter);
        is_stricter
    }

    /// Adds a pattern to a summary.
    fn summarize(&mut self, leaf: Option<&'t Leaf>, summary: &mut Summary) {
        let Some(leaf) = leaf else { return };
        summary.add(self.profile(leaf));
        summary.has_unplain |= !pattern_of(&leaf.rules, self.rules).is_some_and(is_plain);
    }

    /// Returns the number of the profile of a pattern.
    fn profile(&mut self, leaf: &'t Leaf) -> usize {
        let mut rules = Vec::with_capacity(leaf.rules.len());
        for index in &leaf.rules {
            if let Some(rule) = self.rules.get(*index) {
                rules.push((rule.method.clone(), rule.value.class()));
            }
        }
        let profile = Profile {
            group: leaf.group,
            rules,
        };
        let next = self.representatives.len();
        let number = *self.numbers.entry(profile).or_insert(next);
        if number == next {
            self.representatives.push(&leaf.rules);
        }
        number
    }
}

/// Returns whether the rules of one pattern may refuse a caller that the rules of another admit.
fn is_stricter<T: Access>(rival: &[usize], own: &[usize], rules: &[Rule<T>]) -> bool {
    for rule in own.iter().filter_map(|index| rules.get(*index)) {
        for method in methods(&rule.method) {
            if refuses(rival, rules, &method, rule) {
                return true;
            }
        }
    }
    false
}

fn methods(pattern: &MethodPattern) -> Vec<Method> {
    match pattern {
        MethodPattern::Any => ANY.to_vec(),
        MethodPattern::One(method) if *method == Method::GET => vec![Method::GET, Method::HEAD],
        MethodPattern::One(method) => vec![method.clone()],
    }
}

/// Returns whether a pattern is its own tolerant reading, so that it matches a plain path only as
/// it stands.
fn is_plain(pattern: &Pattern) -> bool {
    let is_root = pattern.as_str() == "/";
    is_root
        || pattern.segments().iter().all(|segment| match segment {
            Segment::Param(_) => true,
            Segment::Literal(text) => FoldedName::of(text)
                .text
                .is_some_and(|name| *name == **text),
        })
}

/// The patterns below a node, as far as others are compared with them.
#[derive(Clone, Debug, Default)]
struct Summary {
    profiles: Vec<usize>,
    /// Set when there are more profiles than are kept.
    is_full: bool,
    /// Set when a pattern is not its own tolerant reading, so that it may match a plain path in a
    /// tolerant reading only.
    has_unplain: bool,
}

impl Summary {
    /// Returns the summary of patterns that may match any path.
    fn of_anything() -> Self {
        Self {
            profiles: Vec::new(),
            is_full: true,
            has_unplain: true,
        }
    }

    fn add(&mut self, profile: usize) {
        if self.profiles.contains(&profile) {
            return;
        }
        if self.profiles.len() < MOST_PROFILES {
            self.profiles.push(profile);
        } else {
            self.is_full = true;
        }
    }

    fn merge(&mut self, other: &Self) {
        for profile in &other.profiles {
            self.add(*profile);
        }
        self.is_full |= other.is_full;
        self.has_unplain |= other.has_unplain;
    }
}
