//! Who may call an operation, as API Gateway reads it: requirements that stand together are all
//! asked, and of a list of scopes any is enough.

use std::collections::{BTreeMap, BTreeSet};

use super::authorizer::{Authorizer, Kind, authorizer};
use crate::import::document::Node;
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::names::{Registry, slug};
use crate::import::openapi::{AUTH, Alternative, Api, Member, Operation, Origin};
use crate::import::options::Options;
use crate::import::plan::{Access, Issuer, Tokens};
use crate::import::scopes::scopes;
use crate::token::Source as TokenPlace;

/// The name by which an operation says that it asks for nothing, as SAM writes it.
const NONE: &str = "NONE";

/// The authorizers of a document.
pub(super) struct Authorizers<'d> {
    by_scheme: BTreeMap<&'d str, Result<Authorizer, Untranslated>>,
    /// Set if these are all: no function may define another.
    are_known: bool,
}

/// Who may call an operation.
pub(super) struct Decision {
    pub(super) access: Access,
    pub(super) tokens: Tokens,
    pub(super) findings: Vec<Finding>,
}

/// The treatment of the API keys in a requirement.
#[derive(Clone, Copy)]
enum ApiKeys {
    /// They deny the operation.
    Refused,
    /// They are passed over, for the sake of what stands beside them.
    PassedOver,
}

/// What all members of a requirement say together.
struct Asked<'a> {
    authorizer: &'a Authorizer,
    /// Lists of scopes: all of the lists, any of each.
    lists: Vec<Vec<String>>,
    has_empty_list: bool,
}

impl<'d> Authorizers<'d> {
    pub(super) fn of(api: &Api<'d>, options: &Options) -> Self {
        let mut scopes = scopes_by_scheme(api);
        let mut by_scheme = BTreeMap::new();
        for scheme in &api.schemes {
            let scopes = scopes.remove(scheme.name).unwrap_or_default();
            by_scheme.insert(scheme.name, authorizer(scheme, &scopes, options));
        }
        Self {
            by_scheme,
            are_known: api.are_schemes_known,
        }
    }

    /// Returns the places in which clients send tokens to any operation: those of all authorizers
    /// that an operation names.
    pub(super) fn token_places(&self, api: &Api<'_>) -> Vec<TokenPlace> {
        let mut places = BTreeSet::new();
        for member in api.operations.iter().flat_map(|one| one.security.members()) {
            if let Some(Ok(authorizer)) = self.by_scheme.get(member.scheme) {
                places.extend(&authorizer.from);
            }
        }
        let places = places.into_iter();
        places
            .filter_map(|text| TokenPlace::parse(text).ok())
            .collect()
    }

