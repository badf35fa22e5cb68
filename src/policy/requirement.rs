//! The requirement of a route, and the authorization of a caller.

use std::fmt;

use super::{Denial, Identity, Permit, Principal, Scope, ScopeSet};

/// The authorization of one route and method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Any caller; a token is not verified.
    Public,
    /// Any valid token of the route's issuers.
    Authenticated,
    /// A valid token with these scopes.
    Scopes(Rule),
    /// No caller passes, whatever its token; a token is not looked at.
    Denied,
}

/// A combination of scopes, nested at most once. Neither list is ever empty: the configuration
/// refuses that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Every term must hold.
    All(Vec<Term>),
    /// One term must hold.
    Any(Vec<Term>),
}

/// One operand of a [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// The token has this scope.
    Scope(Scope),
    /// The token has all of these scopes.
    All(Vec<Scope>),
    /// The token has one of these scopes.
    Any(Vec<Scope>),
}

impl Requirement {
    /// Decides about a caller.
    ///
    /// # Errors
    /// A [`Denial`] that names the missing scopes.
    pub fn authorize(&self, identity: Identity) -> Result<Permit, Denial> {
        match (identity.principal(), self) {
            (_, Self::Denied) => return Err(Denial::RouteDenied),
            (Some(principal), _) => self.evaluate(principal)?,
            (None, Self::Public) => {}
            (None, Self::Authenticated | Self::Scopes(_)) => return Err(Denial::Anonymous),
        }
        Ok(Permit::granted(identity))
    }

    /// Returns whether a principal meets the requirement, for questions without a request. This
    /// yields no permit: only [`Requirement::authorize`] creates one.
    ///
    /// # Errors
    /// A [`Denial`] that names the missing scopes.
    pub fn evaluate(&self, principal: &Principal) -> Result<(), Denial> {
        match self {
            Self::Scopes(rule) if !rule.holds(&principal.scopes) => {
                let needed = rule.nearest(&principal.scopes);
                Err(Denial::InsufficientScope {
                    missing: principal.scopes.lacking(&needed),
                    needed,
                })
            }
            Self::Denied => Err(Denial::RouteDenied),
            Self::Public | Self::Authenticated | Self::Scopes(_) => Ok(()),
        }
    }

    /// Returns whether a request needs a token to pass. Neither a public nor a denied one does.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self {
            Self::Authenticated | Self::Scopes(_) => true,
            Self::Public | Self::Denied => false,
        }
    }

    /// Returns whether no caller passes.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied)
    }

    /// Returns the smallest set of scopes that satisfies the requirement.
    #[must_use]
    pub fn least(&self) -> Vec<Scope> {
        match self {
            Self::Scopes(rule) => rule.nearest(&ScopeSet::default()),
            Self::Public | Self::Authenticated | Self::Denied => Vec::new(),
        }
    }

    /// Returns every scope in the requirement, in order and without repetition.
    #[must_use]
    pub fn scopes(&self) -> Vec<&Scope> {
        let mut all = Vec::new();
        if let Self::Scopes(Rule::All(terms) | Rule::Any(terms)) = self {
            for scope in terms.iter().flat_map(Term::scopes) {
                if !all.contains(&scope) {
                    all.push(scope);
                }
            }
        }
        all
    }
}

impl Rule {
    /// Creates the rule of a single scope.
    #[must_use]
    pub fn one(scope: Scope) -> Self {
        Self::All(vec![Term::Scope(scope)])
    }

    /// Returns whether these scopes satisfy the rule. This yields no permit: only
    /// [`Requirement::authorize`] creates one.
    #[must_use]
    pub fn holds(&self, granted: &ScopeSet) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.holds(granted)),
            // An empty `any` is never satisfied, so that it refuses; the configuration cannot
            // express it.
            Self::Any(terms) => terms.iter().any(|term| term.holds(granted)),
        }
    }
}

impl Term {
    /// Returns the scopes that the term names.
    pub(super) fn scopes(&self) -> &[Scope] {
        match self {
            Self::Scope(scope) => std::slice::from_ref(scope),
            Self::All(scopes) | Self::Any(scopes) => scopes,
        }
    }

