//! Which of two routes lets fewer callers pass, for the rule *Tolerant reading*.

use std::sync::OnceLock;

use http::Method;

use super::marks::Mark;
use super::path::decode;
use super::shadow::{Folded, Index};
use super::table::{Leaf, Node};
use super::tolerant::{Readings, tolerant_name, whole_name};
use super::{ANY, Access, Distinct, MethodPattern, Pattern, Rule, Segment, Target};

/// The patterns of one host that a rule is compared with.
#[derive(Debug)]
pub(super) struct Rivals {
    index: Index,
    patterns: Vec<Rival>,
}

/// One pattern with its rules.
#[derive(Debug)]
struct Rival {
    rules: Box<[usize]>,
    group: Option<usize>,
    distinct: Distinct,
    /// Made when the pattern is compared for the first time.
    folded: OnceLock<Folded>,
}

/// The rule of a pattern that speaks for a method. `GET` also answers `HEAD`, and `ANY` comes last.
pub(super) fn speaking<T>(pattern: &[usize], method: &Method, rules: &[Rule<T>]) -> Option<usize> {
    let named = |wanted: &Method| {
        let fits = |index: &&usize| {
            rules.get(**index).is_some_and(
                |rule| matches!(&rule.method, MethodPattern::One(one) if one == wanted),
            )
        };
        pattern.iter().find(fits).copied()
    };
    let any = || {
        let last = *pattern.last()?;
        let is_any = rules.get(last)?.method == MethodPattern::Any;
        (is_any && ANY.contains(method)).then_some(last)
    };
    let head = || {
        if *method == Method::HEAD {
            named(&Method::GET)
        } else {
            None
        }
    };
    named(method).or_else(head).or_else(any)
}

/// Whether a pattern refuses, for one method, a caller that a rule of the same upstream admits. A
/// pattern that lacks the method admits no caller.
pub(super) fn refuses<T: Access>(
    pattern: &[usize],
    rules: &[Rule<T>],
    method: &Method,
    other: &Rule<T>,
) -> bool {
    let same_upstream = |rule: &Rule<T>| rule.value.same_upstream(&other.value);
    if !pattern
        .iter()
        .filter_map(|index| rules.get(*index))
        .any(same_upstream)
    {
        return false;
    }
    let speaking = speaking(pattern, method, rules).and_then(|index| rules.get(index));
    speaking.is_none_or(|rule| !same_upstream(rule) || !rule.value.admits_all_of(&other.value))
}

impl Rivals {
    /// The patterns of one host; `None` where no rule is ever compared.
    pub(super) fn of<T>(root: &Node, rules: &[Rule<T>], marks: &[Mark]) -> Option<Self> {
        let mut leaves = Vec::new();
        root.leaves(&mut leaves);
        let compared = |index: &usize| marks.get(*index).is_none_or(|mark| *mark != Mark::Clear);
        if !leaves.iter().flat_map(|leaf| &leaf.rules).any(compared) {
            return None;
        }
        // In the order of the file, so that logs name the same rule each time.
        leaves.sort_by_key(|leaf| leaf.rules.iter().min().copied());
        let mut rivals = Self {
            index: Index::default(),
            patterns: Vec::with_capacity(leaves.len()),
        };
        for leaf in leaves {
            if let Some(pattern) = pattern_of(&leaf.rules, rules) {
                rivals.index.insert(pattern, rivals.patterns.len());
                rivals.patterns.push(Rival::of(leaf, rules));
            }
        }
        Some(rivals)
    }

