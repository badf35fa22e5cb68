//! The event of format 2.0, which an HTTP API sends. What a request does not have is absent.

use std::collections::BTreeMap;

use http::Method;
use http::header::USER_AGENT;
use serde::Serialize;

use super::body::EventBody;
use super::claims::{ClaimTexts, http_claims};
use super::fields::{Fields, JoinedValues};
use super::path::{self, PathParameters};
use super::query::{joined_values, parameters};
use super::request_time::request_time;
use super::{Caller, Function, RequestFacts};

/// The version of the format.
const VERSION: &str = "2.0";

/// The key of the route that takes every request.
const DEFAULT: &str = "$default";

/// The event of format 2.0.
pub(super) struct HttpEvent<'r> {
    function: &'r Function,
    facts: &'r RequestFacts<'r>,
    body: Option<EventBody<'r>>,
}

/// Its members, in the order of API Gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'e> {
    version: &'e str,
    route_key: &'e str,
    raw_path: &'e str,
    raw_query_string: &'e str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: JoinedValues<'e>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<&'e str, String>,
    request_context: RequestContext<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'e EventBody<'e>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: PathParameters<'e>,
    is_base64_encoded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_variables: Option<BTreeMap<&'e str, &'e str>>,
}

/// `requestContext`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'e> {
    account_id: &'e str,
    api_id: &'e str,
    /// Absent on a public route.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'e>>,
    domain_name: &'e str,
    domain_prefix: &'e str,
    http: Http<'e>,
    request_id: &'e str,
    route_key: &'e str,
    stage: &'e str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
struct Authorizer<'e> {
    jwt: Jwt<'e>,
}

#[derive(Serialize)]
struct Jwt<'e> {
    claims: ClaimTexts<'e>,
    /// The scopes of the token; `null` on a route that requires none.
    scopes: Option<Vec<&'e str>>,
}

/// `requestContext.http`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'e> {
    method: &'e str,
    path: &'e str,
    protocol: &'e str,
    source_ip: String,
    user_agent: &'e str,
}

impl<'r> HttpEvent<'r> {
    pub(super) fn new(
        function: &'r Function,
        facts: &'r RequestFacts<'r>,
        body: Option<EventBody<'r>>,
    ) -> Self {
        Self {
            function,
            facts,
            body,
        }
    }
}

impl Serialize for HttpEvent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (function, facts) = (self.function, self.facts);
        let route_key = route_key(facts);
        let mut fields = Fields::of(facts.fields);
        let cookies = fields.take_cookies();
        let query = parameters(facts.query);
        let members = Members {
            version: VERSION,
            route_key: &route_key,
            raw_path: facts.path,
            raw_query_string: facts.query.unwrap_or_default(),
            cookies,
            headers: JoinedValues(&fields),
            query_string_parameters: joined_values(&query),
            request_context: request_context(function, facts, &fields, &route_key),
            body: self.body.as_ref(),
            path_parameters: path_parameters(facts),
            is_base64_encoded: self.body.as_ref().is_some_and(EventBody::is_base64),
            stage_variables: function.variables(),
        };
        members.serialize(serializer)
    }
}

/// Returns the method and the pattern of the route, without the stage.
fn route_key(facts: &RequestFacts<'_>) -> String {
    if path::is_default(facts) {
        return DEFAULT.to_owned();
    }
    let method = facts.route_method.map_or("ANY", Method::as_str);
    format!("{method} {}", path::resource(facts))
}

/// Returns the parameters of the path. The route that takes every request has none.
fn path_parameters<'r>(facts: &RequestFacts<'r>) -> PathParameters<'r> {
    if path::is_default(facts) {
        return PathParameters::new();
    }
    path::parameters(facts)
}

fn request_context<'e>(
    function: &'e Function,
    facts: &'e RequestFacts<'e>,
    fields: &'e Fields<'e>,
    route_key: &'e str,
) -> RequestContext<'e> {
    RequestContext {
        account_id: &function.account_id,
        api_id: &function.api_id,
        authorizer: facts.caller.map(authorizer),
        domain_name: facts.domain_name(),
        domain_prefix: facts.domain_prefix(),
        http: Http {
            method: facts.method.as_str(),
            path: facts.path,
            protocol: facts.protocol(),
            source_ip: facts.source_ip(),
            user_agent: fields.last(&USER_AGENT).unwrap_or_default(),
        },
        request_id: facts.request_id,
        route_key,
        stage: path::stage(function, facts),
        time: request_time(facts.since_epoch),
        time_epoch: facts.epoch_millis(),
    }
}

fn authorizer(caller: Caller<'_>) -> Authorizer<'_> {
    let scopes = caller
        .needs_scopes
        .then(|| caller.principal.scopes.iter().collect());
    Authorizer {
        jwt: Jwt {
            claims: http_claims(&caller.principal.claims),
            scopes,
        },
    }
}
