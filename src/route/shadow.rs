//! Routes that speak for a path as a tolerant application reads it, though not for the path as it came.
//!
//! A scoped `/admin` beside a public `/**` would be open if its application took `/Admin` for `/admin`: the request would go
//! by `/**`. The index here finds such routes by the tolerant reading of a path; [`super::Table`] compares whom they let
//! pass.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::tolerant::{Piece, Reading};
use super::{Pattern, Segment, Tail};

/// The comparison of two route values for one method.
pub trait Access {
    /// Whether both lead to the same upstream.
    fn same_upstream(&self, other: &Self) -> bool;
    /// Whether every caller that `other` admits is admitted here.
    fn admits_all_of(&self, other: &Self) -> bool;
    /// The same number for values that lead to one upstream and let the same callers pass.
    fn class(&self) -> usize;
}

/// The differences of paths that an application tells apart and the tolerant reading does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// `/admin/` is another path than `/admin`.
    pub slash: bool,
    /// `/Admin` is another path than `/admin`.
    pub case: bool,
}

impl Distinct {
    /// The names in the configuration, in the order of the fields.
    pub const NAMES: [&str; 2] = ["slash", "case"];

    /// The differences that both tell apart.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { slash: self.slash && other.slash, case: self.case && other.case }
    }

    /// The names of what is told apart.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let [slash, case] = Self::NAMES;
        [self.slash.then_some(slash), self.case.then_some(case)].into_iter().flatten()
    }
}

/// The patterns of one host, by their tolerant reading. A pattern is known by its number, which is the caller's.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: Node,
    /// Patterns with a literal that is not read as one segment, such as `/a%3Fb`: they are compared one by one.
    odd: Vec<usize>,
    /// The literals of all others.
    names: HashSet<Box<str>, RandomState>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    param: Option<Box<Node>>,
    here: Vec<usize>,
    rest: Vec<usize>,
    subtree: Vec<usize>,
}

impl Index {
    /// Adds a pattern.
    pub(super) fn insert(&mut self, pattern: &Pattern, number: usize) {
        if has_odd_literal(pattern) {
            self.odd.push(number);
            return;
        }
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Param(_) => node.param.get_or_insert_default(),
                Segment::Literal(text) => match Reading::of_literal(text) {
                    (Some(piece), _) => {
                        let name: Box<str> = piece.folded.into();
                        self.names.insert(name.clone());
                        node.literals.entry(name).or_default()
                    }
                    // The last slash.
                    (None, _) => node,
                },
            };
        }
        match pattern.tail() {
            None => node.here.push(number),
            Some(Tail::Rest(_)) => node.rest.push(number),
            Some(Tail::Subtree) => node.subtree.push(number),
        }
    }

    /// The patterns that may match a reading: no other one does.
    pub(super) fn candidates(&self, reading: &Reading) -> Vec<usize> {
        let mut found = self.odd.clone();
        // A segment that the matched pattern spells is one of the path's: its last slash is dropped here as in patterns.
        let pieces = match reading.pieces.as_slice() {
            [pieces @ .., last] if last.folded.is_empty() => pieces,
            pieces => pieces,
        };
        self.root.collect(pieces, &mut found);
        found
    }

    /// Whether some pattern has this literal, read tolerantly.
    pub(super) fn has_literal(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether there are patterns that are compared one by one.
    pub(super) fn has_odd(&self) -> bool {
        !self.odd.is_empty()
    }

    /// Every pattern, for readings of a path whose own pattern is odd.
    pub(super) fn all(&self) -> Vec<usize> {
        let mut found = self.odd.clone();
        self.root.collect_all(&mut found);
        found
    }
}

impl Node {
    /// Collects the patterns that may match. Visits each node at most once.
    fn collect(&self, pieces: &[Piece], found: &mut Vec<usize>) {
        found.extend(&self.subtree);
        let Some((first, below)) = pieces.split_first() else {
            found.extend(&self.here);
            return;
        };
        found.extend(&self.rest);
        if let Some(node) = self.literals.get(&*first.folded) {
            node.collect(below, found);
        }
        if let Some(node) = &self.param {
            node.collect(below, found);
        }
    }

    fn collect_all(&self, found: &mut Vec<usize>) {
        for numbers in [&self.here, &self.rest, &self.subtree] {
            found.extend(numbers);
        }
        self.literals.values().chain(self.param.as_deref()).for_each(|node| node.collect_all(found));
    }
}

/// Whether a literal is read as no segment though it is not the last slash, or cuts what follows it.
pub(super) fn has_odd_literal(pattern: &Pattern) -> bool {
    let last = pattern.segments().len().saturating_sub(1);
    pattern.segments().iter().enumerate().any(|(index, segment)| match segment {
        Segment::Param(_) => false,
        Segment::Literal(text) if text.is_empty() && index == last => false,
        Segment::Literal(text) => match Reading::of_literal(text) {
            // A text with its parameters cut or its end trimmed is one segment still.
            (Some(_), cut) => cut,
            (None, _) => true,
        },
    })
}

/// Whether a pattern is its own tolerant reading, so that it matches no plain path but as it stands.
pub(super) fn is_plain(pattern: &Pattern) -> bool {
    let is_root = pattern.as_str() == "/";
    is_root
        || pattern.segments().iter().all(|segment| match segment {
            Segment::Param(_) => true,
            Segment::Literal(text) => {
                Reading::of_literal(text).0.is_some_and(|piece| *piece.folded == **text)
            }
        })
}

