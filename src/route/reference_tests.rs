//! A second implementation of the rules of matching, slow and simple, to compare the table with.

use std::collections::BTreeSet;
use std::thread;

use http::Method;

use super::trial::{Draw, Line, Numbers, rule, target};
use super::{ANY, HostPattern, MethodPattern, Miss, Pattern, Rule, Table};

/// The rules of one pattern of one host, as text.
pub(super) struct Shape {
    host: Option<HostPattern>,
    segments: Vec<String>,
    rules: Vec<usize>,
}

/// The rules of a table by pattern, the more specific before.
pub(super) struct Reference<'t> {
    rules: &'t [Rule<Line>],
    shapes: Vec<Shape>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Speaks(usize),
    NotFound,
    /// 405, with a rule of the pattern whose methods `Allow` names.
    Method(usize),
}

impl<'t> Reference<'t> {
    pub(super) fn new(rules: &'t [Rule<Line>]) -> Self {
        let mut shapes: Vec<Shape> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let segments: Vec<_> = rule.pattern.as_str()[1..].split('/').map(shape).collect();
            let same = |shape: &&mut Shape| shape.host == rule.host && shape.segments == segments;
            match shapes.iter_mut().find(same) {
                Some(shape) => shape.rules.push(index),
                None => shapes.push(Shape {
                    host: rule.host.clone(),
                    segments,
                    rules: vec![index],
                }),
            }
        }
        shapes.sort_by_key(|shape| specificity(&shape.segments));
        Self { rules, shapes }
    }

    fn find(&self, method: &str, host: &str, path: &str) -> Verdict {
        let decoded = |segment| if segment == "%61" { "a" } else { segment };
        let path: Vec<&str> = path[1..].split('/').map(decoded).collect();
        self.find_segments(method, host, &path)
    }

    /// Returns the patterns that match a path of these segments, the most specific first.
    fn matching<'r>(&'r self, host: &str, path: &'r [&str]) -> impl Iterator<Item = &'r Shape> {
        let host = self.host(host);
        let shapes = self.shapes.iter();
        shapes.filter(move |shape| shape.host.as_ref() == host && fits(&shape.segments, path))
    }

    /// Returns a rule of the most specific pattern that matches a path of these segments.
    pub(super) fn nearest(&self, host: &str, path: &[&str]) -> Option<usize> {
        self.matching(host, path).next()?.rules.first().copied()
    }

    /// Returns the verdict on a path of these segments, each decoded once.
    pub(super) fn find_segments(&self, method: &str, host: &str, path: &[&str]) -> Verdict {
        let mut matching = self.matching(host, path);
        let Some(first) = matching.next() else {
            return Verdict::NotFound;
        };
        if let Some(index) = self.speaking(first, method) {
            return Verdict::Speaks(index);
        }
        let refused = Verdict::Method(first.rules[0]);
        let Some(group) = self.group(first) else {
            return refused;
        };
        let mut outside: Vec<u8> = Vec::new();
        for shape in matching {
            match self
                .speaking(shape, method)
                .map(|index| (index, &self.rules[index]))
            {
                None if self.group(shape) == Some(group) => {}
                None => return refused,
                Some((index, rule)) if rule.method_fallthrough == Some(group) => {
                    let stricter = outside
                        .iter()
                        .any(|passes| rule.value.passes & !passes != 0);
                    return if stricter {
                        refused
                    } else {
                        Verdict::Speaks(index)
                    };
                }
                Some((_, rule)) => outside.push(rule.value.passes),
            }
        }
        refused
    }

    /// Returns the host pattern for a name: the exact name, else a wildcard, else none.
    fn host(&self, name: &str) -> Option<&HostPattern> {
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let hosts = || self.shapes.iter().filter_map(|shape| shape.host.as_ref());
        let exact =
            hosts().find(|host| matches!(host, HostPattern::Exact(known) if **known == *name));
        exact.or_else(|| hosts().find(|host| Some(host.to_string()) == wildcard))
    }

    fn speaking(&self, shape: &Shape, method: &str) -> Option<usize> {
        let named = |name: &str| {
            let of = |index: &&usize| match &self.rules[**index].method {
                MethodPattern::One(method) => method.as_str() == name,
                MethodPattern::Any => name == "ANY",
            };
            shape.rules.iter().find(of).copied()
        };
        let heads = |index: &usize| self.rules[*index].head;
        let by_get = if method == "HEAD" {
            named("GET").filter(heads)
        } else {
            None
        };
        let common = ANY.iter().any(|known| known.as_str() == method);
        let any = || if common { named("ANY") } else { None };
        (if method == "ANY" { None } else { named(method) })
            .or(by_get)
            .or_else(any)
    }

    /// Returns the methods that the pattern of a rule answers and does not deny.
    fn allowed(&self, rule: usize) -> String {
        let shape = self.shape_of(rule).unwrap();
        let named = METHODS.iter().filter(|method| **method != "ANY").copied();
        let names: BTreeSet<&str> = named.chain(ANY.iter().map(Method::as_str)).collect();
        let is_allowed = |method: &&&str| {
            let speaking = self.speaking(shape, method);
            speaking.is_some_and(|index| self.rules[index].value.passes > 0)
        };
        let allowed: Vec<&str> = names.iter().filter(is_allowed).copied().collect();
        allowed.join(", ")
    }

    /// Returns the methods that have a verdict other than 405 on a path, if the pattern of a rule
    /// falls through, and else those of its pattern.
    fn allowed_at(&self, rule: usize, host: &str, path: &str) -> String {
        if self.group_of(rule).is_none() {
            return self.allowed(rule);
        }
        let named = METHODS.iter().filter(|method| **method != "ANY").copied();
        let names: BTreeSet<&str> = named.chain(ANY.iter().map(Method::as_str)).collect();
        let is_allowed = |method: &&&str| match self.find(method, host, path) {
            Verdict::Speaks(index) => self.rules[index].value.passes > 0,
            _ => false,
        };
        let allowed: Vec<&str> = names.iter().filter(is_allowed).copied().collect();
        allowed.join(", ")
    }

    fn shape_of(&self, rule: usize) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.rules.contains(&rule))
    }

    /// Returns the group of the pattern of a rule, if it falls through.
    pub(super) fn group_of(&self, rule: usize) -> Option<usize> {
        self.group(self.shape_of(rule)?)
    }

    fn group(&self, shape: &Shape) -> Option<usize> {
        let group = self.rules[shape.rules[0]].method_fallthrough;
        shape
            .rules
            .iter()
            .all(|index| self.rules[*index].method_fallthrough == group)
            .then_some(group)?
    }
}

