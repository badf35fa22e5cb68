//! scopegate: a reverse proxy that enforces OAuth 2.0 scopes.
//!
//! Read [`proxy`] first: it is the walk of one request, which uses all other modules.
//! `docs/design/ARCHITECTURE.md` has the threads, queues and bounds.
//!
//! # Modules
//!
//! | module | purpose |
//! |---|---|
//! | [`gateway`] | the composition root: makes, wires and starts everything |
//! | [`server`] | client connections: accepting, workers, deadlines, the drain |
//! | [`proxy`] | the walk of a request: admit, route, authorize, forward |
//! | [`decision`] | the verdict about a request, and its answer if it is refused |
//! | [`route`] | the route of a request, by host, path and method |
//! | [`transform`] | the changes that a route makes to requests and answers, and their templates |
//! | [`token`] | bearer tokens: from a header to a principal |
//! | [`issuer`] | the trusted issuers and their keys |
//! | [`policy`] | whether a principal meets a requirement; uses `std` only |
//! | [`lambda`] | the events and answers of functions behind an Invoke API |
//! | [`upstream`] | connections to upstreams, load balancing and health |
//! | [`web`] | the small HTTP client and server for everything but traffic |
//! | [`net`] | addresses, dialling and byte streams, for upstreams, issuers and clients |
//! | [`tls`] | certificates that the gateway shows, and certificates that it trusts |
//! | [`config`] | the configuration: from text to valid values |
//! | [`snapshot`] | the compiled configuration, and the one in force |
//! | [`reload`] | from a changed file to another snapshot |
//! | [`admin`] | metrics, health and policy on a listener of their own |
//! | [`telemetry`] | metrics, the access log and the event log |
//! | [`import`] | from an export of API Gateway, or an OpenAPI document, to a configuration |
//! | [`dev`] | the embedded issuer and echo of `scopegate dev`; unreachable from `run` |
//! | [`cli`] | the commands |
//! | [`blocking`] | work on another thread |
//! | [`carry_over`] | what a reload keeps, by identity |
//! | `sync` | the types by which threads share state |
//! | [`clock`] | the only reader of the time |
//! | [`content`] | which responses have no content, and how forms are written |
//!
//! # Lexicon
//!
//! - A *room* is a module of this file.
//! - A *route* is a rule of the configuration; a *path* is the path in a request's target.
//! - The *walk* is the way of one request through the gateway.
//! - A *denial* is the policy's answer that a request may not pass. A *fault* is the failure of an
//!   upstream to answer. A *refusal* is any error that the gateway answers itself.
//! - An *issuer* is an authorization server that signs tokens. A *principal* is the subject of a
//!   verified token, with its scopes. An *identity* is the caller of one request: a principal, or an
//!   anonymous caller.
//! - A *permit* is the proof that a request may be forwarded.
//! - A *snapshot* is a compiled configuration.
//!
//! # Invariants
//!
//! - No request is forwarded without a permit, and only `policy` makes one.
//! - No code rewrites a path before it is matched. The matched path is forwarded unchanged, except
//!   for a declared prefix.
//! - A cached and an uncached token get the same verdict: the cache remembers a verified signature,
//!   not a decision.
//! - A key of one issuer never verifies a token of another.
//! - Without keys there is no verdict: the answer is 503, not 401, and the request never passes.
//! - Everything that a peer can make grow has a bound with a name.
//! - A bad reload changes nothing.
//! - Tokens and secrets appear in no log, metric or error.

pub mod admin;
pub mod blocking;
pub mod carry_over;
pub mod cli;
pub mod clock;
pub mod config;
pub mod content;
pub mod decision;
pub mod dev;
#[cfg(test)]
#[path = "../tests/fuzz/harness/mod.rs"]
mod fuzz;
pub mod gateway;
pub mod import;
pub mod issuer;
pub mod lambda;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod server;
pub mod snapshot;
mod sync;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod transform;
pub mod upstream;
pub mod web;
