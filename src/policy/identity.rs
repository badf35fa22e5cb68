//! Who is calling: a principal whom an issuer vouches for, or nobody in particular.

use std::rc::Rc;
use std::sync::Arc;

use super::{Claims, ScopeSet};

/// What a verified token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The issuer's name in the configuration (not its `iss`).
    pub issuer: Arc<str>,
    /// The scopes the token grants.
    pub scopes: ScopeSet,
    /// Every claim of the token.
    pub claims: Claims,
}

/// The caller of one request, as established. Made by `token::Verifier` for a token that verified,
/// and by the walk for a route that asks for none; a test holds these callers. The `Rc` is a
/// worker's own, so that workers that serve one hot token do not fight over one reference count.
#[derive(Clone, Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the Rc is the worker's own count, see above"
)]
pub struct Identity(Option<Rc<Arc<Principal>>>);

impl Identity {
    /// The bearer of a token that was verified for this request, from this request's snapshot.
    #[must_use]
    pub fn verified(principal: Rc<Arc<Principal>>) -> Self {
        Self(Some(principal))
    }

    /// Anybody: the caller of a public route, whose token is not looked at.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// The principal, unless the caller is anonymous.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.as_deref().map(|principal| &**principal)
    }
}
