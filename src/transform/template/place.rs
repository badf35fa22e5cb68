//! The places of the configuration, and the references that each of them takes.

use super::reference::ReferenceKind;

/// A place of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(&'static [ReferenceKind]);

impl Place {
    /// A setting that takes variables alone, such as the URL of an upstream.
    pub const SETTING: Self = Self(&[ReferenceKind::Variable]);

    /// A header rule for requests, and a `rewrite`.
    pub const REQUEST: Self = Self(&[
        ReferenceKind::Parameter,
        ReferenceKind::Claim,
        ReferenceKind::Header,
        ReferenceKind::Query,
        ReferenceKind::RequestId,
        ReferenceKind::Variable,
    ]);

    /// A header rule for responses.
    pub const RESPONSE: Self = Self(&[
        ReferenceKind::Parameter,
        ReferenceKind::Claim,
        ReferenceKind::RequestId,
        ReferenceKind::Variable,
    ]);

    /// A header field of `respond`: an answer without an upstream may need what a request says.
    pub const RESPOND: Self = Self(&[
        ReferenceKind::Parameter,
        ReferenceKind::Claim,
        ReferenceKind::Header,
        ReferenceKind::Query,
        ReferenceKind::WholeQuery,
        ReferenceKind::RequestId,
        ReferenceKind::Variable,
    ]);

    /// The body of `respond`, in which braces are text.
    pub const BODY: Self = Self(&[
        ReferenceKind::Claim,
        ReferenceKind::Query,
        ReferenceKind::RequestId,
        ReferenceKind::Variable,
    ]);

    /// A header field of `[[errors.responses]]`.
    pub const ERROR_FIELD: Self = Self(&[
        ReferenceKind::RequestId,
        ReferenceKind::Reason,
        ReferenceKind::Route,
        ReferenceKind::Detail,
        ReferenceKind::Variable,
    ]);

    /// The body of `[[errors.responses]]`.
    pub const ERROR: Self = Self(&[
        ReferenceKind::RequestId,
        ReferenceKind::Reason,
        ReferenceKind::Route,
        ReferenceKind::Detail,
    ]);

    /// Returns whether a reference of this kind may stand here.
    #[must_use]
    pub fn takes(&self, kind: ReferenceKind) -> bool {
        self.0.contains(&kind)
    }

    /// Returns the kinds of references that may stand here.
    #[must_use]
    pub fn kinds(&self) -> &'static [ReferenceKind] {
        self.0
    }
}
