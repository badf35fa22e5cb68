//! One integration binary over real sockets. `support` has the actors; each file tests one promise
//! of the gateway.

// The lints guard the library against its peers' bytes. Here a panic is how a test says what it
// found, and the actors are outside of `#[test]` functions, where Clippy would allow it by itself.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod abuse;
mod abuse_http1;
mod access_log;
mod activation;
mod alpn;
mod api_gateway;
mod api_gateway_routing;
mod api_gateway_traffic;
mod architecture;
mod audience_claims;
mod balance;
mod bodies;
mod cache;
mod certificate_bound;
mod changed_listeners;
mod circles;
mod claims;
mod client_hello;
mod command_line;
mod commands;
mod connection_age;
mod connections;
mod connections_out;
mod cors;
mod credentials;
mod cross_site;
mod crossings;
mod dates;
mod deadlines;
mod decisions;
mod denied_routes;
mod departures;
mod dev_functions;
mod dev_mode;
mod dev_tokens;
mod downgrades;
mod drain;
mod endings;
mod error_responses;
mod event_log;
mod every_key;
mod examples;
mod explain;
mod explain_input;
mod failures;
mod families;
mod first_steps;
mod forwarded;
mod framing;
mod function_answers;
mod function_departures;
mod functions;
mod group_answers;
mod grpc;
mod h2spec;
mod half_close;
mod handover;
mod headers;
mod heads;
mod health;
mod hostile;
mod http2;
mod http2_upstreams;
mod impersonation;
mod import;
mod import_credentials;
mod import_fuzz;
mod import_guide;
mod import_oracle;
mod import_property;
mod import_refused;
mod import_served;
mod import_table;
mod jose;
mod key_access;
mod keys;
mod large;
mod limits;
mod lint;
mod listeners;
mod logged_tokens;
mod many_clients;
mod mapping;
mod metadata;
mod operation;
mod other_places;
mod own_answers;
mod parked;
mod paths;
mod process;
mod profiles;
mod proxy_protocol;
mod refused;
mod reload;
mod resent;
mod response_heads;
mod restart;
mod rolling;
mod secure;
mod service;
mod shared_issuers;
mod slow_readers;
mod sources;
mod standards;
mod streams;
mod support;
mod tenants;
mod terminal;
mod token_shapes;
mod tokens;
mod tolerance;
mod upstream_faults;
mod upstream_violations;
mod usual_requests;
mod variables;
mod websockets;
