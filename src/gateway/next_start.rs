//! The settings that take effect only when the gateway starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::Level;

use crate::config::{Config, TokenCache};

/// The settings that the gateway started with, and keeps until it ends.
#[derive(Debug)]
pub(super) struct StartSettings {
    workers: usize,
    handover: Option<PathBuf>,
    admin: Option<SocketAddr>,
    token_cache: TokenCache,
    watch: bool,
    log_level: Level,
}

impl StartSettings {
    /// Takes the settings from the configuration of the start.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            workers: config.server.workers,
            handover: config.server.handover.clone(),
            admin: config.server.admin,
            token_cache: config.token_cache.clone(),
            watch: config.reload.watch,
            log_level: config.log.level,
        }
    }

    /// Returns the keys whose values in a configuration wait for the next start. They are compared
    /// with those of the start, so that a key waits until it is changed back, whatever else is
    /// reloaded meanwhile.
    pub(super) fn waiting(&self, config: &Config) -> Vec<&'static str> {
        let now = Self::of(config);
        let mut waiting = Vec::new();
        for (key, has_changed) in [
            ("server.workers", self.workers != now.workers),
            ("server.handover", self.handover != now.handover),
            ("server.admin", self.admin != now.admin),
            ("token_cache", self.token_cache != now.token_cache),
            ("reload.watch", self.watch != now.watch),
            ("log.level", self.log_level != now.log_level),
        ] {
            if has_changed {
                waiting.push(key);
            }
        }
        waiting
    }
}

/// Logs the keys that wait for the next start.
pub(super) fn log(waiting: &[&'static str]) {
    for key in waiting {
        tracing::warn!(key, "this setting takes effect at the next start");
    }
}

/// Returns a line for each key that waits for the next start, with the line break before it.
pub(super) fn lines(waiting: &[&'static str]) -> String {
    let mut lines = String::new();
    for key in waiting {
        lines.push('\n');
        lines.push_str(key);
        lines.push_str(" takes effect at the next start");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "[upstreams.a]\nurl = \"http://a\"\n\
                          [[routes]]\npath = \"/a\"\nupstream = \"a\"\npublic = true\n\
                          methods = [\"GET\"]\n";

    fn config(tables: &str) -> Config {
        let config = Config::parse(&format!("{tables}{ROUTES}"), "gateway.toml");
        config.unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    #[test]
    fn a_key_waits_until_it_has_its_value_of_the_start() {
        let one = config("[server]\nworkers = 1\n");
        let two = config("[server]\nworkers = 2\ndrain = \"1s\"\n");
        let start = StartSettings::of(&one);
        assert_eq!(start.waiting(&one), [""; 0]);
        assert_eq!(start.waiting(&two), ["server.workers"]);
        assert_eq!(
            start.waiting(&config("[server]\nworkers = 2\ndrain = \"2s\"\n")),
            ["server.workers"]
        );
        assert_eq!(start.waiting(&config("[server]\nworkers = 1\n")), [""; 0]);
        assert_eq!(
            lines(&start.waiting(&two)),
            "\nserver.workers takes effect at the next start"
        );
    }

    // The reference says it of each key that waits, and of no other.
    #[test]
    fn the_keys_that_wait_are_those_of_the_reference() {
        let all = "[server]\nworkers = 3\nhandover = \"/run/h.sock\"\nadmin = \"127.0.0.1:1\"\n\
                   [token_cache]\nbytes = \"1 MiB\"\n[reload]\nwatch = false\n\
                   [log]\nlevel = \"debug\"\n";
        let start = StartSettings::of(&config("[server]\nworkers = 2\n"));
        let waiting = start.waiting(&config(all));
        assert_eq!(waiting.len(), 6, "{waiting:?}");
        let reference = include_str!("../../docs/configuration.md");
        let said = reference.matches("takes effect at the next start").count();
        assert_eq!(waiting.len(), said);
    }
}
