//! `[errors]`: the detail of error messages for refused clients.

use crate::config::language::{Choice, DefaultKey, Key, Reader, Table};

/// The detail of the error message for a client whose genuine token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorDetail {
    /// The message names the check that failed.
    Full,
    /// The message holds the error code of RFC 6750 §3.1 alone.
    Minimal,
}

pub(super) static TABLE: Table = Table {
    path: "errors",
    doc: "The detail of error messages for refused clients. Until the signature of a token is \
          verified, all errors of the token have the same message in either case.",
    keys: &[&DETAIL],
    refused: &[],
};

const DETAIL: DefaultKey<Choice<ErrorDetail>> = Key::new(
    "detail",
    Choice(&[
        ("full", ErrorDetail::Full),
        ("minimal", ErrorDetail::Minimal),
    ]),
)
.doc(
    "The message for a client whose genuine token is refused: the check that failed (`full`), \
     or the error code of RFC 6750 alone (`minimal`). The access log has the reason in either \
     case.",
)
.example(r#""minimal""#)
.or(ErrorDetail::Full);

pub(super) fn errors(mut reader: Reader<'_>) -> ErrorDetail {
    let detail = reader.get(&DETAIL);
    reader.finish();
    detail
}
