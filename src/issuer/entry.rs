//! What the configuration says of an issuer's keys. Two equal entries are one issuer across a
//! reload.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Algorithm;
use crate::net::Url;

/// An issuer, as far as its keys are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The name in the configuration, in logs and in metrics; of a tenant, `<name>/<tenant>`.
    pub name: Arc<str>,
    /// The exact `iss` of its tokens (RFC 7519 §4.1.1), and the `issuer` its metadata must state
    /// (RFC 8414 §3.3).
    pub issuer: Arc<str>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The algorithms its tokens may use; never empty.
    pub algorithms: Vec<Algorithm>,
    /// How its keys are fetched and how long they are kept.
    pub fetch: FetchPolicy,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Metadata below this URL: OpenID Connect Discovery, then RFC 8414; it names the `jwks_uri`.
    Discovery(Url),
    /// A JWK Set at this URL.
    Uri(Url),
    /// A JWK Set that the configuration holds or names a file for; read when the configuration is.
    Static(Arc<str>),
}

/// The bounds of "Keys" in the design, each a key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// For one fetch, metadata or keys, from dialling to the last byte.
    pub timeout: Duration,
    /// After a fetch, for this long an unknown key starts no other.
    pub cooldown: Duration,
    /// How long a request waits for the fetch in flight.
    pub wait: Duration,
    /// The refresh interval where the answer's cache headers are silent.
    pub refresh: Duration,
    /// The shortest interval cache headers can ask for.
    pub refresh_min: Duration,
    /// The longest interval cache headers can ask for.
    pub refresh_max: Duration,
    /// How long the last good keys serve while fetches fail.
    pub keep_stale: Duration,
    /// A file that keeps the last good keys over a restart, if any.
    pub keep_file: Option<PathBuf>,
    /// Bytes of one metadata document or key set.
    pub max_bytes: u64,
    /// Usable keys of one set; the rest is skipped and reported.
    pub max_keys: usize,
    /// Whether `http` is fetched from hosts other than this machine.
    pub allow_http: bool,
}
