//! Arguments and exit code. No logic.
fn main() {}
