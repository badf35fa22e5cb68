//! OpenAPI documents without the extensions of API Gateway.

mod access;
mod scheme;

use access::{Decision, decide};
use scheme::{Bearer, bearer};

use std::collections::{BTreeMap, BTreeSet};

use super::error::ImportError;
use super::finding::{Code, Finding, Untranslated};
use super::gather::{Planned, routes, share_tokens};
use super::heading::heading;
use super::names::{Registry, slug};
use super::open::open_operations;
use super::openapi::{Api, ApiError, ApiFault, Method, Operation, Server};
use super::options::{BasePath, Options, Prefix};
use super::path::{prefix, route_path, unknown_prefix};
use super::plan::{Access, Group, Handler, Plan, Rule, Settings, Tokens, Upstream};
use super::stated::Stated;
use super::translation::Translation;
use crate::net::Url;

/// The upstream of a document that names none.
const THIS_MACHINE: &str = "http://127.0.0.1:3000";

/// Translates a document.
///
/// # Errors
/// Returns an error for a document that cannot be a configuration.
pub(super) fn translate(api: &Api<'_>, options: &Options) -> Result<Translation, ImportError> {
    let mut findings = Vec::new();
    let server = api.servers.first();
    let mode = options.base_path.unwrap_or(BasePath::Prepend);
    let prefix = prefix(api, mode)?;
    findings.extend(unknown_prefix(api, mode));
    let upstream = upstream(api, server, &mut findings);
    let bearers = bearers(api, options, &mut findings);
    let mut issuers = Registry::default();
    let mut planned = Vec::with_capacity(api.operations.len());
    // The gateway answers TRACE itself, always.
    let operations = api.operations.iter();
    for operation in operations.filter(|one| one.method != Method::Trace) {
        let path = route_path(operation, &prefix)?;
        let decision = decide(operation, &bearers, &mut issuers);
        let one = plan(operation, path, decision, &upstream.name, &mut findings);
        planned.push(one);
    }
    if planned.is_empty() {
        let place = api.root().place;
        return Err(ApiError::at(place, ApiFault::NoOperations).into());
    }
    findings.extend(open_operations(api, &prefix, &planned));
    findings.sort_by_key(|finding| (finding.place, finding.code));
    let heading = heading(api, options, "an OpenAPI document", &planned);
    Ok(Translation {
        plan: Plan {
            heading,
            issuers: issuers.into_sorted(),
            upstreams: vec![upstream],
            group: group(prefix, planned),
            ..Plan::default()
        },
        findings,
    })
}

/// Returns what the document says about the callers of each operation. The issuers are those of all
/// callers, or none where some of them have an issuer that is not known.
pub(super) fn stated(api: &Api<'_>, options: &Options) -> Vec<Stated> {
    let bearers = bearers(api, options, &mut Vec::new());
    let mut all = Vec::with_capacity(api.operations.len());
    for operation in &api.operations {
        let mut issuers = Registry::default();
        let decision = decide(operation, &bearers, &mut issuers);
        let is_whole = decision.as_ref().is_ok_and(|one| one.findings.is_empty());
        all.push(Stated {
            access: match decision {
                Ok(decision) => Ok(decision.access),
                Err(reason) => Err(reason.code),
            },
            issuers: match is_whole {
                true => issuers.into_sorted(),
                false => Vec::new(),
            },
            restriction: None,
            is_served: true,
        });
    }
    all
}

fn group(prefix: Prefix, planned: Vec<Planned>) -> Group {
    let mut group = Group {
        prefix: prefix.text,
        is_stripped: prefix.is_stripped,
        routes: routes(planned, |_| None),
        ..Group::default()
    };
    share_tokens(&mut group);
    group
}

/// Returns the one upstream: the first server.
fn upstream(api: &Api<'_>, server: Option<&Server<'_>>, findings: &mut Vec<Finding>) -> Upstream {
    let origin = server.map(|server| server.origin.as_str());
    let origin = origin.filter(|origin| Url::parse(origin).is_ok());
    if origin.is_none() {
        let place = server.map_or(api.root().place, |server| server.place);
        findings.push(Untranslated::new(Code::NoServer, place, "").of_document());
    }
    if let [_, second, ..] = &*api.servers {
        let note = Untranslated::new(Code::OtherServers, second.place, "");
        findings.push(note.of_document());
    }
    let host = origin.and_then(|origin| origin.split_once("://"));
    Upstream {
        name: host.map_or_else(|| "api".to_owned(), |(_, host)| slug(host)),
        comment: "Write the address at which the gateway reaches the service.".to_owned(),
        url: origin.unwrap_or(THIS_MACHINE).to_owned(),
        lambda: None,
        server_name: None,
        is_unverified: false,
    }
}

/// Returns the tokens of each scheme, or the reason for which they are not known.
fn bearers<'d>(
    api: &Api<'d>,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> BTreeMap<&'d str, Result<Bearer, Untranslated>> {
    let mut bearers = BTreeMap::new();
    let server = api.servers.first();
    let address = server.filter(|server| !server.origin.is_empty());
    let address = address.map(|server| format!("{}{}", server.origin, server.base_path));
    let operations = api.operations.iter();
    let used: BTreeSet<&str> = operations
        .flat_map(|operation| operation.security.members())
        .map(|member| member.scheme)
        .collect();
    for scheme in &api.schemes {
        let bearer = bearer(scheme, options, address.as_deref());
        let is_guess = bearer
            .as_ref()
            .is_ok_and(|bearer| bearer.has_guessed_audience);
        if is_guess && used.contains(scheme.name) {
            let about = format!("{:?}", scheme.name);
            let note = Untranslated::new(Code::IssuerAudience, scheme.place, about);
            findings.push(note.of_document());
        }
        bearers.insert(scheme.name, bearer);
    }
    bearers
}

fn plan(
    operation: &Operation<'_>,
    path: String,
    decision: Result<Decision, Untranslated>,
    upstream: &str,
    findings: &mut Vec<Finding>,
) -> Planned {
    let (access, tokens, comments) = match decision {
        Ok(decision) => {
            findings.extend(decision.findings);
            (decision.access, decision.tokens, Vec::new())
        }
        Err(reason) => {
            findings.push(reason.of(operation));
            (Access::Deny, Tokens::default(), vec![reason.sentence()])
        }
    };
    Planned {
        place: operation.place,
        path,
        handler: Handler::Upstream(upstream.to_owned()),
        tokens,
        settings: Settings::default(),
        rule: Rule {
            place: operation.place,
            operation: operation.to_string().into(),
            method: operation.method.as_str(),
            access,
            comments,
            asked: None,
        },
    }
}
