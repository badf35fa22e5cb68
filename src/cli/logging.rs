//! The gateway's own events, on standard error. Standard output is for results and for the access log.

use std::io::{self, IsTerminal};

/// Starts logging from this level on. A second call changes nothing: the first subscriber stays.
pub(super) fn start(level: tracing::Level) {
    let started = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colour())
        .with_target(false)
        .with_writer(io::stderr)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Whether standard error takes colours: a terminal does, unless <https://no-color.org> is followed.
pub(super) fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && io::stderr().is_terminal()
}