/// Whether a pattern, read tolerantly but for what it tells apart, matches a reading.
pub(super) fn matches(pattern: &Pattern, distinct: Distinct, reading: &Reading) -> bool {
    let mut pieces = reading.pieces.iter();
    let slash = reading.slash || reading.pieces.last().is_some_and(|piece| piece.text.is_empty());
    let mut ends_in_slash = false;
    for segment in pattern.segments() {
        ends_in_slash = false;
        let text = match segment {
            Segment::Literal(text) => text,
            Segment::Param(_) if pieces.next().is_some_and(|piece| !piece.text.is_empty()) => continue,
            Segment::Param(_) => return false,
        };
        if pieces.as_slice().first().is_some_and(|piece| piece.literal && *piece.text == **text) {
            ends_in_slash = text.is_empty();
            pieces.next();
            continue;
        }
        match Reading::of_literal(text) {
            // The last slash, or nothing but dots and blanks.
            (None, cut) => {
                ends_in_slash = true;
                if cut {
                    return pieces.next().is_none();
                }
            }
            (Some(own), cut) => {
                let same = pieces.next().is_some_and(|piece| is_same(&own, piece, distinct));
                if !same || cut {
                    return same && pieces.next().is_none();
                }
            }
        }
    }
    match pattern.tail() {
        None => pieces.next().is_none() && (!distinct.slash || slash == ends_in_slash),
        Some(Tail::Rest(_)) => pieces.next().is_some_and(|piece| !piece.text.is_empty()),
        Some(Tail::Subtree) => true,
    }
}

/// Whether a literal of a pattern is a segment of a reading. One that the matched pattern spells is compared as it stands,
/// and was.
fn is_same(own: &Piece, piece: &Piece, distinct: Distinct) -> bool {
    match (piece.literal, distinct.case) {
        (true, _) => false,
        (false, true) => own.text == piece.text,
        (false, false) => own.folded == piece.folded,
    }
}

/// The place of a pattern among those that match one reading: the lesser is the more specific, as in the table. Of two that
/// differ by their last slash alone, the one that is as the reading goes before.
pub(super) fn rank(pattern: &Pattern, slash: bool) -> Vec<u8> {
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => Reading::of_literal(text).0.map(|_| 0),
        Segment::Param(_) => Some(1),
    };
    let end = match pattern.tail() {
        None => 0,
        Some(Tail::Rest(_)) => 2,
        Some(Tail::Subtree) => 3,
    };
    let ends_in_slash = pattern.as_str().ends_with('/');
    let other = u8::from(ends_in_slash != slash);
    pattern.segments().iter().filter_map(segment).chain([end, other]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tolerant::Order;
    use super::*;

    fn is_match(pattern: &str, distinct: Distinct, path: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        let reading = Reading::of(path, Order::SplitThenCut, |_| false);
        let found = matches(&pattern, distinct, &reading);
        let mut index = Index::default();
        index.insert(&pattern, 7);
        assert!(!found || index.candidates(&reading) == [7], "{pattern} {path}");
        found
    }

    #[test]
    fn patterns_are_read_as_paths_are() {
        let none = Distinct::default();
        for (pattern, path) in [
            ("/admin", "/Admin/"),
            ("/admin/", "/admin"),
            ("/Admin.", "/admin"),
            ("/admin/**", "/ADMIN"),
            ("/admin/**", "/Admin/x/y"),
            ("/{x}/b", "/a/B"),
            ("/f/{rest+}", "/F/a"),
            ("/", "/%20"),
            ("/a%3Fb/c", "/a"),
            ("/a/.../c", "/a/c"),
            ("/a%3Bb", "/A"),
        ] {
            assert!(is_match(pattern, none, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/admin", "/administrator"),
            ("/admin", "/admin/x"),
            ("/{x}", "/"),
            ("/f/{rest+}", "/F/"),
            ("/", "/a"),
        ] {
            assert!(!is_match(pattern, none, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_is_released_from_what_its_application_tells_apart() {
        let case = Distinct { case: true, slash: false };
        let slash = Distinct { case: false, slash: true };
        for (distinct, path, found) in [
            (case, "/Admin", false),
            (case, "/admin/", true),
            (case, "/admin.", true),
            (slash, "/admin/", false),
            (slash, "/Admin", true),
            (slash, "/Admin/", false),
            (slash, "/admin/...", false),
        ] {
            assert_eq!(is_match("/admin", distinct, path), found, "{distinct:?} {path}");
        }
        assert!(is_match("/admin/", slash, "/Admin/"));
        assert!(!is_match("/admin/", slash, "/Admin"));
        assert!(is_match("/admin/**", slash, "/Admin/x/"));
        let reading = Reading::of("/x/Admin/", Order::SplitThenCut, |index| index == 2);
        assert!(matches(&Pattern::parse("/{a}/admin/").unwrap(), slash, &reading));
        assert!(!matches(&Pattern::parse("/{a}/admin").unwrap(), Distinct::default(), &reading));
    }

    #[test]
    fn the_more_specific_pattern_has_the_lesser_rank() {
        let order = ["/a/b", "/a/b/**", "/a/{x}", "/a/{rest+}", "/a/**", "/{x}/b", "/{x+}", "/**"];
        let rank = |text: &str, slash| rank(&Pattern::parse(text).unwrap(), slash);
        let ranks: Vec<_> = order.iter().map(|text| rank(text, false)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(rank("/{x}/", true) < rank("/{x}", true) && rank("/{x}", true) < rank("/{x+}", true));
        assert!(rank("/{x}", false) < rank("/{x}/", false));
    }
}