    /// Returns the findings about the authorizers themselves.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let authorizers = self.by_scheme.values().flatten();
        authorizers.flat_map(|one| one.findings.clone()).collect()
    }

    /// Returns who may call an operation.
    ///
    /// # Errors
    /// Returns the reason for which it is denied.
    pub(super) fn decide(
        &self,
        operation: &Operation<'_>,
        issuers: &mut Registry<Issuer>,
    ) -> Result<Decision, Untranslated> {
        refuse_iam(operation)?;
        let alternatives = match &operation.security.alternatives {
            Ok(alternatives) => alternatives,
            Err(unreadable) => {
                let (code, about) = match &unreadable.intrinsic {
                    Some(name) => (Code::UnresolvedFunction, format!("{name:?}")),
                    None => (Code::UnreadableRequirement, String::new()),
                };
                return Err(Untranslated::new(code, unreadable.place, about));
            }
        };
        let is_empty = |alternative: &&Alternative<'_>| alternative.members.is_empty();
        if let Some(empty) = alternatives.iter().find(is_empty) {
            return Err(Untranslated::new(Code::EmptyRequirement, empty.place, ""));
        }
        match self.asked(operation, ApiKeys::Refused)? {
            Some(asked) => granted(&asked, operation, issuers),
            None => Ok(Decision {
                access: Access::Public,
                tokens: Tokens::default(),
                findings: Vec::new(),
            }),
        }
    }

    /// Returns who may call an operation that asks for an API key as well, as far as its authorizer
    /// is concerned; `None` if it has none, or if that cannot be told.
    pub(super) fn beside_api_keys(
        &self,
        operation: &Operation<'_>,
        issuers: &mut Registry<Issuer>,
    ) -> Option<Decision> {
        let asked = self.asked(operation, ApiKeys::PassedOver).ok()??;
        granted(&asked, operation, issuers).ok()
    }

    /// Returns what the members of an operation's requirements ask for together.
    fn asked(
        &self,
        operation: &Operation<'_>,
        keys: ApiKeys,
    ) -> Result<Option<Asked<'_>>, Untranslated> {
        let mut asked: Option<Asked<'_>> = None;
        for member in operation.security.members() {
            let authorizer = match self.authorizer(member) {
                Ok(Some(authorizer)) => authorizer,
                Ok(None) => continue,
                Err(reason) if reason.code == Code::ApiKey => match keys {
                    ApiKeys::PassedOver => continue,
                    ApiKeys::Refused => return Err(self.named_with_authorizer(reason, operation)),
                },
                Err(reason) => return Err(reason),
            };
            let scopes = scopes(member)?;
            let asked = asked.get_or_insert(Asked {
                authorizer,
                lists: Vec::new(),
                has_empty_list: false,
            });
            if asked.authorizer != authorizer {
                let about = format!("{:?}", member.scheme);
                return Err(Untranslated::new(
                    Code::SeveralAuthorizers,
                    member.place,
                    about,
                ));
            }
            match scopes.is_empty() {
                true => asked.has_empty_list = true,
                false => asked.lists.push(scopes),
            }
        }
        Ok(asked)
    }

    /// Adds to the reason about an API key the authorizer that stands beside the key.
    fn named_with_authorizer(
        &self,
        reason: Untranslated,
        operation: &Operation<'_>,
    ) -> Untranslated {
        let mut members = operation.security.members();
        let Some(other) = members.find(|member| matches!(self.authorizer(member), Ok(Some(_))))
        else {
            return reason;
        };
        let about = format!("{}, beside the authorizer {:?}", reason.about, other.scheme);
        Untranslated::new(reason.code, reason.place, about)
    }

    /// Returns the authorizer that a member names; `None` for the name that stands for nothing.
    fn authorizer(&self, member: &Member<'_>) -> Result<Option<&Authorizer>, Untranslated> {
        match self.by_scheme.get(member.scheme) {
            Some(Ok(authorizer)) => Ok(Some(authorizer)),
            // The place of the operation's own requirement, which is what its finding is about.
            Some(Err(reason)) => Err(Untranslated {
                place: member.place,
                ..reason.clone()
            }),
            None if !self.are_known => {
                let about = format!("{:?}", member.scheme);
                let code = Code::UnresolvedFunction;
                Err(Untranslated::new(code, member.place, about))
            }
            None if member.scheme == NONE && member.scopes.is_empty() => Ok(None),
            None => {
                let about = format!("{:?}", member.scheme);
                let code = Code::UndefinedScheme;
                Err(Untranslated::new(code, member.place, about))
            }
        }
    }
}

/// Returns the scopes that the operations of a document name with each scheme.
fn scopes_by_scheme<'d>(api: &Api<'d>) -> BTreeMap<&'d str, BTreeSet<&'d str>> {
    let mut scopes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in api.operations.iter().flat_map(|one| one.security.members()) {
        let of_scheme = scopes.entry(member.scheme).or_default();
        of_scheme.extend(&member.scopes);
    }
    scopes
}

/// Returns whether the name that stands for nothing is not that of a scheme.
pub(super) fn is_none_free(api: &Api<'_>) -> bool {
    api.are_schemes_known && api.scheme(NONE).is_none()
}

/// Returns whether an operation asks for nothing.
pub(super) fn is_open(operation: &Operation<'_>, is_none_free: bool) -> bool {
    let is_nothing = |alternative: &Alternative<'_>| {
        let mut members = alternative.members.iter();
        let is_none = |member: &Member<'_>| member.scheme == NONE && is_none_free;
        !alternative.members.is_empty() && members.all(is_none)
    };
    let alternatives = operation.security.alternatives.as_ref();
    refuse_iam(operation).is_ok() && alternatives.is_ok_and(|all| all.iter().all(is_nothing))
}

