//! The integrations of operations, as upstreams and answers.

use super::arn::{function, service};
use super::kind::Kind;
use super::mapping::{Mappings, lost};
use super::mock;
use super::source::Scene;
use super::uri;
use super::variables;
use crate::import::document::{Document, DocumentError, Kind as NodeKind, Node};
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::names::{Registry, slug};
use crate::import::openapi::{INTEGRATION, Operation};
use crate::import::options::{Options, Prefix};
use crate::import::path::forwarded;
use crate::import::plan::{Handler, Lambda, Settings, Upstream};
use crate::route::{MethodPattern, Pattern};
use crate::token::Source as TokenPlace;
use crate::transform::Rewrite;

/// The address of functions, until the reader writes another.
const FUNCTIONS: &str = "http://127.0.0.1:9000";

/// The longest timeout of an integration, in milliseconds: that of a streamed response.
const MAX_TIMEOUT: u64 = 900_000;

/// What answers an operation.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) handler: Handler,
    pub(super) settings: Settings,
    pub(super) findings: Vec<Finding>,
}

/// What all integrations of a document have in common.
pub(super) struct Integrations<'i> {
    pub(super) options: &'i Options,
    pub(super) kind: Kind,
    pub(super) prefix: &'i Prefix,
    /// The places of tokens on all routes.
    pub(super) token_places: &'i [TokenPlace],
    /// The settings of functions that the document states for all.
    pub(super) lambda: Lambda,
}

/// An operation with its integration, which is being translated.
struct Work<'w> {
    operation: &'w Operation<'w>,
    node: &'w Node,
    /// The path of the route.
    path: &'w str,
    /// Whether requests carry a token that was verified.
    has_token: bool,
    findings: Vec<Finding>,
}

/// Returns the integration of an operation, if it has one.
///
/// # Errors
/// Returns an error for a `$ref` that cannot be followed.
pub(super) fn of<'d>(
    document: &'d Document,
    operation: &Operation<'d>,
) -> Result<Option<&'d Node>, DocumentError> {
    let node = operation.node.get(INTEGRATION);
    node.map(|node| document.alone(node)).transpose()
}

/// Returns whether the integration of an operation stands elsewhere, and may be that of others.
pub(super) fn is_shared(operation: &Operation<'_>) -> bool {
    let node = operation.node.get(INTEGRATION);
    node.is_some_and(|node| node.get("$ref").is_some())
}

/// Returns the type of an integration, in lower case.
pub(super) fn kind(integration: &Node) -> String {
    let kind = integration.get("type").and_then(Node::text);
    kind.unwrap_or_default().to_ascii_lowercase()
}

