//! The place of the command among the words of the command line: options may stand before it, and
//! it may be left out.

use std::ffi::OsString;

use clap::{Arg, Command};

/// The command without which nothing else is named.
const DEFAULT: &str = "run";

/// The options that concern the program as a whole.
const OF_PROGRAM: [&str; 4] = ["-h", "--help", "-V", "--version"];

/// Returns the words with the command in front: `scopegate -c FILE check` reads as `scopegate check
/// -c FILE`, and `scopegate -c FILE` as `scopegate run -c FILE`.
pub(super) fn command_first(mut words: Vec<OsString>, program: &Command) -> Vec<OsString> {
    let options = options_of(program);
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        if OF_PROGRAM.contains(&word) && at == 1 || !word.starts_with('-') {
            break;
        }
        let has_value = options.iter().any(|option| option == word);
        at += if has_value { 2 } else { 1 };
    }
    if at == 1 && words.len() > 1 {
        return words;
    }
    if at < words.len() {
        let command = words.remove(at);
        words.insert(1, command);
    } else {
        words.insert(1, DEFAULT.into());
    }
    words
}

/// Returns the options of all commands that are followed by a value.
fn options_of(program: &Command) -> Vec<String> {
    let mut options = Vec::new();
    for command in program.get_subcommands() {
        for argument in command.get_arguments().filter(takes_value) {
            options.extend(argument.get_long().map(|long| format!("--{long}")));
            options.extend(argument.get_short().map(|short| format!("-{short}")));
        }
    }
    options
}

/// Returns whether the next word is always the value of an option.
fn takes_value(argument: &&Arg) -> bool {
    let is_optional = argument
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    argument.get_action().takes_values() && !is_optional
}
