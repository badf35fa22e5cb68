//! The configuration of an issuer's keys. Equal settings are the same issuer: across a reload, and
//! in several entries of one configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Algorithm;
use crate::net::{Proxies, Proxy, Url};

/// The settings of an issuer that concern its keys. Entries of the configuration with one `iss` have
/// the same settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The exact `iss` of its tokens (RFC 7519 §4.1.1) and the `issuer` that its metadata must
    /// state (RFC 8414 §3.3).
    pub issuer: Arc<str>,
    /// The source of its keys.
    pub keys: KeySource,
    /// The algorithms its tokens may use; never empty.
    pub algorithms: Vec<Algorithm>,
    /// The way to the servers that have its keys.
    pub access: KeyAccess,
    /// The limits for fetching and keeping its keys.
    pub fetch: FetchPolicy,
}

/// The way to the servers that have an issuer's metadata and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyAccess {
    /// The trusted certificates in PEM, instead of the system's.
    pub roots: Option<Arc<str>>,
    /// The proxy between.
    pub proxy: ProxyChoice,
    /// A file with a bearer token for the key set, read for each fetch. Only beside
    /// [`KeySource::Uri`]: an issuer must not choose the origin that gets the token.
    pub token_file: Option<PathBuf>,
}

/// The forward proxy through which an issuer is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// The one that the environment names for the host, if any.
    #[default]
    Environment,
    /// None, whatever the environment names.
    Off,
    /// This one.
    Through(Proxy),
}

impl ProxyChoice {
    /// Returns the proxies for the fetches of an issuer.
    #[must_use]
    pub fn proxies(&self, environment: &Proxies) -> Proxies {
        match self {
            Self::Environment => environment.clone(),
            Self::Off => Proxies::none(),
            Self::Through(proxy) => Proxies::always(proxy.clone()),
        }
    }
}

/// The source of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Metadata below this URL, which names the `jwks_uri`: OpenID Connect Discovery, then RFC
    /// 8414.
    Discovery(Url),
    /// A JWK Set at this URL.
    Uri(Url),
    /// A JWK Set from the configuration, or from a file that it names; read with the configuration.
    Static(Arc<str>),
}

/// The limits of key fetching; each field is a key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// The longest duration of one fetch, of metadata or keys, from dialling to the last byte.
    pub timeout: Duration,
    /// The time after a fetch during which an unknown key starts no other fetch.
    pub cooldown: Duration,
    /// The longest time that a request waits for the fetch in progress.
    pub wait: Duration,
    /// The refresh interval when the response has no cache headers.
    pub refresh: Duration,
    /// The shortest interval that cache headers can ask for.
    pub refresh_min: Duration,
    /// The longest interval that cache headers can ask for.
    pub refresh_max: Duration,
    /// The age up to which the last good keys stay in use while fetches fail.
    pub keep_stale: Duration,
    /// A file that keeps the last good keys across restarts, if there is one.
    pub keep_file: Option<PathBuf>,
    /// The largest size of one metadata document or key set, in bytes.
    pub max_bytes: u64,
    /// The largest number of usable keys in one set; the rest is skipped and reported.
    pub max_keys: usize,
    /// Allows `http` to hosts other than this machine.
    pub allow_http: bool,
}
