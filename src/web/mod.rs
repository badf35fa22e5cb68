//! The small HTTP client and server for everything but traffic: key sets, health probes, the admin
//! listener, `scopegate dev` and commands.

mod client;
#[cfg(test)]
pub(crate) mod fake;
mod freshness;
mod send;
mod server;

pub use client::{Bounds, Client, FetchError, Fetched};
pub use send::{Answer, Protocol, ReadError, send};
pub use server::serve;
