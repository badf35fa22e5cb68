//! What a document says about the callers of an operation.

use super::finding::Code;
use super::plan::{Access, Issuer};

/// What a document says about the callers of an operation.
#[derive(Debug)]
pub(super) struct Stated {
    /// Who may call it, or the reason for which that cannot be translated.
    pub(super) access: Result<Access, Code>,
    /// The issuers of its tokens.
    pub(super) issuers: Vec<Issuer>,
    /// The restriction of the whole API that covers it.
    pub(super) restriction: Option<Code>,
    /// Set unless the API answers nobody, as a default route without an integration does.
    pub(super) is_served: bool,
}
