//! Exports of API Gateway.

mod access;
mod answer_body;
mod answers;
mod arn;
mod authorizer;
mod cors;
mod glob;
mod integration;
mod kind;
mod mapping;
mod mock;
mod precedence;
mod restriction;
mod source;
mod uri;
mod variables;

use std::collections::{BTreeSet, HashMap};

use access::{Authorizers, Decision};
use answers::Answers;
use cors::Preflights;
use integration::{Integrations, Target};
use kind::Kind;
use precedence::Denials;
use restriction::Restrictions;

use super::document::{Allowance, Node};
use super::error::ImportError;
use super::finding::{Code, Finding, Untranslated};
use super::gather::{Planned, routes, share_tokens};
use super::heading::heading;
use super::names::Registry;
use super::open::open_operations;
use super::openapi::{AUTHORIZER, Api, ApiError, ApiFault, Method, Operation, RESPONSES};
use super::options::{BasePath, Options, Prefix};
use super::path::{prefix, route_path, unknown_prefix};
use super::plan::{
    Access, Asked, Cors, ErrorResponse, Group, Handler, Issuer, Lambda, Plan, Rule, Settings,
    Tokens, Upstream,
};
use super::stated::Stated;
use super::translation::Translation;
use crate::token::Source as TokenPlace;

/// The limit on binary media types, which are written for each function.
const MAX_BINARY: usize = 256;

/// Translates an export.
///
/// # Errors
/// Returns an error for a document that is no export, or that cannot be a configuration.
pub(super) fn translate(api: &Api<'_>, options: &Options) -> Result<Translation, ImportError> {
    let mut work = Work::new(api, options)?;
    let mut planned = Vec::new();
    let mut has_integration = false;
    let mut allowance = Allowance::default();
    for operation in &api.operations {
        if let Some(node) = integration::of(api.document, operation)? {
            has_integration = true;
            if integration::is_shared(operation) {
                allowance.take(node)?;
            }
        }
        planned.extend(work.operation(operation)?);
    }
    if !has_integration {
        return Err(ImportError::NoIntegrations);
    }
    if planned.is_empty() {
        let place = api.root().place;
        return Err(ApiError::at(place, ApiFault::NoOperations).into());
    }
    work.note_the_document(&planned);
    let denials = Denials::of(&planned, api.root().place)?;
    work.findings.extend(denials.findings);
    planned.extend(denials.operations);
    Ok(work.finish(planned))
}

/// Returns what the document says about the callers of each operation.
///
/// # Errors
/// Returns an error for an integration that cannot be found.
pub(super) fn stated(api: &Api<'_>, options: &Options) -> Result<Vec<Stated>, ImportError> {
    let authorizers = Authorizers::of(api, options);
    let restrictions = Restrictions::of(api);
    let mut all = Vec::with_capacity(api.operations.len());
    for operation in &api.operations {
        let mut issuers = Registry::default();
        let decision = authorizers.decide(operation, &mut issuers);
        let restriction = restrictions.of_operation(operation);
        let node = integration::of(api.document, operation)?;
        all.push(Stated {
            access: match decision {
                Ok(decision) => Ok(decision.access),
                Err(reason) => Err(reason.code),
            },
            issuers: issuers.into_sorted(),
            restriction: restriction.map(|reason| reason.code),
            is_served: !operation.is_default_route() || node.is_some(),
        });
    }
    Ok(all)
}

/// A document that is being translated.
struct Work<'w> {
    api: &'w Api<'w>,
    options: &'w Options,
    kind: Kind,
    prefix: Prefix,
    authorizers: Authorizers<'w>,
    restrictions: Restrictions,
    preflights: Preflights,
    /// The places of tokens on all routes.
    token_places: Vec<TokenPlace>,
    lambda: Lambda,
    issuers: Registry<Issuer>,
    upstreams: Registry<Upstream>,
    answers: Vec<ErrorResponse>,
    findings: Vec<Finding>,
}

