//! The options of every command: the file, and the values that override it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Overrides, Problems};
use crate::net::Address;

/// Flags and `SCOPEGATE_*` variables.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Settings {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SCOPEGATE_CONFIG"
    )]
    #[arg(default_value = "gateway.toml")]
    pub(super) config: PathBuf,
    /// Address for requests, in place of `server.listen`; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "SCOPEGATE_LISTEN",
        value_delimiter = ','
    )]
    pub(super) listen: Vec<Address>,
    /// Address for metrics and health, in place of `server.admin`; "off" turns them off
    #[arg(long, global = true, value_name = "ADDRESS:PORT", env = "SCOPEGATE_ADMIN", value_parser = admin)]
    pub(super) admin: Option<Admin>,
    /// Number of worker threads, in place of `server.workers`
    #[arg(long, global = true, value_name = "NUMBER", env = "SCOPEGATE_WORKERS")]
    pub(super) workers: Option<NonZeroUsize>,
    /// error, warn, info, debug or trace, in place of `log.level`
    #[arg(long, global = true, value_name = "LEVEL", env = "SCOPEGATE_LOG", value_parser = level)]
    pub(super) log_level: Option<tracing::Level>,
}

/// The address of the admin listener; `None` turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admin(pub(super) Option<SocketAddr>);

impl Settings {
    /// Loads the configuration with these options applied.
    pub(super) fn load(&self) -> Result<Config, Problems> {
        let listen = self.listen.clone();
        Config::load(
            &self.config,
            &Overrides {
                listen,
                admin: self.admin.map(|Admin(at)| at),
                ..self.inner()
            },
        )
    }

    /// Loads the configuration with the addresses of the file, for [`super::dev`], which replaces
    /// issuers and upstreams.
    pub(super) fn load_in_place(&self) -> Result<Config, Problems> {
        Config::load(
            &self.config,
            &Overrides {
                stand_ins: true,
                ..self.inner()
            },
        )
    }

    /// Replaces the addresses of a configuration by those of these options.
    pub(super) fn replace_addresses(&self, mut config: Config) -> Config {
        if !self.listen.is_empty() {
            config.server.replace_addresses(&self.listen);
        }
        if let Some(Admin(admin)) = self.admin {
            config.server.admin = admin;
        }
        config
    }

    /// Returns the overrides other than addresses.
    fn inner(&self) -> Overrides {
        Overrides {
            workers: self.workers,
            log_level: self.log_level,
            ..Overrides::default()
        }
    }
}

fn admin(text: &str) -> Result<Admin, String> {
    if text == "off" {
        return Ok(Admin(None));
    }
    let address = text
        .parse()
        .map_err(|_| "neither \"off\" nor an address like 127.0.0.1:9090")?;
    Ok(Admin(Some(address)))
}

fn level(text: &str) -> Result<tracing::Level, &'static str> {
    match text {
        "error" => Ok(tracing::Level::ERROR),
        "warn" => Ok(tracing::Level::WARN),
        "info" => Ok(tracing::Level::INFO),
        "debug" => Ok(tracing::Level::DEBUG),
        "trace" => Ok(tracing::Level::TRACE),
        _ => Err("the levels are error, warn, info, debug and trace"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(line: &str) -> Result<Settings, clap::Error> {
        let arguments = std::iter::once("scopegate").chain(line.split_whitespace());
        Line::try_parse_from(arguments).map(|line| line.settings)
    }

    #[test]
    fn addresses_may_be_several_and_admin_may_be_off() {
        let settings =
            parse("--listen 127.0.0.1:1,[::1]:2 --listen 0.0.0.0:3 --admin off").unwrap();
        let listen: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:2", "0.0.0.0:3"]);
        assert_eq!(settings.admin, Some(Admin(None)));
        let admin = parse("--admin 127.0.0.1:9").unwrap().admin;
        assert_eq!(admin, Some(Admin(Some("127.0.0.1:9".parse().unwrap()))));
        assert!(parse("--admin on").is_err());
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let text = "[server]\nlisten = \"10.0.0.1:80\"\nadmin = \"10.0.0.1:81\"\nworkers = 3\n\
                    [upstreams.a]\nurl = \"http://a\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = [\"GET\"]\npublic = true\n";
        std::fs::write(&file, text).unwrap();
        let path = file.display();
        let plain = parse(&format!("-c {path}")).unwrap().load().unwrap();
        assert_eq!(
            (
                plain.server.listeners[0].address.ip().unwrap().port(),
                plain.server.workers
            ),
            (80, 3)
        );
        let flags = parse(&format!(
            "-c {path} --listen 127.0.0.1:7 --admin off --workers 5 --log-level debug"
        ));
        let flags = flags.unwrap();
        let config = flags.load().unwrap();
        assert_eq!(
            config.server.listeners[0].address.to_string(),
            "127.0.0.1:7"
        );
        assert_eq!((config.server.admin, config.server.workers), (None, 5));
        assert_eq!(config.log.level, tracing::Level::DEBUG);
        let in_place = flags.load_in_place().unwrap();
        assert_eq!(
            (
                in_place.server.listeners[0].address.ip().unwrap().port(),
                in_place.server.workers
            ),
            (80, 5)
        );
        assert_eq!(flags.replace_addresses(in_place).server, config.server);
    }

    #[test]
    fn a_file_whose_keys_and_certificates_are_elsewhere_is_for_dev_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let text = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                    jwks_file = \"/etc/scopegate/not-here.json\"\n\
                    [upstreams.a]\nurl = \"https://a\"\nca_file = \"/etc/scopegate/not-here.pem\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = { GET = \"a.read\" }\n";
        std::fs::write(&file, text).unwrap();
        let settings = parse(&format!("-c {}", file.display())).unwrap();
        let problems = settings.load().unwrap_err().to_string();
        assert!(
            problems.contains("not-here.json") && problems.contains("not-here.pem"),
            "{problems}"
        );
        assert!(settings.load_in_place().is_ok());
    }
}
