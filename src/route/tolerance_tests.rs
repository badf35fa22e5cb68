//! *Tolerant reading*, by enumeration: for each set of steps that an application may take, it finds
//! no stricter rule than the one that the table found.

use std::collections::BTreeSet;
use std::thread;

use http::Method;

use super::marks::Mark;
use super::readers::{
    CUTS_LAST_SLASH, DECODINGS, FOLDS, FOLDS_CASE, OF_PATTERNS, Reading, TRIMS_DOTS, decode,
    folded, read, readings, sets_of_folds,
};
use super::reference_tests::specificity_of;
use super::trial::{Draw as _, Line, Numbers, rule, target};
use super::{Miss, Pattern, Rule, Segment, Table};

pub(super) const PATTERNS: [&str; 17] = [
    "/admin.",
    "/admin",
    "/Admin",
    "/admin/",
    "/admin/**",
    "/{p}",
    "/{p}/",
    "/{p}/{q}",
    "/x/{p}",
    "/{rest+}",
    "/admin/x",
    "/**",
    "/admin/{p}/x",
    "/admin/{p}/",
    "/admin/{rest+}",
    "/admin/{p}/**",
    "/{p}/x",
];

/// The callers that each of three rules admits: all (3), those with one scope (1), those with
/// another (2), none (0).
const PASSES: [[u8; 3]; 7] = [
    [0, 3, 1],
    [1, 3, 3],
    [3, 1, 3],
    [3, 3, 1],
    [1, 1, 3],
    [1, 2, 3],
    [3, 2, 1],
];

/// Segments that some readers take for none, or for more than one.
const ODD: [&str; 11] = [
    "5%3F", "%3Fx", "5%23", "%23", "%20", "...", "5%2Fx", "5%5cx", "5\\x", "%3B", "b%252fx",
];

pub(super) fn paths() -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for raw in ["admin", "Admin", "admin.", "admin;a", "", "x"] {
        segments.push(raw.to_owned());
        if !raw.is_empty() {
            segments.push(raw.bytes().map(|byte| format!("%{byte:02x}")).collect());
        }
    }
    let mut paths: Vec<String> = segments
        .iter()
        .map(|segment| format!("/{segment}"))
        .collect();
    for first in &segments {
        for second in &segments {
            paths.extend(["/", "%2f"].map(|slash| format!("/{first}{slash}{second}")));
        }
    }
    for (index, first) in ["admin", "Admin"].iter().enumerate() {
        for second in ODD {
            let ends = ["", "/", "/x", "/X", "/x/", "/x.", "/x%20", "/x;y"];
            paths.extend(
                ends.iter()
                    .skip(index)
                    .map(|end| format!("/{first}/{second}{end}")),
            );
        }
    }
    paths.extend(
        [
            "/%2561dmin",
            "/admin%20",
            "/admin%3Fx",
            "/admin%5Cx",
            "/x/admin%23/x",
            "/ADMIN/%20",
            "/x//Admin/",
        ]
        .map(str::to_owned),
    );
    paths.extend(
        [
            "/admin;b%252fx",
            "/...",
            "/%20",
            "/%3Fx",
            "/admin%3fx%23/x",
            "/x%23/x",
        ]
        .map(str::to_owned),
    );
    paths
}

fn rules(patterns: [&str; 3], passes: [u8; 3]) -> Vec<Rule<Line>> {
    let line = |(pattern, passes): (&str, u8)| {
        let mut rule = rule(0, &format!("ANY {pattern}"));
        rule.value.passes = passes;
        rule
    };
    patterns.into_iter().zip(passes).map(line).collect()
}

pub(super) fn spelled(pattern: &Pattern) -> u32 {
    let literals = pattern.segments().iter().enumerate();
    literals.fold(0, |bits, (index, segment)| {
        bits | u32::from(matches!(segment, Segment::Literal(_))) << index
    })
}

/// A path and its readings.
pub(super) struct Case {
    path: String,
    raw: Vec<String>,
    readings: BTreeSet<Reading>,
    forms: Vec<BTreeSet<Form>>,
}

impl Case {
    pub(super) fn new(path: String) -> Self {
        Self {
            raw: path[1..].split('/').map(decode).collect(),
            readings: readings(&path),
            forms: path[1..].split('/').map(forms).collect(),
            path,
        }
    }
}

/// The relation of three patterns to a path.
struct Facts {
    /// Set for each pattern that matches the path as it stands.
    matching: [bool; 3],
    /// The pairs of which the first goes before the second in some reading that changes a segment
    /// that the second does not spell.
    before: BTreeSet<(usize, usize)>,
    /// The same, in some reading that the second does not spell.
    untold: BTreeSet<(usize, usize)>,
}

