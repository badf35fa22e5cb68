//! The event of format 2.0, which an HTTP API sends. What a request does not have is absent.

use std::collections::BTreeMap;

use http::header::USER_AGENT;
use serde::Serialize;

use super::body::EventBody;
use super::claims::{ClaimTexts, http_claims};
use super::event_source::{ApiMembers, EventSource};
use super::fields::{Fields, JoinedValues};
use super::path::{self, PathParameters};
use super::query::{joined_values, parameters};
use super::{Caller, EventFacts};
use crate::telemetry::{common_log_time, protocol_name};

/// The version of the format.
const VERSION: &str = "2.0";

/// The event of format 2.0.
pub(super) struct HttpEvent<'r>(pub(super) EventSource<'r>);

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
    #[serde(flatten)]
    api: ApiMembers<'e, Authorizer<'e>>,
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

impl Serialize for HttpEvent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = &self.0;
        let facts = source.facts;
        let route_key = facts.route.key(facts.rule);
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
            request_context: request_context(source, &fields, &route_key),
            body: source.body.as_ref(),
            path_parameters: path_parameters(facts),
            is_base64_encoded: source.is_base64_encoded(),
            stage_variables: source.function.variables(),
        };
        members.serialize(serializer)
    }
}

/// Returns the parameters of the path. The route that takes every request has none.
fn path_parameters<'r>(facts: &EventFacts<'r>) -> PathParameters<'r> {
    if facts.route.is_default(facts.rule) {
        return PathParameters::new();
    }
    path::parameters(facts)
}

fn request_context<'e>(
    source: &'e EventSource<'e>,
    fields: &'e Fields<'e>,
    route_key: &'e str,
) -> RequestContext<'e> {
    let facts = source.facts;
    RequestContext {
        api: source.api_members(facts.caller.map(authorizer)),
        http: Http {
            method: facts.method.as_str(),
            path: facts.path,
            protocol: protocol_name(facts.version),
            source_ip: facts.source_ip(),
            user_agent: fields.last(&USER_AGENT).unwrap_or_default(),
        },
        request_id: facts.request_id,
        route_key,
        stage: facts.route.stage(),
        time: common_log_time(facts.since_epoch),
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
