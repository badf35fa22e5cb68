//! A pattern in all of its variants, and its comparison with the rule that was found.
//!
//! A scoped `/admin` beside a public `/**` would be open if its application took `/Admin` for
//! `/admin`: the request would be forwarded by `/**`. Applications fold their patterns as they fold
//! paths, so a pattern has one variant for each way to read its literals. A pattern *goes before*
//! the found one in a reading if it matches the reading, and the found one does not or is less
//! specific.

use std::collections::BTreeSet;

use super::forms::{Form, Piece};
use super::tolerant::Readings;
use super::{Distinct, Pattern, Segment, Tail};

/// The number of variants of one pattern. When irregular literals, such as `/a%3Fb`, lead to more,
/// the others are read only as they are written.
const MOST_VARIANTS: usize = 16;

/// A pattern in all of its variants.
#[derive(Debug)]
pub(super) struct FoldedPattern {
    as_written: Variant,
    variants: Vec<Variant>,
    distinct: Distinct,
}

impl FoldedPattern {
    pub(super) fn new(pattern: &Pattern, distinct: Distinct) -> Self {
        Self {
            as_written: Variant::as_written(pattern),
            variants: variants(pattern, distinct),
            distinct,
        }
    }

    /// Returns the readings of a path in which the pattern goes before `found`.
    ///
    /// Both patterns are matched with the pieces of the path at the same time. The number of forms
    /// of the path and the lengths of the patterns bound the work.
    pub(super) fn goes_before(&self, found: &Pattern, readings: &Readings) -> Before {
        self.most_before(&self.variants, found, readings)
    }

    /// Returns whether the pattern as it is written goes before `found` in some reading: no segment
    /// of it is left out, and none cuts the path.
    pub(super) fn goes_before_as_written(&self, found: &Pattern, readings: &Readings) -> bool {
        let as_written = std::slice::from_ref(&self.as_written);
        self.most_before(as_written, found, readings) != Before::Never
    }

    fn most_before(&self, variants: &[Variant], found: &Pattern, readings: &Readings) -> Before {
        let cases: &[bool] = if self.distinct.case {
            &[false]
        } else {
            &[true, false]
        };
        let found = Variant::as_written(found);
        let mut before = Before::Never;
        for rival in variants {
            for folds_case in cases {
                let comparison = Comparison {
                    rival,
                    found: &found,
                    folds_case: *folds_case,
                };
                for end in comparison.ends(readings) {
                    if self.is_distinct(rival, end) || !comparison.is_rival_first(end) {
                        continue;
                    }
                    if !comparison.is_told_apart(end) {
                        return Before::Untold;
                    }
                    before = Before::ToldApart;
                }
            }
        }
        before
    }

    /// Returns whether the application takes a reading for another path than that of the pattern,
    /// because only one of them ends in a slash.
    fn is_distinct(&self, rival: &Variant, end: Position) -> bool {
        self.distinct.slash && rival.tail.is_none() && rival.ends_in_slash != end.ends_in_slash
    }
}

/// The readings of a path in which a pattern goes before the found one.
///
/// The found pattern *spells* a reading if the reading with the literals of that pattern, as they
/// are written, is a path of the found pattern and not of the other one: the operator has told the
/// two paths apart. Beside `/admin/**`, the pattern `/Admin/**` spells `/admin/x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// No reading.
    Never,
    /// Readings that the found pattern spells.
    ToldApart,
    /// A reading that the found pattern does not spell.
    Untold,
}

/// A pattern as some reader understands it.
#[derive(Clone, Debug, Default)]
struct Variant {
    steps: Vec<Step>,
    tail: Option<Tail>,
    /// Set when the pattern ends in a slash as it is written, even if this variant has lost it.
    ends_in_slash: bool,
}

/// One segment of a variant.
#[derive(Clone, Debug)]
enum Step {
    Param,
    /// The forms of a literal. The first one is the literal as it is written.
    Literal(Vec<LiteralForm>),
}

#[derive(Clone, Debug)]
struct LiteralForm {
    text: String,
    /// The text with its case folded.
    folded: String,
}

/// Returns the variants of a pattern: with or without its last slash, with or without literals that
/// are only dots or blanks, and cut at a `?`, a `#` or a NUL or not.
fn variants(pattern: &Pattern, distinct: Distinct) -> Vec<Variant> {
    let mut unfinished = Unfinished {
        open: vec![Variant::default()],
        cut: Vec::new(),
    };
    for segment in pattern.segments() {
        match segment {
            Segment::Param(_) => unfinished.push(&Step::Param),
            Segment::Literal(text) => unfinished.push_literal(text, distinct),
        }
    }
    let Unfinished { mut open, cut } = unfinished;
    for variant in &mut open {
        variant.tail = pattern.tail().cloned();
    }
    open.extend(cut);
    for variant in &mut open {
        variant.ends_in_slash = pattern.as_str().ends_with('/');
    }
    open
}

