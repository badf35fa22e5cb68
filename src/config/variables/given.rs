//! The values of variables that the command line and the environment give.

use std::collections::BTreeMap;

/// Values of variables from outside of the file. They take precedence over those of `[variables]`.
#[derive(Clone, Debug, Default)]
pub struct GivenVariables {
    /// The names and values of `--var`, which go before the environment.
    pub flags: Vec<(String, String)>,
    /// The values of `SCOPEGATE_VAR_*` by the rest of the name, in capitals; `None` for a value
    /// that is not UTF-8.
    pub environment: BTreeMap<String, Option<String>>,
}

impl GivenVariables {
    /// The beginning of the names of environment variables that are variables of the configuration.
    pub const PREFIX: &str = "SCOPEGATE_VAR_";
}
