//! What a document says about authorization, to be compared with a configuration.

use std::collections::BTreeMap;

use super::document::{Document, Place};
use super::error::ImportError;
use super::lint::{Contract, Operation};
use super::openapi::{Api, Variables};
use super::options::{Options, Prefix};
use super::path::route_path;
use super::plan::Access;
use super::{apigateway, plain};
use crate::policy::{Requirement, Rule, Scope, Term};
use crate::route::{MethodPattern, Pattern};

/// The issuer and the audience of every scheme: which ones they are is not compared.
const ANY_ISSUER: &str = "https://issuer.invalid";

/// Reads a document. `prefix` stands before its paths, in place of the path of its first server.
///
/// # Errors
/// Returns an error for a document that the importer refuses as a whole.
pub fn contract(document: &Document, prefix: Option<&str>) -> Result<Contract<Place>, ImportError> {
    let api = Api::read(document, &Variables::new())?;
    let is_export = has_extensions(&api);
    let accesses = match is_export {
        true => apigateway::accesses(&api, &options(&api)),
        false => plain::accesses(&api, &options(&api)),
    };
    let first = api.servers.first();
    let base_path = first.map_or("", |server| &server.base_path);
    let prefix = Prefix {
        text: prefix.unwrap_or(base_path).trim_end_matches('/').to_owned(),
        is_stripped: true,
    };
    let mut operations = Vec::with_capacity(api.operations.len());
    for (operation, access) in api.operations.iter().zip(accesses) {
        let path = route_path(operation, &prefix)?;
        let Ok(pattern) = Pattern::join(&prefix.text, &path) else {
            continue;
        };
        // TRACE is never forwarded, so that no route can have it.
        if let Ok(method) = MethodPattern::parse(operation.method.as_str()) {
            operations.push(Operation {
                method,
                pattern,
                requirement: access.and_then(requirement),
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
fn options(api: &Api<'_>) -> Options {
    let mut options = Options::default();
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
