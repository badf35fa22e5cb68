//! Routes that speak for a path as a tolerant application reads it, though not for the path as it
//! came.
//!
//! A scoped `/admin` beside a public `/**` would be open if its application took `/Admin` for
//! `/admin`: the request would go by `/**`. The index here finds such routes by the tolerant
//! reading of a path; [`super::Table`] compares whom they let pass.

use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::RandomState;

use super::tolerant::{Form, Piece, Readings, whole_name};
use super::{Ambiguities, Pattern, Segment, Tail};

/// The comparison of two route values for one method.
pub trait Access {
    /// The ambiguities that the route lets through.
    fn allows(&self) -> Ambiguities;
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
        Self {
            slash: self.slash && other.slash,
            case: self.case && other.case,
        }
    }

    /// The names of what is told apart.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let [slash, case] = Self::NAMES;
        [self.slash.then_some(slash), self.case.then_some(case)]
            .into_iter()
            .flatten()
    }
}

/// The patterns of one host, by their tolerant reading. A pattern is known by its number, which is
/// the caller's.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: Node,
    /// Patterns with a literal that is not read as one segment, such as `/a%3Fb`: they are compared
    /// one by one.
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
                Segment::Literal(text) => match whole_name(text) {
                    (Some(name), _) => {
                        let name: Box<str> = name.into();
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

    /// The patterns that may match some reading: no other one does.
    pub(super) fn candidates(&self, readings: &Readings) -> Vec<usize> {
        let mut found = self.odd.clone();
        let mut nodes = vec![&self.root];
        for forms in &readings.segments {
            let mut next = Vec::new();
            for form in forms {
                let mut here = nodes.clone();
                for piece in &form.pieces {
                    here.iter().for_each(|node| node.record(&mut found));
                    here = here
                        .into_iter()
                        .flat_map(|node| node.below(piece))
                        .collect();
                }
                match form.is_cut {
                    true => here.iter().for_each(|node| node.record(&mut found)),
                    false => next.extend(here),
                }
            }
            let mut known = HashSet::new();
            next.retain(|node| known.insert(std::ptr::from_ref(*node)));
            nodes = next;
        }
        nodes.iter().for_each(|node| node.record(&mut found));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether some pattern of a number for which `is_sought` holds may match a path that is its
    /// own only reading.
    pub(super) fn has_candidate(&self, path: &str, is_sought: impl Fn(usize) -> bool) -> bool {
        let mut found = self.odd.clone();
        self.root
            .collect_plain(Some(path.strip_prefix('/').unwrap_or(path)), &mut found);
        found.into_iter().any(is_sought)
    }

    /// Whether some pattern has this literal, read tolerantly.
    pub(super) fn has_literal(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Every pattern, for a path that is not read to its end.
    pub(super) fn all(&self) -> Vec<usize> {
        let mut found = self.odd.clone();
        self.root.collect_all(&mut found);
        found
    }
}

impl Node {
    /// The patterns that end here, by whatever follows.
    fn record(&self, found: &mut Vec<usize>) {
        for numbers in [&self.here, &self.rest, &self.subtree] {
            found.extend(numbers);
        }
    }

    /// Where a piece leads. An empty one may be merged, and the last slash of patterns is no node.
    fn below<'n>(&'n self, piece: &Piece) -> impl Iterator<Item = &'n Self> {
        let same = piece.text.is_empty().then_some(self);
        let param = self.param.as_deref().filter(|_| !piece.text.is_empty());
        same.into_iter()
            .chain(self.literals.get(&*piece.name))
            .chain(param)
    }

    /// The patterns that may match a path without escapes, capitals and empty segments.
    fn collect_plain(&self, path: Option<&str>, found: &mut Vec<usize>) {
        self.record(found);
        let Some(path) = path else { return };
        let (segment, below) = path
            .split_once('/')
            .map_or((path, None), |(segment, below)| (segment, Some(below)));
        let children = self
            .literals
            .get(segment)
            .into_iter()
            .chain(self.param.as_deref());
        children.for_each(|node| node.collect_plain(below, found));
    }

    fn collect_all(&self, found: &mut Vec<usize>) {
        self.record(found);
        self.literals
            .values()
            .chain(self.param.as_deref())
            .for_each(|node| node.collect_all(found));
    }
}

/// Whether a literal is read as no segment though it is not the last slash, or cuts what follows
/// it.
pub(super) fn has_odd_literal(pattern: &Pattern) -> bool {
    let last = pattern.segments().len().saturating_sub(1);
    pattern
        .segments()
        .iter()
        .enumerate()
        .any(|(index, segment)| match segment {
            Segment::Param(_) => false,
            Segment::Literal(text) if text.is_empty() && index == last => false,
            Segment::Literal(text) => match whole_name(text) {
                // A text with its parameters cut or its end trimmed is one segment still.
                (Some(_), cut) => cut,
                (None, _) => true,
            },
        })
}

/// Whether a pattern is its own tolerant reading, so that it matches no plain path but as it
/// stands.
pub(super) fn is_plain(pattern: &Pattern) -> bool {
    let is_root = pattern.as_str() == "/";
    is_root
        || pattern.segments().iter().all(|segment| match segment {
            Segment::Param(_) => true,
            Segment::Literal(text) => whole_name(text).0.is_some_and(|name| *name == **text),
        })
}

/// Forms of one pattern. More literals of the kind of `/a%3Fb` than lead to that many are read as
/// they are written.
const MOST_SHAPES: usize = 16;

/// A pattern as some reader has it: patterns are read as paths are.
#[derive(Clone, Debug, Default)]
struct Shape {
    steps: Vec<Step>,
    tail: Option<Tail>,
}

#[derive(Clone, Debug)]
enum Step {
    Param,
    /// The texts of a literal, each also with its case folded. As it is written comes first.
    Literal(Vec<(String, String)>),
}

/// Where a reader is between two pieces of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// How many pieces there were. What is more than both patterns have is not counted.
    count: usize,
    /// Whether the found pattern fits them, too.
    is_found: bool,
    /// Whether the last one was empty.
    slash: bool,
}

