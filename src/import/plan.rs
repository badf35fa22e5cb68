//! The configuration that is to be written.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Place;

/// A configuration.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Lines at its beginning.
    pub(super) heading: Vec<String>,
    /// The form of the answers to refused clients.
    pub(super) profile: Option<&'static str>,
    pub(super) responses: Vec<ErrorResponse>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) group: Group,
}

/// `[[errors.responses]]`
#[derive(Debug)]
pub(super) struct ErrorResponse {
    pub(super) reasons: Vec<String>,
    pub(super) status: Option<u16>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) comment: String,
}

/// `[issuers.<name>]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) issuer: String,
    /// The accepted audiences; none for every audience.
    pub(super) audience: Vec<String>,
    /// Whether the client decides where a token has no audience.
    pub(super) has_client_as_audience: bool,
    pub(super) token_use: Option<&'static str>,
    /// Whether ID tokens pass.
    pub(super) takes_any_type: bool,
    pub(super) algorithms: &'static [&'static str],
}

/// `[upstreams.<name>]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) url: String,
    pub(super) lambda: Option<Lambda>,
    pub(super) server_name: Option<String>,
    pub(super) is_unverified: bool,
}

/// `lambda` of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lambda {
    pub(super) function: String,
    pub(super) event: &'static str,
    pub(super) account_id: Option<String>,
    pub(super) api_id: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) binary: Vec<String>,
    pub(super) stage_variables: BTreeMap<String, String>,
}

/// `[[groups]]`
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The prefix; empty for none.
    pub(super) prefix: String,
    pub(super) is_stripped: bool,
    /// Whether it matches as API Gateway does.
    pub(super) matches_as_aws: bool,
    pub(super) tokens: Tokens,
    pub(super) cors: Option<Cors>,
    pub(super) routes: Vec<Route>,
}

/// `[[groups.routes]]`
#[derive(Debug)]
pub(super) struct Route {
    /// The place of its first operation in the document.
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) handler: Handler,
    pub(super) tokens: Tokens,
    pub(super) settings: Settings,
    pub(super) cors: Option<Cors>,
    pub(super) methods: Vec<Rule>,
}

/// The entry of a method.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The place of its operation in the document.
    pub(super) place: Place,
    /// Its operation, such as `GET /pets`.
    pub(super) operation: Box<str>,
    pub(super) method: &'static str,
    pub(super) access: Access,
    pub(super) comments: Vec<String>,
    /// What the document asks for, if the method is denied for another reason.
    pub(super) asked: Option<Asked>,
}

/// What a document asks of the callers of a method.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) access: Access,
    pub(super) tokens: Tokens,
}

/// Who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Deny,
    Public,
    Authenticated,
    /// Scopes, all of the outer list; any of an inner one.
    All(Vec<Vec<String>>),
    /// Scopes, any of the outer list; all of an inner one.
    Any(Vec<Vec<String>>),
}

impl Access {
    /// Returns whether a token is looked at.
    pub(super) fn takes_tokens(&self) -> bool {
        !matches!(self, Self::Deny | Self::Public)
    }
}

/// The tokens that a route takes; nothing where it takes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) issuers: Vec<String>,
    pub(super) from: Vec<String>,
    /// Whether the upstream gets a token of another field than `Authorization` as well.
    pub(super) is_forwarded: bool,
}

impl Tokens {
    pub(super) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }
}

/// What answers the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    /// Nothing: every method is denied.
    Nobody,
    Upstream(String),
    Respond(Respond),
}

/// `respond`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Respond {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
}

/// The changes that a route makes to requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) rewrite: Option<String>,
    pub(super) upstream_method: Option<String>,
    pub(super) set: BTreeMap<String, String>,
    pub(super) add: BTreeMap<String, String>,
    pub(super) remove: BTreeSet<String>,
    pub(super) forward: BTreeMap<String, String>,
    pub(super) response_timeout: Option<u64>,
}

/// `cors`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cors {
    /// The origins; none for `any`.
    pub(super) origins: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: Names,
    pub(super) expose: Names,
    pub(super) has_credentials: bool,
    pub(super) max_age: Option<u64>,
}

/// Names of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    #[default]
    Unstated,
    Any,
    These(Vec<String>),
}
