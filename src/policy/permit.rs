//! The proof that a request may be forwarded.

use super::{Identity, Principal};

/// Proof that the policy said yes. Only [`super::Requirement::authorize`] makes one; forwarding
/// takes one.
#[derive(Debug)]
pub struct Permit(Identity);

impl Permit {
    pub(super) fn granted(identity: Identity) -> Self {
        Self(identity)
    }

    /// For whom: `None` on a public route.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.principal()
    }
}
