//! The event of format 1.0, which a REST API sends. All of its members are always there.

use std::collections::BTreeMap;

use http::header::USER_AGENT;
use serde::Serialize;

use super::body::EventBody;
use super::claims::{ClaimTexts, rest_claims};
use super::event_source::{ApiMembers, EventSource};
use super::fields::{AllValues, Fields, LastValues};
use super::path::{self, PathParameters};
use super::query::{Parameters, last_values, parameters};
use crate::telemetry::{common_log_time, protocol_name};

/// The event of format 1.0.
pub(super) struct RestEvent<'r>(pub(super) EventSource<'r>);

/// Its members, in the order of API Gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'e> {
    resource: &'e str,
    path: &'e str,
    http_method: &'e str,
    headers: LastValues<'e>,
    multi_value_headers: AllValues<'e>,
    query_string_parameters: Option<BTreeMap<&'e str, &'e str>>,
    multi_value_query_string_parameters: Option<&'e Parameters<'e>>,
    path_parameters: Option<PathParameters<'e>>,
    stage_variables: Option<BTreeMap<&'e str, &'e str>>,
    request_context: RequestContext<'e>,
    body: Option<&'e EventBody<'e>>,
    is_base64_encoded: bool,
}

/// `requestContext`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'e> {
    #[serde(flatten)]
    api: ApiMembers<'e, Authorizer<'e>>,
    extended_request_id: &'e str,
    http_method: &'e str,
    identity: Identity<'e>,
    path: &'e str,
    protocol: &'e str,
    request_id: &'e str,
    request_time: String,
    request_time_epoch: u64,
    resource_id: Option<&'e str>,
    resource_path: &'e str,
    stage: &'e str,
}

#[derive(Serialize)]
struct Authorizer<'e> {
    claims: ClaimTexts<'e>,
}

/// `requestContext.identity`. The members that are always `null` are about callers with keys of AWS
/// or with API keys.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'e> {
    access_key: Option<&'e str>,
    account_id: Option<&'e str>,
    api_key: Option<&'e str>,
    api_key_id: Option<&'e str>,
    caller: Option<&'e str>,
    cognito_authentication_provider: Option<&'e str>,
    cognito_authentication_type: Option<&'e str>,
    cognito_identity_id: Option<&'e str>,
    cognito_identity_pool_id: Option<&'e str>,
    principal_org_id: Option<&'e str>,
    source_ip: String,
    user: Option<&'e str>,
    user_agent: Option<&'e str>,
    user_arn: Option<&'e str>,
}

impl Serialize for RestEvent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = &self.0;
        let facts = source.facts;
        let resource = facts.route.resource();
        let fields = Fields::of(facts.fields);
        let query = parameters(facts.query);
        let path_parameters = path::parameters(facts);
        let has_query = !query.is_empty();
        let members = Members {
            resource: &resource,
            path: facts.route.without_stage(facts.path),
            http_method: facts.method.as_str(),
            headers: LastValues(&fields),
            multi_value_headers: AllValues(&fields),
            query_string_parameters: has_query.then(|| last_values(&query)),
            multi_value_query_string_parameters: has_query.then_some(&query),
            path_parameters: (!path_parameters.is_empty()).then_some(path_parameters),
            stage_variables: source.function.variables(),
            request_context: request_context(source, &fields, &resource),
            body: source.body.as_ref(),
            is_base64_encoded: source.is_base64_encoded(),
        };
        members.serialize(serializer)
    }
}

fn request_context<'e>(
    source: &'e EventSource<'e>,
    fields: &'e Fields<'e>,
    resource: &'e str,
) -> RequestContext<'e> {
    let facts = source.facts;
    let authorizer = facts.caller.map(|caller| Authorizer {
        claims: rest_claims(&caller.principal.claims),
    });
    RequestContext {
        api: source.api_members(authorizer),
        extended_request_id: facts.extended_request_id,
        http_method: facts.method.as_str(),
        identity: Identity {
            source_ip: facts.source_ip(),
            user_agent: fields.last(&USER_AGENT),
            ..Identity::default()
        },
        path: facts.path,
        protocol: protocol_name(facts.version),
        request_id: facts.request_id,
        request_time: common_log_time(facts.since_epoch),
        request_time_epoch: facts.epoch_millis(),
        resource_id: None,
        resource_path: resource,
        stage: facts.route.stage(),
    }
}