impl Integrations<'_> {
    /// Returns what answers an operation, the path of whose route is `path`.
    ///
    /// # Errors
    /// Returns the reason for which it is denied: nothing can answer it.
    pub(super) fn target(
        &self,
        operation: &Operation<'_>,
        integration: Option<&Node>,
        path: &str,
        has_token: bool,
        upstreams: &mut Registry<Upstream>,
    ) -> Result<Target, Untranslated> {
        let missing = || Untranslated::new(Code::NoIntegration, operation.place, "");
        let node = integration.ok_or_else(missing)?;
        refuse_computed(node)?;
        let mut work = Work {
            operation,
            node,
            path,
            has_token,
            findings: Vec::new(),
        };
        let (handler, settings) = match kind(node).as_str() {
            "http_proxy" | "http" => self.http(&mut work, upstreams)?,
            "aws_proxy" if node.get("integrationSubtype").is_none() => {
                self.function(&mut work, upstreams)?
            }
            "mock" => {
                let respond = mock::respond(operation, node, &mut work.findings)?;
                (Handler::Respond(respond), Settings::default())
            }
            kind => return Err(unanswered(node, kind)),
        };
        work.note_the_rest();
        Ok(Target {
            handler,
            settings,
            findings: work.findings,
        })
    }

    fn http(
        &self,
        work: &mut Work<'_>,
        upstreams: &mut Registry<Upstream>,
    ) -> Result<(Handler, Settings), Untranslated> {
        let uri_node = work.node.get("uri").unwrap_or(work.node);
        let fail = || Untranslated::new(Code::UnusableUri, uri_node.place, "");
        let text = uri_node.text().ok_or_else(fail)?;
        let text = variables::filled(text, &self.options.variables, uri_node.place)?;
        let mappings = Mappings::of(work.node);
        if let Some(name) = mappings.missing_variable(&self.options.variables) {
            let code = Code::MissingVariable;
            return Err(Untranslated::new(
                code,
                work.node.place,
                format!("{name:?}"),
            ));
        }
        let scene = Scene {
            path: work.operation.path,
            variables: &self.options.variables,
            token_places: self.token_places,
        };
        mappings.refuse_token_in_path(scene)?;
        let target = uri::target(&text, &mappings.path, scene, uri_node.place)?;
        let mut settings = work.settings();
        settings.rewrite = self.rewrite(work, &target, &mappings, scene)?;
        for lost in mappings.headers(&mut settings, scene, work.has_token) {
            work.findings.push(lost.of(work.operation));
        }
        settings.upstream_method = work.method()?;
        let upstream = work.upstream(&target.origin);
        Ok((Handler::Upstream(upstreams.name(&upstream)), settings))
    }

    /// Returns the path and the query that the upstream gets, if they are not those of the client.
    fn rewrite(
        &self,
        work: &mut Work<'_>,
        target: &uri::Target,
        mappings: &Mappings<'_>,
        scene: Scene<'_>,
    ) -> Result<Option<String>, Untranslated> {
        let place = work.node.place;
        let fail = |about: &str| Untranslated::new(Code::UnusableUri, place, format!("{about:?}"));
        let mut query = target.query.clone();
        for (name, source, entry) in &mappings.query {
            if source.as_query() == Some(*name) {
                continue;
            }
            let value = source
                .template(scene)
                .filter(|_| work.has_token || !source.has_claim());
            match value {
                Some(value) => query.push(((*name).to_owned(), value)),
                None => work.findings.push(lost(entry, scene).of(work.operation)),
            }
        }
        let path = match &mappings.whole_path {
            Some(source) => source
                .template(scene)
                .ok_or_else(|| fail("overwrite:path"))?,
            None if work.operation.is_default_route() => {
                format!("{}/**", target.path.trim_end_matches('/'))
            }
            None if target.path.is_empty() => "/".to_owned(),
            None => target.path.clone(),
        };
        if !path.starts_with('/') || path.contains("${claim:") && !work.has_token {
            return Err(fail(&path));
        }
        if query.is_empty() && path == forwarded(work.path, self.prefix) {
            return Ok(None);
        }
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{}={value}", name.replace(' ', "+")))
            .collect();
        let rewrite = match query.is_empty() {
            true => path,
            false => format!("{path}?{}", query.join("&")),
        };
        match self.is_rewrite(&rewrite, work.path) {
            true => Ok(Some(rewrite)),
            false => Err(fail(&rewrite)),
        }
    }

    /// Returns whether a route of a path can have a rewrite.
    fn is_rewrite(&self, rewrite: &str, path: &str) -> bool {
        let pattern = Pattern::join(&self.prefix.text, path);
        pattern.is_ok_and(|pattern| Rewrite::parse(rewrite, &pattern, |_| None).is_ok())
    }

    fn function(
        &self,
        work: &mut Work<'_>,
        upstreams: &mut Registry<Upstream>,
    ) -> Result<(Handler, Settings), Untranslated> {
        let uri = work.node.get("uri").unwrap_or(work.node);
        let fail = |about: String| Untranslated::new(Code::UnusableFunction, uri.place, about);
        let text = uri.text().ok_or_else(|| {
            let name = uri.intrinsic();
            fail(name.map(|name| format!("{name:?}")).unwrap_or_default())
        })?;
        let text = variables::filled(text, &self.options.variables, uri.place)?;
        let function = function(&text).ok_or_else(|| fail(format!("{text:?}")))?;
        let lambda = Lambda {
            event: self.event(work),
            function: function.name.clone(),
            account_id: Some(function.account).filter(|account| !account.is_empty()),
            ..self.lambda.clone()
        };
        let upstream = Upstream {
            name: slug(&function.name),
            comment: format!(
                "The function {:?}: write the address of its Invoke API, and the name that it has \
                 there (in the runtime interface emulator, \"function\"; with `max_connections = 1` \
                 for an emulator that takes one request at a time).",
                function.name
            ),
            url: FUNCTIONS.to_owned(),
            lambda: Some(lambda),
            server_name: None,
            is_unverified: false,
        };
        let settings = work.settings();
        Ok((Handler::Upstream(upstreams.name(&upstream)), settings))
    }

    /// Returns the format of a function's events.
    fn event(&self, work: &mut Work<'_>) -> &'static str {
        let version = work.node.get("payloadFormatVersion").and_then(Node::scalar);
        match (version, self.kind) {
            (Some("2.0" | "2"), Kind::Http) => "2.0",
            (Some(_), _) | (None, Kind::Rest) => "1.0",
            (None, Kind::Http) => {
                let note = Untranslated::new(Code::EventFormat, work.node.place, "");
                work.findings.push(note.of(work.operation));
                "1.0"
            }
        }
    }
}

/// Refuses an integration of which a function, or a `$ref`, decides where requests go and with what.
fn refuse_computed(node: &Node) -> Result<(), Untranslated> {
    let parts = ["type", "httpMethod", "requestParameters"].into_iter();
    let mut parts = parts.filter_map(|key| node.get(key));
    let found = node.elsewhere().map(|name| (node, name));
    let found = found.or_else(|| parts.find_map(|part| Some((part, part.elsewhere()?))));
    match found {
        Some((part, name)) => {
            let about = format!("{name:?}");
            Err(Untranslated::new(
                Code::UnresolvedFunction,
                part.place,
                about,
            ))
        }
        None => Ok(()),
    }
}

