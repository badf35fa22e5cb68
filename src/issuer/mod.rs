//! The trusted issuers and their keys.
//!
//! A key belongs to one issuer and its algorithms: a key of one issuer never verifies a token of
//! another, whatever its `kid`. Workers look up keys and wait for them; only the control thread
//! fetches.

mod algorithm;
mod candidates;
mod discovery;
mod entry;
mod entry_handle;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fuzz;
mod jwk;
mod jwks;
mod key;
mod key_error;
mod keys;
#[cfg(test)]
mod keys_tests;
mod last_good;
mod liveness;
mod refresh;
mod status;
mod template;
mod token_file;
mod verification_key;

pub use algorithm::Algorithm;
pub use candidates::{Candidates, MAX_CANDIDATES};
pub use entry::{FetchPolicy, IssuerSettings, KeyAccess, KeySource, ProxyChoice};
pub use entry_handle::EntryHandle;
pub use jwk::Skipped;
pub use jwks::{JwksError, KeySet, Skip, Skips};
pub use key::{Key, Thumbprint};
pub use key_error::KeyError;
pub use keys::{Issuer, IssuerState};
#[cfg(test)]
pub use refresh::DEFECT;
pub use refresh::maintain;
pub use template::{Template, TemplateError, Tenant, TenantError};