/// Returns a segment without the name of its parameter.
fn shape(segment: &str) -> String {
    match segment {
        "**" => "**".to_owned(),
        rest if rest.ends_with("+}") => "{+}".to_owned(),
        param if param.starts_with('{') => "{}".to_owned(),
        literal => literal.to_owned(),
    }
}

/// Returns a key by which the more specific pattern sorts first: segment by segment a literal, a
/// parameter, one or more segments, any number. A pattern that ends goes before an open one.
fn specificity(segments: &[String]) -> Vec<u8> {
    let class = |segment: &String| match segment.as_str() {
        "{}" => 1,
        "{+}" => 2,
        "**" => 3,
        _ => 0,
    };
    segments.iter().map(class).chain([0]).collect()
}

/// Returns the key of a pattern.
pub(super) fn specificity_of(pattern: &Pattern) -> Vec<u8> {
    let segments: Vec<_> = pattern.as_str()[1..].split('/').map(shape).collect();
    specificity(&segments)
}

fn fits(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((segment, [])), _) if segment == "**" => true,
        (Some((segment, [])), Some((first, _))) if segment == "{+}" => !first.is_empty(),
        (Some((segment, below)), Some((first, rest))) => {
            (segment == first || segment == "{}" && !first.is_empty()) && fits(below, rest)
        }
        _ => false,
    }
}

const SEGMENTS: [&str; 7] = ["a", "b", "a", "{x}", "{y}", "c", ""];
const TAILS: [&str; 6] = ["", "", "/**", "/**", "/{rest+}", "/"];
const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "ANY", "ANY", "BREW"];

/// Makes some rules without a conflict.
pub(super) fn rules(numbers: &mut impl Draw) -> Vec<Rule<Line>> {
    let mut rules: Vec<Rule<Line>> = Vec::new();
    for _ in 0..=numbers.below(7) {
        let host = *numbers.one_of(&["", "", "", "", "h.x", "*.x"]);
        let mut path = String::new();
        for depth in 0..numbers.below(4) {
            let segment = match *numbers.one_of(&SEGMENTS[..6]) {
                "{x}" | "{y}" => format!("{{p{depth}}}"),
                literal => literal.to_owned(),
            };
            path = format!("{path}/{segment}");
        }
        let tail = *numbers.one_of(&TAILS);
        path.push_str(if path.is_empty() && tail.is_empty() {
            "/"
        } else {
            tail
        });
        let method = *numbers.one_of(&METHODS);
        let mut line = rule(rules.len(), &format!("{method} {host}{path}"));
        line.method_fallthrough = *numbers.one_of(&[None, Some(0), Some(0), Some(1)]);
        line.value.passes = u8::try_from(numbers.below(4)).unwrap();
        line.head = numbers.below(4) > 0;
        let same = |other: &Rule<Line>| {
            other.host == line.host
                && other.method == line.method
                && other.pattern.same_shape(&line.pattern)
        };
        if !rules.iter().any(same) {
            rules.push(line);
        }
    }
    rules
}

