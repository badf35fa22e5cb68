//! A small HTTP client for the control plane.

mod client;
#[cfg(test)]
pub(crate) mod fake;
mod freshness;

pub use client::{Bounds, Client, FetchError, Fetched};
