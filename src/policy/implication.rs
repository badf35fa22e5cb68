//! The comparison of two requirements, which the route table uses for routes that overlap: does one
//! admit every caller that the other admits?
//!
//! Additional scopes never take a permission away, so a rule that holds for a set of scopes holds
//! for every larger set.

use super::{Requirement, Rule, Scope, ScopeSet, Term};

/// The most sets of scopes that are tried for one pair of rules. Rules in practice need a dozen; a
/// rule that needs more is treated as not implied, which refuses the configuration.
const MAX_SETS: usize = 1024;

impl Requirement {
    /// Returns whether every caller that satisfies `other` also satisfies this requirement; `false`
    /// if finding that out takes too long. Issuers are not compared: they belong to the route.
    #[must_use]
    pub fn admits_all_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public, _)
            | (_, Self::Denied)
            | (Self::Authenticated, Self::Authenticated | Self::Scopes(_)) => true,
            (Self::Denied, _) | (_, Self::Public) => false,
            (Self::Scopes(rule), Self::Authenticated) => rule.holds(&ScopeSet::default()),
            (Self::Scopes(rule), Self::Scopes(other)) => rule == other || rule.is_implied_by(other),
        }
    }
}

impl Rule {
    fn is_implied_by(&self, other: &Self) -> bool {
        match other {
            Self::Any(terms) => {
                let mut sets = terms.iter().flat_map(Term::least_sets);
                sets.all(|set| self.holds_for(&set))
            }
            Self::All(terms) => self.follows_from(&all_clauses(terms)),
        }
    }

    /// Returns whether the rule holds for every set of scopes that satisfies all clauses.
    fn follows_from(&self, clauses: &[Vec<&Scope>]) -> bool {
        match self {
            // A conjunction follows if each of its clauses contains a clause of the other rule. If
            // one does not, a caller with all scopes except those of that clause satisfies the
            // other rule, but not this one.
            Self::All(terms) => all_clauses(terms)
                .iter()
                .all(|clause| contains_one_of(clause, clauses)),
            Self::Any(_) => self.holds_for_all(clauses, &mut Vec::new(), &mut MAX_SETS.clone()),
        }
    }

    /// Returns whether the rule holds for every set of scopes that satisfies all clauses and
    /// contains `chosen`. `left` is the number of sets that may still be tried.
    fn holds_for_all<'s>(
        &self,
        clauses: &[Vec<&'s Scope>],
        chosen: &mut Vec<&'s Scope>,
        left: &mut usize,
    ) -> bool {
        if self.holds_for(chosen) {
            return true;
        }
        let Some(fewer) = left.checked_sub(1) else {
            return false;
        };
        *left = fewer;
        let Some(open) = clauses.iter().find(|clause| is_disjoint(clause, chosen)) else {
            return false;
        };
        for scope in open {
            chosen.push(scope);
            let holds = self.holds_for_all(clauses, chosen, left);
            chosen.pop();
            if !holds {
                return false;
            }
        }
        true
    }

    fn holds_for(&self, granted: &[&Scope]) -> bool {
        self.holds(&ScopeSet::of(granted.iter().map(|scope| scope.as_str())))
    }
}

impl Term {
    /// Returns the minimal sets of scopes that satisfy the term.
    fn least_sets(&self) -> Vec<Vec<&Scope>> {
        match self {
            Self::Scope(scope) => vec![vec![scope]],
            Self::All(scopes) => vec![scopes.iter().collect()],
            Self::Any(scopes) => scopes.iter().map(|scope| vec![scope]).collect(),
        }
    }

    /// Returns the term as a conjunction of clauses, each of which needs one of its scopes.
    fn clauses(&self) -> Vec<Vec<&Scope>> {
        match self {
            Self::Scope(scope) => vec![vec![scope]],
            Self::All(scopes) => scopes.iter().map(|scope| vec![scope]).collect(),
            Self::Any(scopes) => vec![scopes.iter().collect()],
        }
    }
}

fn all_clauses(terms: &[Term]) -> Vec<Vec<&Scope>> {
    terms.iter().flat_map(Term::clauses).collect()
}

