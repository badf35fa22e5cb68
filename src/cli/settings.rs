//! The options that several commands have in common: the file, and the values that override it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tracing::Level;

use super::failure::Failure;
use crate::config::{Config, GivenVariables, Overrides, Problems};
use crate::net::Address;
use crate::transform::is_variable_name;

/// The name of standard input as a file.
const STANDARD_INPUT: &str = "-";

/// The limit on the bytes of a configuration from standard input: that of a file.
const MAX_INPUT: u64 = 16 << 20;

// A doc comment would become the description of each command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ConfigFile {
    /// The configuration file; "-" for standard input
    #[arg(long, short, value_name = "FILE", env = "SCOPEGATE_CONFIG")]
    #[arg(default_value = "gateway.toml")]
    config: PathBuf,
    /// Value of a variable of the configuration, in place of `[variables]` and
    /// `SCOPEGATE_VAR_NAME`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
}

// The file of a command that has no other arguments, so that it needs no option.
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigArgument {
    /// The configuration file, in place of `--config`; "-" for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    option: ConfigFile,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
pub(super) struct Addresses {
    /// Address for requests, in place of `server.listen`: an IP address with a port, or "unix:" and
    /// a path; may be repeated
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SCOPEGATE_LISTEN",
        value_delimiter = ','
    )]
    listen: Vec<Address>,
    /// Address for metrics and health, in place of `server.admin`; "off" turns them off
    #[arg(long, value_name = "ADDRESS:PORT", env = "SCOPEGATE_ADMIN", value_parser = admin)]
    admin: Option<Admin>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
struct Workers {
    /// Number of worker threads, in place of `server.workers`
    #[arg(long, value_name = "NUMBER", env = "SCOPEGATE_WORKERS", value_parser = workers)]
    workers: Option<NonZeroUsize>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
struct LogLevel {
    /// Level of the log on standard error, in place of `log.level`
    #[arg(long, value_name = "LEVEL", env = "SCOPEGATE_LOG", value_parser = levels())]
    log_level: Option<Level>,
}

// The options of a command that serves.
#[derive(Args, Clone, Debug)]
pub(super) struct ServerOptions {
    #[command(flatten)]
    file: ConfigArgument,
    #[command(flatten)]
    addresses: Addresses,
    #[command(flatten)]
    workers: Workers,
    #[command(flatten)]
    log_level: LogLevel,
}

// The options of a command that examines a configuration, and logs meanwhile.
#[derive(Args, Clone, Debug)]
pub(super) struct ToolOptions {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    log_level: LogLevel,
}

/// The file of a command, and the values that override it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The file; `-` is standard input.
    pub(super) config: PathBuf,
    /// The text of standard input. It can be read once, and a reload reads it again.
    input: Option<Arc<str>>,
    pub(super) listen: Vec<Address>,
    pub(super) admin: Option<Admin>,
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) log_level: Option<Level>,
    variables: GivenVariables,
}

/// The address of the admin listener; `None` turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admin(pub(super) Option<SocketAddr>);

impl ConfigFile {
    /// Returns the settings of a command that has no other options.
    ///
    /// # Errors
    /// Returns an error if there is no such file, or standard input cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.settings_of(&self.config)
    }

    /// Returns the settings for another file than that of `--config`.
    fn settings_of(&self, file: &Path) -> Result<Settings, Failure> {
        let input = match file.as_os_str() == STANDARD_INPUT {
            true => Some(standard_input().map_err(Failure::Input)?.into()),
            false => None,
        };
        if input.is_none() && is_missing(file) {
            return Err(Failure::NoFile(file.into()));
        }
        Ok(Settings {
            config: file.into(),
            input,
            listen: Vec::new(),
            admin: None,
            workers: None,
            log_level: None,
            variables: GivenVariables {
                flags: self.var.clone(),
                environment: environment(std::env::vars_os()),
            },
        })
    }
}

impl ConfigArgument {
    /// Returns the settings of a command that has no other options.
    ///
    /// # Errors
    /// Returns an error if there is no such file, or standard input cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        match &self.file {
            Some(file) => self.option.settings_of(file),
            None => self.option.settings(),
        }
    }
}

impl ToolOptions {
    /// Returns the settings of a command that examines a configuration.
    ///
    /// # Errors
    /// Returns an error if there is no such file, or standard input cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.file.settings()?.with_log_level(&self.log_level))
    }
}

impl ServerOptions {
    /// Returns the settings of a command that serves.
    ///
    /// # Errors
    /// Returns an error if there is no such file, or standard input cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let settings = self.file.settings()?;
        Ok(Settings {
            workers: self.workers.workers,
            ..settings
                .with_addresses(&self.addresses)
                .with_log_level(&self.log_level)
        })
    }
}

impl Settings {
    /// Returns these settings with the addresses of options.
    pub(super) fn with_addresses(self, addresses: &Addresses) -> Self {
        Self {
            listen: addresses.listen.clone(),
            admin: addresses.admin,
            ..self
        }
    }

    /// Returns these settings with the log level of an option.
    fn with_log_level(self, option: &LogLevel) -> Self {
        Self {
            log_level: option.log_level,
            ..self
        }
    }

    /// Loads the configuration with these options applied.
    pub(super) fn load(&self) -> Result<Config, Problems> {
        self.load_with(&Overrides {
            listen: self.listen.clone(),
            admin: self.admin.map(|Admin(at)| at),
            ..self.inner()
        })
    }

