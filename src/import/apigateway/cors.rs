//! The answers to preflights: mock integrations of `OPTIONS`, and the setting of HTTP APIs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::access::{is_none_free, is_open};
use super::integration;
use super::mock;
use super::restriction::Restrictions;
use crate::import::document::{DocumentError, Node};
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::openapi::{Api, CORS, Method, Operation};
use crate::import::plan::{Cors, Names};
use crate::route::MethodPattern;
use crate::transform::Origin;

/// The longest time for which browsers remember an answer, in seconds: a day.
const MAX_AGE: u64 = 86_400;

/// The preflights of a document.
#[derive(Debug, Default)]
pub(super) struct Preflights {
    /// Those of the whole API.
    pub(super) all: Option<Cors>,
    /// Those of a path, as the document has it.
    by_path: BTreeMap<String, Cors>,
    /// The paths whose preflights not everybody may send.
    protected: BTreeSet<String>,
    pub(super) findings: Vec<Finding>,
}

/// What an answer to a preflight says, by the names of its fields without `access-control-allow-`.
#[derive(Debug, Default)]
struct Said {
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    expose: Vec<String>,
    has_credentials: bool,
    max_age: Option<u64>,
}

/// What decides whether everybody may send the requests of an operation.
struct Openness<'o> {
    is_none_free: bool,
    enforced: Option<&'o Restrictions>,
}

impl Openness<'_> {
    fn includes(&self, operation: &Operation<'_>) -> bool {
        let restriction = self
            .enforced
            .and_then(|restrictions| restrictions.of_operation(operation));
        is_open(operation, self.is_none_free) && restriction.is_none()
    }
}

impl Preflights {
    /// Returns the preflights of a document, as far as no restriction of the whole API is `enforced`
    /// on them.
    pub(super) fn of(
        api: &Api<'_>,
        enforced: Option<&Restrictions>,
    ) -> Result<Self, DocumentError> {
        let mut preflights = Self::default();
        let is_restricted = enforced.is_some_and(|restrictions| !restrictions.all().is_empty());
        if let Some(node) = api.root().get(CORS).filter(|_| !is_restricted) {
            match setting(node) {
                Ok(cors) => preflights.all = Some(cors),
                Err(reason) => preflights.findings.push(reason.of_document()),
            }
        }
        let openness = Openness {
            is_none_free: is_none_free(api),
            enforced,
        };
        for operation in &api.operations {
            if operation.method == Method::Options {
                preflights.take(api, operation, &openness)?;
            }
        }
        Ok(preflights)
    }

    /// Returns the setting of a path.
    pub(super) fn path(&self, path: &str) -> Option<&Cors> {
        self.by_path.get(path)
    }

    /// Returns whether an operation answers preflights that not everybody may send.
    pub(super) fn is_protected(&self, operation: &Operation<'_>) -> bool {
        operation.method == Method::Options && self.protected.contains(operation.path)
    }

    fn take(
        &mut self,
        api: &Api<'_>,
        operation: &Operation<'_>,
        openness: &Openness<'_>,
    ) -> Result<(), DocumentError> {
        let integration = integration::of(api.document, operation)?;
        let integration = integration.filter(|node| integration::kind(node) == "mock");
        let response = integration.and_then(mock::preflight);
        let Some(response) = response.filter(|response| speaks_of_origins(response)) else {
            return Ok(());
        };
        // Browsers send no token: what asks for one is no answer to them.
        if !openness.includes(operation) {
            self.protected.insert(operation.path.to_owned());
            return Ok(());
        }
        let code = match said_by(response) {
            None => Code::ComputedCors,
            Some(said) => match said.cors(&[Method::Options.as_str()]) {
                None => Code::UnusableCors,
                Some(cors) => {
                    self.by_path.insert(operation.path.to_owned(), cors);
                    return Ok(());
                }
            },
        };
        let reason = Untranslated::new(code, operation.place, "");
        self.findings.push(reason.of(operation));
        Ok(())
    }
}

/// Returns the setting of an HTTP API, of which no part is computed.
fn setting(node: &Node) -> Result<Cors, Untranslated> {
    if let Some(name) = node.unresolved() {
        let about = format!("{name:?}");
        return Err(Untranslated::new(Code::ComputedCors, node.place, about));
    }
    let cors = said_by_setting(node).cors(&[]);
    cors.ok_or_else(|| Untranslated::new(Code::UnusableCors, node.place, ""))
}

