//! Errors of values that come from `SCOPEGATE_*` variables. The parser of the command line names
//! the option, which the operator did not write.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// Returns the message for an error whose value comes from a variable; `None` for any other error.
pub(super) fn message(
    error: &clap::Error,
    command: &Command,
    arguments: &[OsString],
) -> Option<String> {
    if !matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) {
        return None;
    }
    let option = text(error, ContextKind::InvalidArg)?;
    let argument = argument(command, option)?;
    let variable = argument.get_env()?.to_str()?;
    if is_given(argument, arguments) {
        return None;
    }
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    if value.is_empty() {
        return Some(format!(
            "error: the variable {variable} is empty\nhelp: unset it, or give it a value"
        ));
    }
    let reason = match error.source() {
        Some(reason) => reason.to_string(),
        None => format!("the values are {}", values(error)),
    };
    Some(format!(
        "error: the variable {variable} is {value:?}\nhelp: {reason}"
    ))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

fn values(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values.join(", "),
        _ => String::new(),
    }
}

/// Returns the argument that an error calls `--workers <NUMBER>`.
fn argument<'c>(command: &'c Command, option: &str) -> Option<&'c Arg> {
    let long = option.strip_prefix("--")?.split(' ').next()?;
    let is_it = |argument: &&Arg| argument.get_long() == Some(long);
    let mut commands = command.get_subcommands();
    commands.find_map(|one| one.get_arguments().find(is_it))
}

/// Returns whether the command line has the option, which goes before its variable.
fn is_given(argument: &Arg, arguments: &[OsString]) -> bool {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    words.any(|word| {
        let name = word.split('=').next();
        name == long.as_deref() || short.as_ref().is_some_and(|short| word.starts_with(short))
    })
}
