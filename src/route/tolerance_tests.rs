//! *Tolerant reading*, by enumeration: no reader that folds any of what applications fold finds a stricter rule than the
//! one by which the request went.

use std::collections::BTreeSet;
use std::thread;

use http::Method;

use super::marks::Mark;
use super::shadow::rank;
use super::stricter::pattern_of;
use super::trial::{Line, rule, target};
use super::{Distinct, Miss, Pattern, Rule, Segment, Table};

/// The steps by which readers fold a path: each reader is a set of these.
const FOLDS: [fn(&str) -> String; 8] =
    [decode, cut_query, turn_backslashes, cut_parameters, trim, merge_slashes, cut_last_slash, lower];

fn decode(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn cut_query(path: &str) -> String {
    path.split(['?', '#']).next().unwrap().to_owned()
}

fn turn_backslashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn cut_parameters(path: &str) -> String {
    by_segment(path, |segment| segment.split(';').next().unwrap())
}

/// Cuts parameters before a segment is split at slashes that were escaped in it.
fn cut_whole_parameters(path: &str) -> String {
    let cut = |segment: &str| decode(segment).split(';').next().unwrap().to_owned();
    path.split('/').map(cut).collect::<Vec<_>>().join("/")
}

fn trim(path: &str) -> String {
    by_segment(path, |segment| segment.trim_end_matches(['.', ' ']))
}

fn merge_slashes(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn cut_last_slash(path: &str) -> String {
    if path.len() > 1 { path.strip_suffix('/').unwrap_or(path).to_owned() } else { path.to_owned() }
}

fn lower(path: &str) -> String {
    path.to_lowercase()
}

fn by_segment(path: &str, change: impl Fn(&str) -> &str) -> String {
    path.split('/').map(change).collect::<Vec<_>>().join("/")
}

/// A path as the reader of a set of folds has it in the end.
fn read(folds: u32, path: &str) -> String {
    let mut path = path.to_owned();
    loop {
        let folded = FOLDS.iter().enumerate().filter(|(bit, _)| folds & 1 << bit != 0);
        let next = folded.fold(path.clone(), |path, (_, fold)| fold(&path));
        // A cut may leave nothing of what was a path.
        let next = if next.starts_with('/') { next } else { format!("/{next}") };
        if next == path {
            return path;
        }
        path = next;
    }
}

/// The readings of a path: the segments, and which segments of the path they change in it.
fn readings(path: &str) -> BTreeSet<(Vec<String>, u32)> {
    let split = |path: &str| -> Vec<String> { path[1..].split('/').map(decode).collect() };
    let readers = 0..1_u32 << FOLDS.len();
    let last = path[1..].split('/').count() - 1;
    readers
        .map(|folds| {
            let changed = path[1..].split('/').enumerate().fold(0, |changed, (index, segment)| {
                let alone = format!("/{segment}");
                let is_last_slash = segment.is_empty() && index == last;
                let same = if is_last_slash {
                    folds & 1 << 6 == 0
                } else {
                    split(&read(folds, &alone)) == [decode(segment)]
                };
                changed | u32::from(!same) << index
            });
            (split(&read(folds, path)), changed)
        })
        .collect()
}

const PATTERNS: [&str; 11] = [
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
];

/// The callers that each of three rules admits: all (3), those with one scope (1), those with another (2).
const PASSES: [[u8; 3]; 6] = [[1, 3, 3], [3, 1, 3], [3, 3, 1], [1, 1, 3], [1, 2, 3], [3, 2, 1]];

fn paths() -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for raw in ["admin", "Admin", "admin.", "admin;a", "", "x"] {
        segments.push(raw.to_owned());
        if !raw.is_empty() {
            segments.push(raw.bytes().map(|byte| format!("%{byte:02x}")).collect());
        }
    }
    let mut paths: Vec<String> = segments.iter().map(|segment| format!("/{segment}")).collect();
    for first in &segments {
        for second in &segments {
            paths.extend(["/", "%2f"].map(|slash| format!("/{first}{slash}{second}")));
        }
    }
    paths.extend(
        ["/%2561dmin", "/admin%20", "/admin%3Fx", "/admin%5Cx", "/x/admin%23/x", "/ADMIN/%20", "/x//Admin/"]
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

fn spelled(pattern: &Pattern) -> u32 {
    let literals = pattern.segments().iter().enumerate();
    literals
        .fold(0, |bits, (index, segment)| bits | u32::from(matches!(segment, Segment::Literal(_))) << index)
}

/// A path and what readers make of it.
struct Case {
    path: String,
    raw: Vec<String>,
    readings: BTreeSet<(Vec<String>, u32)>,
}

/// The relation of three patterns to a path.
struct Facts {
    /// Which of them match it as it stands.
    matching: [bool; 3],
    /// Which of them speaks for a reading, and which segments of the path are changed in that.
    speaking: BTreeSet<(usize, u32)>,
}

impl Facts {
    fn of(patterns: &[Pattern; 3], case: &Case) -> Self {
        let mut order = [0, 1, 2];
        order.sort_by_key(|index| rank(&patterns[*index], false));
        let speaks = |(reading, changed): &(Vec<String>, u32)| {
            let first = order.into_iter().find(|index| patterns[*index].matches(reading))?;
            Some((first, *changed))
        };
        Self {
            matching: [0, 1, 2].map(|index: usize| patterns[index].matches(&case.raw)),
            speaking: case.readings.iter().filter_map(speaks).collect(),
        }
    }
}

/// Looks for readers of every path who find a stricter rule than the one by which it goes. Returns how many paths went,
/// and how many were refused.
fn enumerate(texts: [&str; 3], cases: &[Case]) -> (usize, usize) {
    let patterns = texts.map(|text| Pattern::parse(text).unwrap());
    let facts: Vec<_> = cases.iter().map(|case| Facts::of(&patterns, case)).collect();
    let number =
        |line: &Line| texts.iter().position(|text| line.text.ends_with(&format!(" {text}"))).unwrap();
    let (mut went, mut refused) = (0, 0);
    for passes in PASSES {
        let table = Table::new(rules(texts, passes)).unwrap();
        for (case, facts) in cases.iter().zip(&facts) {
            let around = || format!("{texts:?} {passes:?} {}", case.path);
            match table.find(&target(&Method::GET, None, &case.path)) {
                Ok(found) => {
                    went += 1;
                    let found = number(found);
                    for (other, changed) in &facts.speaking {
                        // The operator has put the one before the other for this very path, or has spelled what is read.
                        let told = facts.matching[*other] || changed & spelled(&patterns[found]) != 0;
                        assert!(told || passes[found] & !passes[*other] == 0, "{}: {other}", around());
                    }
                }
                Err(Miss::Shadowed { found, by }) => {
                    refused += 1;
                    assert_ne!(found.passes & !by.passes, 0, "{}", around());
                    let by = number(by);
                    assert!(!facts.matching[by] && fits(texts[by], &case.path), "{}", around());
                }
                Err(Miss::NotFound) => {}
                Err(Miss::Method { .. }) => panic!("every rule has every method"),
            }
        }
    }
    (went, refused)
}

/// Whether the reader who folds everything takes a path for one of a pattern, which is folded alike.
fn fits(pattern: &str, path: &str) -> bool {
    let pattern = Pattern::parse(&lower(&cut_last_slash(pattern))).unwrap();
    let all = (1 << FOLDS.len()) - 1;
    [path.to_owned(), cut_whole_parameters(path)].iter().any(|path| {
        let reading: Vec<_> = read(all, path)[1..].split('/').map(str::to_owned).collect();
        pattern.matches(&reading)
    })
}

fn triples() -> Vec<[&'static str; 3]> {
    let mut triples = Vec::new();
    for (a, first) in PATTERNS.iter().enumerate() {
        for (b, second) in PATTERNS.iter().enumerate().skip(a + 1) {
            triples.extend(PATTERNS.iter().skip(b + 1).map(|third| [*first, *second, *third]));
        }
    }
    triples
}

#[test]
fn no_reader_finds_a_stricter_rule_than_the_one_that_spoke() {
    let case = |path: String| Case {
        raw: path[1..].split('/').map(decode).collect(),
        readings: readings(&path),
        path,
    };
    let cases: Vec<_> = paths().into_iter().map(case).collect();
    let triples = triples();
    let (first, second) = triples.split_at(triples.len() / 2);
    let both = thread::scope(|scope| {
        let run = |triples: &[[&str; 3]]| -> Vec<_> {
            triples.iter().map(|triple| enumerate(*triple, &cases)).collect()
        };
        let second = scope.spawn(move || run(second));
        [run(first), second.join().unwrap()].concat()
    });
    let went: usize = both.iter().map(|(went, _)| went).sum();
    let refused: usize = both.iter().map(|(_, refused)| refused).sum();
    assert!(went > 100_000 && refused > 10_000, "{went} {refused}");
}

/// Marks every rule for every path, as if nothing had been worked out.
fn all<T>(_: &super::table::Node, _: &[Rule<T>], marks: &mut [Mark]) {
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
    ];
    let mut clear = 0;
    for patterns in triples().into_iter().step_by(3).chain(deep) {
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

/// One line for each verdict: the rules, then requests with what becomes of them.
fn verdicts(lines: &[(&str, u8)], cases: &[(&str, &str)]) {
    let line = |(text, passes): &(&str, u8)| {
        let mut rule = rule(0, text);
        rule.value.passes = *passes;
        rule
    };
    let table = Table::new(lines.iter().map(line).collect()).unwrap();
    for (request, expected) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = match table.find(&target(&method, None, path)) {
            Ok(line) => line.text.clone(),
            Err(Miss::NotFound) => "404".into(),
            Err(Miss::Method { .. }) => "405".into(),
            Err(Miss::Shadowed { by, .. }) => format!("shadowed by {}", by.text),
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn a_method_that_the_stricter_route_lacks_lets_nobody_pass() {
    verdicts(
        &[("GET /admin", 1), ("DELETE /admin", 2), ("ANY /**", 3), ("ANY /x/{id}", 1), ("GET /x/y", 1)],
        &[
            ("POST /admin/", "shadowed by GET /admin"),
            ("GET /Admin", "shadowed by GET /admin"),
            ("OPTIONS /admin/", "shadowed by GET /admin"),
            ("POST /admin", "405"),
            ("POST /other/", "ANY /**"),
            ("GET /x/Y", "ANY /x/{id}"),
            ("HEAD /x/Y", "ANY /x/{id}"),
            ("POST /x/Y", "shadowed by GET /x/y"),
            ("GET /x/y/", "shadowed by ANY /x/{id}"),
            ("GET /x/z/", "shadowed by ANY /x/{id}"),
        ],
    );
}

#[test]
fn a_route_is_released_by_the_stricter_one_alone() {
    let table = |which: usize, distinct| {
        let mut rules = rules(["/admin", "/{id}", "/**"], [1, 3, 3]);
        rules[which].distinct = distinct;
        Table::new(rules).unwrap()
    };
    let found = |table: &Table<Line>, path: &str| table.find(&target(&Method::GET, None, path)).is_ok();
    let case = Distinct { case: true, slash: false };
    let slash = Distinct { case: false, slash: true };
    for (which, distinct, upper, slashed) in [
        (0, case, true, false),
        (0, slash, false, true),
        (1, case, false, false),
        (2, slash, false, false),
        (0, Distinct::default(), false, false),
    ] {
        let table = table(which, distinct);
        assert_eq!(
            (found(&table, "/Admin"), found(&table, "/admin/")),
            (upper, slashed),
            "{which} {distinct:?}"
        );
        assert!(!found(&table, "/admin.") && !found(&table, "/admin%20"));
    }
}

#[test]
fn groups_that_fall_through_are_as_they_stand_among_themselves() {
    let table = |groups: [Option<usize>; 2]| {
        let mut rules: Vec<_> = ["GET /admin", "ANY /**"].iter().map(|text| rule(0, text)).collect();
        rules[0].value.passes = 1;
        for (rule, group) in rules.iter_mut().zip(groups) {
            rule.method_fallthrough = group;
        }
        Table::new(rules).unwrap()
    };
    let found = |groups, method: Method, path| table(groups).find(&target(&method, None, path)).is_ok();
    for (method, path) in [(Method::GET, "/Admin"), (Method::POST, "/admin/"), (Method::POST, "/admin")] {
        assert!(found([Some(0), Some(0)], method.clone(), path), "{method} {path}");
        assert!(!found([Some(0), Some(1)], method.clone(), path), "{method} {path}");
        assert!(!found([Some(0), None], method.clone(), path), "{method} {path}");
        assert!(!found([None, None], method.clone(), path), "{method} {path}");
    }
    assert!(pattern_of::<Line>(&[], &[]).is_none());
}
