//! The entries of the configuration that have an issuer. Several may, with rules of their own: the
//! keys are fetched once, and logs and metrics name each entry.

use std::sync::Arc;

use crate::telemetry::IssuerMetrics;

/// An entry of the configuration, as its issuer knows it.
#[derive(Clone, Debug)]
pub struct EntryHandle {
    /// The name in the configuration, logs and metrics; for a tenant `<name>/<tenant>`.
    pub name: Arc<str>,
    /// The counters of the entry.
    pub metrics: Arc<IssuerMetrics>,
}

/// All entries of one issuer.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) list: Vec<EntryHandle>,
    /// The names of the entries, for logs.
    pub(super) names: Arc<str>,
}

impl Entries {
    pub(super) fn new(list: Vec<EntryHandle>) -> Self {
        let names: Vec<_> = list.iter().map(|entry| &*entry.name).collect();
        let names = names.join(", ").into();
        Self { list, names }
    }
}