/// The variants of the first segments of a pattern.
struct Unfinished {
    /// The variants to which the next segment is added.
    open: Vec<Variant>,
    /// The variants that a literal has cut.
    cut: Vec<Variant>,
}

impl Unfinished {
    fn push(&mut self, step: &Step) {
        for variant in &mut self.open {
            variant.steps.push(step.clone());
        }
    }

    fn push_literal(&mut self, text: &str, distinct: Distinct) {
        let forms = Form::of_literal(text);
        let without = self.open.clone();
        self.push(&Step::literal(&forms));
        if forms.iter().any(|form| form.is_cut) && self.cut.len() < MOST_VARIANTS {
            self.cut.extend(self.open.iter().cloned());
            if forms.iter().any(|form| form.is_cut && form.is_empty()) {
                self.cut.extend(without.iter().cloned());
            }
        }
        let may_vanish = forms.iter().any(|form| !form.is_cut && form.is_empty());
        let is_kept_slash = text.is_empty() && distinct.slash;
        if may_vanish && !is_kept_slash && self.open.len() < MOST_VARIANTS {
            self.open.extend(without);
        }
    }
}

impl Variant {
    fn as_written(pattern: &Pattern) -> Self {
        let mut steps = Vec::with_capacity(pattern.segments().len());
        for segment in pattern.segments() {
            steps.push(match segment {
                Segment::Param(_) => Step::Param,
                Segment::Literal(text) => Step::literal(&Form::of_literal(text)),
            });
        }
        Self {
            steps,
            tail: pattern.tail().cloned(),
            ends_in_slash: pattern.as_str().ends_with('/'),
        }
    }

    /// Returns whether a piece may follow after `count` other pieces.
    fn takes(&self, piece: &Piece, count: usize, folds_case: bool) -> bool {
        match (self.steps.get(count), &self.tail) {
            (Some(step), _) => step.takes(piece, folds_case),
            (None, None) => false,
            (None, Some(Tail::Rest(_))) => count > self.steps.len() || !piece.text.is_empty(),
            (None, Some(Tail::Subtree)) => true,
        }
    }

    /// Returns whether a path of `count` pieces may end here.
    fn may_end_after(&self, count: usize) -> bool {
        match self.tail {
            None => count == self.steps.len(),
            Some(Tail::Rest(_)) => count > self.steps.len(),
            Some(Tail::Subtree) => count >= self.steps.len(),
        }
    }

    /// Returns whether only the last slash of the pattern is missing after `count` pieces.
    fn lacks_only_slash_after(&self, count: usize) -> bool {
        self.tail.is_none()
            && count + 1 == self.steps.len()
            && self.steps.last().is_some_and(Step::is_slash)
    }

    /// Returns the rank of the pattern among those that match one reading: the lesser rank is the
    /// more specific pattern, as in the table. Of two patterns that differ only in their last
    /// slash, the one that ends as the reading does is the more specific.
    fn rank(&self, reading_ends_in_slash: bool) -> Vec<u8> {
        let mut rank = Vec::with_capacity(self.steps.len() + 2);
        for step in &self.steps {
            match step {
                Step::Param => rank.push(1),
                Step::Literal(_) if step.is_slash() => {}
                Step::Literal(_) => rank.push(0),
            }
        }
        rank.push(match self.tail {
            None => 0,
            Some(Tail::Rest(_)) => 2,
            Some(Tail::Subtree) => 3,
        });
        rank.push(u8::from(self.ends_in_slash != reading_ends_in_slash));
        rank
    }
}

impl Step {
    /// Makes the step of a literal, which has no slash and is one piece in each of its forms.
    fn literal(forms: &[Form]) -> Self {
        let mut texts = Vec::with_capacity(forms.len());
        for piece in forms.iter().flat_map(|form| &form.pieces) {
            texts.push(LiteralForm {
                text: piece.text.clone(),
                folded: piece.folded.clone(),
            });
        }
        Self::Literal(texts)
    }

    /// Returns whether a literal of the found pattern, as it is written, is no text of this step.
    fn differs_from(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::Literal(own), Self::Literal(other)) => {
                own.first().map(|form| &form.text) != other.first().map(|form| &form.text)
            }
            (Self::Param, _) | (_, Self::Param) => false,
        }
    }

    fn is_slash(&self) -> bool {
        match self {
            Self::Param => false,
            Self::Literal(forms) => forms.first().is_some_and(|form| form.text.is_empty()),
        }
    }

    fn takes(&self, piece: &Piece, folds_case: bool) -> bool {
        match self {
            Self::Param => !piece.text.is_empty(),
            Self::Literal(forms) if piece.is_exact => {
                forms.first().is_some_and(|form| form.text == piece.text)
            }
            Self::Literal(forms) if folds_case => {
                forms.iter().any(|form| form.folded == piece.folded)
            }
            Self::Literal(forms) => forms.iter().any(|form| form.text == piece.text),
        }
    }
}