    /// Loads the configuration with the addresses of the file, for [`super::dev`], which replaces
    /// issuers and upstreams.
    pub(super) fn load_in_place(&self) -> Result<Config, Problems> {
        self.load_with(&Overrides {
            stand_ins: true,
            ..self.inner()
        })
    }

    fn load_with(&self, overrides: &Overrides) -> Result<Config, Problems> {
        match &self.input {
            Some(text) => Config::load_text(text, overrides),
            None => Config::load(&self.config, overrides),
        }
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

    /// Returns the file's name for people.
    pub(super) fn name(&self) -> String {
        match self.input {
            Some(_) => Config::STANDARD_INPUT.to_owned(),
            None => self.config.display().to_string(),
        }
    }

    /// Returns the overrides other than addresses.
    fn inner(&self) -> Overrides {
        Overrides {
            workers: self.workers,
            log_level: self.log_level,
            variables: self.variables.clone(),
            ..Overrides::default()
        }
    }
}

fn is_missing(file: &Path) -> bool {
    fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn standard_input() -> io::Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
    match read? as u64 {
        MAX_INPUT => Err(io::Error::other("it has 16 MiB or more")),
        _ => Ok(text),
    }
}

/// Parses the argument of `--var`.
fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if is_variable_name(name) => Ok((name.into(), value.into())),
        Some(_) => Err("a name has letters, digits and \"_\""),
        None => Err("write NAME=VALUE"),
    }
}

/// Returns the values of `SCOPEGATE_VAR_*`, by the rest of the name.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    for (name, value) in variables {
        let name = name.to_str().unwrap_or_default();
        if let Some(name) = name.strip_prefix(GivenVariables::PREFIX) {
            found.insert(name.to_owned(), value.into_string().ok());
        }
    }
    found
}

fn admin(text: &str) -> Result<Admin, &'static str> {
    if text == "off" {
        return Ok(Admin(None));
    }
    match text.parse() {
        Ok(address) => Ok(Admin(Some(address))),
        Err(_) => Err("write \"off\", or an IP address with a port, such as 127.0.0.1:9090"),
    }
}

fn workers(text: &str) -> Result<NonZeroUsize, &'static str> {
    let number = text.parse().ok();
    let workers = number.filter(|number: &NonZeroUsize| number.get() <= Config::MAX_WORKERS);
    workers.ok_or("write a number from 1 to 1024, or leave it out for one worker for each CPU")
}

fn levels() -> impl TypedValueParser<Value = Level> {
    let names = ["error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
        _ => Level::INFO,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ServerOptions,
    }

    fn parse(line: &str) -> Result<ServerOptions, clap::Error> {
        let arguments = std::iter::once("scopegate").chain(line.split_whitespace());
        Line::try_parse_from(arguments).map(|line| line.options)
    }

    fn settings(line: &str) -> Settings {
        parse(line).unwrap().settings().unwrap()
    }

    #[test]
    fn addresses_may_be_several_and_admin_may_be_off() {
        let line = "--listen 127.0.0.1:1,[::1]:2 --listen unix:/run/a.sock --admin off";
        let Addresses { listen, admin } = parse(line).unwrap().addresses;
        let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:2", "unix:/run/a.sock"]);
        assert_eq!(admin, Some(Admin(None)));
        let admin = parse("--admin 127.0.0.1:9").unwrap().addresses.admin;
        assert_eq!(admin, Some(Admin(Some("127.0.0.1:9".parse().unwrap()))));
        for wrong in [
            "--admin on",
            "--listen unix:a.sock",
            "--listen unix:/run/",
            "--workers 1025",
            "--workers -1",
            "--log-level INFO",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let text = "[server]\nlisten = \"10.0.0.1:80\"\nadmin = \"10.0.0.1:81\"\nworkers = 3\n\
                    [upstreams.a]\nurl = \"http://a\"\n\
                    [[routes]]\npath = \"/a\"\nupstream = \"a\"\nmethods = [\"GET\"]\n\
                    public = true\n";
        fs::write(&file, text).unwrap();
        let path = file.display();
        let plain = settings(&format!("-c {path}")).load().unwrap();
        assert_eq!(
            (
                plain.server.listeners[0].address.ip().unwrap().port(),
                plain.server.workers
            ),
            (80, 3)
        );
        let flags = settings(&format!(
            "-c {path} --listen 127.0.0.1:7 --admin off --workers 5 --log-level debug"
        ));
        let config = flags.load().unwrap();
        assert_eq!(
            config.server.listeners[0].address.to_string(),
            "127.0.0.1:7"
        );
        assert_eq!((config.server.admin, config.server.workers), (None, 5));
        assert_eq!(config.log.level, Level::DEBUG);
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
        fs::write(&file, text).unwrap();
        let settings = settings(&format!("-c {}", file.display()));
        let problems = settings.load().unwrap_err().to_string();
        assert!(
            problems.contains("not-here.json") && problems.contains("not-here.pem"),
            "{problems}"
        );
        assert!(settings.load_in_place().is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_told_from_one_with_problems() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let options = parse(&format!("-c {}", file.display())).unwrap();
        assert!(matches!(options.settings(), Err(Failure::NoFile(path)) if path == file));
        fs::write(&file, "").unwrap();
        assert!(options.settings().unwrap().load().is_err());
    }
}
