//! The keys of an issuer: requests that wait for one, and the fetch that brings or withdraws it.

#[allow(dead_code)]
#[path = "../../src/issuer/candidates.rs"]
mod candidates;
#[path = "../../src/issuer/entry_handle.rs"]
mod entry_handle;
#[allow(dead_code)]
#[path = "../../src/issuer/keys.rs"]
mod keys;
#[path = "../../src/issuer/liveness.rs"]
mod liveness;
#[allow(dead_code)]
#[path = "../../src/issuer/status.rs"]
mod status;

mod jwks;
mod key;
mod models;

pub(crate) use candidates::Candidates;
pub(crate) use entry_handle::EntryHandle;
pub(crate) use key::Key;
pub(crate) use models::{MODELS, issuer, publish};
pub(crate) use scopegate::issuer::{Algorithm, IssuerSettings, KeyError, KeySource};
