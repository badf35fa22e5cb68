//! The caller of a request: a principal that an issuer vouches for, or an anonymous caller.

use std::rc::Rc;
use std::sync::Arc;

use super::{Claims, ScopeSet};

/// The contents of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The issuer's name in the configuration (not its `iss`).
    pub issuer: Arc<str>,
    /// The scopes that the token grants.
    pub scopes: ScopeSet,
    /// Every claim of the token.
    pub claims: Claims,
}

/// The caller of one request, after authentication. Only `token::Verifier`, for a verified token,
/// and the walk, for a public route, create one; a test checks that there are no other callers. The
/// `Rc` belongs to one worker, so that workers that serve requests with the same token do not
/// contend for one reference count.
#[derive(Clone, Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the Rc is the worker's own count, see above"
)]
pub struct Identity(Option<Rc<Arc<Principal>>>);

impl Identity {
    /// Creates the identity of a principal whose token was verified for this request, with this
    /// request's snapshot.
    #[must_use]
    pub fn verified(principal: Rc<Arc<Principal>>) -> Self {
        Self(Some(principal))
    }

    /// Creates the identity of a caller on a public route, whose token is not verified.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// Returns the principal, unless the caller is anonymous.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        let principal = self.0.as_deref()?;
        Some(principal)
    }
}
