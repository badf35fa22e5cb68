//! The parts of a request and of its response that templates of the route make of the request.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, request};

use super::headers::Forwarding;
use crate::decision::{Cause, claim_value, query_value};
use crate::policy::Principal;
use crate::route::Ambiguities;
use crate::snapshot::Route;
use crate::token::{Source, Withheld};
use crate::transform::{Facts, QueryRewrite, Reference, Rewrite, Value, parameter};

/// The facts that templates refer to.
struct TemplateFacts<'a> {
    route: &'a Route,
    /// The client's path, as it was matched.
    path: &'a str,
    /// The client's query, without tokens.
    query: Option<&'a str>,
    /// The fields that the upstream gets of the client's: those with credentials, and those that
    /// only the gateway may set, are not among them.
    headers: &'a HeaderMap,
    /// The host that the client asked for.
    host: Option<&'a HeaderValue>,
    principal: Option<&'a Principal>,
    request_id: &'a HeaderValue,
}

/// What the templates of a route make of one request.
#[derive(Default)]
pub(super) struct Mapped {
    /// The path and the query for the upstream, if the rewrite refers to the request.
    pub(super) target: Option<(String, Option<String>)>,
    /// Fields for the upstream.
    pub(super) request: Vec<(HeaderName, HeaderValue)>,
    /// Fields for the client.
    pub(super) response: Vec<(HeaderName, HeaderValue)>,
}

impl Mapped {
    /// Renders the templates of the route of a request, whose fields are those for the upstream
    /// already. `query` replaces the client's query.
    ///
    /// # Errors
    /// The rewrite has no path for the request.
    pub(super) fn of(
        forwarding: &Forwarding<'_>,
        head: &request::Parts,
        query: Option<&str>,
    ) -> Result<Self, Cause> {
        if !forwarding.route.has_templates {
            return Ok(Self::default());
        }
        Self::render(&TemplateFacts {
            route: forwarding.route,
            path: head.uri.path(),
            query: query.or(head.uri.query()),
            headers: &head.headers,
            host: forwarding.host.as_ref(),
            principal: forwarding.principal,
            request_id: forwarding.request_id,
        })
    }

    fn render(facts: &TemplateFacts<'_>) -> Result<Self, Cause> {
        let heads = &facts.route.config.heads;
        let target = match &heads.rewrite {
            Some(rewrite) if rewrite.is_template() => Some(target(rewrite, facts)?),
            _ => None,
        };
        Ok(Self {
            target,
            request: heads.request.render(facts),
            response: heads.response.render(facts),
        })
    }
}

/// Returns the path and the query for the upstream. The path is inspected as that of a request is:
/// a value may make an escape that the route does not allow.
fn target(rewrite: &Rewrite, facts: &TemplateFacts<'_>) -> Result<(String, Option<String>), Cause> {
    let path = match rewrite.render(facts.path, facts) {
        Ok(path) => path,
        Err(error) => return Err(Cause::Unmappable(error.to_string().into())),
    };
    let found = Ambiguities::of_path(&path);
    if let Some(what) = found.first_beyond(facts.route.config.allow) {
        let detail = format!("the path for the upstream has {what}");
        return Err(Cause::Unmappable(detail.into()));
    }
    Ok((path, query(rewrite.query(), facts)))
}

/// Returns the client's query with the parameters that the rewrite sets. No other parameter has
/// their names, in any spelling.
fn query(set: &QueryRewrite, facts: &TemplateFacts<'_>) -> Option<String> {
    if set.is_empty() {
        return facts.query.map(str::to_owned);
    }
    let mut names = Vec::new();
    for name in set.names() {
        names.push(Source::Query(name.into()));
    }
    let client = facts.query.unwrap_or_default();
    let kept = Withheld::new(&names).without_parameters(client);
    let mut query = kept.unwrap_or_else(|| client.to_owned());
    let own = set.render(facts);
    if !query.is_empty() && !own.is_empty() {
        query.push('&');
    }
    query.push_str(&own);
    Some(query)
}

impl Facts for TemplateFacts<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::Parameter { name, .. } => {
                parameter(&self.route.config.pattern, name, self.path).map(Value::Path)
            }
            Reference::Claim(name) => claim_value(self.principal?.claims.find(name)?),
            // The field is that of the upstream already.
            Reference::Header(HOST) => Some(Value::Field(self.host?.as_bytes())),
            Reference::Header(name) => {
                let last = self.headers.get_all(name).iter().next_back()?;
                Some(Value::Field(last.as_bytes()))
            }
            Reference::Query(name) => query_value(self.query?, name).map(Value::Text),
            Reference::RequestId => Some(Value::Text(self.request_id.as_bytes().into())),
            // Variables were filled in when the file was read; the others are about refusals.
            Reference::Variable(_) | Reference::Reason | Reference::Route | Reference::Detail => {
                None
            }
        }
    }
}

/// The facts about a request that the gateway answers itself.
pub(super) struct AnswerFacts<'a>(pub(super) &'a HeaderValue);

impl Facts for AnswerFacts<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::RequestId => Some(Value::Text(self.0.as_bytes().into())),
            _ => None,
        }
    }
}