    fn holds(&self, granted: &ScopeSet) -> bool {
        match self {
            Self::Scope(scope) => granted.contains(scope),
            Self::All(scopes) => scopes.iter().all(|scope| granted.contains(scope)),
            Self::Any(scopes) => scopes.iter().any(|scope| granted.contains(scope)),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Authenticated => f.write_str("any valid token"),
            Self::Scopes(rule) => rule.fmt(f),
            Self::Denied => f.write_str("denied"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (terms, word) = match self {
            Self::All(terms) => (terms, "and"),
            Self::Any(terms) => (terms, "or"),
        };
        write_list(f, terms, word)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scopes, word) = match self {
            Self::Scope(scope) => return scope.fmt(f),
            Self::All(scopes) => (scopes, "and"),
            Self::Any(scopes) => (scopes, "or"),
        };
        f.write_str("(")?;
        write_list(f, scopes, word)?;
        f.write_str(")")
    }
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], word: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            write!(f, " {word} ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use super::super::Claims;
    use super::*;

    fn scopes(text: &str) -> Vec<Scope> {
        text.split(' ')
            .filter(|t| !t.is_empty())
            .map(|t| Scope::parse(t).unwrap())
            .collect()
    }

    fn verdict(requirement: &Requirement, granted: &str) -> Result<(), String> {
        let principal = Principal {
            issuer: "idp".into(),
            scopes: ScopeSet::of([granted]),
            claims: Claims::default(),
            key_id: None,
        };
        let evaluated = requirement.evaluate(&principal);
        let authorized = requirement.authorize(Identity::verified(Rc::new(Arc::new(principal))));
        assert_eq!(authorized.as_ref().err(), evaluated.as_ref().err());
        match authorized {
            Ok(permit) => {
                assert!(permit.principal().is_some());
                Ok(())
            }
            Err(Denial::InsufficientScope { missing, .. }) => Err(missing
                .iter()
                .map(Scope::as_str)
                .collect::<Vec<_>>()
                .join(" ")),
            Err(Denial::Anonymous) => panic!("the caller has a principal"),
            Err(Denial::RouteDenied) => Err("denied".into()),
        }
    }

    fn any(terms: Vec<Term>) -> Requirement {
        Requirement::Scopes(Rule::Any(terms))
    }

    fn all(terms: Vec<Term>) -> Requirement {
        Requirement::Scopes(Rule::All(terms))
    }

    fn one(text: &str) -> Term {
        Term::Scope(Scope::parse(text).unwrap())
    }

    #[test]
    fn an_anonymous_caller_passes_only_where_it_is_public() {
        assert!(Requirement::Public.authorize(Identity::anonymous()).is_ok());
        assert_eq!(
            Requirement::Authenticated
                .authorize(Identity::anonymous())
                .unwrap_err(),
            Denial::Anonymous
        );
        assert_eq!(
            Requirement::Scopes(Rule::one(Scope::parse("a").unwrap()))
                .authorize(Identity::anonymous())
                .unwrap_err(),
            Denial::Anonymous
        );
    }

    #[test]
    fn a_denied_route_admits_no_caller_and_asks_for_no_token() {
        let refused = Requirement::Denied.authorize(Identity::anonymous());
        assert_eq!(refused.unwrap_err(), Denial::RouteDenied);
        assert_eq!(verdict(&Requirement::Denied, "a b"), Err("denied".into()));
        assert!(!Requirement::Denied.needs_token() && Requirement::Denied.is_denied());
        assert_eq!(Requirement::Denied.least(), []);
    }

    #[test]
    fn all_names_each_scope_that_is_missing() {
        let rule = all(vec![one("a"), one("b"), Term::Any(scopes("c d"))]);
        assert_eq!(verdict(&rule, "a b d"), Ok(()));
        assert_eq!(verdict(&rule, "b"), Err("a c".into()));
        assert_eq!(verdict(&rule, "c"), Err("a b".into()));
    }

    #[test]
    fn any_names_the_smallest_set_that_would_do() {
        let rule = any(vec![Term::All(scopes("a b")), one("admin")]);
        assert_eq!(verdict(&rule, "admin"), Ok(()));
        assert_eq!(verdict(&rule, "b a"), Ok(()));
        assert_eq!(verdict(&rule, ""), Err("admin".into()));
        assert_eq!(verdict(&rule, "b"), Err("a".into()));
    }

    #[test]
    fn an_empty_rule_lets_nobody_in_by_any() {
        assert!(verdict(&any(vec![]), "a").is_err());
        assert!(verdict(&any(vec![Term::Any(vec![])]), "a").is_err());
    }

    #[test]
    fn a_requirement_reads_as_a_sentence() {
        assert_eq!(
            any(vec![one("a"), Term::All(scopes("b c"))]).to_string(),
            "a or (b and c)"
        );
        assert_eq!(
            all(vec![one("a"), Term::Any(scopes("b c"))]).to_string(),
            "a and (b or c)"
        );
        assert_eq!(Requirement::Public.to_string(), "public");
        assert_eq!(Requirement::Denied.to_string(), "denied");
        let names: Vec<_> = all(vec![one("a"), Term::Any(scopes("b a"))])
            .scopes()
            .into_iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_requirement_names_the_least_that_a_token_needs() {
        let rule = any(vec![Term::All(scopes("a b")), one("c")]);
        assert!(rule.needs_token());
        assert_eq!(rule.least(), scopes("c"));
        assert!(Requirement::Authenticated.needs_token());
        assert_eq!(Requirement::Authenticated.least(), []);
        assert!(!Requirement::Public.needs_token());
    }

    #[test]
    fn a_permit_has_the_principal_that_was_authorized() {
        let principal = Rc::new(Arc::new(Principal {
            issuer: "idp".into(),
            scopes: ScopeSet::default(),
            claims: Claims::default(),
            key_id: None,
        }));
        let identity = Identity::verified(Rc::clone(&principal));
        let permit = Requirement::Authenticated.authorize(identity).unwrap();
        let shared = permit.shared_principal().unwrap();
        assert!(Rc::ptr_eq(shared, &principal));
        let permit = Requirement::Public.authorize(Identity::anonymous());
        assert!(permit.unwrap().shared_principal().is_none());
    }
}
