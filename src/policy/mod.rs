//! The authorization policy: the decision whether a caller may do what it requests. It uses `std`
//! only, and has no I/O and no HTTP.
//!
//! [`Requirement::authorize`] is the only function that creates a [`Permit`], and nothing is
//! forwarded without one. A public route yields a permit too: that it is public is a decision,
//! which is logged and counted.

mod alternative;
mod claim;
mod denial;
mod identity;
mod implication;
mod permit;
mod requirement;
mod scope;

pub use claim::{Claim, Claims};
pub use denial::Denial;
pub use identity::{Identity, Principal, SharedPrincipal};
pub use permit::Permit;
pub use requirement::{Requirement, Rule, Term};
pub use scope::{Scope, ScopeError, ScopeSet};