/// Refuses an operation whose requests are signed. One that says `NONE` has the requirements of its
/// `security` all the same.
fn refuse_iam(operation: &Operation<'_>) -> Result<(), Untranslated> {
    let Some(auth) = operation.node.get(AUTH) else {
        return Ok(());
    };
    let node = auth.get("type");
    if let Some(name) = auth.elsewhere().or_else(|| node?.elsewhere()) {
        let code = Code::UnresolvedFunction;
        return Err(Untranslated::new(code, auth.place, format!("{name:?}")));
    }
    let kind = node.and_then(Node::text);
    let about = format!("{:?}", kind.unwrap_or_default());
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case(NONE) => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case("AWS_IAM") => {
            Err(Untranslated::new(Code::IamAuthorization, auth.place, about))
        }
        _ => Err(Untranslated::new(
            Code::UnknownAuthorizer,
            auth.place,
            about,
        )),
    }
}

fn granted(
    asked: &Asked<'_>,
    operation: &Operation<'_>,
    issuers: &mut Registry<Issuer>,
) -> Result<Decision, Untranslated> {
    let has_scopes = !asked.lists.is_empty();
    if has_scopes && asked.has_empty_list {
        // ID tokens, which have no scopes, and access tokens with scopes at once.
        let code = Code::SeveralAuthorizers;
        return Err(Untranslated::new(code, operation.place, ""));
    }
    let mut findings = Vec::new();
    let names = match &asked.authorizer.kind {
        Kind::Cognito { pools, audience } => {
            if !has_scopes {
                findings.push(note(Code::IdTokens, operation));
            }
            let of_pool = |pool| cognito(pool, audience, has_scopes);
            pools
                .iter()
                .map(|pool| issuers.name(&of_pool(pool)))
                .collect()
        }
        Kind::Jwt { issuer, audience } => {
            if !has_scopes {
                findings.push(note(Code::AnyTokens, operation));
            }
            vec![issuers.name(&jwt(issuer, audience, has_scopes))]
        }
    };
    let access = match has_scopes {
        true => Access::All(asked.lists.clone()),
        false => Access::Authenticated,
    };
    let from = asked.authorizer.from.clone();
    Ok(Decision {
        access,
        tokens: Tokens {
            issuers: names,
            // An integration gets every field of the client.
            is_forwarded: from.iter().any(|place| place.starts_with("header:")),
            from,
        },
        findings,
    })
}

fn note(code: Code, operation: &Operation<'_>) -> Finding {
    let place = match (operation.security.origin, operation.node.get("security")) {
        (Origin::Operation, Some(own)) => own.place,
        _ => operation.place,
    };
    Untranslated::new(code, place, "").of(operation)
}

/// Returns the issuer of a pool's access tokens, or of its ID tokens. API Gateway asks an access
/// token for no client: every client of the pool is accepted.
fn cognito(pool: &super::arn::Pool, audience: &[String], has_scopes: bool) -> Issuer {
    let (suffix, kind, token_use) = match has_scopes {
        true => ("", "access tokens", "access"),
        false => (
            "-id",
            "ID tokens, which operations without scopes take",
            "id",
        ),
    };
    Issuer {
        name: format!("{}{suffix}", pool.id),
        comment: format!("The user pool {}: its {kind}.", pool.id),
        issuer: pool.issuer.clone(),
        audience: audience.to_vec(),
        has_client_as_audience: false,
        token_use: Some(token_use),
        takes_any_type: !has_scopes,
        algorithms: &["RS256"],
    }
}

/// Returns an issuer of an HTTP API, whose JWT authorizers take RSA alone.
fn jwt(issuer: &str, audience: &[String], has_scopes: bool) -> Issuer {
    let host = issuer.trim_start_matches("https://");
    let name = match host.split_once('/') {
        Some((host, pool)) if host.starts_with("cognito-idp.") => slug(pool),
        Some((host, _)) => slug(host),
        None => slug(host),
    };
    let (suffix, comment) = match has_scopes {
        true => ("", String::new()),
        false => (
            "-any",
            "Tokens for operations without scopes: ID tokens pass as well.".to_owned(),
        ),
    };
    Issuer {
        name: format!("{name}{suffix}"),
        comment,
        issuer: issuer.to_owned(),
        audience: audience.to_vec(),
        has_client_as_audience: true,
        token_use: None,
        takes_any_type: !has_scopes,
        algorithms: &["RS256", "RS384", "RS512"],
    }
}
