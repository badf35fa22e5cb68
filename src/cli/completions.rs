//! `scopegate completions`: prints a completion script for a shell.

use clap::builder::{PossibleValuesParser, Str};
use clap::{Arg, Args, Command, ValueHint};
use clap_complete::{Shell, generate};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// The methods that are offered where one is expected.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn completions(arguments: &Arguments, command: Command) -> String {
    let mut command = with_values(command);
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, "scopegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the command with the kinds of values that a shell can complete, by the names that the
/// help gives them.
fn with_values(command: Command) -> Command {
    let names: Vec<_> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |one| one.mut_args(with_value))
    })
}

fn with_value(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() {
        return argument;
    }
    let names = argument.get_value_names().unwrap_or_default();
    match names.first().map(Str::as_str) {
        Some("FILE" | "PATH") => argument.value_hint(ValueHint::FilePath),
        Some("URL") => argument.value_hint(ValueHint::Url),
        Some("METHOD") => argument.value_parser(PossibleValuesParser::new(METHODS)),
        // Names, numbers and addresses: a shell would offer files.
        Some("SHELL" | "LEVEL" | "ALGORITHM") | None => argument,
        Some(_) => argument.value_hint(ValueHint::Other),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let script = completions(&Arguments { shell }, crate::cli::Arguments::command());
            assert!(
                script.contains("completions") && script.contains("dev"),
                "{shell}"
            );
            // The scripts for these two hold the values of arguments as well as those of options.
            let values: &[&str] = match shell {
                Shell::Bash | Shell::Zsh => &["trace", "elvish", "PATCH"],
                Shell::Fish => &["trace"],
                _ => &[],
            };
            for value in values {
                assert!(script.contains(value), "{shell}: {value}");
            }
        }
    }
}
