//! What a document says about authorization, to be compared with a configuration.

use std::collections::BTreeMap;

use super::model::{Callers, Contract, Operation, TokenKind};
use crate::import::document::{Document, Place};
use crate::import::error::ImportError;
use crate::import::finding::Code;
use crate::import::openapi::{self, Api, Variables};
use crate::import::options::{BasePath, Options};
use crate::import::path::{prefix, route_path};
use crate::import::plan::{Access, Issuer};
use crate::import::scopes::scopes as scopes_of;
use crate::import::{apigateway, plain};
use crate::policy::{Requirement, Rule, Scope, Term};
use crate::route::{MethodPattern, Pattern};

/// The issuer and the audience of every scheme, for the requirements of schemes whose issuer the
/// document does not state.
const ANY_ISSUER: &str = "https://issuer.invalid";

/// How a document is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The path before those of the document, in place of that of its first server.
    pub prefix: Option<String>,
    /// The values of stage variables, and of variables of servers.
    pub variables: Variables,
    /// Set if the restrictions of the whole API are enforced elsewhere.
    pub accepts_policy: bool,
}

/// Reads a document.
///
/// # Errors
/// Returns an error for a document that the importer refuses as a whole.
pub fn contract(document: &Document, reading: &Reading) -> Result<Contract<Place>, ImportError> {
    let api = Api::read(document, &reading.variables)?;
    let is_export = has_extensions(&api);
    let prefix = match &reading.prefix {
        Some(text) => BasePath::Stage.prefix(text.trim_end_matches('/')),
        None => prefix(&api, BasePath::Stage)?,
    };
    let mut operations = Vec::with_capacity(api.operations.len());
    let callers = callers(&api, reading, is_export)?;
    for (operation, callers) in api.operations.iter().zip(callers) {
        let path = route_path(operation, &prefix)?;
        let (Some(callers), Ok(pattern)) = (callers, Pattern::join(&prefix.text, &path)) else {
            continue;
        };
        // TRACE is never forwarded, so that no route can have it.
        if let Ok(method) = MethodPattern::parse(operation.method.as_str()) {
            operations.push(Operation {
                method,
                pattern,
                callers,
                place: operation.place,
            });
        }
    }
    let mut hosts = Vec::new();
    for server in &api.servers {
        let host = server.host();
        if !host.is_empty() {
            hosts.push(host.to_ascii_lowercase());
        }
    }
    Ok(Contract {
        operations,
        defined: defined(&api),
        hosts,
        root: match prefix.text.is_empty() {
            true => None,
            false => Pattern::parse(&prefix.text).ok(),
        },
        falls_through: is_export,
    })
}

/// Returns the callers of each operation; `None` for one that nobody can call.
fn callers(
    api: &Api<'_>,
    reading: &Reading,
    is_export: bool,
) -> Result<Vec<Option<Callers>>, ImportError> {
    let known = Options {
        variables: reading.variables.clone(),
        ..Options::default()
    };
    let any = with_any_issuer(api, &known);
    let [known, any] = match is_export {
        true => [
            apigateway::stated(api, &known)?,
            apigateway::stated(api, &any)?,
        ],
        false => [plain::stated(api, &known), plain::stated(api, &any)],
    };
    let operations = api.operations.iter().zip(known.into_iter().zip(any));
    let callers = operations.map(|(operation, (known, any))| {
        let restriction = known.restriction.filter(|_| !reading.accepts_policy);
        let requirement = match any.access {
            Ok(access) => requirement(access),
            Err(code) if is_export && leaves_scopes(code) => scopes_alone(operation),
            Err(_) => None,
        };
        let issuers = known.access.is_ok().then_some(known.issuers);
        let issuers = issuers.filter(|issuers| !issuers.is_empty());
        known.is_served.then(|| Callers {
            requirement,
            restriction: restriction.map(restriction_text),
            tokens: issuers
                .as_deref()
                .and_then(token_kind)
                .filter(|_| is_export),
            issuers: issuers.map(|all| all.into_iter().map(|one| one.issuer).collect()),
        })
    });
    Ok(callers.collect())
}

/// Returns whether the scopes of an operation are asked all the same, where a requirement cannot be
/// translated for a reason.
fn leaves_scopes(code: Code) -> bool {
    matches!(
        code,
        Code::ApiKey
            | Code::SeveralAuthorizers
            | Code::MissingVariable
            | Code::UnknownIssuer
            | Code::UnknownAudience
            | Code::AudiencePattern
            | Code::ScopeAsAudience
            | Code::TokenSource
    )
}