fn path(numbers: &mut impl Draw) -> String {
    let mut path = String::new();
    for _ in 0..=numbers.below(4) {
        path.push('/');
        path.push_str(numbers.one_of::<&str>(&["a", "b", "c", "z", "%61", "", "a", "b"]));
    }
    path
}

/// Compares tables with the reference on so many requests for each.
fn compare(seed: u64, tables: usize, requests: usize) {
    let mut numbers = Numbers(seed);
    for _ in 0..tables {
        let rules = rules(&mut numbers);
        let reference = Reference::new(&rules);
        let table = Table::new(rules_again(&rules)).unwrap();
        for _ in 0..requests {
            reference.agrees(&table, &mut numbers);
        }
    }
}

impl Reference<'_> {
    /// Compares the table of the same rules with the reference on one request.
    pub(super) fn agrees(&self, table: &Table<Line>, draw: &mut impl Draw) {
        let method = *draw.one_of(&["GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW"]);
        let host = *draw.one_of(&["z", "z", "h.x", "g.x"]);
        let path = path(draw);
        let verb = Method::from_bytes(method.as_bytes()).unwrap();
        let found = match table.find(&target(&verb, Some(host), &path)) {
            Ok(line) => Verdict::Speaks(line.upstream),
            Err(Miss::NotFound) => Verdict::NotFound,
            Err(Miss::Method { nearest, allow }) => {
                assert_eq!(
                    allow,
                    self.allowed_at(nearest.upstream, host, &path),
                    "{}",
                    nearest.text
                );
                Verdict::Method(nearest.upstream)
            }
            Err(Miss::Shadowed { .. }) => panic!("no two rules have one upstream"),
        };
        let expected = match self.find(method, host, &path) {
            // The table may name any rule of the pattern.
            Verdict::Method(index) => match &found {
                Verdict::Method(other)
                    if self.rules[index]
                        .pattern
                        .same_shape(&self.rules[*other].pattern) =>
                {
                    Verdict::Method(*other)
                }
                _ => Verdict::Method(index),
            },
            verdict => verdict,
        };
        let table = || {
            self.rules
                .iter()
                .map(|rule| (&rule.value, rule.method_fallthrough))
                .collect::<Vec<_>>()
        };
        assert_eq!(found, expected, "{method} {host}{path}: {:#?}", table());
    }
}

pub(super) fn rules_again(rules: &[Rule<Line>]) -> Vec<Rule<Line>> {
    let again = |rule: &Rule<Line>| Rule {
        host: rule.host.clone(),
        pattern: rule.pattern.clone(),
        method: rule.method.clone(),
        method_fallthrough: rule.method_fallthrough,
        head: rule.head,
        distinct: rule.distinct,
        value: rule.value.clone(),
    };
    rules.iter().map(again).collect()
}

// A million requests.
#[test]
fn the_table_and_a_slow_reading_of_its_rules_agree() {
    thread::scope(|scope| {
        for seed in [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03] {
            scope.spawn(move || compare(seed, 2_500, 200));
        }
    });
}

#[test]
fn the_slow_reading_reads_what_is_written() {
    let rules: Vec<_> = ["GET /a/x", "ANY /a/{p}", "GET /**"]
        .iter()
        .map(|text| rule(0, text))
        .collect();
    let reference = Reference::new(&rules);
    assert_eq!(reference.find("HEAD", "z", "/%61/x"), Verdict::Speaks(0));
    assert_eq!(reference.find("POST", "z", "/a/x"), Verdict::Method(0));
    assert_eq!(reference.find("POST", "z", "/a/y"), Verdict::Speaks(1));
    assert_eq!(reference.find("BREW", "z", "/a/y"), Verdict::Method(1));
    assert_eq!(reference.find("GET", "z", "/a/y/z"), Verdict::Speaks(2));
    assert!(matches!(rules[1].method, MethodPattern::Any));
}
