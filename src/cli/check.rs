//! `scopegate check`: prints every problem of a configuration, or its effective policy.

use std::fmt::Write;

use clap::Args;

use super::failure::Failure;
use super::settings::{Addresses, ConfigArgument};
use crate::config::{self, Config};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    addresses: Addresses,
}

pub(super) fn check(arguments: &Arguments) -> Result<String, Failure> {
    let settings = arguments.config.settings()?;
    let settings = settings.with_addresses(&arguments.addresses);
    Ok(report(&settings.load()?, &settings.name()))
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
    let notes = match config.notes.len() {
        0 => String::new(),
        1 => ", 1 note".into(),
        many => format!(", {many} notes"),
    };
    let _ = writeln!(text, "\n{file}: {routes}, no problems{notes}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_configuration_says_how_much_it_has() {
        let text = "[upstreams.a]\nurl = \"http://a\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = [\"GET\"]\n\
                    public = true\n";
        let config = Config::parse(text, "gateway.toml").unwrap();
        let report = report(&config, "gateway.toml");
        assert!(
            report.ends_with("\n\ngateway.toml: 1 route, no problems\n"),
            "{report}"
        );
        assert!(report.contains("/a"), "{report}");
    }

    #[test]
    fn notes_are_counted_beside_the_problems_that_there_are_not() {
        let text = "[server]\nadmin = \"0.0.0.0:9090\"\n[upstreams.a]\nurl = \"http://a\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = [\"GET\"]\n\
                    public = true\n";
        let config = Config::parse(text, "gateway.toml").unwrap();
        let report = report(&config, "gateway.toml");
        let end = "\n\ngateway.toml: 1 route, no problems, 1 note\n";
        assert!(report.ends_with(end), "{report}");
    }
}
