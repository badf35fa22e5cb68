//! Variables: `${name}` in URLs, issuers, audiences and header values, with values of the file, the
//! environment or the command line.
//!
//! Variables are filled in after the file was parsed as TOML, and before it is lowered, so that a
//! value takes part in the same checks as if it stood in the file. A value is never read again: it
//! adds no key, no reference and no other variable.

pub(super) mod filling;
mod given;
mod values;

#[cfg(test)]
mod tests;

pub use given::GivenVariables;
pub(super) use values::{Defined, Variables};
pub use values::{Origin, Variable};
