//! One integration binary over real sockets.