/// A pattern beside the one that was found.
struct Comparison<'c> {
    rival: &'c Variant,
    found: &'c Variant,
    folds_case: bool,
}

/// The position of a reader between two pieces of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// The number of pieces before it, but at most one more than both patterns have segments.
    count: usize,
    /// Set when the found pattern has taken these pieces, too.
    fits_found: bool,
    /// Set when the found pattern has taken these pieces, and one of its literals, as it is
    /// written, is not the rival's.
    is_told_apart: bool,
    /// Set when the last piece was empty.
    ends_in_slash: bool,
}

impl Comparison<'_> {
    /// Returns the positions in which the readings end that the rival matches.
    fn ends(&self, readings: &Readings) -> BTreeSet<Position> {
        let mut ends = BTreeSet::new();
        let mut positions = BTreeSet::from([Position {
            count: 0,
            fits_found: true,
            is_told_apart: false,
            ends_in_slash: false,
        }]);
        for forms in &readings.segments {
            let mut next = BTreeSet::new();
            for form in forms {
                let reached = self.positions_behind(positions.clone(), form);
                if form.is_cut {
                    ends.extend(reached);
                } else {
                    next.extend(reached);
                }
            }
            positions = next;
            if positions.is_empty() {
                break;
            }
        }
        ends.extend(positions);
        ends.retain(|end| self.rival.may_end_after(end.count));
        ends
    }

    fn positions_behind(
        &self,
        mut positions: BTreeSet<Position>,
        form: &Form,
    ) -> BTreeSet<Position> {
        for piece in &form.pieces {
            let mut next = BTreeSet::new();
            for position in positions {
                self.take(piece, position, &mut next);
            }
            positions = next;
        }
        positions
    }

    /// Adds the positions behind a piece. An empty piece is one more segment, or is merged.
    fn take(&self, piece: &Piece, position: Position, next: &mut BTreeSet<Position>) {
        let is_empty = piece.text.is_empty();
        if is_empty && !piece.is_exact {
            next.insert(Position {
                ends_in_slash: true,
                ..position
            });
        }
        let count = position.count;
        if self.rival.takes(piece, count, self.folds_case) {
            let most = self.rival.steps.len().max(self.found.steps.len()) + 1;
            let fits_found = position.fits_found && self.found.takes(piece, count, self.folds_case);
            next.insert(Position {
                count: most.min(count + 1),
                fits_found,
                is_told_apart: fits_found && (position.is_told_apart || self.differs_at(count)),
                ends_in_slash: is_empty,
            });
        }
    }

    /// Returns whether the literal of the found pattern at this place is not the rival's.
    fn differs_at(&self, count: usize) -> bool {
        match (self.rival.steps.get(count), self.found.steps.get(count)) {
            (Some(rival), Some(found)) => rival.differs_from(found),
            _ => false,
        }
    }

    /// Returns whether the found pattern spells a reading that ends here. Only the last slash of
    /// the found pattern may be missing in the reading.
    fn is_told_apart(&self, end: Position) -> bool {
        if self.found.may_end_after(end.count) {
            return end.is_told_apart;
        }
        let is_slash_told = self.rival.tail.is_none() && !self.rival.ends_in_slash;
        end.fits_found
            && self.found.lacks_only_slash_after(end.count)
            && (end.is_told_apart || is_slash_told)
    }

    /// Returns whether the rival goes before the found pattern in a reading that ends here.
    fn is_rival_first(&self, end: Position) -> bool {
        let is_found = end.fits_found
            && (self.found.may_end_after(end.count)
                || end.ends_in_slash && self.found.lacks_only_slash_after(end.count));
        !is_found || self.rival.rank(end.ends_in_slash) < self.found.rank(end.ends_in_slash)
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::Index;
    use super::*;

    fn is_match(pattern: &str, distinct: Distinct, path: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        let readings = Readings::of(path);
        let rival = FoldedPattern::new(&pattern, distinct);
        let found = rival.goes_before(&Pattern::parse("/**").unwrap(), &readings) != Before::Never;
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
            FoldedPattern::new(&Pattern::parse(text).unwrap(), distinct)
                .goes_before(&found, &readings)
                != Before::Never
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
        let rank =
            |text: &str, slash| Variant::as_written(&Pattern::parse(text).unwrap()).rank(slash);
        let ranks: Vec<_> = order.iter().map(|text| rank(text, false)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(
            rank("/{x}/", true) < rank("/{x}", true) && rank("/{x}", true) < rank("/{x+}", true)
        );
        assert!(rank("/{x}", false) < rank("/{x}/", false));
    }
}
