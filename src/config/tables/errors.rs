//! `[errors]`, and `errors` of a group: the form of the answers to refused clients.

use std::sync::Arc;

use super::error_responses::{ErrorResponse, RESPONSES, Responses, responses};
use crate::config::language::{Choice, DefaultKey, Key, Reader, Subtable, Table};
use crate::telemetry::Reason;

/// `[errors]`, or `errors` of a group with the settings of `[errors]` applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The detail of the messages.
    pub detail: ErrorDetail,
    /// The form of the answers.
    pub profile: ErrorProfile,
    /// The answers of the operator's own in this table.
    responses: Responses,
    /// The settings of `[errors]`, for those of a group.
    outer: Option<Arc<Errors>>,
}

/// The detail of the error message for a client whose genuine token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorDetail {
    /// The message names the check that failed.
    Full,
    /// The message holds the error code of RFC 6750 §3.1 alone.
    Minimal,
}

/// The form of the answers to refused requests: their statuses, bodies and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorProfile {
    /// Problems of RFC 9457, with the challenges of RFC 6750.
    Rfc6750,
    /// The answers of a REST API of Amazon API Gateway.
    AwsRest,
    /// The answers of an HTTP API of Amazon API Gateway.
    AwsHttp,
}

impl Default for Errors {
    fn default() -> Self {
        Self {
            detail: DETAIL_DEFAULT.default(),
            profile: PROFILE_DEFAULT.default(),
            responses: Responses::default(),
            outer: None,
        }
    }
}

impl Errors {
    /// Returns the answer of the operator's own to a reason: that of the group, or else that of
    /// `[errors]`.
    #[must_use]
    pub fn response(&self, reason: Reason, is_client_error: bool) -> Option<&ErrorResponse> {
        let own = self.responses.find(reason, is_client_error);
        own.or_else(|| self.outer.as_ref()?.response(reason, is_client_error))
    }

    /// Returns the number of answers that this table states itself.
    pub(in crate::config) fn own_answers(&self) -> usize {
        self.responses.count
    }
}

impl ErrorProfile {
    /// Returns the name of the profile in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfc6750 => "rfc6750",
            Self::AwsRest => "aws-rest",
            Self::AwsHttp => "aws-http",
        }
    }
}

pub(super) static TABLE: Table = Table {
    path: "errors",
    doc: "The form of the answers to refused clients. Until the signature of a token is verified, \
          all errors of the token have the same message, whatever is set here.",
    keys: &[&PROFILE_DEFAULT, &DETAIL_DEFAULT, &RESPONSES],
    refused: &[],
};

pub(super) static GROUP_TABLE: Table = Table {
    path: "groups[].errors",
    doc: "The form of the answers to requests that the group refuses. They are those of its \
          routes, \
          and those with a path under its prefix that no route has.",
    keys: &[&PROFILE, &DETAIL, &RESPONSES.absent("those of `[errors]`")],
    refused: &[],
};

pub(super) const GROUP_ERRORS: Key<Subtable> = Key::new("errors", Subtable(&GROUP_TABLE))
    .absent("those of `[errors]`")
    .doc("The form of the answers to refused clients.")
    .example("[groups.errors]");

const PROFILE: Key<Choice<ErrorProfile>> = Key::new(
    "profile",
    Choice(&[
        ("rfc6750", ErrorProfile::Rfc6750),
        ("aws-rest", ErrorProfile::AwsRest),
        ("aws-http", ErrorProfile::AwsHttp),
    ]),
)
.absent("that of `[errors]`")
.doc(
    "The form of the answers: problems of RFC 9457 with the challenges of RFC 6750 (`rfc6750`), or \
     the statuses, bodies and fields of a REST API (`aws-rest`) or an HTTP API (`aws-http`) of \
     Amazon API Gateway. Logs and metrics have the same reasons in all of them. [The answer to \
     each reason](answers.md#profiles).",
)
.example(r#""aws-rest""#);

const PROFILE_DEFAULT: DefaultKey<Choice<ErrorProfile>> = PROFILE.or(ErrorProfile::Rfc6750);

const DETAIL: Key<Choice<ErrorDetail>> = Key::new(
    "detail",
    Choice(&[
        ("full", ErrorDetail::Full),
        ("minimal", ErrorDetail::Minimal),
    ]),
)
.absent("that of `[errors]`")
.doc(
    "The message for a client whose genuine token is refused: the check that failed (`full`), \
     or the error code of RFC 6750 alone (`minimal`). The access log has the reason in either \
     case.",
)
.example(r#""minimal""#);

const DETAIL_DEFAULT: DefaultKey<Choice<ErrorDetail>> = DETAIL.or(ErrorDetail::Full);

/// Reads `[errors]`.
pub(super) fn errors(mut reader: Reader<'_>) -> Arc<Errors> {
    let errors = Errors {
        detail: reader.get(&DETAIL_DEFAULT),
        profile: reader.get(&PROFILE_DEFAULT),
        responses: responses(&mut reader),
        outer: None,
    };
    reader.finish();
    Arc::new(errors)
}

/// Reads `errors` of a group; where it states nothing, `outer` holds.
pub(super) fn group_errors(group: &mut Reader<'_>, outer: &Arc<Errors>) -> Arc<Errors> {
    let Some(mut reader) = group.table_below(&GROUP_ERRORS) else {
        return Arc::clone(outer);
    };
    let errors = Errors {
        detail: reader.find(&DETAIL).unwrap_or(outer.detail),
        profile: reader.find(&PROFILE).unwrap_or(outer.profile),
        responses: responses(&mut reader),
        outer: Some(Arc::clone(outer)),
    };
    reader.finish();
    Arc::new(errors)
}
