//! What is compared, and what a comparison finds.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use crate::policy::Requirement;
use crate::route::{MethodPattern, Pattern};

/// A document, as far as it is compared.
#[derive(Clone, Debug, Default)]
pub struct Contract<P> {
    /// The operations, in the order of the document.
    pub operations: Vec<Operation<P>>,
    /// The scopes that its security schemes define.
    pub defined: BTreeMap<String, P>,
    /// The names of its servers.
    pub hosts: Vec<String>,
    /// The path before those of the document, which stands for the same path with a slash after
    /// it; `None` if nothing is before them.
    pub root: Option<Pattern>,
    /// Set if a method that a path lacks is looked up in less specific paths, as on API Gateway.
    pub falls_through: bool,
}

/// An operation of a document. `P` is a place in it.
#[derive(Clone, Debug)]
pub struct Operation<P> {
    /// The method.
    pub method: MethodPattern,
    /// The path, with the base path of the document.
    pub pattern: Pattern,
    /// The callers whom it admits.
    pub callers: Callers,
    /// The place of the operation.
    pub place: P,
}

/// The callers whom an operation admits.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// The requirement; `None` if no requirement of a route says the same.
    pub requirement: Option<Requirement>,
    /// The restriction beyond the requirement, in words, such as that of a resource policy.
    pub restriction: Option<&'static str>,
    /// The issuers of the tokens, by their `iss`; `None` if they are not known.
    pub issuers: Option<BTreeSet<String>>,
    /// The kind of the tokens, if it is known.
    pub tokens: Option<TokenKind>,
}

/// The kind of the tokens that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Access tokens.
    Access,
    /// ID tokens.
    Id,
    /// Both.
    Both,
}

/// A difference between a configuration and a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<P> {
    /// What it is.
    pub kind: Kind,
    /// The methods, if it is about a path.
    pub methods: Vec<Method>,
    /// The path of the operation, or of the route if there is no operation; or the scope.
    pub subject: String,
    /// A path to which the difference applies, if it applies to a part of those of the subject.
    pub example: Option<String>,
    /// The route that it is about, or that asks for the scope.
    pub route: Option<RouteName>,
    /// What the document asks for, and what the route asks for, if the route admits other callers.
    pub asked: Option<[String; 2]>,
    /// The place in the document, if it is there.
    pub place: Option<P>,
}

/// A route, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName {
    /// Its host and path.
    pub path: String,
    /// Its place in the configuration.
    pub place: Box<str>,
}

/// The kind of a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A route admits callers whom the operation refuses.
    WeakerRoute,
    /// A route takes tokens of an issuer whose tokens the operation refuses.
    OtherIssuer,
    /// A route takes a kind of tokens that the operation refuses.
    OtherTokens,
    /// No route answers an operation.
    OperationWithoutRoute,
    /// No operation describes what a route answers.
    RouteWithoutOperation,
    /// A route asks for a scope that the document neither defines nor uses.
    UnknownScope,
    /// An operation asks for a scope that the document's schemes do not define.
    UndefinedScope,
    /// No route asks for a scope of the document.
    UnusedScope,
}

impl TokenKind {
    /// Returns whether every token of another kind is one of these.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other
    }

    /// Returns its name in sentences.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Access => "access tokens",
            Self::Id => "ID tokens",
            Self::Both => "access tokens and ID tokens",
        }
    }
}

impl Kind {
    /// Returns its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WeakerRoute => "weaker_route",
            Self::OtherIssuer => "other_issuer",
            Self::OtherTokens => "other_tokens",
            Self::OperationWithoutRoute => "operation_without_route",
            Self::RouteWithoutOperation => "route_without_operation",
            Self::UnknownScope => "unknown_scope",
            Self::UndefinedScope => "undefined_scope",
            Self::UnusedScope => "unused_scope",
        }
    }
}

impl Callers {
    /// Returns whether a route with a requirement admits a caller whom the operation refuses. Of a
    /// requirement that cannot be translated, only that there is one is known; of a restriction,
    /// that a public route does not enforce it.
    #[must_use]
    pub fn are_exceeded_by(&self, route: &Requirement) -> bool {
        if *route == Requirement::Public && self.restriction.is_some() {
            return true;
        }
        match &self.requirement {
            None => *route == Requirement::Public,
            Some(own) => !route.is_denied() && !own.admits_all_of(route),
        }
    }

    /// Returns what the operation asks for, as the object of a sentence.
    #[must_use]
    pub fn shown(&self) -> String {
        let requirement = match &self.requirement {
            None => "a requirement that no route has".to_owned(),
            Some(requirement) => requirement.to_string(),
        };
        match (self.restriction, &self.requirement) {
            (None, _) => requirement,
            (Some(restriction), Some(Requirement::Public)) => restriction.to_owned(),
            (Some(restriction), _) => format!("{requirement}, and for {restriction}"),
        }
    }
}
