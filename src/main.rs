//! Arguments and exit code. No logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    scopegate::cli::main()
}
