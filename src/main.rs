//! The entry point of the `scopegate` command, without logic of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    scopegate::cli::main()
}
