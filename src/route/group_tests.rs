//! *Tolerant reading* with methods and groups: for each reader the slow reference gives an answer
//! that is no stricter than the answer of the table.

use std::collections::BTreeSet;

use http::Method;

use super::readers::{Reading, decode, readings};
use super::reference_tests::{Reference, Verdict, rules_again};
use super::tolerance_tests::{is_told, paths, spelled};
use super::trial::{Draw as _, EVERY, GATEWAY, Line, Numbers, rule, target};
use super::{Access as _, Rule, Table};

/// Patterns that differ from each other to every reader.
const PATTERNS: [&str; 9] = [
    "/admin",
    "/admin/x",
    "/admin/{p}",
    "/admin/{rest+}",
    "/admin/**",
    "/{p}",
    "/{p}/x",
    "/{p}/{q}",
    "/**",
];

/// Makes some rules, in two groups that fall through and in none, some of them with one pattern.
fn rules(numbers: &mut Numbers) -> Vec<Rule<Line>> {
    let mut rules: Vec<Rule<Line>> = Vec::new();
    for _ in 0..6 {
        let method = *numbers.one_of(&["GET", "POST", "ANY"]);
        let text = format!("{method} {}", numbers.one_of(&PATTERNS));
        let passes = *numbers.one_of(&[0, 1, 2, 3, 3, 3]);
        let upstream = match numbers.below(8) {
            0 => 1,
            1 if passes > 0 => GATEWAY,
            1..=4 if passes == 0 => EVERY,
            _ => 0,
        };
        let mut line = rule(upstream, &text);
        line.value.passes = passes;
        line.head = numbers.below(4) > 0;
        line.method_fallthrough = *numbers.one_of(&[None, Some(0), Some(0), Some(1)]);
        if rules.iter().all(|other| other.value.text != text) {
            rules.push(line);
        }
    }
    rules
}

/// A rule that the table found, beside the reference that answers each reader.
struct Trial<'t> {
    rules: &'t [Rule<Line>],
    reference: &'t Reference<'t>,
    found: usize,
}

impl Trial<'_> {
    /// Returns whether the reference answers a reader of the path more strictly than the found
    /// rule.
    fn is_stricter(&self, method: &str, path: &str, reading: &Reading) -> bool {
        let segments: Vec<&str> = reading.segments.iter().map(String::as_str).collect();
        let verdict = self.reference.find_segments(method, "z", &segments);
        let (Verdict::Speaks(other) | Verdict::Method(other)) = verdict else {
            return false;
        };
        let (found, rule) = (&self.rules[self.found], &self.rules[other]);
        if reading.changed & !spelled(&found.pattern) == 0 {
            return false;
        }
        let raw: Vec<String> = path[1..].split('/').map(decode).collect();
        let is_released = |index: usize| {
            let pattern = &self.rules[index].pattern;
            !self.is_of_upstream(index)
                || pattern.matches(&raw)
                || is_told(path, &found.pattern, pattern.as_str())
        };
        let is_stricter = match verdict {
            Verdict::Speaks(_) => {
                rule.value.same_upstream(&found.value)
                    && found.value.passes & !rule.value.passes != 0
            }
            // A denied rule admits no caller whom a pattern without the method could refuse.
            _ => !found.value.is_denied() && self.is_of_upstream(other),
        };
        // The method may have fallen through from a pattern that lacks it. If it then met a pattern
        // of another group that lacks it as well, that is the one that refuses, and it may lead to
        // another upstream.
        let nearest = self.reference.nearest("z", &segments).unwrap();
        let group = self.reference.group_of(nearest);
        let goes_on = group.is_some()
            && group == found.method_fallthrough
            && matches!(verdict, Verdict::Method(_))
            && found.pattern.covers(&self.rules[nearest].pattern);
        is_stricter && !goes_on && !(is_released(other) && is_released(nearest))
    }

    /// Returns whether a rule of the pattern leads to the upstream of the found rule.
    fn is_of_upstream(&self, other: usize) -> bool {
        let pattern = &self.rules[other].pattern;
        let same = self
            .rules
            .iter()
            .filter(|rule| rule.pattern.same_shape(pattern));
        same.into_iter()
            .any(|rule| rule.value.same_upstream(&self.rules[self.found].value))
    }
}

#[test]
fn no_reader_finds_a_stricter_answer_whatever_groups_fall_through() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut cases: Vec<(String, BTreeSet<Reading>)> = Vec::new();
    for path in paths() {
        let mut readings = readings(&path);
        // The patterns here are not folded, so readers that would fold them are left out.
        readings.retain(|reading| !reading.segments.iter().any(|segment| segment.contains('A')));
        cases.push((path, readings));
    }
    let (mut went, mut through_groups) = (0, 0);
    for _ in 0..600 {
        let rules = rules(&mut numbers);
        let reference = Reference::new(&rules);
        let table = Table::new(rules_again(&rules)).unwrap();
        for (path, readings) in cases.iter().skip(numbers.below(16)).step_by(16) {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let Ok(line) = table.find(&target(&method, None, path)) else {
                    continue;
                };
                let found = rules
                    .iter()
                    .position(|rule| rule.value.text == line.text)
                    .unwrap();
                let trial = Trial {
                    rules: &rules,
                    reference: &reference,
                    found,
                };
                for reading in readings {
                    let table = || {
                        let rule =
                            |rule: &Rule<Line>| (rule.value.clone(), rule.method_fallthrough);
                        rules.iter().map(rule).collect::<Vec<_>>()
                    };
                    let is_stricter = trial.is_stricter(method.as_str(), path, reading);
                    assert!(
                        !is_stricter,
                        "{method} {path} by {} {reading:?}: {:#?}",
                        line.text,
                        table()
                    );
                }
                went += 1;
                through_groups += usize::from(rules[found].method_fallthrough.is_some());
            }
        }
    }
    assert!(
        went > 3_000 && through_groups > 1_000,
        "{went} {through_groups}"
    );
}
