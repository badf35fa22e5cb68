//! `scopegate completions`: prints a completion script for a shell.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(arguments: &Arguments, command: &mut Command) -> String {
    let mut script = Vec::new();
    generate(arguments.shell, command, "scopegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
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
            let mut command = crate::cli::Arguments::command();
            let script = completions(&Arguments { shell }, &mut command);
            assert!(
                script.contains("completions") && script.contains("dev"),
                "{shell}"
            );
        }
    }
}
