//! `scopegate check`: prints every problem of a configuration, or its effective policy.

use std::fmt::Write;

use super::failure::Failure;
use super::settings::Settings;
use crate::config::{self, Config};

pub(super) fn check(settings: &Settings) -> Result<String, Failure> {
    let config = settings.load()?;
    Ok(report(&config, &settings.config.display().to_string()))
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
        assert!(
            report.ends_with("\n\ngateway.toml: 1 route, no problems\n"),
            "{report}"
        );
        assert!(report.contains("/a"), "{report}");
    }
}