impl Shape {
    fn as_written(pattern: &Pattern) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Param(_) => Step::Param,
            Segment::Literal(text) => Step::Literal(texts(&Form::of_literal(text))),
        };
        Self {
            steps: pattern.segments().iter().map(step).collect(),
            tail: pattern.tail().cloned(),
        }
    }

    /// The forms of a pattern: without its last slash, without literals that are nothing but dots
    /// or blanks, and with what follows a `?` cut.
    fn all(pattern: &Pattern, distinct: Distinct) -> Vec<Self> {
        let (mut open, mut done) = (vec![Self::default()], Vec::new());
        for segment in pattern.segments() {
            let Segment::Literal(text) = segment else {
                open.iter_mut()
                    .for_each(|shape| shape.steps.push(Step::Param));
                continue;
            };
            let forms = Form::of_literal(text);
            let before = open.clone();
            let has_empty = |cut| {
                forms
                    .iter()
                    .any(|form| form.is_cut == cut && form.is_empty())
            };
            let is_kept_slash = text.is_empty() && distinct.slash;
            open.iter_mut()
                .for_each(|shape| shape.steps.push(Step::Literal(texts(&forms))));
            if forms.iter().any(|form| form.is_cut) && done.len() < MOST_SHAPES {
                done.extend(open.iter().cloned());
                if has_empty(true) {
                    done.extend(before.iter().cloned());
                }
            }
            if has_empty(false) && !is_kept_slash && open.len() < MOST_SHAPES {
                open.extend(before);
            }
        }
        open.iter_mut()
            .for_each(|shape| shape.tail = pattern.tail().cloned());
        open.extend(done);
        open
    }

    /// Whether a piece may stand after so many others.
    fn takes(&self, piece: &Piece, count: usize, folds_case: bool) -> bool {
        match (self.steps.get(count), &self.tail) {
            (Some(step), _) => step.takes(piece, folds_case),
            (None, None) => false,
            (None, Some(Tail::Rest(_))) => count > self.steps.len() || !piece.text.is_empty(),
            (None, Some(Tail::Subtree)) => true,
        }
    }

    fn ends(&self, count: usize) -> bool {
        match self.tail {
            None => count == self.steps.len(),
            Some(Tail::Rest(_)) => count > self.steps.len(),
            Some(Tail::Subtree) => count >= self.steps.len(),
        }
    }

    /// Whether a path of so many pieces may be one of this pattern without its last slash.
    fn ends_without_slash(&self, count: usize) -> bool {
        let is_slash = |step: &Step| matches!(step, Step::Literal(texts) if texts.first().is_some_and(|(text, _)| text.is_empty()));
        self.tail.is_none()
            && count + 1 == self.steps.len()
            && self.steps.last().is_some_and(is_slash)
    }
}

