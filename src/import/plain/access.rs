//! Who may call an operation, as OpenAPI reads it: one of the alternatives, all members of it, and
//! all scopes of a member.

use std::collections::{BTreeMap, HashSet};

use super::scheme::Bearer;
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::names::Registry;
use crate::import::openapi::{Alternative, Operation};
use crate::import::plan::{Access, Issuer, Tokens};
use crate::import::scopes::scopes;

/// Who may call an operation.
pub(super) struct Decision {
    pub(super) access: Access,
    pub(super) tokens: Tokens,
    pub(super) findings: Vec<Finding>,
}

type Bearers<'b> = BTreeMap<&'b str, Result<Bearer, Untranslated>>;

/// The tokens that an alternative asks for, with all of these scopes.
struct Asked<'b> {
    bearer: &'b Bearer,
    scopes: Vec<String>,
}

/// Returns who may call an operation.
///
/// # Errors
/// Returns the reason for which it is denied.
pub(super) fn decide(
    operation: &Operation<'_>,
    bearers: &Bearers<'_>,
    issuers: &mut Registry<Issuer>,
) -> Result<Decision, Untranslated> {
    let alternatives = match &operation.security.alternatives {
        Ok(alternatives) => alternatives,
        Err(unreadable) => {
            let about = unreadable.intrinsic.as_deref().unwrap_or_default();
            let code = Code::UnreadableRequirement;
            return Err(Untranslated::new(code, unreadable.place, about));
        }
    };
    let mut all = alternatives.iter();
    if alternatives.is_empty() || all.any(|one| one.members.is_empty()) {
        return Ok(Decision {
            access: Access::Public,
            tokens: Tokens::default(),
            findings: Vec::new(),
        });
    }
    let mut asked = Vec::with_capacity(alternatives.len());
    let mut lost = Vec::new();
    for alternative in alternatives {
        match self::asked(alternative, bearers) {
            Ok(one) => asked.push(one),
            Err(reason) => lost.push(reason),
        }
    }
    let Some(first) = asked.first() else {
        // There is an alternative, and none was asked: the first has a reason.
        let unknown = || Untranslated::new(Code::UnreadableRequirement, operation.place, "");
        return Err(lost.into_iter().next().unwrap_or_else(unknown));
    };
    let kept: Vec<&Asked<'_>> = together(first, &asked);
    if kept.len() < asked.len() {
        let code = Code::SeveralAuthorizers;
        lost.push(Untranslated::new(code, operation.place, ""));
    }
    let narrowed = lost.iter().map(|reason| {
        let about = match &*reason.about {
            "" => reason.code.name().to_owned(),
            about => format!("{}, {about}", reason.code.name()),
        };
        Untranslated::new(Code::Narrowed, reason.place, about).of(operation)
    });
    Ok(Decision {
        findings: narrowed.collect(),
        access: access(&kept),
        tokens: Tokens {
            issuers: names(&kept, issuers),
            from: first.bearer.from.clone(),
            is_forwarded: false,
        },
    })
}

/// Returns the alternatives that one route can ask for beside the first: those of the same issuer,
/// or those of other issuers if all ask for the same scopes. A scope counts for every issuer of a
/// route.
fn together<'a, 'b>(first: &'a Asked<'b>, asked: &'a [Asked<'b>]) -> Vec<&'a Asked<'b>> {
    let is_alike = |one: &&Asked<'_>| one.bearer.from == first.bearer.from;
    let has_same_scopes = asked.iter().all(|one| one.scopes == first.scopes);
    let asked = asked.iter().filter(is_alike);
    let fits = |one: &&Asked<'_>| has_same_scopes || one.bearer.issuer == first.bearer.issuer;
    asked.filter(fits).collect()
}

fn access(asked: &[&Asked<'_>]) -> Access {
    if asked.iter().any(|one| one.scopes.is_empty()) {
        return Access::Authenticated;
    }
    let mut known = HashSet::new();
    let mut lists: Vec<Vec<String>> = Vec::new();
    for one in asked {
        if known.insert(&one.scopes) {
            lists.push(one.scopes.clone());
        }
    }
    Access::Any(lists)
}

fn names(asked: &[&Asked<'_>], issuers: &mut Registry<Issuer>) -> Vec<String> {
    let mut known = HashSet::new();
    let mut names = Vec::new();
    for one in asked {
        let name = issuers.name(&one.bearer.issuer);
        if known.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

/// Returns what the members of an alternative ask for together: one token.
fn asked<'b>(
    alternative: &Alternative<'_>,
    bearers: &'b Bearers<'_>,
) -> Result<Asked<'b>, Untranslated> {
    let mut asked: Option<Asked<'b>> = None;
    let mut known = HashSet::new();
    for member in &alternative.members {
        let about = format!("{:?}", member.scheme);
        let bearer = match bearers.get(member.scheme) {
            Some(Ok(bearer)) => bearer,
            Some(Err(reason)) => {
                return Err(Untranslated {
                    place: member.place,
                    ..reason.clone()
                });
            }
            None => {
                return Err(Untranslated::new(
                    Code::UndefinedScheme,
                    member.place,
                    about,
                ));
            }
        };
        let asked = asked.get_or_insert(Asked {
            bearer,
            scopes: Vec::new(),
        });
        if asked.bearer != bearer {
            return Err(Untranslated::new(
                Code::SeveralAuthorizers,
                member.place,
                about,
            ));
        }
        for scope in scopes(member)? {
            if known.insert(scope.clone()) {
                asked.scopes.push(scope);
            }
        }
    }
    let empty = || Untranslated::new(Code::EmptyRequirement, alternative.place, "");
    asked.ok_or_else(empty)
}
