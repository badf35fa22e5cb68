//! The command line. Results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 for success, 1 for problems of the configuration or a refused token, 2 for errors
//! of the command line, 3 if the gateway cannot start.

mod check;
mod completions;
mod dev;
mod explain;
mod explanation;
mod failure;
mod logging;
mod output;
mod routes;
mod run;
mod schema;
mod settings;
mod token;
mod token_changes;
mod token_failure;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;
use output::print;
use settings::Settings;

/// A reverse proxy that enforces OAuth 2.0 scopes.
///
/// gateway.toml defines the scopes that each path and method needs, and the upstream of the
/// request. A request with a valid access token that has the scopes is forwarded; any other gets a
/// 401 or 403 that names the reason.
#[derive(Debug, Parser)]
#[command(name = "scopegate", version, max_term_width = 100, after_long_help = EXAMPLES, after_help = MORE)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the configuration; the default command
    Run,
    /// Try the configuration on this machine: embedded issuer, echo upstream, loopback only
    Dev(dev::Arguments),
    /// Report every problem of the configuration, or print its effective policy
    Check,
    /// Print the route table in the order in which it matches
    Routes,
    /// Explain the decision for a request, step by step
    Explain(explain::Arguments),
    /// Print an access token of a running `scopegate dev`
    Token(token::Arguments),
    /// Print the JSON Schema of gateway.toml
    Schema(schema::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

const MORE: &str =
    "`scopegate --help` shows more, `scopegate <COMMAND> --help` the options of a command.";

const EXAMPLES: &str = "\
Examples:
  scopegate dev                          an issuer, an echo upstream and curl lines to paste
  scopegate token --scope orders.read    a token from the running dev issuer
  scopegate check -c gateway.toml        every problem with line and arrow, or the effective policy
  scopegate run -c /etc/scopegate/gateway.toml

A flag overrides its environment variable, which overrides the file. SIGHUP or a change of the \
file reloads the configuration; SIGTERM and SIGINT let open requests finish.

Exit codes:
  0  success
  1  the configuration has problems, or no token was issued
  2  the command line is wrong
  3  the gateway cannot start";

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run_with(std::env::args_os()))
}

fn run_with(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // This also prints `--help` and `--version`, to standard output. A failed write cannot
            // be reported.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).unwrap_or(failure::USAGE);
        }
    };
    match execute(&arguments) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", failure.render(logging::colour()));
            failure.exit_code()
        }
    }
}

fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let settings = &arguments.settings;
    let text = match arguments.command.as_ref().unwrap_or(&Command::Run) {
        Command::Run => return run::run(settings),
        Command::Dev(arguments) => return dev::dev(settings, arguments),
        Command::Check => check::check(settings)?,
        Command::Routes => routes::table(&settings.load()?),
        Command::Explain(arguments) => explain::explain(settings, arguments)?,
        Command::Token(arguments) => token::token(arguments)?,
        Command::Schema(arguments) => schema::schema(arguments),
        Command::Completions(arguments) => {
            completions::completions(arguments, &mut Arguments::command())
        }
    };
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("scopegate").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_runs() {
        assert!(parse("").unwrap().command.is_none());
        assert!(parse("-c a.toml --workers 2").unwrap().command.is_none());
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_0() {
        let code = |line| parse(line).unwrap_err().exit_code();
        for wrong in [
            "fly",
            "--listen nowhere",
            "--workers 0",
            "--log-level loud",
            "token",
            "schema now",
        ] {
            assert_eq!(code(wrong), 2, "{wrong}");
        }
        for asked in [
            "--help",
            "-h",
            "--version",
            "help",
            "dev --help",
            "token -h",
        ] {
            assert_eq!(code(asked), 0, "{asked}");
        }
    }

    #[test]
    fn every_option_and_command_says_what_it_is_for() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for option in command.get_arguments() {
                assert!(
                    option.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    option.get_id()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Arguments::command());
    }
}
