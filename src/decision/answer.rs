//! The responses to refused requests: the one map from causes to HTTP.
//!
//! A response never repeats the token. Until the signature has verified, every error of a token has
//! the same wording. After that the caller has shown that the token is genuine, and learns which
//! check failed (requirements.md#t20).

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

pub use super::aws_rest::ERROR_TYPE;
use super::form::Form;
use super::own_response::{self, Told};
use super::problem::Problem;
use super::reason::Reason;
use super::refusal::{Cause, Refusal};
use super::{aws_http, aws_rest, grpc};
use crate::config::{ErrorProfile, Errors};
use crate::snapshot::{Resource, Route, Snapshot};

/// The field with the id of a request, in requests and responses.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the response to a refused request, in the form of the profile in force. `grpc` is the
/// content type of a call of gRPC, whose form is that of no profile.
#[must_use]
pub fn to(
    snapshot: &Snapshot,
    refusal: &Refusal<'_>,
    request_id: &HeaderValue,
    grpc: Option<&HeaderValue>,
) -> Response<Bytes> {
    let errors = refusal.errors(snapshot);
    let mut problem = Problem::of(&refusal.cause, errors.detail, refusal.accepted_kind());
    let (code, retry_after) = (problem.code, problem.retry_after);
    let (profile, own) = match grpc {
        Some(_) => (ErrorProfile::Rfc6750, None),
        None => {
            let is_client_error = problem.status.is_client_error();
            let own = errors.response(refusal.reason(), is_client_error);
            (errors.profile, own)
        }
    };
    if let Some(status) = own.and_then(|own| own.status) {
        // The body tells the status as well.
        problem.status = status;
    }
    let mut form = match profile {
        ErrorProfile::Rfc6750 => problem.form(metadata_url(snapshot, refusal), request_id),
        ErrorProfile::AwsRest => aws_rest::form(refusal, errors.detail),
        ErrorProfile::AwsHttp => aws_http::form(refusal, &problem, errors.detail),
    };
    complete(&mut form, refusal, retry_after);
    let mut response = Response::new(Bytes::from(form.body));
    *response.status_mut() = form.status;
    *response.headers_mut() = form.headers;
    if let Some(own) = own {
        let told = Told {
            request_id,
            code,
            detail: &form.message,
            route: refusal.route.map(|route| &*route.label).unwrap_or_default(),
        };
        own_response::apply(own, &told, &mut response);
    }
    match grpc {
        Some(content_type) => grpc::refused(response, content_type, &form.message),
        None => response,
    }
}

/// Adds the header fields that a refusal has in the form of every profile.
fn complete(form: &mut Form, refusal: &Refusal<'_>, retry_after: Option<u64>) {
    let headers = &mut form.headers;
    let kind = HeaderValue::from_static(form.content_type);
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if matches!(refusal.cause, Cause::NoMetadata) {
        // Without the field a page takes the 404 for a network error, and does not go on to look
        // elsewhere.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if refusal.reason().closes() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Returns the status of the response to a refusal for a reason, with these settings.
#[must_use]
pub fn status(errors: &Errors, reason: Reason) -> StatusCode {
    let usual = reason.status();
    let own = errors.response(reason, usual.is_client_error());
    own.and_then(|own| own.status)
        .unwrap_or_else(|| match errors.profile {
            ErrorProfile::Rfc6750 => usual,
            ErrorProfile::AwsRest => aws_rest::row(reason).status,
            ErrorProfile::AwsHttp => aws_http::row(reason).status,
        })
}

/// Returns the URL of the metadata for the clients of the refused request's route.
fn metadata_url<'s>(snapshot: &'s Snapshot, refusal: &Refusal<'_>) -> Option<&'s str> {
    snapshot.metadata_url(refusal.route?)
}

/// An answer of the gateway itself that is no refusal.
#[derive(Debug)]
pub enum OwnAnswer<'s> {
    /// The metadata of a protected resource (RFC 9728 §3).
    Metadata(&'s Resource),
    /// The answer to a browser's preflight for another request.
    Preflight {
        /// The route that the other request would match; `None` if it would ask for metadata, or
        /// if no route has its path.
        route: Option<&'s Route>,
        /// The settings for the form of the gateway's answers.
        errors: &'s Errors,
        /// The header fields of the response.
        headers: HeaderMap,
    },
}

impl<'s> OwnAnswer<'s> {
    /// Returns the route that the answer is about.
    #[must_use]
    pub fn route(&self) -> Option<&'s Route> {
        match self {
            Self::Metadata(_) => None,
            Self::Preflight { route, .. } => *route,
        }
    }

    /// Returns the settings for the form of the gateway's answers.
    #[must_use]
    pub fn errors(&self, snapshot: &'s Snapshot) -> &'s Errors {
        match self {
            Self::Metadata(_) => &snapshot.config.errors,
            Self::Preflight { errors, .. } => errors,
        }
    }
}

/// Returns the response that is an answer of the gateway itself; `None` for an empty body.
pub(crate) fn own(answer: OwnAnswer<'_>, request_id: &HeaderValue) -> Response<Option<Bytes>> {
    let mut response = match answer {
        OwnAnswer::Metadata(resource) => metadata(resource),
        OwnAnswer::Preflight { headers, .. } => preflight(headers),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id.clone());
    response
}

/// Returns the response to a preflight, which has header fields alone.
fn preflight(headers: HeaderMap) -> Response<Option<Bytes>> {
    let mut response = Response::new(None);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    response
}

/// Returns the metadata of a protected resource. The metadata is public, so browsers may read it
/// from any origin.
fn metadata(resource: &Resource) -> Response<Option<Bytes>> {
    let mut response = Response::new(Some(resource.metadata.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
