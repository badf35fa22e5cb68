//! One integration binary over real sockets. `cast` has the actors; each file tests one promise of the gateway.

mod cast;
mod command_line;
mod first_steps;