impl Step {
    fn takes(&self, piece: &Piece, folds_case: bool) -> bool {
        match self {
            Self::Param => !piece.text.is_empty(),
            Self::Literal(texts) if piece.is_exact => {
                texts.first().is_some_and(|(text, _)| *text == piece.text)
            }
            Self::Literal(texts) if folds_case => {
                texts.iter().any(|(_, text)| *text == piece.folded)
            }
            Self::Literal(texts) => texts.iter().any(|(text, _)| *text == piece.text),
        }
    }
}

impl Form {
    fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.text.is_empty())
    }
}

/// The texts of a literal, which has no slash and is one piece in each of its forms.
fn texts(forms: &[Form]) -> Vec<(String, String)> {
    let pieces = forms.iter().flat_map(|form| &form.pieces);
    pieces
        .map(|piece| (piece.text.clone(), piece.folded.clone()))
        .collect()
}

/// A pattern in all of its forms.
#[derive(Debug)]
pub(super) struct Folded {
    written: Shape,
    shapes: Vec<Shape>,
    ends_in_slash: bool,
    distinct: Distinct,
}

impl Folded {
    pub(super) fn new(pattern: &Pattern, distinct: Distinct) -> Self {
        Self {
            written: Shape::as_written(pattern),
            shapes: Shape::all(pattern, distinct),
            ends_in_slash: pattern.as_str().ends_with('/'),
            distinct,
        }
    }

    /// Whether there is a reading of a path that is one of the pattern, and not sooner one of
    /// `found`.
    ///
    /// Both patterns go through the pieces of the path together. The work is bounded by the forms
    /// of the path and the lengths of the patterns.
    pub(super) fn goes_before(&self, found: &Pattern, readings: &Readings) -> bool {
        self.has_before(&self.shapes, found, readings)
    }

    /// The same for the pattern as it is written, but for its case.
    pub(super) fn goes_before_as_written(&self, found: &Pattern, readings: &Readings) -> bool {
        self.has_before(std::slice::from_ref(&self.written), found, readings)
    }

    fn has_before(&self, shapes: &[Shape], found: &Pattern, readings: &Readings) -> bool {
        let cases: &[bool] = if self.distinct.case {
            &[false]
        } else {
            &[true, false]
        };
        let own = Shape::as_written(found);
        for shape in shapes {
            for folds_case in cases {
                let race = Race {
                    shape,
                    own: &own,
                    folds_case: *folds_case,
                };
                if race
                    .ends(readings)
                    .into_iter()
                    .any(|end| self.is_before(shape, &own, found, end))
                {
                    return true;
                }
            }
        }
        false
    }

    fn is_before(&self, shape: &Shape, own: &Shape, found: &Pattern, end: Position) -> bool {
        if self.distinct.slash && shape.tail.is_none() && self.ends_in_slash != end.slash {
            return false;
        }
        let is_found =
            end.is_found && (own.ends(end.count) || end.slash && own.ends_without_slash(end.count));
        let own_slash = found.as_str().ends_with('/');
        !is_found || rank(shape, self.ends_in_slash, end.slash) < rank(own, own_slash, end.slash)
    }
}

/// A pattern beside the one that was found.
struct Race<'s> {
    shape: &'s Shape,
    own: &'s Shape,
    folds_case: bool,
}

impl Race<'_> {
    /// Where the readings end that are paths of the pattern.
    fn ends(&self, readings: &Readings) -> BTreeSet<Position> {
        let mut ends = BTreeSet::new();
        let mut positions = BTreeSet::from([Position {
            count: 0,
            is_found: true,
            slash: false,
        }]);
        for forms in &readings.segments {
            let mut next = BTreeSet::new();
            for form in forms {
                let mut here = positions.clone();
                for piece in &form.pieces {
                    here = here
                        .into_iter()
                        .flat_map(|position| self.after(position, piece))
                        .collect();
                }
                if form.is_cut { &mut ends } else { &mut next }.extend(here);
            }
            positions = next;
            if positions.is_empty() {
                break;
            }
        }
        ends.extend(positions);
        ends.retain(|end| self.shape.ends(end.count));
        ends
    }

    /// Where a piece leads: it is one more, or an empty one that is merged.
    fn after(&self, position: Position, piece: &Piece) -> impl Iterator<Item = Position> {
        let Position {
            count, is_found, ..
        } = position;
        let slash = piece.text.is_empty();
        let merged = (slash && !piece.is_exact).then_some(Position { slash, ..position });
        let most = self.shape.steps.len().max(self.own.steps.len()) + 1;
        let taken = self
            .shape
            .takes(piece, count, self.folds_case)
            .then(|| Position {
                count: most.min(count + 1),
                is_found: is_found && self.own.takes(piece, count, self.folds_case),
                slash,
            });
        merged.into_iter().chain(taken)
    }
}

