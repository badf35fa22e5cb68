//! The alternatives of a rule: the sets of scopes that satisfy it.
//!
//! A challenge names a whole alternative (RFC 6750 §3), not only what a token lacks: a client that
//! asks its issuer for exactly the scopes of a challenge would lose those that it has, and would be
//! refused for them the next time.

use std::cmp::Ordering;
use std::slice::{self, Chunks};

use super::{Rule, Scope, ScopeSet, Term};

/// The most `any` terms of one rule for which the smallest choice of scopes is searched. Rules in
/// practice have one or two; with more, each term is satisfied by itself.
const MAX_TERMS: usize = 16;

/// The most choices that are tried for one rule whose `any` terms share scopes. Further choices
/// could be smaller than the one that was found, which satisfies the rule, too.
const MAX_STEPS: usize = 512;

impl Rule {
    /// Returns the alternative that lacks the fewest scopes. Of several operands of `any` that
    /// lack equally many, the first counts. Without granted scopes this is the smallest
    /// alternative.
    ///
    /// A client that requests exactly these scopes from its issuer is admitted without more than it
    /// needs (RFC 9700 §2.3); naming every alternative would make it request the administrator's
    /// scope, too.
    #[must_use]
    pub fn nearest(&self, granted: &ScopeSet) -> Vec<Scope> {
        match self {
            Self::All(terms) => nearest_of_all(terms, granted),
            Self::Any(terms) => once_each(nearest_of_any(terms, granted)),
        }
    }

    /// Returns the scopes of [`Rule::nearest`] that are not granted.
    #[must_use]
    pub fn missing(&self, granted: &ScopeSet) -> Vec<Scope> {
        granted.lacking(&self.nearest(granted))
    }
}

impl Term {
    /// Returns the sets of scopes of which each satisfies the term.
    fn alternatives(&self) -> Chunks<'_, Scope> {
        match self {
            Self::Scope(scope) => slice::from_ref(scope).chunks(1),
            Self::All(scopes) => scopes.chunks(scopes.len().max(1)),
            Self::Any(scopes) => scopes.chunks(1),
        }
    }
}

/// Returns the first alternative that lacks the fewest scopes, or a part of it that is an
/// alternative, too.
fn nearest_of_any<'s>(terms: &'s [Term], granted: &ScopeSet) -> &'s [Scope] {
    let mut nearest: Option<&[Scope]> = None;
    for scopes in terms.iter().flat_map(Term::alternatives) {
        let is_nearer = nearest.is_none_or(|nearest| {
            match lacking(scopes, granted).cmp(&lacking(nearest, granted)) {
                Ordering::Less => true,
                Ordering::Equal => scopes.iter().all(|scope| nearest.contains(scope)),
                Ordering::Greater => false,
            }
        });
        if is_nearer {
            nearest = Some(scopes);
        }
    }
    nearest.unwrap_or_default()
}

/// Returns the number of scopes that are not granted; a scope that is named twice counts once.
fn lacking(scopes: &[Scope], granted: &ScopeSet) -> usize {
    let mut count = 0;
    for (index, scope) in scopes.iter().enumerate() {
        let is_repeated = scopes.iter().take(index).any(|earlier| earlier == scope);
        count += usize::from(!is_repeated && !granted.contains(scope));
    }
    count
}

fn nearest_of_all(terms: &[Term], granted: &ScopeSet) -> Vec<Scope> {
    let mut chosen: Vec<&Scope> = Vec::new();
    for term in terms {
        if let Term::Scope(_) | Term::All(_) = term {
            chosen.extend(term.scopes());
        }
    }
    let mut open = Vec::new();
    for term in terms {
        // An empty `any` is satisfied by no scope; the configuration cannot express it.
        if let Term::Any(scopes) = term
            && !scopes.is_empty()
            && !is_hit(scopes, &chosen)
        {
            open.push(scopes.as_slice());
        }
    }
    if open.is_empty() {
        return once_each(chosen);
    }
    chosen.extend(choose(open, granted));
    let named = terms.iter().flat_map(Term::scopes);
    once_each(named.filter(|scope| chosen.contains(scope)))
}

/// Returns scopes of which each of these `any` terms has one.
fn choose<'s>(open: Vec<&'s [Scope]>, granted: &ScopeSet) -> Vec<&'s Scope> {
    if open.len() <= MAX_TERMS {
        return Search::new(open, granted).smallest();
    }
    let mut chosen = Vec::new();
    for scopes in open {
        if !is_hit(scopes, &chosen) {
            chosen.extend(first_granted(scopes, granted));
        }
    }
    chosen
}

/// The cost of a set of scopes for a client: first the scopes that it lacks, then all that it
/// shows.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    lacking: usize,
    all: usize,
}

impl Cost {
    fn with(self, scope: &Scope, granted: &ScopeSet) -> Self {
        Self {
            lacking: self.lacking + usize::from(!granted.contains(scope)),
            all: self.all + 1,
        }
    }
}

