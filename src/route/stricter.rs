//! The search for a stricter rule, for the rule *Tolerant reading* (docs/traffic.md).
//!
//! The *found* rule is the one that matches the path as it stands. Its *rivals* are the patterns of
//! the same host. A rival is stricter if it refuses, for the method of the request, a caller that
//! the found rule admits.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::OnceLock;

use http::Method;

use super::folded::{Before, FoldedPattern};
use super::forms::FoldedName;
use super::index::Index;
use super::marks::Mark;
use super::path::decode;
use super::rule::{pattern_of, refuses, rule_for_method, rule_of_same_upstream};
use super::tolerant::{Readings, fold_only_case};
use super::tree::{Leaf, Node};
use super::{Access, Distinct, Pattern, Rule, Segment, Target};

/// The patterns of one host, with which the found rule is compared.
#[derive(Debug)]
pub(super) struct Rivals {
    index: Index,
    patterns: Vec<Rival>,
}

/// One pattern with its rules.
#[derive(Debug)]
struct Rival {
    rules: Box<[usize]>,
    /// The group of all of the rules, if it falls through.
    group: Option<usize>,
    distinct: Distinct,
    /// Computed when the pattern is compared for the first time.
    folded: OnceLock<FoldedPattern>,
}

impl Rivals {
    /// Collects the patterns of one host; `None` if no rule is ever compared.
    pub(super) fn of<T>(root: &Node, rules: &[Rule<T>], marks: &[Mark]) -> Option<Self> {
        let mut leaves = root.leaves();
        if !leaves.iter().any(|leaf| is_compared(leaf, marks)) {
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

    /// Returns a rule that does not match the path as it stands, goes before `found` in some
    /// tolerant reading of it, and does not admit every caller that `found` admits.
    ///
    /// A rival is left out if `found` spells each reading in which the rival goes before it, and
    /// one of these readings differs from the path only in segments that are literals of `found`:
    /// the operator has then told the paths apart.
    pub(super) fn stricter<T: Access>(
        &self,
        rules: &[Rule<T>],
        found: &Rule<T>,
        target: &Target<'_>,
    ) -> Option<usize> {
        let path = RequestPath::new(found, target);
        // A path that is not read to its end is refused for any stricter rule: no client has a use
        // for such a path.
        let numbers = if path.readings.is_complete {
            self.index.candidates(&path.readings)
        } else {
            self.index.all()
        };
        for number in numbers {
            let rival = self.patterns.get(number)?;
            let pattern = pattern_of(&rival.rules, rules)?;
            if rival.refuses(rules, found, target.method)
                && !pattern.matches(&path.segments)
                && path.may_be_taken_for(rival.folded(pattern))
            {
                return rule_of_same_upstream(&rival.rules, rules, found);
            }
        }
        None
    }

    /// Returns whether a path that is its own only reading may match a pattern in a tolerant
    /// reading that does not match it as it stands: one that ends in a slash, or is not plain.
    pub(super) fn may_match_plain<T>(&self, path: &str, rules: &[Rule<T>]) -> bool {
        let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        for number in self.index.candidates_for_plain(path) {
            if let Some(rival) = self.patterns.get(number)
                && let Some(pattern) = pattern_of(&rival.rules, rules)
                && !is_too_short(pattern, segments.len())
                && !pattern.matches(&segments)
            {
                return true;
            }
        }
        false
    }

    /// Returns whether a path without ambiguities may match a pattern in a tolerant reading that
    /// does not match it as it stands. A segment with capitals or escapes is only looked up, since
    /// many identifiers have them.
    pub(super) fn may_match_folded(&self, path: &str) -> bool {
        let segments = path.strip_prefix('/').unwrap_or(path);
        path.ends_with('/')
            || segments
                .split('/')
                .any(|segment| self.may_be_name(&decode(segment)))
    }

    /// Returns whether a reader may take a segment for a literal that it is not.
    fn may_be_name(&self, segment: &str) -> bool {
        match fold_only_case(segment) {
            Some(folded) => *folded != *segment && self.index.has_name(&folded),
            None => true,
        }
    }
}

/// Returns whether a pattern has fewer segments than a path that is its own only reading. A pattern
/// may lose segments in a reading, but gains none.
fn is_too_short(pattern: &Pattern, segments: usize) -> bool {
    pattern.tail().is_none() && pattern.segments().len() < segments
}

fn is_compared(leaf: &Leaf, marks: &[Mark]) -> bool {
    leaf.rules
        .iter()
        .any(|index| marks.get(*index).is_none_or(|mark| *mark != Mark::Never))
}

/// The path of a request in the forms in which it is compared, beside the pattern that was found.
struct RequestPath<'t> {
    found: &'t Pattern,
    /// The segments of the path, decoded once.
    segments: Vec<Cow<'t, str>>,
    readings: Readings,
    path: &'t str,
    /// The readings that differ from the path only in segments that the found pattern spells, made
    /// when a rival is compared with them.
    spelled: OnceCell<Readings>,
}

impl<'t> RequestPath<'t> {
    fn new<T>(found: &'t Rule<T>, target: &Target<'t>) -> Self {
        let found = &found.pattern;
        let path = target.path.strip_prefix('/').unwrap_or(target.path);
        Self {
            found,
            segments: path.split('/').map(decode).collect(),
            readings: Readings::of(target.path),
            path: target.path,
            spelled: OnceCell::new(),
        }
    }

    /// Returns whether a rival goes before the found pattern in a reading that the operator has not
    /// told apart from the path.
    fn may_be_taken_for(&self, rival: &FoldedPattern) -> bool {
        if !self.readings.is_complete {
            return true;
        }
        match rival.goes_before(self.found, &self.readings) {
            Before::Never => false,
            Before::ToldApart => !rival.goes_before_as_written(self.found, self.spelled()),
            Before::Untold => true,
        }
    }

    fn spelled(&self) -> &Readings {
        self.spelled
            .get_or_init(|| Readings::within(self.path, |index| is_spelled(self.found, index)))
    }
}

/// Returns whether a pattern spells a segment: with a literal that is neither empty nor cut in any
/// form, or with its last slash.
fn is_spelled(pattern: &Pattern, index: usize) -> bool {
    let Some(Segment::Literal(text)) = pattern.segments().get(index) else {
        return false;
    };
    if text.is_empty() {
        return true;
    }
    let name = FoldedName::of(text);
    name.text.is_some() && !name.is_cut
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

    fn folded(&self, pattern: &Pattern) -> &FoldedPattern {
        self.folded
            .get_or_init(|| FoldedPattern::new(pattern, self.distinct))
    }

    /// Returns whether the pattern refuses a caller that `found` admits.
    ///
    /// Within a group that falls through, a method that the pattern lacks goes on to less specific
    /// patterns of the group. Where `found` matches every path of the pattern, they lead to `found`
    /// itself, or to patterns that are compared themselves. Any other pattern refuses a method that
    /// it lacks: what its paths fall through to may be stricter than `found`, or nothing.
    fn refuses<T: Access>(&self, rules: &[Rule<T>], found: &Rule<T>, method: &Method) -> bool {
        let is_same_group = self.group.is_some() && self.group == found.method_fallthrough;
        if is_same_group
            && rule_for_method(&self.rules, method, rules).is_none()
            && let Some(pattern) = pattern_of(&self.rules, rules)
            && found.pattern.covers(pattern)
        {
            return false;
        }
        refuses(&self.rules, rules, method, found)
    }
}