impl Facts {
    fn of(texts: [&str; 3], patterns: &[Pattern; 3], case: &Case) -> Self {
        let as_read: Vec<_> = (0..=OF_PATTERNS)
            .filter(|folds| folds & !OF_PATTERNS == 0)
            .map(|folds| (folds, texts.map(|text| folded(text, folds))))
            .collect();
        let (mut before, mut untold) = (BTreeSet::new(), BTreeSet::new());
        for Reading {
            segments,
            changed,
            folds,
        } in &case.readings
        {
            let read = &as_read.iter().find(|(known, _)| known == folds).unwrap().1;
            let fits = read.each_ref().map(|pattern| pattern.matches(segments));
            let ranks = read.each_ref().map(specificity_of);
            for (first, second) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                let is_shape = read[first].same_shape(&read[second]);
                let wins = !fits[second] || !is_shape && ranks[first] < ranks[second];
                if fits[first] && wins && changed & !spelled(&patterns[second]) != 0 {
                    before.insert((first, second));
                    if !spells(&patterns[second], segments, &read[second], &patterns[first]) {
                        untold.insert((first, second));
                    }
                }
            }
        }
        Self {
            matching: patterns
                .each_ref()
                .map(|pattern| pattern.matches(&case.raw)),
            before,
            untold,
        }
    }
}

/// Returns whether a reading, with the literals of `found` as they are written, is a path of
/// `found` and none of `other`. `as_read` is `found` as the reader folds it.
fn spells(found: &Pattern, reading: &[String], as_read: &Pattern, other: &Pattern) -> bool {
    if !as_read.matches(reading) {
        return false;
    }
    let mut written = reading.to_vec();
    for (index, segment) in found.segments().iter().enumerate() {
        match (segment, written.get_mut(index)) {
            (Segment::Literal(text), Some(piece)) => *piece = text.to_string(),
            (Segment::Literal(text), None) => written.push(text.to_string()),
            (Segment::Param(_), _) => {}
        }
    }
    found.matches(&written) && !other.matches(&written)
}

/// Returns whether a reader that folds only the segments that `found` spells takes the path for one
/// of `other`: then the operator has told the two apart.
pub(super) fn is_told(path: &str, found: &Pattern, other: &str) -> bool {
    let written = Pattern::parse(other).unwrap();
    DECODINGS.into_iter().any(|decoding| {
        (0..1_u32 << FOLDS.len()).any(|folds| {
            let mut segments: Vec<(String, bool)> = Vec::new();
            for (index, segment) in path[1..].split('/').enumerate() {
                let is_spelled = spelled(found) & 1 << index != 0;
                match is_spelled {
                    true if segment.is_empty() && folds & CUTS_LAST_SLASH != 0 => {}
                    true => {
                        let pieces = read(decoding, folds, &format!("/{segment}"));
                        segments.extend(pieces.into_iter().map(|piece| (piece, true)));
                    }
                    false => segments.push((decode(segment), false)),
                }
            }
            let texts: Vec<&str> = segments.iter().map(|(text, _)| text.as_str()).collect();
            let as_read = folded(other, folds & FOLDS_CASE);
            let is_written = |(index, (text, is_folded)): (usize, &(String, bool))| {
                *is_folded
                    || match written.segments().get(index) {
                        Some(Segment::Literal(literal)) => **literal == **text,
                        _ => true,
                    }
            };
            as_read.matches(&texts) && segments.iter().enumerate().all(is_written)
        })
    })
}

/// Checks that no reader of any path finds a stricter rule than the table. Returns the number of
/// paths that the table lets through and the number that it refuses.
pub(super) fn enumerate(texts: [&str; 3], cases: &[Case]) -> (usize, usize) {
    let patterns = texts.map(|text| Pattern::parse(text).unwrap());
    let facts: Vec<_> = cases
        .iter()
        .map(|case| Facts::of(texts, &patterns, case))
        .collect();
    let number = |line: &Line| {
        texts
            .iter()
            .position(|text| line.text.ends_with(&format!(" {text}")))
            .unwrap()
    };
    let (mut went, mut refused) = (0, 0);
    for passes in PASSES {
        let table = Table::new(rules(texts, passes)).unwrap();
        for (case, facts) in cases.iter().zip(&facts) {
            let around = || format!("{texts:?} {passes:?} {}", case.path);
            match table.find(&target(&Method::GET, None, &case.path)) {
                Ok(found) => {
                    went += 1;
                    let found = number(found);
                    for (other, _) in facts.before.iter().filter(|(_, second)| *second == found) {
                        let is_as_strict = passes[found] & !passes[*other] == 0;
                        let is_told = !facts.untold.contains(&(*other, found))
                            && is_told(&case.path, &patterns[found], texts[*other]);
                        let is_fine = is_as_strict || facts.matching[*other] || is_told;
                        assert!(is_fine, "{}: {}", around(), texts[*other]);
                    }
                }
                Err(Miss::Shadowed { found, by }) => {
                    refused += 1;
                    assert_ne!(found.passes & !by.passes, 0, "{}", around());
                    let by = number(by);
                    let is_read = [
                        FOLDS_CASE,
                        OF_PATTERNS,
                        OF_PATTERNS & !TRIMS_DOTS,
                        OF_PATTERNS & !CUTS_LAST_SLASH,
                    ]
                    .into_iter()
                    .any(|folds| is_some_reading(&folded(texts[by], folds), &[], &case.forms));
                    assert!(!facts.matching[by] && is_read, "{}", around());
                }
                Err(Miss::NotFound) => {}
                Err(Miss::Method { .. }) => panic!("every rule has every method"),
            }
        }
    }
    (went, refused)
}

