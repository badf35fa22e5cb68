//! The answer to a permitted request whose route has no upstream.

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Response};

use super::exchange::Exchange;
use super::headers;
use super::reply_body::ReplySource;
use super::upgrade::is_connect;
use crate::decision::{self, Cause, Decision, Refusal, RequestValues};
use crate::token::Carrier;
use crate::transform::Respond;

/// Makes the answer of the route. As with any answer that comes early, the request's body is not
/// read.
///
/// # Errors
/// A [`Refusal`]: 400.
pub(super) fn respond<'v>(
    decision: &Decision<'v>,
    answer: &Respond,
    exchange: &Exchange,
    head: &Parts,
) -> Result<Response<ReplySource>, Refusal<'v>> {
    let route = decision.route;
    if is_connect(head) {
        // A 200 would open a tunnel.
        return Err(Refusal::at(route, Cause::Upgrade));
    }
    let pattern = &route.config.pattern;
    let principal = decision.permit.principal();
    let values = RequestValues::of_client(pattern, head, principal, exchange.request_id());
    let mut response = decision::respond(route, answer, &values)?;
    let length = response.body().len();
    let fields = response.headers_mut();
    exchange.complete_own(route, fields, &values);
    if decision.carrier == Some(Carrier::Query) {
        headers::keep_from_shared_caches(fields);
    }
    if head.method != Method::HEAD {
        return Ok(response.map(|body| ReplySource::Own(Some(body))));
    }
    // The length that a GET would have (RFC 9110 §9.3.2).
    if length > 0 {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    Ok(response.map(|_| ReplySource::Own(None)))
}
