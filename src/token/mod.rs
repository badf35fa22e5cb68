//! From a header to a principal.

mod forwarded;
mod rules;
mod source;

pub use forwarded::{ForwardedClaim, ForwardedClaimError};
pub use rules::{Audience, Rules};
pub use source::{Source, SourceError};
