//! Command-line flags and `SCOPEGATE_*` variables, which take precedence over the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::AccessLog;
use crate::net::Address;

/// Values that replace those of the file. An absent value leaves the file's in place.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `server.listen`, as a whole; an empty list leaves the file's.
    pub listen: Vec<Address>,
    /// `server.admin`; `Some(None)` is `"off"`.
    pub admin: Option<Option<SocketAddr>>,
    /// `server.workers`, at least 1.
    pub workers: Option<std::num::NonZeroUsize>,
    /// `server.drain`
    pub drain: Option<Duration>,
    /// `reload.watch`
    pub watch: Option<bool>,
    /// `log.level`
    pub log_level: Option<tracing::Level>,
    /// `log.access`
    pub access_log: Option<AccessLog>,
    /// Values of `[variables]`.
    pub variables: GivenVariables,
    /// Set when stand-ins replace all issuers and upstreams, as in `scopegate dev`. The files with
    /// their keys and certificates, which may not exist on this machine, are then not read. Such a
    /// configuration works only with the stand-ins.
    pub stand_ins: bool,
}

/// Values of variables from outside of the file. They take precedence over those of `[variables]`.
#[derive(Clone, Debug, Default)]
pub struct GivenVariables {
    /// The names and values of `--var`, which go before the environment.
    pub flags: Vec<(String, String)>,
    /// The values of `SCOPEGATE_VAR_*` by the rest of the name, in capitals; `None` for a value that
    /// is not UTF-8.
    pub environment: BTreeMap<String, Option<String>>,
}

impl GivenVariables {
    /// The beginning of the names of environment variables that are variables of the configuration.
    pub const PREFIX: &str = "SCOPEGATE_VAR_";
}