/// The search for the cheapest scopes of which each `any` term has one.
struct Search<'s, 'g> {
    open: Vec<&'s [Scope]>,
    granted: &'g ScopeSet,
    chosen: Vec<&'s Scope>,
    best: Option<Best<'s>>,
    steps: usize,
}

struct Best<'s> {
    cost: Cost,
    scopes: Vec<&'s Scope>,
}

impl<'s, 'g> Search<'s, 'g> {
    fn new(open: Vec<&'s [Scope]>, granted: &'g ScopeSet) -> Self {
        Self {
            open,
            granted,
            chosen: Vec::new(),
            best: None,
            steps: 0,
        }
    }

    fn smallest(mut self) -> Vec<&'s Scope> {
        self.explore(0, Cost::default());
        self.best.map(|best| best.scopes).unwrap_or_default()
    }

    /// Tries every choice that goes on from the chosen scopes, which hit all terms before `from`.
    fn explore(&mut self, from: usize, cost: Cost) {
        if let Some(best) = &self.best
            && (best.cost <= cost || self.steps == MAX_STEPS)
        {
            return;
        }
        self.steps += 1;
        let mut rest = self.open.iter().enumerate().skip(from);
        let next = rest.find(|(_, scopes)| !is_hit(scopes, &self.chosen));
        let Some((index, scopes)) = next else {
            let scopes = self.chosen.clone();
            self.best = Some(Best { cost, scopes });
            return;
        };
        for scope in self.candidates(index, scopes) {
            self.chosen.push(scope);
            self.explore(index + 1, cost.with(scope, self.granted));
            self.chosen.pop();
        }
    }

    /// Returns the scopes of a term that may be in the smallest set: those that other terms have,
    /// too, and the best of the rest, which are interchangeable. Granted scopes come first.
    fn candidates(&self, index: usize, scopes: &'s [Scope]) -> Vec<&'s Scope> {
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for scope in scopes {
            let mut others = self.open.iter().enumerate();
            if others.any(|(other, scopes)| other != index && scopes.contains(scope)) {
                shared.push(scope);
            } else {
                own.push(scope);
            }
        }
        shared.extend(first_granted(own, self.granted));
        shared.sort_by_key(|scope| !self.granted.contains(scope));
        shared
    }
}

fn is_hit(scopes: &[Scope], chosen: &[&Scope]) -> bool {
    scopes.iter().any(|scope| chosen.contains(&scope))
}

/// Returns the first scope that is granted, or else the first.
fn first_granted<'s>(
    scopes: impl IntoIterator<Item = &'s Scope>,
    granted: &ScopeSet,
) -> Option<&'s Scope> {
    scopes
        .into_iter()
        .min_by_key(|scope| !granted.contains(scope))
}

