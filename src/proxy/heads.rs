//! The changes that forwarding makes to the heads of messages, apart from the rest of forwarding:
//! `tests/bench/micro.rs` times them.

use http::{HeaderMap, HeaderValue, Request, Version};

use super::headers::{self, Forwarding};
use crate::decision::{Decision, forwarded};
use crate::net::Peer;
use crate::snapshot::Snapshot;
use crate::upstream::AddedFields;

/// Turns the header fields of a permitted request into those of the upstream's request, and returns
/// the fields that the gateway adds.
#[doc(hidden)]
#[must_use]
pub fn head_to_upstream(
    snapshot: &Snapshot,
    decision: &Decision<'_>,
    peer: &Peer,
    request_id: &HeaderValue,
    request: &mut Request<()>,
) -> AddedFields {
    let forwarding = Forwarding {
        peer,
        server: &snapshot.config.server,
        route: decision.route,
        claim_headers: &snapshot.claim_headers,
        principal: decision.permit.principal(),
        carrier: decision.carrier,
        request_id,
        host: forwarded::requested_host(request.uri(), request.headers()),
        version: request.version(),
    };
    headers::to_upstream(request.headers_mut(), &forwarding)
}

/// Turns the header fields of an upstream's response into those of the client's response.
#[doc(hidden)]
pub fn head_to_client(fields: &mut HeaderMap, request_id: &HeaderValue) {
    headers::to_client(fields, Version::HTTP_11, request_id);
}
