//! From a header field to a principal: finds the token, verifies its signature, and checks its
//! claims.

mod absence;
mod access_token;
mod bearer;
mod cache;
#[cfg(test)]
mod cache_tests;
#[cfg(test)]
mod checks_tests;
mod claims;
mod confirmation;
mod cookie;
mod error;
mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
mod forwarded;
#[cfg(test)]
mod fuzz;
mod header;
mod jwt;
mod kind;
mod logged_claims;
mod malformation;
mod numerals;
mod other_credential;
mod outline;
mod parameter;
mod parts;
mod placeholder;
mod rules;
mod scope_claim;
mod secret;
mod seen;
mod segment;
mod source;
mod spelling;
mod verifier;
mod verifier_id;
mod withheld;

pub use absence::Absence;
pub use bearer::{BearerToken, Carrier};
pub use cache::{SharedCache, WorkerCache};
pub use claims::client;
pub use error::{
    AbsentKey, Mismatch, NearMiss, OtherIssuer, TokenError, UnmetClaim, WrongAlgorithm,
    WrongAudience, WrongSignature,
};
pub use excerpt::{Excerpt, Excerpts, ShownClaim};
pub use forwarded::{ForwardedClaim, ForwardedClaimError};
pub use kind::{AcceptedKind, KindFault, OtherKind};
pub use logged_claims::{LoggedClaim, LoggedClaims};
pub use malformation::{JsonFault, Malformation, Part};
pub use other_credential::OtherCredential;
pub use outline::Outline;
pub use placeholder::Placeholder;
pub use rules::{Audience, ClaimDemand, RequiredClaim, Rules, TypPolicy};
pub use scope_claim::ScopeClaim;
pub use seen::{SeenToken, UnverifiedToken};
pub use source::{Source, SourceError};
pub use verifier::{Authenticated, Rejection, RequestContext, Verifier, authenticate};
pub use verifier_id::{CacheSlot, VerifierId};

pub use crate::telemetry::CacheResult;
pub use withheld::Withheld;