fn contains_one_of(clause: &[&Scope], others: &[Vec<&Scope>]) -> bool {
    others.iter().any(|other| is_part(other, clause))
}

fn is_disjoint(clause: &[&Scope], chosen: &[&Scope]) -> bool {
    !clause.iter().any(|scope| chosen.contains(scope))
}

fn is_part(part: &[&Scope], whole: &[&Scope]) -> bool {
    part.iter().all(|scope| whole.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: [&str; 4] = ["a", "b", "c", "d"];

    fn scopes(names: &[&str]) -> Vec<Scope> {
        names
            .iter()
            .map(|name| Scope::parse(name).unwrap())
            .collect()
    }

    /// Returns every term of at most two scopes, and some of three.
    fn terms() -> Vec<Term> {
        let mut terms: Vec<_> = scopes(&SCOPES).into_iter().map(Term::Scope).collect();
        for (index, first) in SCOPES.iter().enumerate() {
            for second in &SCOPES[index + 1..] {
                terms.push(Term::All(scopes(&[first, second])));
                terms.push(Term::Any(scopes(&[first, second])));
            }
        }
        terms.push(Term::All(scopes(&SCOPES[..3])));
        terms.push(Term::Any(scopes(&SCOPES[1..])));
        terms
    }

    fn requirements() -> Vec<Requirement> {
        let terms = terms();
        let mut all = vec![
            Requirement::Public,
            Requirement::Authenticated,
            Requirement::Denied,
        ];
        let both = |terms: Vec<Term>| {
            [Rule::All(terms.clone()), Rule::Any(terms)].map(Requirement::Scopes)
        };
        for (index, first) in terms.iter().enumerate() {
            all.extend(both(vec![first.clone()]));
            for second in &terms[index + 1..] {
                all.extend(both(vec![first.clone(), second.clone()]));
            }
        }
        all
    }

    /// Returns a bit for each caller that a requirement admits: one for a caller without a token,
    /// then one for each set of scopes.
    fn admitted(requirement: &Requirement) -> u32 {
        let holds = |set: usize| {
            let granted = SCOPES
                .iter()
                .enumerate()
                .filter(|(bit, _)| set & 1 << bit != 0);
            let granted = ScopeSet::of(granted.map(|(_, scope)| *scope));
            match requirement {
                Requirement::Scopes(rule) => rule.holds(&granted),
                Requirement::Public | Requirement::Authenticated => true,
                Requirement::Denied => false,
            }
        };
        let anonymous = u32::from(*requirement == Requirement::Public);
        (0..1 << SCOPES.len()).fold(anonymous, |bits, set| {
            bits | u32::from(holds(set)) << (set + 1)
        })
    }

    #[test]
    fn a_requirement_is_compared_by_whom_it_lets_pass() {
        let all: Vec<_> = requirements()
            .into_iter()
            .map(|requirement| (admitted(&requirement), requirement))
            .collect();
        for (wider, requirement) in &all {
            for (narrower, other) in &all {
                let expected = narrower & !wider == 0;
                assert_eq!(
                    requirement.admits_all_of(other),
                    expected,
                    "{requirement} <- {other}"
                );
            }
        }
    }

    #[test]
    fn what_takes_too_long_to_compare_is_not_implied() {
        let name = |kind: &str, index: usize| Scope::parse(&format!("{kind}{index}")).unwrap();
        let pair = |index| Term::Any(vec![name("a", index), name("b", index)]);
        let many = Requirement::Scopes(Rule::All((0..40).map(pair).collect()));
        let other = |index| Term::All(vec![name("a", index), name("b", index), name("c", index)]);
        let none = Requirement::Scopes(Rule::Any((0..40).map(other).collect()));
        assert!(!none.admits_all_of(&many));
        assert!(many.admits_all_of(&many));
    }

    #[test]
    fn a_rule_for_nobody_is_the_narrowest() {
        let nobody = Requirement::Scopes(Rule::Any(vec![]));
        let one = Requirement::Scopes(Rule::one(Scope::parse("a").unwrap()));
        assert!(one.admits_all_of(&nobody));
        assert!(!nobody.admits_all_of(&one));
    }
}