/// The pieces of a segment for some reader, and whether the path ends there.
type Form = (Vec<String>, bool);

/// Returns the forms of a segment for readers that ignore case.
fn forms(segment: &str) -> BTreeSet<Form> {
    let mut forms = BTreeSet::new();
    for decoding in DECODINGS {
        for folds in sets_of_folds(segment).filter(|folds| folds & FOLDS_CASE != 0) {
            let mut pieces = read(decoding, folds, &format!("/{segment}/end"));
            let is_cut = pieces.last().is_none_or(|last| last != "end");
            if !is_cut {
                pieces.pop();
            }
            let merged = pieces
                .iter()
                .filter(|piece| !piece.is_empty())
                .cloned()
                .collect();
            forms.extend([(merged, is_cut), (pieces, is_cut)]);
        }
    }
    forms
}

/// Returns whether a pattern matches a path if each segment may have a reader of its own.
fn is_some_reading(pattern: &Pattern, before: &[String], segments: &[BTreeSet<Form>]) -> bool {
    let Some((first, below)) = segments.split_first() else {
        return pattern.matches(before);
    };
    first.iter().any(|(pieces, is_cut)| {
        is_some_reading(
            pattern,
            &[before, pieces].concat(),
            if *is_cut { &[] } else { below },
        )
    })
}

fn triples() -> Vec<[&'static str; 3]> {
    let mut triples = Vec::new();
    for (a, first) in PATTERNS.iter().enumerate() {
        for (b, second) in PATTERNS.iter().enumerate().skip(a + 1) {
            triples.extend(
                PATTERNS
                    .iter()
                    .skip(b + 1)
                    .map(|third| [*first, *second, *third]),
            );
        }
    }
    triples
}

/// The number of tables that are tried, of many more.
const MOST_TABLES: usize = 32;

#[test]
fn no_reader_finds_a_stricter_rule_than_the_one_that_spoke() {
    let cases: Vec<_> = paths().into_iter().map(Case::new).collect();
    let mut numbers = Numbers(11);
    let all = triples();
    let triples: Vec<_> = (0..MOST_TABLES).map(|_| *numbers.one_of(&all)).collect();
    let (first, second) = triples.split_at(triples.len() / 2);
    let both = thread::scope(|scope| {
        let run = |triples: &[[&str; 3]]| -> Vec<_> {
            triples
                .iter()
                .map(|triple| enumerate(*triple, &cases))
                .collect()
        };
        let second = scope.spawn(move || run(second));
        [run(first), second.join().unwrap()].concat()
    });
    let went: usize = both.iter().map(|(went, _)| went).sum();
    let refused: usize = both.iter().map(|(_, refused)| refused).sum();
    assert!(went > 10_000 && refused > 2_000, "{went} {refused}");
}

/// Marks every rule for all paths, in place of the marks that the table computes.
fn all<T>(_: &super::tree::Node, _: &[Rule<T>], marks: &mut [Mark]) {
    marks.fill(Mark::Always);
}

#[test]
fn a_rule_that_is_marked_for_no_path_is_shadowed_on_none() {
    let paths = paths();
    let deep = [
        ["/a/{x}", "/a/b/{y}", "/{z}/b"],
        ["/a/**", "/a/{x}/Admin", "/{z}/x/"],
        ["/{p}", "/.../admin", "/x%3Fy/{p}"],
        ["/x/{p}/admin", "/x/admin", "/{p}/{q}/admin"],
        ["/x/{p}/Admin", "/x/**", "/{q}/admin/**"],
        ["/{t}/admin/**", "/Admin/**", "/{p}/"],
        ["/Admin/{p}", "/admin/x", "/admin/**"],
        ["/x/Admin/{p}", "/x/{rest+}", "/x"],
    ];
    let mut clear = 0;
    for patterns in triples().into_iter().step_by(11).chain(deep) {
        for passes in PASSES {
            let marked = Table::new(rules(patterns, passes)).unwrap();
            let unmarked = Table::compile(rules(patterns, passes), all).unwrap();
            for path in paths
                .iter()
                .flat_map(|path| [path.clone(), format!("/a{path}"), format!("/x{path}/x")])
                .step_by(5)
            {
                let target = target(&Method::GET, None, &path);
                let (with, without) = (marked.find(&target), unmarked.find(&target));
                clear += usize::from(with.is_ok());
                assert_eq!(with, without, "{patterns:?} {passes:?} {path}");
            }
        }
    }
    assert!(clear > 10_000);
}