/// An operation that is denied.
struct Denied {
    reason: Untranslated,
    handler: Handler,
    /// What its authorizers ask for, if that is known.
    asked: Option<Asked>,
}

impl<'w> Work<'w> {
    fn new(api: &'w Api<'w>, options: &'w Options) -> Result<Self, ImportError> {
        let kind = Kind::of(api);
        let mode = options.base_path.unwrap_or(BasePath::Stage);
        let prefix = prefix(api, mode)?;
        let authorizers = Authorizers::of(api, options);
        let restrictions = Restrictions::of(api);
        let enforced = (!options.accepts_policy).then_some(&restrictions);
        Ok(Self {
            api,
            options,
            kind,
            token_places: authorizers.token_places(api),
            authorizers,
            preflights: Preflights::of(api, enforced)?,
            restrictions,
            lambda: lambda(api, options, &prefix)?,
            prefix,
            issuers: Registry::default(),
            upstreams: Registry::default(),
            answers: Vec::new(),
            findings: unknown_prefix(api, mode).into_iter().collect(),
        })
    }

    /// Translates an operation: into none, one, or the two paths of the root below a prefix.
    fn operation(&mut self, operation: &Operation<'_>) -> Result<Vec<Planned>, ImportError> {
        let path = route_path(operation, &self.prefix)?;
        let node = integration::of(self.api.document, operation)?;
        let is_preflight =
            operation.method == Method::Options && self.preflights.path(operation.path).is_some();
        let is_empty_default = operation.is_default_route() && node.is_none();
        // The gateway answers TRACE itself, always.
        let is_trace = operation.method == Method::Trace;
        if is_preflight || is_empty_default || is_trace {
            return Ok(Vec::new());
        }
        let planned = match self.decide(operation) {
            Ok(decision) => self.handle(operation, node, &path, decision),
            Err(reason) => self.deny(operation, node, &path, reason),
        };
        // A stage is its own root, with a slash or without.
        if path == "/" && !self.prefix.text.is_empty() && self.prefix.is_stripped {
            let bare = Planned {
                place: operation.place,
                path: String::new(),
                handler: planned.handler.clone(),
                tokens: planned.tokens.clone(),
                settings: planned.settings.clone(),
                rule: planned.rule.clone(),
            };
            return Ok(vec![planned, bare]);
        }
        Ok(vec![planned])
    }

    /// Returns who may call an operation.
    fn decide(&mut self, operation: &Operation<'_>) -> Result<Decision, Untranslated> {
        if let Some(reason) = self.restrictions.of_operation(operation)
            && !self.options.accepts_policy
        {
            return Err(reason);
        }
        let decision = self.authorizers.decide(operation, &mut self.issuers)?;
        match self.preflights.is_protected(operation) {
            true => Err(Untranslated::new(
                Code::ProtectedPreflight,
                operation.place,
                "",
            )),
            false => Ok(decision),
        }
    }

    fn handle(
        &mut self,
        operation: &Operation<'_>,
        node: Option<&Node>,
        path: &str,
        decision: Decision,
    ) -> Planned {
        match self.target(operation, node, path, decision.access.takes_tokens()) {
            Err(reason) => {
                let denied = Denied {
                    reason,
                    handler: Handler::Nobody,
                    asked: Some(Asked {
                        access: decision.access,
                        tokens: decision.tokens,
                    }),
                };
                self.denied(operation, path, denied)
            }
            Ok(target) => {
                self.findings.extend(decision.findings);
                self.findings.extend(target.findings);
                Planned {
                    place: operation.place,
                    path: path.to_owned(),
                    handler: target.handler,
                    tokens: decision.tokens,
                    settings: target.settings,
                    rule: Rule {
                        place: operation.place,
                        operation: operation.to_string().into(),
                        method: operation.method.as_str(),
                        access: decision.access,
                        comments: Vec::new(),
                        asked: None,
                    },
                }
            }
        }
    }

