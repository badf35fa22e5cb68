//! The patterns of a configuration by their segments, to find those that an operation may meet. A
//! document with thousands of operations has millions of pairs of an operation and a route, of which
//! few have a path in common.

use std::collections::HashMap;

use crate::route::{Pattern, Segment, Tail};

/// Patterns that begin with the same segments. Of patterns that match the same paths one is kept.
#[derive(Default)]
pub(super) struct PatternTree<'p> {
    /// The patterns behind a literal.
    literals: HashMap<&'p str, PatternTree<'p>>,
    /// The patterns behind a parameter.
    param: Option<Box<PatternTree<'p>>>,
    /// The pattern that ends here.
    here: Option<&'p Pattern>,
    /// The pattern that ends here with `{rest+}`.
    rest: Option<&'p Pattern>,
    /// The pattern that ends here with `**`.
    subtree: Option<&'p Pattern>,
}

impl<'p> PatternTree<'p> {
    /// Makes a tree of patterns.
    pub(super) fn of(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        let mut tree = Self::default();
        for pattern in patterns {
            tree.insert(pattern);
        }
        tree
    }

    fn insert(&mut self, pattern: &'p Pattern) {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        let end = match pattern.tail() {
            None => &mut node.here,
            Some(Tail::Rest(_)) => &mut node.rest,
            Some(Tail::Subtree) => &mut node.subtree,
        };
        end.get_or_insert(pattern);
    }

    /// Returns the patterns that may match a path that another pattern matches: all that do, and
    /// perhaps others.
    pub(super) fn near(&self, pattern: &Pattern) -> Vec<&'p Pattern> {
        let mut found = Vec::new();
        self.collect_near(pattern.segments(), pattern.tail().is_some(), &mut found);
        found
    }

    fn collect_near(&self, segments: &[Segment], is_open: bool, found: &mut Vec<&'p Pattern>) {
        let Some((first, below)) = segments.split_first() else {
            match is_open {
                true => self.collect_all(found),
                false => self.collect_own(found),
            }
            return;
        };
        found.extend(self.rest);
        found.extend(self.subtree);
        match first {
            Segment::Literal(text) => {
                if let Some(node) = self.literals.get(&**text) {
                    node.collect_near(below, is_open, found);
                }
            }
            Segment::Param(_) => {
                for node in self.literals.values() {
                    node.collect_near(below, is_open, found);
                }
            }
        }
        if let Some(node) = &self.param {
            node.collect_near(below, is_open, found);
        }
    }

    fn collect_all(&self, found: &mut Vec<&'p Pattern>) {
        self.collect_own(found);
        for node in self.literals.values() {
            node.collect_all(found);
        }
        if let Some(node) = &self.param {
            node.collect_all(found);
        }
    }

    fn collect_own(&self, found: &mut Vec<&'p Pattern>) {
        found.extend(self.here);
        found.extend(self.rest);
        found.extend(self.subtree);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::paths::meetings;
    use super::*;
    use crate::route::{Draw, Numbers};

    /// One more than the segments of a pattern.
    const DEPTH: usize = 5;

    fn pattern(numbers: &mut Numbers) -> Pattern {
        let mut text = String::new();
        for index in 0..numbers.below(DEPTH) {
            text.push('/');
            match numbers.below(3) {
                0 => text.push_str(&format!("{{p{index}}}")),
                _ => text.push_str(numbers.one_of::<&str>(&["a", "b", "a%20b"])),
            }
        }
        text.push_str(match numbers.below(4) {
            0 => "/{rest+}",
            1 => "/**",
            2 => "/",
            _ if text.is_empty() => "/",
            _ => "",
        });
        Pattern::parse(&text).unwrap()
    }

    // The comparison of each pair is the definition, and takes too long for thousands of patterns.
    #[test]
    fn no_pattern_that_meets_another_is_missed() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..300 {
            let patterns: Vec<_> = (0..numbers.below(40))
                .map(|_| pattern(&mut numbers))
                .collect();
            let tree = PatternTree::of(&patterns);
            for _ in 0..10 {
                let one = pattern(&mut numbers);
                let places = |others: Vec<&Pattern>| -> BTreeSet<_> {
                    let others = others.into_iter();
                    others
                        .flat_map(|other| meetings(&one, other, DEPTH))
                        .collect()
                };
                let expected = places(patterns.iter().collect());
                assert_eq!(places(tree.near(&one)), expected, "{one} {patterns:?}");
            }
        }
    }

    #[test]
    fn patterns_that_share_no_path_are_not_looked_at() {
        let texts: Vec<_> = (0..1000).map(|index| format!("/p{index}/{{id}}")).collect();
        let mut patterns: Vec<_> = texts
            .iter()
            .map(|text| Pattern::parse(text).unwrap())
            .collect();
        patterns.push(Pattern::parse("/{other}/{id}").unwrap());
        patterns.push(Pattern::parse("/{proxy+}").unwrap());
        let tree = PatternTree::of(&patterns);
        for (text, count) in [
            ("/p7/{id}", 3),
            ("/p7/{rest+}", 3),
            ("/other/x", 2),
            ("/p7", 1),
            ("/{a}/{b}", 1002),
            ("/**", 1002),
        ] {
            let near = tree.near(&Pattern::parse(text).unwrap());
            assert_eq!(near.len(), count, "{text}");
        }
    }
}
