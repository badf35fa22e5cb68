//! The issuer and the upstream inside the process of `scopegate dev`. They replace those of a
//! configuration, so that its routes can be tried on a laptop without a network.
//!
//! The issuer's secret is public, so any client can get a token. Therefore `scopegate run` must
//! never use this module: only the command `dev` does, and a test of the architecture enforces it.

mod authorization;
mod changes;
mod client;
mod echo;
mod embedded;
mod endpoints;
mod example;
mod form;
mod function;
mod grant;
mod grant_error;
mod host;
mod key;
mod memory;
mod metadata;
mod recent;
mod redirect;
mod registration;
mod resource;
mod rewire;
mod server;
mod token;

#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use client::{CLIENT_ID, CLIENT_SECRET};
pub use endpoints::SERVER_NAME;
pub use example::{Example, Refusals, examples};
pub use redirect::named_redirect_uri;
pub use rewire::{LocalUpstream, Sandbox, SandboxError, SandboxSettings, keep_to_loopback};