    /// Denies an operation whose authorization is not known, or not wholly. Its upstream is named
    /// all the same, for the reader who writes the authorization, and so is what is known.
    fn deny(
        &mut self,
        operation: &Operation<'_>,
        node: Option<&Node>,
        path: &str,
        reason: Untranslated,
    ) -> Planned {
        let target = self.target(operation, node, path, true);
        let handler = match target.map(|target| target.handler) {
            Ok(Handler::Upstream(name)) => Handler::Upstream(name),
            _ => Handler::Nobody,
        };
        let issuers = &mut self.issuers;
        let known = match reason.code {
            Code::ApiKey => self.authorizers.beside_api_keys(operation, issuers),
            _ => self.authorizers.decide(operation, issuers).ok(),
        };
        let asked = known.map(|decision| Asked {
            access: decision.access,
            tokens: decision.tokens,
        });
        let denied = Denied {
            reason,
            handler,
            asked,
        };
        self.denied(operation, path, denied)
    }

    fn denied(&mut self, operation: &Operation<'_>, path: &str, denied: Denied) -> Planned {
        self.findings.push(denied.reason.of(operation));
        Planned {
            place: operation.place,
            path: path.to_owned(),
            handler: denied.handler,
            tokens: Tokens::default(),
            settings: Settings::default(),
            rule: Rule {
                place: operation.place,
                operation: operation.to_string().into(),
                method: operation.method.as_str(),
                access: Access::Deny,
                comments: vec![denied.reason.sentence()],
                asked: denied.asked,
            },
        }
    }

    fn target(
        &mut self,
        operation: &Operation<'_>,
        node: Option<&Node>,
        path: &str,
        has_token: bool,
    ) -> Result<Target, Untranslated> {
        let integrations = Integrations {
            options: self.options,
            kind: self.kind,
            prefix: &self.prefix,
            token_places: &self.token_places,
            lambda: self.lambda.clone(),
        };
        integrations.target(operation, node, path, has_token, &mut self.upstreams)
    }

    /// Notes what is about the document as a whole.
    fn note_the_document(&mut self, planned: &[Planned]) {
        self.findings.extend(self.authorizers.findings());
        self.findings.append(&mut self.preflights.findings);
        if self.options.accepts_policy {
            let accepted = self.restrictions.all();
            self.findings
                .extend(accepted.iter().map(Untranslated::of_document));
        }
        self.note_unused();
        self.findings
            .extend(open_operations(self.api, &self.prefix, planned));
        self.note_settings();
        self.take_answers();
    }

    /// Reads the answers to refused requests, which REST APIs alone can have.
    fn take_answers(&mut self) {
        let entry = self.api.root().entry(RESPONSES);
        match (self.kind, entry) {
            (_, None) => {}
            (Kind::Rest, Some(_)) => {
                let mut operations = self.api.operations.iter();
                let preflights = &self.preflights;
                let without_cors =
                    operations.find(|operation| preflights.path(operation.path).is_none());
                let path = without_cors.map(|operation| operation.path);
                let answers = Answers::of(self.api, &self.options.variables, path);
                self.answers = answers.entries;
                self.findings.extend(answers.findings);
            }
            (Kind::Http, Some(entry)) => {
                let about = format!("{:?}", entry.key);
                let note = Untranslated::new(Code::GatewayResponse, entry.place, about);
                self.findings.push(note.of_document());
            }
        }
    }

    /// Notes each authorizer that no operation names.
    fn note_unused(&mut self) {
        let operations = self.api.operations.iter();
        let mut securities = operations.clone().map(|operation| &operation.security);
        // A requirement that cannot be read may name it.
        if securities.any(|security| security.alternatives.is_err()) {
            return;
        }
        let members = operations.flat_map(|operation| operation.security.members());
        let used: BTreeSet<_> = members.map(|member| member.scheme).collect();
        for scheme in &self.api.schemes {
            let is_authorizer = scheme.node.get(AUTHORIZER).is_some();
            if is_authorizer && !used.contains(scheme.name) {
                let about = format!("{:?}", scheme.name);
                let note = Untranslated::new(Code::UnusedAuthorizer, scheme.place, about);
                self.findings.push(note.of_document());
            }
        }
    }

