//! scopegate: a reverse proxy that enforces OAuth 2.0 scopes.
//!
//! # The map
//!
//! | room | what it is for |
//! |---|---|
//! | [`policy`] | the decision: may they? `std` only |
//! | [`route`] | which rule speaks for this request |
//! | [`token`] | who says so: from a header to a principal |
//! | [`issuer`] | whom we trust, and with which keys |
//! | [`upstream`] | where it goes |
//! | [`net`] | talking to others: what is common to upstreams and issuers |
//! | [`config`] | text to valid values |
//! | [`dev`] | the embedded issuer and echo upstream of `scopegate dev` |
//! | [`cli`] | the command line |

pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod issuer;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod route;
pub mod snapshot;
pub mod telemetry;
pub mod token;
pub mod upstream;
