//! Whom we trust, and with which keys.
//!
//! Keys belong to an issuer and an algorithm: a key of one issuer never verifies a token of another, whatever
//! its `kid`. Workers look keys up and wait; only the control thread fetches.

mod algorithm;
mod entry;

pub use algorithm::Algorithm;
pub use entry::{Entry, FetchPolicy, KeySource};
