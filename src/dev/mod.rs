//! What `scopegate dev` has and nothing else reaches: an issuer and an upstream within this
//! process, which stand in for those of a configuration, so that a route table can be tried on a
//! laptop without a network.
//!
//! The issuer's secret is printed in the documentation and whoever asks gets a token. Therefore
//! `scopegate run` never comes here: only the command `dev` uses this room, and a test of the
//! architecture holds that.

mod client;
mod echo;
mod embedded;
mod endpoints;
mod example;
mod form;
mod grant;
mod key;
mod rewire;
mod server;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use client::{CLIENT_ID, CLIENT_SECRET};
pub use endpoints::SERVER_NAME;
pub use example::{Example, examples};
pub use rewire::{Sandbox, SandboxError};
