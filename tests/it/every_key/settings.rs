//! The compiled settings of the configuration of `tests/vectors/config` that has every key.

use std::fs;

use scopegate::config::Config;
use scopegate::tls::Acceptor;
use toml::Table;

use super::edit::text_of;

const FILE: &str = "tests/vectors/config/good-every-key.toml";

pub(super) fn full() -> Table {
    toml::from_str(&fs::read_to_string(FILE).unwrap()).unwrap()
}

/// Returns the settings of a configuration; `None` if it is refused.
pub(super) fn read(full: &Table) -> Option<String> {
    let config = Config::parse(&text_of(full), FILE).ok()?;
    Some(shown(&config))
}

/// Returns everything that a configuration is compiled from, without the text that it was read
/// from.
pub(super) fn shown(config: &Config) -> String {
    let listeners = config.server.listeners.iter();
    let acceptors = listeners.filter_map(|listener| listener.tls.as_ref());
    let handshakes: Vec<_> = acceptors.map(Acceptor::handshake_timeout).collect();
    let secrets: Vec<_> = config
        .dev
        .clients
        .iter()
        .map(|client| client.secret.expose())
        .collect();
    format!(
        "{handshakes:?} {secrets:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        config.server,
        config.issuers,
        config.upstreams,
        config.routes,
        config.token_cache,
        config.reload,
        config.log,
        config.dev
    )
}
