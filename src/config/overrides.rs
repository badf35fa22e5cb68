//! Command-line flags and `SCOPEGATE_*` variables, which take precedence over the file.

use std::net::SocketAddr;
use std::time::Duration;

use super::AccessLog;
use super::variables::GivenVariables;
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
