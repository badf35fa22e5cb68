//! scopegate: a reverse proxy that enforces OAuth 2.0 scopes.
//!
//! Begin with [`proxy`], the walk of one request; all else hangs from it.
//!
//! # The map
//!
//! | room | what it is for |
//! |---|---|
//! | [`gateway`] | the composition root: makes, wires and starts everything |
//! | [`server`] | from socket to request: accepting, workers, deadlines, the drain |
//! | [`proxy`] | the walk: decide, forward, answer |
//! | [`route`] | which rule speaks for this request |
//! | [`token`] | who says so: from a header to a principal |
//! | [`issuer`] | whom we trust, and with which keys |
//! | [`policy`] | the decision: may they? `std` only |
//! | [`upstream`] | where it goes |
//! | [`net`] | talking to others: what is common to upstreams, issuers and clients |
//! | [`config`] | text to valid values |
//! | [`snapshot`] | the compiled configuration, and the one in force |
//! | [`reload`] | from a changed file to another snapshot |
//! | [`admin`] | metrics, health and policy on a listener of their own |
//! | [`telemetry`] | metrics and the access log |
//! | [`dev`] | the embedded issuer and echo of `scopegate dev`; unreachable from `run` |
//! | [`cli`] | the commands |
//! | [`clock`] | the only reader of the time |
//!
//! # The lexicon
//!
//! A *route* is ours, a *path* is theirs. A *denial* is the policy's no, a *fault* the upstream's
//! can't, a *refusal* whatever the gateway answers itself. An *issuer* vouches for a *principal*;
//! an *identity* is who calls this time. A *permit* is the proof that a request may be forwarded. A
//! *snapshot* is a configuration, compiled.
//!
//! # The invariants
//!
//! - Nothing is forwarded without a permit; only `policy` makes one.
//! - Nothing rewrites a path before it is matched; what is matched is what is forwarded, but for a
//!   declared prefix.
//! - A cached and an uncached token get the same verdict; the cache knows who signed, not who may.
//! - A key of one issuer never verifies a token of another.
//! - No keys, no verdict: 503, not 401, and never a pass.
//! - Everything that a peer can make grow has a bound with a name.
//! - A bad reload changes nothing.
//! - Tokens and secrets appear in no log, metric or error.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod gateway;
pub mod issuer;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod token;
pub mod upstream;