fn once_each<'s>(scopes: impl IntoIterator<Item = &'s Scope>) -> Vec<Scope> {
    let mut once: Vec<Scope> = Vec::new();
    for scope in scopes {
        if !once.contains(scope) {
            once.push(scope.clone());
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn scope(name: &str) -> Scope {
        Scope::parse(name).unwrap()
    }

    fn text(scopes: &[Scope]) -> String {
        let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        names.join(" ")
    }

    fn nearest(rule: &Rule, granted: &str) -> String {
        text(&rule.nearest(&ScopeSet::of([granted])))
    }

    /// Numbers that look random, the same in each run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) as usize % bound
        }

        fn scopes(&mut self) -> Vec<Scope> {
            let first = self.below(SCOPES.len());
            let others = self.below(1 << SCOPES.len());
            let names = SCOPES.iter().enumerate();
            let names = names.filter(|(bit, _)| *bit == first || others & 1 << bit != 0);
            let mut scopes: Vec<_> = names.map(|(_, name)| scope(name)).collect();
            if self.below(4) == 0 {
                scopes.push(scopes[0].clone());
            }
            scopes
        }

        fn term(&mut self) -> Term {
            match self.below(4) {
                0 => Term::Scope(scope(SCOPES[self.below(SCOPES.len())])),
                1 => Term::All(self.scopes()),
                _ => Term::Any(self.scopes()),
            }
        }

        fn rule(&mut self) -> Rule {
            let length = 1 + self.below(5);
            let terms = (0..length).map(|_| self.term()).collect();
            if self.below(3) == 0 {
                Rule::Any(terms)
            } else {
                Rule::All(terms)
            }
        }

        fn granted(&mut self) -> ScopeSet {
            set(self.below(1 << SCOPES.len()))
        }
    }

    /// Returns the scopes of the bits that are set.
    fn set(bits: usize) -> ScopeSet {
        let scopes = SCOPES.iter().enumerate();
        let scopes = scopes.filter(|(bit, _)| bits & 1 << bit != 0);
        ScopeSet::of(scopes.map(|(_, scope)| *scope))
    }

    /// Returns how many scopes the nearest set lacks, by trying all sets.
    fn fewest_lacking(rule: &Rule, granted: &ScopeSet) -> usize {
        let sets = (0..1 << SCOPES.len())
            .map(set)
            .filter(|set| rule.holds(set));
        let lacking = |set: ScopeSet| {
            let is_lacking =
                |name: &&&str| set.contains(&scope(name)) && !granted.contains(&scope(name));
            SCOPES.iter().filter(is_lacking).count()
        };
        sets.map(lacking).min().unwrap()
    }

    #[test]
    fn the_nearest_set_is_whole_smallest_and_without_excess() {
        let mut numbers = Numbers(13);
        for _ in 0..4000 {
            let (rule, granted) = (numbers.rule(), numbers.granted());
            let case = format!("{rule} with {granted:?}");
            let nearest = rule.nearest(&granted);
            let names = nearest.iter().map(Scope::as_str);
            assert!(rule.holds(&ScopeSet::of(names)), "{case}: {nearest:?}");
            assert_eq!(nearest, once_each(&nearest), "{case}");
            let missing = rule.missing(&granted);
            assert_eq!(missing, granted.lacking(&nearest), "{case}");
            assert_eq!(missing.len(), fewest_lacking(&rule, &granted), "{case}");
            assert_eq!(missing.is_empty(), rule.holds(&granted), "{case}");
            for left_out in &nearest {
                let fewer = nearest.iter().filter(|scope| *scope != left_out);
                let fewer = ScopeSet::of(fewer.map(Scope::as_str));
                assert!(!rule.holds(&fewer), "{case}: without {left_out}");
            }
            let least = rule.nearest(&ScopeSet::default());
            assert_eq!(
                least.len(),
                fewest_lacking(&rule, &ScopeSet::default()),
                "{case}"
            );
        }
    }

    fn all_of(names: &str) -> Term {
        Term::All(names.split(' ').map(scope).collect())
    }

    fn any_of(names: &str) -> Term {
        Term::Any(names.split(' ').map(scope).collect())
    }

    #[test]
    fn a_client_is_led_to_the_alternative_that_it_has_begun() {
        let rule = Rule::Any(vec![all_of("a b"), Term::Scope(scope("admin"))]);
        assert_eq!(nearest(&rule, ""), "admin");
        assert_eq!(nearest(&rule, "b"), "a b");
        assert_eq!(nearest(&rule, "b c"), "a b");
        let rule = Rule::All(vec![all_of("a b"), any_of("c d")]);
        assert_eq!(nearest(&rule, ""), "a b c");
        assert_eq!(nearest(&rule, "d b"), "a b d");
    }

    #[test]
    fn one_scope_may_satisfy_several_terms() {
        let rule = Rule::All(vec![any_of("a b"), any_of("c b"), any_of("d e")]);
        assert_eq!(nearest(&rule, ""), "b d");
        assert_eq!(nearest(&rule, "e"), "b e");
        assert_eq!(nearest(&rule, "a c"), "a c d");
        let rule = Rule::All(vec![any_of("a b"), Term::Scope(scope("b"))]);
        assert_eq!(nearest(&rule, ""), "b");
    }

    #[test]
    fn a_rule_that_takes_too_long_still_has_a_whole_set() {
        for terms in [MAX_TERMS, 4 * MAX_TERMS] {
            let pair = |index| any_of(&format!("s{index} s{} s{}", index + 1, (index * 7) % terms));
            let rule = Rule::All((0..terms).map(pair).collect());
            let nearest = rule.nearest(&ScopeSet::default());
            assert!(rule.holds(&ScopeSet::of(nearest.iter().map(Scope::as_str))));
        }
    }

    /// Returns the scopes that are tried for the first of these terms.
    fn candidates(terms: [&str; 2], granted: &str) -> String {
        let terms = terms.map(|names| names.split(' ').map(scope).collect::<Vec<_>>());
        let granted = ScopeSet::of([granted]);
        let search = Search::new(terms.iter().map(Vec::as_slice).collect(), &granted);
        let tried = search.candidates(0, &terms[0]);
        tried.iter().map(|scope| scope.as_str()).collect()
    }

    #[test]
    fn scopes_of_one_term_alone_are_tried_once() {
        assert_eq!(candidates(["a b c d", "d e c"], ""), "cda");
        assert_eq!(candidates(["a b c d", "d e c"], "b"), "bcd");
        assert_eq!(candidates(["a b c d", "d e c"], "b d"), "dbc");
        assert_eq!(candidates(["a b", "c"], "c"), "a");
    }

    #[test]
    fn a_search_ends_after_its_last_step() {
        // Each scope is in two terms, so that none can be left out, and no cost rules a choice out.
        let numbers = 0..MAX_TERMS;
        let name = |number: usize| scope(&format!("s{}", number % MAX_TERMS));
        let terms: Vec<Vec<Scope>> = numbers
            .map(|index| (index..index + MAX_TERMS / 2).map(name).collect())
            .collect();
        let granted = ScopeSet::of(["s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14 s15"]);
        let mut search = Search::new(terms.iter().map(Vec::as_slice).collect(), &granted);
        search.explore(0, Cost::default());
        assert!(search.best.is_some());
        assert!((1..=MAX_STEPS).contains(&search.steps), "{}", search.steps);
    }
}
