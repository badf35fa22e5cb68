//! One integration binary over real sockets. `cast` has the actors; each file tests one promise of the gateway.

// The lints guard the library against its peers' bytes. Here a panic is how a test says what it found, and the actors
// are outside of `#[test]` functions, where Clippy would allow it by itself.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod abuse;
mod abuse_http1;
mod access_log;
mod activation;
mod ages;
mod alpn;
mod announced;
mod architecture;
mod balance;
mod bodies;
mod bound;
mod cache;
mod cast;
mod claims;
mod command_line;
mod commands;
mod connections;
mod connections_out;
mod crowds;
mod deadlines;
mod decisions;
mod dev_mode;
mod downgrades;
mod drain;
mod endings;
mod event_log;
mod examples;
mod first_steps;
mod forwarded;
mod framing;
mod grpc;
mod h2spec;
mod handover;
mod headers;
mod heads;
mod health;
mod hellos;
mod http2;
mod http2_upstreams;
mod jose;
mod keys;
mod limits;
mod listeners;
mod metadata;
mod operation;
mod paths;
mod process;
mod refused;
mod reload;
mod rest;
mod restart;
mod rolling;
mod secure;
mod sources;
mod standards;
mod streams;
mod tenants;
mod tokens;
mod upstream_faults;
mod upstream_sins;
mod usual;
mod websockets;
