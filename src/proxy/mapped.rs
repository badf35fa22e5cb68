//! The parts of a request and of its response that templates of the route make of the request.

use http::{HeaderName, HeaderValue, request};

use super::headers::Forwarding;
use crate::decision::{Cause, RequestValues};
use crate::route::Ambiguities;
use crate::token::{Source, Withheld};
use crate::transform::{Facts, QueryRewrite, Reference, Rewrite, Value};

/// The products of a route's templates for one request.
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
    /// Renders the templates of the route of a request. Its fields are those for the upstream
    /// already: no credentials, and nothing that only the gateway may set, are among them. `query`
    /// replaces the client's query, if that has a token.
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
        let route = &forwarding.route.config;
        let values = RequestValues {
            pattern: &route.pattern,
            path: head.uri.path(),
            query: query.or(head.uri.query()),
            fields: &head.headers,
            host: forwarding.host.clone(),
            principal: forwarding.principal,
            request_id: forwarding.request_id,
        };
        let target = match &route.heads.rewrite {
            Some(rewrite) if rewrite.is_template() => Some(target(rewrite, route.allow, &values)?),
            _ => None,
        };
        Ok(Self {
            target,
            request: route.heads.request.render(&values),
            response: route.heads.response.render(&values),
        })
    }
}

/// Returns the path and the query for the upstream. The path is inspected as that of a request is:
/// a value may make an escape that the route does not allow.
fn target(
    rewrite: &Rewrite,
    allow: Ambiguities,
    values: &RequestValues<'_>,
) -> Result<(String, Option<String>), Cause> {
    let path = match rewrite.render(values.path, values) {
        Ok(path) => path,
        Err(error) => return Err(Cause::Unmappable(error.to_string().into())),
    };
    let found = Ambiguities::of_path(&path);
    if let Some(what) = found.first_beyond(allow) {
        let detail = format!("the path for the upstream has {what}");
        return Err(Cause::Unmappable(detail.into()));
    }
    Ok((path, query(rewrite.query(), values)))
}

/// Returns the client's query with the parameters that the rewrite sets. No other parameter has
/// their names, in any spelling.
fn query(set: &QueryRewrite, values: &RequestValues<'_>) -> Option<String> {
    if set.is_empty() {
        return values.query.map(str::to_owned);
    }
    let mut names = Vec::new();
    for name in set.names() {
        names.push(Source::Query(name.into()));
    }
    let client = values.query.unwrap_or_default();
    let kept = Withheld::new(&names).without_parameters(client);
    let mut query = kept.unwrap_or_else(|| client.to_owned());
    let own = set.render(values);
    if !query.is_empty() && !own.is_empty() {
        query.push('&');
    }
    query.push_str(&own);
    Some(query)
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
