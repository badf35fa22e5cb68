//! From a header field to a principal: finds the token, verifies its signature, and checks its
//! claims.

mod bearer;
mod cache;
mod claims;
mod confirmation;
mod cookie;
mod error;
mod forwarded;
mod header;
mod jwt;
mod numerals;
mod outline;
mod parameter;
mod rules;
mod secret;
mod segment;
mod source;
mod spelling;
mod verifier;
mod verifier_id;
mod withheld;

pub use bearer::{BearerToken, Carrier};
pub use cache::{SharedCache, WorkerCache};
pub use error::TokenError;
pub use forwarded::{ForwardedClaim, ForwardedClaimError};
pub use outline::Outline;
pub use rules::{Audience, ClaimDemand, RequiredClaim, Rules, TypPolicy};
pub use source::{Source, SourceError};
pub use verifier::{Authenticated, Rejection, RequestContext, Verifier, authenticate};
pub use verifier_id::VerifierId;

pub use crate::telemetry::CacheResult;
pub use withheld::Withheld;
