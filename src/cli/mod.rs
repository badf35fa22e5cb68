//! The command line. Results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 for success, 1 for problems of the configuration or a refused token, 2 for errors
//! of the command line, 3 if the gateway cannot start or does not answer, 4 if `explain` explains a
//! refusal or `lint` finds a difference. `import` has 2 if it denies an operation, and 3 if it
//! fails on warnings.

mod check;
mod completions;
mod dev;
mod document;
mod explain;
mod failure;
mod import;
mod lint;
mod logging;
mod order;
mod output;
mod reload;
mod reload_failure;
mod routes;
mod run;
mod schema;
mod settings;
mod token;
mod token_changes;
mod token_failure;
mod variables;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use failure::Failure;
use output::print;
use settings::{ConfigArgument, ServerOptions, ToolOptions};

use crate::config::{printable, printable_lines};

/// A reverse proxy that enforces OAuth 2.0 scopes.
///
/// gateway.toml defines the scopes that each path and method needs, and the upstream of the
/// request. A request with a valid access token that has the scopes is forwarded; any other gets a
/// 401 or 403 that names the reason.
#[derive(Debug, Parser)]
#[command(name = "scopegate", version, max_term_width = 100, after_long_help = EXAMPLES, after_help = MORE)]
#[command(override_usage = "scopegate [COMMAND] [OPTIONS]")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the configuration; the default command
    Run(run::Arguments),
    /// Try the configuration on this machine: embedded issuer, echo upstream, loopback only
    Dev(Of<dev::Arguments, ServerOptions>),
    /// Report every problem of the configuration, or print its effective policy
    Check(check::Arguments),
    /// Print the route table in the order in which it matches
    Routes(ConfigArgument),
    /// Explain the decision for a request, step by step
    Explain(Of<explain::Arguments, ToolOptions>),
    /// Compare the configuration with an OpenAPI document
    Lint(lint::Arguments),
    /// Print an access token of a running `scopegate dev`
    Token(token::Arguments),
    /// Make a running gateway read its configuration again, and wait until it is in force
    Reload(reload::Arguments),
    /// Print the configuration for an export of API Gateway, or for an OpenAPI document
    Import(import::Arguments),
    /// Print the JSON Schema of gateway.toml
    Schema(schema::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

#[derive(Args, Debug)]
struct Of<A: Args, S: Args> {
    #[command(flatten)]
    own: A,
    #[command(flatten)]
    shared: S,
}

const MORE: &str = "\
`scopegate --help` shows more, `scopegate <COMMAND> --help` the options of a command. Without a \
command it is `scopegate run`.";

const EXAMPLES: &str = "\
Examples:
  scopegate dev                          an issuer, an echo upstream and curl lines to paste
  scopegate token --scope orders.read    a token from the running dev issuer
  scopegate check gateway.toml           every problem with line and arrow, or the effective policy
  scopegate run /etc/scopegate/gateway.toml

Without a command it is `scopegate run`. `scopegate <COMMAND> --help` has the options of a command.

A flag overrides its environment variable, which overrides the file. SIGHUP or a change of the \
file reloads the configuration; SIGTERM and SIGINT let open requests finish.

Exit codes:
  0  success
  1  the configuration has problems, a file cannot be read, a reload was refused, or no token
     was issued
  2  the command line is wrong
  3  the gateway cannot start, or none can be asked
  4  the request that is explained would be refused, or lint finds a difference
`scopegate import` exits with 2 if it had to deny an operation, and with 3 if there are warnings and
`--fail-on-warnings`";

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run_with(std::env::args_os()))
}

fn run_with(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match parse(arguments.into_iter().collect()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match execute(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", failure.render(logging::colour()));
            failure.exit_code()
        }
    }
}

/// Parses the command line. On an error, and for `--help` and `--version`, it prints the text and
/// returns the exit code.
fn parse(words: Vec<OsString>) -> Result<Arguments, u8> {
    let program = Arguments::command();
    let words = order::command_first(words, &program);
    let usage = match arguments(&program, &words) {
        Ok(arguments) => return Ok(arguments),
        Err(usage) => usage,
    };
    // A failed write cannot be reported.
    let _ = match variables::message(&usage, &program, &words) {
        Some(message) => writeln!(io::stderr(), "{message}"),
        None => print_usage(&usage, &words),
    };
    Err(u8::try_from(usage.exit_code()).unwrap_or(failure::USAGE))
}

/// Prints `--help` and `--version` to standard output, and an error to standard error. An error
/// quotes words of the command line, whose control characters are escaped.
fn print_usage(usage: &clap::Error, words: &[OsString]) -> io::Result<()> {
    match usage.use_stderr().then(|| escaped(usage, words)).flatten() {
        Some(message) => write!(io::stderr(), "{message}"),
        None => usage.print(),
    }
}

/// Returns the text of an error without the control characters of words; `None` if it has none.
fn escaped(usage: &clap::Error, words: &[OsString]) -> Option<String> {
    let mut text = usage.to_string();
    let mut has_escapes = false;
    for word in words {
        let word = word.to_string_lossy();
        let value = word.split_once('=').map(|(_, value)| value);
        for part in value.into_iter().chain([&*word]) {
            if let Cow::Owned(safe) = printable(part) {
                has_escapes = true;
                text = text.replace(part, &safe);
            }
        }
    }
    has_escapes.then(|| printable_lines(&text).into_owned())
}

fn arguments(program: &clap::Command, words: &[OsString]) -> Result<Arguments, clap::Error> {
    let mut matches = program.clone().try_get_matches_from(words)?;
    refuse_two_files(program, &matches)?;
    Arguments::from_arg_matches_mut(&mut matches)
}