    fn note_settings(&mut self) {
        for (key, code) in [
            ("x-amazon-apigateway-request-validator", Code::Validator),
            (
                "x-amazon-apigateway-minimum-compression-size",
                Code::Setting,
            ),
        ] {
            if let Some(entry) = self.api.root().entry(key) {
                let note = Untranslated::new(code, entry.place, format!("{key:?}"));
                self.findings.push(note.of_document());
            }
        }
        if let [_, second, ..] = &*self.api.servers {
            let note = Untranslated::new(Code::OtherServers, second.place, "");
            self.findings.push(note.of_document());
        }
    }

    fn finish(mut self, planned: Vec<Planned>) -> Translation {
        let heading = heading(self.api, self.options, self.kind.name(), &planned);
        let mut by_path: HashMap<String, &Cors> = HashMap::new();
        for operation in &self.api.operations {
            if let Some(cors) = self.preflights.path(operation.path)
                && let Ok(path) = route_path(operation, &self.prefix)
            {
                by_path.insert(path, cors);
            }
        }
        let cors = |path: &str| {
            let path = if path.is_empty() { "/" } else { path };
            by_path.get(path).copied().cloned()
        };
        let mut group = Group {
            prefix: self.prefix.text.clone(),
            is_stripped: self.prefix.is_stripped,
            matches_as_aws: true,
            tokens: Tokens::default(),
            cors: self.preflights.all.clone(),
            routes: routes(planned, cors),
        };
        share_tokens(&mut group);
        self.findings
            .sort_by_key(|finding| (finding.place, finding.code));
        Translation {
            plan: Plan {
                heading,
                profile: Some(self.kind.profile()),
                responses: self.answers,
                issuers: self.issuers.into_sorted(),
                upstreams: self.upstreams.into_sorted(),
                group,
            },
            findings: self.findings,
        }
    }
}

/// Returns the settings of all functions.
fn lambda(api: &Api<'_>, options: &Options, prefix: &Prefix) -> Result<Lambda, ApiError> {
    let server = api.servers.first();
    let host = server.map_or("", |server| server.host());
    let api_id = host.split_once(".execute-api.").map(|(id, _)| id);
    let api_id = api_id.filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric()));
    let stage = server.map_or("", |server| server.base_path.trim_start_matches('/'));
    // The prefix of the group is the stage of events, unless they differ.
    let is_prefix = prefix.is_stripped && prefix.text.trim_start_matches('/') == stage;
    let binary = api.root().get("x-amazon-apigateway-binary-media-types");
    if let Some(node) = binary.filter(|node| node.items().len() > MAX_BINARY) {
        let fault = ApiFault::TooMany("binary media types", MAX_BINARY);
        return Err(ApiError::at(node.place, fault));
    }
    let binary = binary.map_or(&[][..], Node::items).iter();
    Ok(Lambda {
        api_id: api_id.map(str::to_owned),
        stage: (!is_prefix && !stage.is_empty() && !stage.contains('/')).then(|| stage.to_owned()),
        binary: binary
            .filter_map(Node::text)
            .filter(|text| is_media_range(text))
            .map(str::to_owned)
            .collect(),
        stage_variables: options.variables.clone(),
        ..Lambda::default()
    })
}

/// Returns whether a text is a media type, or a range such as `image/*`.
fn is_media_range(text: &str) -> bool {
    let is_part =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+' | b'_' | b'*');
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_part);
    let is_range = |name: &str| is_name(name) && (name == "*" || !name.contains('*'));
    text.split_once('/')
        .is_some_and(|(kind, name)| is_range(kind) && is_range(name))
}