/// Returns the requirement that the scopes of an export's operation make; `None` without scopes.
fn scopes_alone(operation: &openapi::Operation<'_>) -> Option<Requirement> {
    let mut lists = Vec::new();
    for member in operation.security.members() {
        let scopes = scopes_of(member).ok()?;
        if !scopes.is_empty() {
            lists.push(scopes);
        }
    }
    match lists.is_empty() {
        true => None,
        false => requirement(Access::All(lists)),
    }
}

/// Returns the kind of the tokens of all issuers, if it is the same.
fn token_kind(issuers: &[Issuer]) -> Option<TokenKind> {
    let mut kinds = issuers.iter().map(|issuer| match issuer.token_use {
        Some("id") => TokenKind::Id,
        None if issuer.takes_any_type => TokenKind::Both,
        _ => TokenKind::Access,
    });
    let first = kinds.next()?;
    kinds.all(|kind| kind == first).then_some(first)
}

/// Returns what a restriction of the whole API asks of callers.
fn restriction_text(code: Code) -> &'static str {
    match code {
        Code::ResourcePolicy => "a caller whom the resource policy allows",
        Code::PrivateEndpoint => "a caller inside of its private network",
        Code::DisabledEndpoint => "another address, because its endpoint is turned off",
        _ => "what a CloudFormation function decides",
    }
}

/// Returns whether a document has an extension of API Gateway, so that its requirements mean what
/// they mean there.
fn has_extensions(api: &Api<'_>) -> bool {
    let root = api.root().entries().iter();
    let operations = api.operations.iter().flat_map(|one| one.node.entries());
    let schemes = api.schemes.iter().flat_map(|one| one.node.entries());
    let items = api.operations.iter().flat_map(|one| one.item.entries());
    let mut all = root.chain(operations).chain(schemes).chain(items);
    all.any(|entry| entry.key.starts_with("x-amazon-apigateway-"))
}

/// Names one issuer for all schemes, so that scopes alone are read.
fn with_any_issuer(api: &Api<'_>, options: &Options) -> Options {
    let mut options = options.clone();
    for scheme in &api.schemes {
        let name = scheme.name.to_owned();
        let audience = vec![ANY_ISSUER.to_owned()];
        options.issuers.insert(name.clone(), ANY_ISSUER.to_owned());
        options.audiences.insert(name, audience);
    }
    options
}

fn defined(api: &Api<'_>) -> BTreeMap<String, Place> {
    let mut defined = BTreeMap::new();
    for scopes in api.declared_scopes().into_values() {
        for (scope, place) in scopes {
            defined.insert(scope.to_owned(), place);
        }
    }
    defined
}

/// Returns the requirement of a route that lets the same callers pass; `None` for one that lets
/// nobody pass because it could not be translated.
fn requirement(access: Access) -> Option<Requirement> {
    match access {
        Access::Deny => None,
        Access::Public => Some(Requirement::Public),
        Access::Authenticated => Some(Requirement::Authenticated),
        Access::All(lists) => Some(Requirement::Scopes(match lists.as_slice() {
            [only] => Rule::Any(single_terms(only)?),
            lists => Rule::All(terms(lists, Term::Any)?),
        })),
        Access::Any(lists) => Some(Requirement::Scopes(match lists.as_slice() {
            [only] => Rule::All(single_terms(only)?),
            lists => Rule::Any(terms(lists, Term::All)?),
        })),
    }
}

fn single_terms(list: &[String]) -> Option<Vec<Term>> {
    Some(scopes(list)?.into_iter().map(Term::Scope).collect())
}

fn terms(lists: &[Vec<String>], several: fn(Vec<Scope>) -> Term) -> Option<Vec<Term>> {
    let mut terms = Vec::with_capacity(lists.len());
    for list in lists {
        let mut scopes = scopes(list)?;
        terms.push(match scopes.len() {
            1 => Term::Scope(scopes.remove(0)),
            _ => several(scopes),
        });
    }
    Some(terms)
}

fn scopes(list: &[String]) -> Option<Vec<Scope>> {
    list.iter().map(|scope| Scope::parse(scope).ok()).collect()
}