/// Returns whether a response, or a template of it, sets a field of CORS.
fn speaks_of_origins(response: &Node) -> bool {
    let mut names = mock::parameters(response)
        .iter()
        .filter_map(mock::field_name);
    names.any(|name| name.starts_with("access-control-")) || mock::has_override(response)
}

/// Returns what a response says; `None` if its origin is computed.
fn said_by(response: &Node) -> Option<Said> {
    if mock::has_override(response) {
        return None;
    }
    let mut said = Said::default();
    for entry in mock::parameters(response) {
        let Some(name) = mock::field_name(entry) else {
            continue;
        };
        let Some(name) = name.strip_prefix("access-control-").map(str::to_owned) else {
            continue;
        };
        let (_, value) = mock::field(entry)?;
        match name.as_str() {
            "allow-origin" => said.origins = vec![value],
            "allow-methods" => said.methods = items(&value),
            "allow-headers" => said.headers = items(&value),
            "expose-headers" => said.expose = items(&value),
            "allow-credentials" => said.has_credentials = value.eq_ignore_ascii_case("true"),
            "max-age" => said.max_age = value.parse().ok(),
            _ => {}
        }
    }
    Some(said)
}

fn said_by_setting(node: &Node) -> Said {
    let texts = |key| {
        let value: Option<&Node> = node.get(key);
        let items = value.map_or(&[][..], Node::items);
        let texts = items.iter().filter_map(Node::scalar).map(str::to_owned);
        texts.collect::<Vec<_>>()
    };
    let number = node.get("maxAge").and_then(Node::scalar);
    Said {
        origins: texts("allowOrigins"),
        methods: texts("allowMethods"),
        headers: texts("allowHeaders"),
        expose: texts("exposeHeaders"),
        has_credentials: node.get("allowCredentials").and_then(Node::flag) == Some(true),
        max_age: number.and_then(|number| number.parse().ok()),
    }
}

fn items(value: &str) -> Vec<String> {
    let items = value.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

impl Said {
    /// Returns the setting of the configuration, without some methods; `None` if there is none that
    /// says the same.
    fn cors(self, without: &[&str]) -> Option<Cors> {
        let is_any = self.origins.iter().any(|origin| origin == "*");
        let origins = match is_any {
            true => Vec::new(),
            false => self.origins,
        };
        let are_origins = origins.iter().all(|origin| is_origin(origin));
        if origins.is_empty() != is_any || !are_origins {
            return None;
        }
        let is_wild = is_any || origins.iter().any(|origin| origin.ends_with("://*"));
        let names_all = |names: &[String]| names.iter().any(|name| name == "*");
        let has_wild_names = names_all(&self.headers) || names_all(&self.expose);
        // A browser takes no wildcard from an answer with credentials.
        if self.has_credentials && (is_wild || has_wild_names) {
            return None;
        }
        Some(Cors {
            origins,
            methods: methods(self.methods, without),
            headers: names(self.headers)?,
            expose: names(self.expose)?,
            has_credentials: self.has_credentials,
            max_age: self.max_age.filter(|seconds| *seconds <= MAX_AGE),
        })
    }
}

fn is_origin(text: &str) -> bool {
    matches!(text, "https://*" | "http://*") || !text.contains('*') && Origin::parse(text).is_ok()
}

/// Returns methods; none, which stands for those of the route, for a wildcard.
fn methods(methods: Vec<String>, without: &[&str]) -> Vec<String> {
    if methods.iter().any(|method| method == "*") {
        return Vec::new();
    }
    let mut known: HashSet<String> = HashSet::new();
    let mut kept: Vec<String> = Vec::new();
    for method in methods {
        let method = method.to_ascii_uppercase();
        let is_method = matches!(MethodPattern::parse(&method), Ok(MethodPattern::One(_)));
        if is_method && !without.contains(&&*method) && known.insert(method.clone()) {
            kept.push(method);
        }
    }
    kept
}

fn names(names: Vec<String>) -> Option<Names> {
    if names.is_empty() {
        return Some(Names::Unstated);
    }
    if names.iter().any(|name| name == "*") {
        return Some(Names::Any);
    }
    let names = names.into_iter().map(|name| name.to_ascii_lowercase());
    let names: Vec<_> = names.collect();
    let are_names = names
        .iter()
        .all(|name| http::HeaderName::from_bytes(name.as_bytes()).is_ok());
    are_names.then_some(Names::These(names))
}