/// Refuses the argument `FILE` beside `--config`. A `SCOPEGATE_CONFIG` that is set for other
/// commands does not count.
fn refuse_two_files(program: &clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((_, command)) = matches.subcommand() else {
        return Ok(());
    };
    let has_option = command.try_contains_id("config").unwrap_or(false);
    let has_file = command.try_contains_id("file").unwrap_or(false);
    if has_option && has_file && command.value_source("config") == Some(ValueSource::CommandLine) {
        let message = "FILE beside --config: name one file";
        return Err(program.clone().error(ErrorKind::ArgumentConflict, message));
    }
    Ok(())
}

/// Runs a command, and returns its exit code.
fn execute(arguments: &Arguments) -> Result<u8, Failure> {
    let text = match &arguments.command {
        Command::Run(arguments) => return run::run(arguments).map(|()| 0),
        Command::Dev(all) => {
            return dev::dev(&all.shared.settings()?, &all.own).map(|()| 0);
        }
        Command::Explain(all) => {
            return explain::explain(&all.shared.settings()?, &all.own);
        }
        Command::Import(arguments) => return import::import(arguments),
        Command::Lint(arguments) => return lint::lint(arguments),
        Command::Check(arguments) => check::check(arguments)?,
        Command::Routes(file) => routes::table(&file.settings()?.load()?),
        Command::Token(arguments) => token::token(arguments)?,
        Command::Reload(arguments) => reload::reload(arguments)?,
        Command::Schema(arguments) => schema::schema(arguments),
        Command::Completions(arguments) => {
            completions::completions(arguments, Arguments::command())
        }
    };
    print(&text)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        let program = Arguments::command();
        arguments(&program, &ordered(line))
    }

    fn ordered(line: &str) -> Vec<OsString> {
        let words = std::iter::once("scopegate").chain(line.split_whitespace());
        order::command_first(words.map(OsString::from).collect(), &Arguments::command())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_command_may_be_left_out_or_follow_options() {
        for (line, read) in [
            ("", "run"),
            ("-c a.toml --workers 2", "run -c a.toml --workers 2"),
            ("--listen=127.0.0.1:1", "run --listen=127.0.0.1:1"),
            ("-c a.toml check", "check -c a.toml"),
            (
                "-ca.toml --admin off dev --help",
                "dev -ca.toml --admin off --help",
            ),
            ("-c check", "run -c check"),
            ("check -c a.toml", "check -c a.toml"),
            ("--version", "--version"),
            ("help run", "help run"),
        ] {
            let words: Vec<_> = ordered(line).into_iter().skip(1).collect();
            let expected: Vec<_> = read.split_whitespace().collect();
            assert_eq!(words, expected, "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_0() {
        let code = |line| parse(line).unwrap_err().exit_code();
        for wrong in [
            "fly",
            "--listen nowhere",
            "--workers 0",
            "--log-level loud",
            "token --scope",
            "schema now",
            "-c a.toml check b.toml",
            "routes a.toml --config b.toml",
            "run -c a.toml b.toml",
            "dev a.toml -c b.toml",
            "lint --openapi o.json a.toml -c b.toml",
            "routes a.toml b.toml",
            "token --scope a --workers 2",
            "check --log-level debug",
            "--workers 2 routes",
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
    fn the_file_is_an_argument_or_an_option() {
        for command in ["run", "dev", "check", "routes", "lint --openapi o.json"] {
            for file in ["", "a.toml", "-", "-c a.toml", "--config=a.toml"] {
                let line = format!("{command} {file}");
                assert!(parse(&line).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn an_error_quotes_words_without_their_control_characters() {
        let hostile = "/a\u{1b}[31m\nerror: b\u{202e}";
        for words in [
            ["explain", "GET", hostile].as_slice(),
            &["explain", hostile, "/a"],
            &["explain", "GET", "/a", "--host", hostile],
            &["explain", "GET", "/a", &format!("--peer={hostile}")],
            &["token", "--scope", "a", &format!("--{hostile}")],
            &[hostile],
        ] {
            let words: Vec<_> = ["scopegate"]
                .iter()
                .chain(words)
                .map(OsString::from)
                .collect();
            let program = Arguments::command();
            let words = order::command_first(words, &program);
            let usage = arguments(&program, &words).unwrap_err();
            let text = escaped(&usage, &words).unwrap();
            assert!(
                text.lines()
                    .all(|line| printable(line) == line && line != "error: b"),
                "{text:?}"
            );
            assert!(text.contains("/a\\u{1b}[31m\\nerror: b\\u{202e}"), "{text}");
        }
        let usage = parse("explain GET").unwrap_err();
        assert_eq!(escaped(&usage, &ordered("explain GET")), None);
    }

    #[test]
    fn a_command_has_only_the_options_that_have_an_effect() {
        let program = Arguments::command();
        for (name, expected) in [
            ("run", "admin config control listen log-level var workers"),
            ("check", "admin config listen var"),
            ("routes", "config var"),
            ("lint", "accept config json openapi prefix stage-var var"),
            ("reload", "control"),
            ("schema", "reference"),
            ("completions", ""),
        ] {
            let command = program.find_subcommand(name).unwrap();
            let mut names: Vec<_> = command
                .get_arguments()
                .filter_map(clap::Arg::get_long)
                .collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), expected, "{name}");
        }
        let token = program.find_subcommand("token").unwrap();
        let mut names = token.get_arguments().filter_map(clap::Arg::get_long);
        assert!(names.all(|name| !["config", "listen", "var", "workers"].contains(&name)));
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
