//! What flags and `SCOPEGATE_*` variables say: it goes before the file.

use std::net::SocketAddr;
use std::time::Duration;

use super::AccessLog;

/// Values that take the place of the file's. What is absent leaves the file's alone.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `server.listen`, as a whole; empty leaves the file's.
    pub listen: Vec<SocketAddr>,
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
    /// Others stand in for all issuers and upstreams, as in `scopegate dev`: the files with their
    /// keys and certificates, which the machine at hand may not have, are not read. Without the
    /// stand-ins such a configuration serves nothing.
    pub stand_ins: bool,
}
