//! The decision: may this caller do this? Pure: `std` only, no I/O, no HTTP.
//!
//! [`Requirement::authorize`] is the one place where a [`Permit`] comes from, and nothing is
//! forwarded without a permit. What a public route hands out is a permit too: publicness is a
//! decision, logged and counted.

mod claim;
mod denial;
mod identity;
mod implication;
mod permit;
mod requirement;
mod scope;

pub use claim::{Claim, Claims};
pub use denial::Denial;
pub use identity::{Identity, Principal};
pub use permit::Permit;
pub use requirement::{Requirement, Rule, Term};
pub use scope::{Scope, ScopeError, ScopeSet};
