//! Route tables for tests, with values that hold the callers that each rule admits.

use http::Method;

use super::{
    Access, Ambiguities, Ambiguity, Distinct, HostPattern, MethodPattern, Pattern, Rule, Target,
};
use crate::fuzz::Choices;

/// The upstream of a rule that refuses every request and names no upstream: every one.
pub(super) const EVERY: usize = usize::MAX;

/// The upstream of a rule that the gateway answers itself: none.
pub(super) const GATEWAY: usize = usize::MAX - 1;

/// The value of a rule in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) upstream: usize,
    /// The callers that the rule admits, a bit for each kind.
    pub(super) passes: u8,
}

impl Access for Line {
    /// Allows every ambiguity, so that the tests reach paths that an operator could allow.
    fn allows(&self) -> Ambiguities {
        Ambiguity::ALL.into_iter().collect()
    }

    fn same_upstream(&self, other: &Self) -> bool {
        let both = [self.upstream, other.upstream];
        !both.contains(&GATEWAY) && (both.contains(&EVERY) || self.upstream == other.upstream)
    }

    fn is_denied(&self) -> bool {
        self.passes == 0
    }

    fn admits_all_of(&self, other: &Self) -> bool {
        other.passes & !self.passes == 0
    }

    fn class(&self) -> usize {
        self.upstream << 8 | usize::from(self.passes)
    }
}

/// Makes the rule of a text such as `GET host/path`, which admits every caller.
pub(super) fn rule(upstream: usize, text: &str) -> Rule<Line> {
    let (method, rest) = text.split_once(' ').unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    Rule {
        host: (!host.is_empty()).then(|| HostPattern::parse(host).unwrap()),
        pattern: Pattern::parse(path).unwrap(),
        method: MethodPattern::parse(method).unwrap(),
        method_fallthrough: None,
        head: true,
        distinct: Distinct::default(),
        value: Line {
            text: text.to_owned(),
            upstream,
            passes: u8::MAX,
        },
    }
}

/// Makes the target of a request for a path.
pub(super) fn target<'r>(method: &'r Method, host: Option<&'r str>, path: &'r str) -> Target<'r> {
    Target {
        method,
        host,
        path,
        ambiguities: super::path::inspect(path),
    }
}

/// A source of choices.
pub(crate) trait Draw {
    fn below(&mut self, bound: usize) -> usize;

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A pseudo-random sequence (xorshift) with a fixed seed, so that a failure can be reproduced.
pub(crate) struct Numbers(pub(crate) u64);

impl Draw for Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

impl Draw for Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        Choices::below(self, bound)
    }
}
