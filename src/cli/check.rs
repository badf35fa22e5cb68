//! `scopegate check`: every problem of a configuration, or what it amounts to.

use std::fmt::Write;

use super::failure::Failure;
use super::settings::Settings;
use crate::config::{self, Config};
use crate::proxy::REASONS;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::token::TokenError;

pub(super) fn check(settings: &Settings) -> Result<String, Failure> {
    let metrics = Metrics::new(&REASONS, &TokenError::RESULTS).expect("no metric is defined twice");
    // Compiled too: keys and certificates that the file holds are read there.
    let snapshot = Snapshot::compile(settings.load()?, &metrics, None).map_err(Failure::Compile)?;
    Ok(report(&snapshot.config, &settings.config.display().to_string()))
}

fn report(config: &Config, file: &str) -> String {
    let mut text = config::effective_policy(config);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let routes = match config.routes.len() {
        1 => "1 route".into(),
        many => format!("{many} routes"),
    };
    let _ = writeln!(text, "\n{file}: {routes}, no problems");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_configuration_says_how_much_it_has() {
        let text = "[upstreams.a]\nurl = \"http://a\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = [\"GET\"]\npublic = true\n";
        let config = Config::parse(text, "gateway.toml").unwrap();
        let report = report(&config, "gateway.toml");
        assert!(report.ends_with("\n\ngateway.toml: 1 route, no problems\n"), "{report}");
        assert!(report.contains("/a"), "{report}");
    }
}
