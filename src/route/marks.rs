//! Which rules can ever be in a stricter rule's way, worked out when the table is compiled, so that
//! no request by another rule costs anything.
//!
//! A mark may be wider than need be, never narrower: a test compares tables with and without. The
//! work is near-linear in rules, since patterns are compared by what their rules ask, and many ask
//! the same.

use std::collections::HashMap;

use http::Method;

use super::shadow::{has_odd_literal, is_plain};
use super::stricter::{pattern_of, refuses};
use super::table::{Leaf, Node};
use super::tolerant::{is_own_name, whole_name};
use super::{ANY, Access, MethodPattern, Rule, Segment};

/// On which paths a rule is compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// On none.
    Clear,
    /// On those that are not their own tolerant reading.
    Unusual,
    /// On all.
    Always,
}

/// Different profiles that are kept of the patterns below a node. With more of them, one is
/// stricter than most rules.
const MOST_PROFILES: usize = 32;

/// The requirements of a pattern's rules: those of one profile are compared once.
type Profile = (Option<usize>, Vec<(MethodPattern, usize)>);

/// The patterns below a node, as far as others are compared with them.
#[derive(Clone, Debug, Default)]
struct Summary {
    profiles: Vec<usize>,
    /// Whether there are more.
    many: bool,
    /// Whether a pattern is not its own tolerant reading, so that a plain path may be read as one
    /// of its.
    odd: bool,
}

/// Marks the rules of one host. Rules that are marked already stay so.
pub(super) fn marks<T: Access>(root: &Node, rules: &[Rule<T>], marks: &mut [Mark]) {
    let mut marking = Marking {
        rules,
        marks,
        numbers: HashMap::new(),
        representatives: Vec::new(),
        compared: HashMap::new(),
    };
    // A part that a reading leaves out, or cuts, may put a pattern anywhere.
    let mut leaves = Vec::new();
    root.leaves(&mut leaves);
    let is_odd = |leaf: &&&Leaf| pattern_of(&leaf.rules, rules).is_some_and(has_odd_literal);
    if leaves.iter().find(is_odd).is_some() {
        let anything = Summary {
            many: true,
            odd: true,
            ..Summary::default()
        };
        leaves
            .iter()
            .for_each(|leaf| marking.mark(Some(leaf), &anything));
    }
    marking.visit(root);
}

struct Marking<'t, T> {
    rules: &'t [Rule<T>],
    marks: &'t mut [Mark],
    numbers: HashMap<Profile, usize>,
    /// For each profile the rules of a pattern that has it.
    representatives: Vec<&'t [usize]>,
    compared: HashMap<(usize, usize), bool>,
}

impl<'t, T: Access> Marking<'t, T> {
    /// Marks what is below a node, as far as its rivals are, too.
    ///
    /// A segment that a pattern spells, and that is none but itself when it is folded, stands in
    /// every reading. So the rivals of what is below a literal share the literal but for its case, or
    /// have a parameter there. Behind a parameter a reading may be any path. A rival with an open end
    /// above them matches the path itself.
    fn visit(&mut self, node: &'t Node) -> Summary {
        let mut all = Summary::default();
        let mut literals = Vec::with_capacity(node.literals.len());
        for (text, child) in &node.literals {
            let below = self.visit(child);
            all.merge(&below);
            literals.push((&**text, child, below));
        }
        self.mark_alike(&literals);
        if let Some(param) = &node.param {
            let below = self.visit(param);
            for child in node.literals.values() {
                self.mark_below(child, &below);
            }
            all.merge(&below);
        }
        all.add(self.summary(node.here.as_ref()));
        if let Some(param) = &node.param {
            self.mark_below(param, &all);
        }
        self.mark(node.rest.as_ref(), &all);
        all.add(self.summary(node.rest.as_ref()));
        self.mark(node.subtree.as_ref(), &all);
        all.add(self.summary(node.subtree.as_ref()));
        all
    }