/// The place of a pattern among those that match one reading: the lesser is the more specific, as
/// in the table. Of two that differ by their last slash alone, the one that is as the reading goes
/// before.
fn rank(shape: &Shape, ends_in_slash: bool, slash: bool) -> Vec<u8> {
    let mut rank = Vec::with_capacity(shape.steps.len() + 2);
    for step in &shape.steps {
        match step {
            Step::Param => rank.push(1),
            Step::Literal(texts) if texts.first().is_some_and(|(text, _)| text.is_empty()) => {}
            Step::Literal(_) => rank.push(0),
        }
    }
    rank.push(match shape.tail {
        None => 0,
        Some(Tail::Rest(_)) => 2,
        Some(Tail::Subtree) => 3,
    });
    rank.push(u8::from(ends_in_slash != slash));
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, distinct: Distinct, path: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        let readings = Readings::of(path);
        let rival = Folded::new(&pattern, distinct);
        let found = rival.goes_before(&Pattern::parse("/**").unwrap(), &readings);
        let mut index = Index::default();
        index.insert(&pattern, 7);
        assert!(
            !found || index.candidates(&readings) == [7],
            "{pattern} {path}"
        );
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
            ("/a/{x}/b", "/A/5%3F/b"),
            ("/a/{x}/b", "/A/.../b"),
            ("/a/{x}/b", "/A/%20/b%20"),
            ("/a/{x}/b", "/a/5%3F/b%23"),
            ("/a/{x}", "/A/5%2Fx"),
            ("/a/{x}", "/A/5\\x"),
            ("/a/{x}/b", "/A/%3B/b;y"),
            ("/a/{rest+}", "/A/%3Fx"),
            ("/a/{x}/**", "/A/%3Fx/y"),
            ("/{x}/", "/..."),
            ("/a/x", "/a;b%252fx"),
        ] {
            assert!(is_match(pattern, none, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/admin", "/administrator"),
            ("/admin", "/admin/x"),
            ("/{x}", "/"),
            ("/f/{rest+}", "/F/"),
            ("/", "/a"),
            ("/a/b", "/A%3Fx/b"),
            ("/a/{x}", "/A/5%2F/x"),
        ] {
            assert!(!is_match(pattern, none, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_is_released_from_what_its_application_tells_apart() {
        let none = Distinct::default();
        let case = Distinct {
            case: true,
            slash: false,
        };
        let slash = Distinct {
            case: false,
            slash: true,
        };
        for (distinct, path, found) in [
            (case, "/Admin", false),
            (case, "/admin/", true),
            (case, "/admin.", true),
            (slash, "/admin/", false),
            (slash, "/Admin", true),
            (slash, "/Admin/", false),
            (slash, "/admin/...", false),
        ] {
            assert_eq!(
                is_match("/admin", distinct, path),
                found,
                "{distinct:?} {path}"
            );
        }
        assert!(is_match("/admin/", slash, "/Admin/"));
        assert!(!is_match("/admin/", slash, "/Admin"));
        assert!(is_match("/admin/**", slash, "/Admin/x/"));
        let readings = Readings::of("/x/Admin/");
        let found = Pattern::parse("/{a}/{b}/").unwrap();
        let is_match = |text: &str, distinct| {
            Folded::new(&Pattern::parse(text).unwrap(), distinct).goes_before(&found, &readings)
        };
        assert!(is_match("/{a}/admin/", slash) && is_match("/{a}/admin", none));
        assert!(!is_match("/{a}/admin", slash));
    }

    #[test]
    fn the_more_specific_pattern_has_the_lesser_rank() {
        let order = [
            "/a/b",
            "/a/b/**",
            "/a/{x}",
            "/a/{rest+}",
            "/a/**",
            "/{x}/b",
            "/{x+}",
            "/**",
        ];
        let rank = |text: &str, slash| {
            rank(
                &Shape::as_written(&Pattern::parse(text).unwrap()),
                text.ends_with('/'),
                slash,
            )
        };
        let ranks: Vec<_> = order.iter().map(|text| rank(text, false)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(
            rank("/{x}/", true) < rank("/{x}", true) && rank("/{x}", true) < rank("/{x+}", true)
        );
        assert!(rank("/{x}", false) < rank("/{x}/", false));
    }
}
