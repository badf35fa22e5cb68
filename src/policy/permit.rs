//! The proof that a request may be forwarded.

use super::{Identity, Principal, SharedPrincipal};

/// Proof that the policy has authorized a request. Only [`super::Requirement::authorize`] creates
/// one; forwarding requires one.
#[derive(Debug)]
pub struct Permit(Identity);

impl Permit {
    pub(super) fn granted(identity: Identity) -> Self {
        Self(identity)
    }

    /// Returns the authorized principal; `None` on a public route.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.principal()
    }

    /// Returns the authorized principal with its reference count; `None` on a public route.
    #[must_use]
    pub fn shared_principal(&self) -> Option<&SharedPrincipal> {
        self.0.shared()
    }
}