    /// Marks what is below literals that have one name, such as `Admin` and `admin`.
    fn mark_alike(&mut self, literals: &[(&str, &'t Node, Summary)]) {
        if literals.iter().all(|(text, ..)| is_own_name(text)) {
            return;
        }
        let mut by_name: HashMap<Option<String>, Vec<usize>> = HashMap::new();
        for (index, (text, ..)) in literals.iter().enumerate() {
            by_name.entry(whole_name(text).0).or_default().push(index);
        }
        for alike in by_name.into_values().filter(|alike| alike.len() > 1) {
            let members = || alike.iter().filter_map(|index| literals.get(*index));
            let mut rivals = Summary::default();
            members().for_each(|(_, _, below)| rivals.merge(below));
            for (_, child, _) in members() {
                self.mark_below(child, &rivals);
            }
        }
    }

    fn mark_below(&mut self, node: &'t Node, rivals: &Summary) {
        let mut leaves = Vec::new();
        node.leaves(&mut leaves);
        for leaf in leaves {
            self.mark(Some(leaf), rivals);
        }
    }

    fn mark(&mut self, leaf: Option<&'t Leaf>, rivals: &Summary) {
        let Some(leaf) = leaf else { return };
        let mark = if rivals.odd {
            Mark::Always
        } else {
            Mark::Unusual
        };
        let known = |index: &usize| self.marks.get(*index).is_some_and(|known| *known >= mark);
        if leaf.rules.iter().all(known) || self.is_spelled(leaf) || !self.has_stricter(leaf, rivals)
        {
            return;
        }
        for index in &leaf.rules {
            if let Some(known) = self.marks.get_mut(*index) {
                *known = mark.max(*known);
            }
        }
    }

    /// Whether every segment of a pattern is spelled.
    fn is_spelled(&self, leaf: &Leaf) -> bool {
        let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
        pattern_of(&leaf.rules, self.rules).is_some_and(|pattern| {
            pattern.tail().is_none() && pattern.segments().iter().all(literal)
        })
    }

    fn has_stricter(&mut self, leaf: &'t Leaf, rivals: &Summary) -> bool {
        if rivals.many {
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
        let of = |number: usize| {
            self.representatives
                .get(number)
                .copied()
                .unwrap_or_default()
        };
        let stricter = is_stricter(of(rival), of(own), self.rules);
        self.compared.insert((rival, own), stricter);
        stricter
    }

    fn summary(&mut self, leaf: Option<&'t Leaf>) -> Option<(usize, bool)> {
        let leaf = leaf?;
        let odd = !pattern_of(&leaf.rules, self.rules).is_some_and(is_plain);
        Some((self.profile(leaf), odd))
    }

    fn profile(&mut self, leaf: &'t Leaf) -> usize {
        let own = leaf.rules.iter().filter_map(|index| self.rules.get(*index));
        let asked = own
            .map(|rule| (rule.method.clone(), rule.value.class()))
            .collect();
        let next = self.representatives.len();
        let number = *self.numbers.entry((leaf.group, asked)).or_insert(next);
        if number == next {
            self.representatives.push(&leaf.rules);
        }
        number
    }
}

/// Whether rules of one pattern could refuse a caller whom those of another let pass.
fn is_stricter<T: Access>(rival: &[usize], own: &[usize], rules: &[Rule<T>]) -> bool {
    own.iter()
        .filter_map(|index| rules.get(*index))
        .any(|rule| {
            methods(&rule.method)
                .iter()
                .any(|method| refuses(rival, rules, method, rule))
        })
}

fn methods(pattern: &MethodPattern) -> Vec<Method> {
    match pattern {
        MethodPattern::Any => ANY.to_vec(),
        MethodPattern::One(method) if *method == Method::GET => vec![Method::GET, Method::HEAD],
        MethodPattern::One(method) => vec![method.clone()],
    }
}

impl Summary {
    fn add(&mut self, leaf: Option<(usize, bool)>) {
        let Some((profile, odd)) = leaf else { return };
        self.odd |= odd;
        if self.profiles.contains(&profile) {
            return;
        }
        if self.profiles.len() < MOST_PROFILES {
            self.profiles.push(profile);
        } else {
            self.many = true;
        }
    }

    fn merge(&mut self, other: &Self) {
        other
            .profiles
            .iter()
            .for_each(|profile| self.add(Some((*profile, false))));
        self.many |= other.many;
        self.odd |= other.odd;
    }
}
