//! The answers of routes with `respond`, for permitted requests.

use bytes::Bytes;
use http::Response;

use super::{Cause, Refusal, RequestValues};
use crate::snapshot::Route;
use crate::transform::Respond;

/// Makes the answer of a route that has no upstream, without the fields that every answer of the
/// gateway has.
///
/// # Errors
/// A [`Refusal`]: 400, if the request has no value for a path in the answer.
pub fn respond<'s>(
    route: &'s Route,
    respond: &Respond,
    values: &RequestValues<'_>,
) -> Result<Response<Bytes>, Refusal<'s>> {
    let headers = match respond.fields(values) {
        Ok(headers) => headers,
        Err(reference) => {
            let detail = format!("the value of {reference} is absent, or no part of a path");
            return Err(Refusal::at(route, Cause::Unmappable(detail.into())));
        }
    };
    let mut response = Response::new(respond.body(values));
    *response.status_mut() = respond.status();
    *response.headers_mut() = headers;
    Ok(response)
}
