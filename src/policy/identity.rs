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
    /// The id of the key in the header of the token.
    pub key_id: Option<Box<str>>,
}

/// A principal with a reference count of the worker's own, in the `Rc`: workers that serve requests
/// with the same token do not contend for one count.
pub type SharedPrincipal = Rc<Arc<Principal>>;

/// The caller of one request, after authentication. Only `token::Verifier`, for a verified token,
/// and the walk, for a public route, create one; a test checks that there are no other callers.
#[derive(Clone, Debug)]
pub struct Identity(Option<SharedPrincipal>);

impl Identity {
    /// Creates the identity of a principal whose token was verified for this request, with this
    /// request's snapshot.
    #[must_use]
    pub fn verified(principal: SharedPrincipal) -> Self {
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

    /// Returns the principal with its reference count, unless the caller is anonymous.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedPrincipal> {
        self.0.as_ref()
    }
}