    /// Returns a rule that does not match the path as it stands, goes before `found` in some tolerant
    /// reading of it, and does not admit every caller that `found` admits.
    ///
    /// A rule is passed over where it goes before `found` already in a reading that differs from the
    /// path only in segments that `found` spells: the operator has told these two apart.
    pub(super) fn stricter<T: Access>(
        &self,
        rules: &[Rule<T>],
        found: &Rule<T>,
        target: &Target<'_>,
    ) -> Option<usize> {
        let readings = Readings::of(target.path);
        let told = Readings::within(target.path, |index| is_spelled(&found.pattern, index));
        let path = target.path.strip_prefix('/').unwrap_or(target.path);
        let path: Vec<_> = path.split('/').map(decode).collect();
        // A path that is not read to its end is refused for any stricter rule: no client has a use
        // for it.
        let numbers = match readings.is_complete {
            true => self.index.candidates(&readings),
            false => self.index.all(),
        };
        for number in numbers {
            let rival = self.patterns.get(number)?;
            let pattern = pattern_of(&rival.rules, rules)?;
            if !rival.refuses(rules, found, target.method) || pattern.matches(&path) {
                continue;
            }
            let folded = rival.folded(pattern);
            let is_before = !readings.is_complete
                || folded.goes_before(&found.pattern, &readings)
                    && !folded.goes_before_as_written(&found.pattern, &told);
            if is_before {
                return rival.rule_of_same_upstream(rules, found);
            }
        }
        None
    }

    /// Whether a path that is its own only reading may be one of a pattern that does not match it
    /// as it stands: one that ends in a slash, or is not plain itself.
    pub(super) fn may_match_plain<T>(&self, path: &str, rules: &[Rule<T>]) -> bool {
        let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        self.index.has_candidate(path, |number| {
            let pattern = self
                .patterns
                .get(number)
                .and_then(|rival| pattern_of(&rival.rules, rules));
            pattern.is_some_and(|pattern| !pattern.matches(&segments))
        })
    }

    /// Whether a path that has no ambiguity matches no pattern tolerantly but those that match it
    /// as it stands. A name with capitals or escapes is looked up and nothing else is done:
    /// identifiers have them.
    pub(super) fn is_strange(&self, path: &str) -> bool {
        let segments = path.strip_prefix('/').unwrap_or(path);
        path.ends_with('/')
            || segments.split('/').any(|segment| {
                let name = decode(segment);
                match tolerant_name(&name) {
                    Some(folded) => *folded != *name && self.index.has_literal(&folded),
                    None => true,
                }
            })
    }
}

impl Rival {
    fn of<T>(leaf: &Leaf, rules: &[Rule<T>]) -> Self {
        let own = leaf.rules.iter().filter_map(|index| rules.get(*index));
        let distinct = own.map(|rule| rule.distinct).reduce(Distinct::and);
        Self {
            rules: leaf.rules.as_slice().into(),
            group: leaf.group,
            distinct: distinct.unwrap_or_default(),
            folded: OnceLock::new(),
        }
    }

    fn folded(&self, pattern: &Pattern) -> &Folded {
        self.folded
            .get_or_init(|| Folded::new(pattern, self.distinct))
    }

    fn rule_of_same_upstream<T: Access>(
        &self,
        rules: &[Rule<T>],
        found: &Rule<T>,
    ) -> Option<usize> {
        let is_same = |index: &usize| {
            rules
                .get(*index)
                .is_some_and(|rule| rule.value.same_upstream(&found.value))
        };
        self.rules.iter().copied().filter(is_same).min()
    }

    /// Whether the pattern refuses a caller that `found` admits. The routes of one group that falls
    /// through are not compared with each other. Towards the routes of others a pattern of such a
    /// group lacks a method as any other pattern does, though a less specific one of the group may
    /// have it: that one need not match every reading that this one matches.
    fn refuses<T: Access>(&self, rules: &[Rule<T>], found: &Rule<T>, method: &Method) -> bool {
        let is_same_group = self.group.is_some() && self.group == found.method_fallthrough;
        !is_same_group && refuses(&self.rules, rules, method, found)
    }
}

/// Returns whether a pattern spells a segment with a literal that stands in each of its forms.
fn is_spelled(pattern: &Pattern, index: usize) -> bool {
    let Some(Segment::Literal(text)) = pattern.segments().get(index) else {
        return false;
    };
    text.is_empty() || matches!(whole_name(text), (Some(_), false))
}

/// The pattern of rules that share one.
pub(super) fn pattern_of<'t, T>(rules: &[usize], all: &'t [Rule<T>]) -> Option<&'t Pattern> {
    Some(&all.get(*rules.first()?)?.pattern)
}