/// Returns the reason for which nothing can answer in place of a service. It names the service, or
/// else the type of the integration.
fn unanswered(node: &Node, kind: &str) -> Untranslated {
    let name = node.get("integrationSubtype").and_then(Node::text);
    let uri = node.get("uri").and_then(Node::text);
    let service = uri.filter(|_| kind == "aws").and_then(service);
    let code = match (name, service) {
        (None, Some("lambda")) => Code::CustomFunction,
        _ => Code::ServiceIntegration,
    };
    let function = uri.and_then(function).map(|function| function.name);
    let about = match (code, name.or(service)) {
        (Code::CustomFunction, Some(service)) => function.unwrap_or_else(|| service.to_owned()),
        (_, Some(service)) => service.to_owned(),
        (_, None) => kind.to_owned(),
    };
    Untranslated::new(code, node.place, format!("{about:?}"))
}

fn is_upstream_method(text: &str) -> bool {
    matches!(MethodPattern::parse(text), Ok(MethodPattern::One(_)))
}

/// Returns whether a text is the name of a host.
fn is_host(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.bytes().all(is_part)
}

impl Work<'_> {
    fn settings(&self) -> Settings {
        let timeout = self.node.get("timeoutInMillis").and_then(Node::scalar);
        let timeout = timeout.and_then(|text| text.parse().ok());
        Settings {
            response_timeout: timeout.filter(|ms| (1..=MAX_TIMEOUT).contains(ms)),
            ..Settings::default()
        }
    }

    /// Returns the method that the upstream gets, if it is not that of the client.
    fn method(&self) -> Result<Option<String>, Untranslated> {
        let node = self.node.get("httpMethod");
        let Some(node) = node.filter(|node| node.kind != NodeKind::Null) else {
            return Ok(None);
        };
        let method = node.text().unwrap_or_default().to_ascii_uppercase();
        if method == "ANY" || method == self.operation.method.as_str() {
            return Ok(None);
        }
        // Another one than that of the API would do something else.
        match is_upstream_method(&method) {
            true => Ok(Some(method)),
            false => {
                let about = format!("\"httpMethod\" {:?}", node.scalar().unwrap_or_default());
                Err(Untranslated::new(Code::UnusableUri, node.place, about))
            }
        }
    }

    fn upstream(&mut self, origin: &str) -> Upstream {
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        let tls = self.node.get("tlsConfig");
        let is_tls = origin.starts_with("https:");
        let skips = tls.and_then(|tls| tls.get("insecureSkipVerification"));
        let is_unverified = is_tls && skips.and_then(Node::flag) == Some(true);
        if is_unverified {
            self.note(
                Code::UnverifiedTls,
                skips.unwrap_or(self.node),
                &format!("{host:?}"),
            );
        }
        let server_name = tls.and_then(|tls| tls.get("serverNameToVerify"));
        let server_name = server_name
            .and_then(Node::text)
            .filter(|name| is_tls && !is_unverified && is_host(name));
        Upstream {
            name: slug(host),
            comment: String::new(),
            url: origin.to_owned(),
            lambda: None,
            server_name: server_name.map(str::to_owned),
            is_unverified,
        }
    }

    fn note(&mut self, code: Code, node: &Node, about: &str) {
        let note = Untranslated::new(code, node.place, about);
        self.findings.push(note.of(self.operation));
    }

    /// Notes the parts of the integration that have no counterpart.
    fn note_the_rest(&mut self) {
        let kind = kind(self.node);
        let is_mapped = kind == "http";
        if is_mapped {
            self.note(Code::Unmapped, self.node, "");
        }
        let parts = [
            ("requestTemplates", Code::MappingTemplate, is_mapped),
            ("responses", Code::ResponseMapping, is_mapped),
            ("responseParameters", Code::ResponseMapping, kind != "mock"),
            ("contentHandling", Code::Setting, is_mapped),
            ("credentials", Code::Role, true),
            ("cacheKeyParameters", Code::Caching, true),
        ];
        for (key, code, counts) in parts {
            let value = self.node.get(key).filter(|_| counts);
            let is_empty = |node: &&Node| {
                !node.is_map() && !node.is_list()
                    || !node.entries().is_empty()
                    || !node.items().is_empty()
            };
            if let Some(value) = value.filter(is_empty) {
                self.note(code, value, &format!("{key:?}"));
            }
        }
        let is_linked = self.node.get("connectionType").and_then(Node::text);
        if is_linked.is_some_and(|kind| kind.eq_ignore_ascii_case("VPC_LINK")) {
            self.note(Code::PrivateUpstream, self.node, "");
        }
        if let Some(validator) = self
            .operation
            .node
            .get("x-amazon-apigateway-request-validator")
        {
            self.note(Code::Validator, validator, "");
        }
    }
}
