//! Which of two routes lets fewer callers pass, for the rule *Tolerant reading*.

use http::Method;

use super::marks::Mark;
use super::path::decode;
use super::shadow::{Folded, Index};
use super::table::{Leaf, Node};
use super::tolerant::{Readings, tolerant_name};
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
    folded: Folded,
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
        let mut rivals = Self {
            index: Index::default(),
            patterns: Vec::with_capacity(leaves.len()),
        };
        for leaf in leaves {
            if let Some(pattern) = pattern_of(&leaf.rules, rules) {
                rivals.index.insert(pattern, rivals.patterns.len());
                rivals.patterns.push(Rival::of(leaf, pattern, rules));
            }
        }
        Some(rivals)
    }

    /// A rule that goes before `found` for some tolerant reading of the path, and does not admit
    /// every caller that `found` admits. It is passed over where it goes before `found` already in
    /// a reading that differs from the path in segments that `found` spells, and in no others: the
    /// operator has told these two apart.
    pub(super) fn stricter<T: Access>(
        &self,
        rules: &[Rule<T>],
        found: &Rule<T>,
        target: &Target<'_>,
    ) -> Option<usize> {
        let readings = Readings::of(target.path);
        // A path with more readings than are made is refused for any stricter rule: no client has a
        // use for it.
        let numbers = match readings.is_complete {
            true => self.index.candidates(&readings),
            false => self.index.all(),
        };
        let is_spelled = |index| {
            matches!(
                found.pattern.segments().get(index),
                Some(Segment::Literal(_))
            )
        };
        let told = Readings::within(target.path, is_spelled);
        let goes_before = |rival: &&Rival| {
            !readings.is_complete
                || rival.folded.goes_before(&found.pattern, &readings)
                    && !rival.folded.goes_before_as_written(&found.pattern, &told)
        };
        let refuses =
            |rival: &&Rival| rival.refuses(rules, found, target.method) && goes_before(rival);
        let rivals = numbers
            .into_iter()
            .filter_map(|number| self.patterns.get(number));
        let same_upstream = |index: &usize| {
            rules
                .get(*index)
                .is_some_and(|rule| rule.value.same_upstream(&found.value))
        };
        // The first of the file, so that logs name the same one each time.
        rivals
            .filter(refuses)
            .flat_map(|rival| &rival.rules)
            .copied()
            .filter(same_upstream)
            .min()
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
    fn of<T>(leaf: &Leaf, pattern: &Pattern, rules: &[Rule<T>]) -> Self {
        let own = leaf.rules.iter().filter_map(|index| rules.get(*index));
        let distinct = own
            .map(|rule| rule.distinct)
            .reduce(Distinct::and)
            .unwrap_or_default();
        Self {
            rules: leaf.rules.as_slice().into(),
            group: leaf.group,
            folded: Folded::new(pattern, distinct),
        }
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

/// The pattern of rules that share one.
pub(super) fn pattern_of<'t, T>(rules: &[usize], all: &'t [Rule<T>]) -> Option<&'t Pattern> {
    Some(&all.get(*rules.first()?)?.pattern)
}
