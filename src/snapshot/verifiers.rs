//! The verifiers of a snapshot: one for each entry of `[issuers]`. Entries with the same settings
//! of keys share an issuer, whose keys are fetched once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::carry_over::CarryOver;
use crate::config;
use crate::issuer::{EntryHandle, Issuer, JwksError};
use crate::telemetry::Metrics;
use crate::token::{CacheSlot, Verifier};

/// The error of keys in the configuration of an issuer.
pub(super) struct InvalidKeys {
    pub(super) issuer: Arc<str>,
    pub(super) error: JwksError,
}

/// An entry on its way to its verifier.
struct Entry<'c> {
    config: &'c config::Issuer,
    issuer: Arc<Issuer>,
    /// The verifier before, if nothing about the entry has changed.
    kept: Option<Arc<Verifier>>,
}

/// Returns the verifier of each entry. Names are unique in a configuration. An entry whose settings
/// did not change keeps its verifier. One whose keys come from where those of an entry before came
/// from has the issuer of that one, whatever its name and rules.
pub(super) fn compile(
    configured: &[config::Issuer],
    metrics: &Metrics,
    before: &[Arc<Verifier>],
) -> Result<Vec<Arc<Verifier>>, InvalidKeys> {
    let mut issuers = Issuers::of(before);
    let mut earlier = CarryOver::new(before, |verifier| &**verifier.name());
    let mut slots = Slots::default();
    let mut entries = Vec::with_capacity(configured.len());
    for config in configured {
        let issuer = issuers.get(config, metrics)?;
        let kept = earlier.take(&*config.name);
        let kept = kept.filter(|kept| is_unchanged(kept, config, &issuer));
        let kept = kept.map(Arc::clone);
        if let Some(kept) = &kept {
            slots.take(&issuer, kept.slot());
        }
        entries.push(Entry {
            config,
            issuer,
            kept,
        });
    }
    let mut verifiers = Vec::with_capacity(entries.len());
    for entry in entries {
        verifiers.push(match entry.kept {
            Some(kept) => kept,
            None => {
                let slot = slots.next(&entry.issuer);
                let handle = handle(entry.config, metrics);
                let rules = entry.config.rules.clone();
                Arc::new(Verifier::new(handle, entry.issuer, rules, slot))
            }
        });
    }
    Ok(verifiers)
}

/// Returns the issuers of these verifiers, each once.
pub(super) fn issuers(verifiers: &[Arc<Verifier>]) -> Vec<Arc<Issuer>> {
    let mut seen = HashSet::new();
    let mut issuers = Vec::new();
    for verifier in verifiers {
        let issuer = verifier.issuer();
        if seen.insert(Arc::as_ptr(issuer)) {
            issuers.push(Arc::clone(issuer));
        }
    }
    issuers
}

/// Returns whether an entry has the verifier that it had before.
fn is_unchanged(before: &Verifier, entry: &config::Issuer, issuer: &Arc<Issuer>) -> bool {
    Arc::ptr_eq(before.issuer(), issuer) && *before.rules() == entry.rules
}

fn handle(entry: &config::Issuer, metrics: &Metrics) -> EntryHandle {
    EntryHandle {
        name: Arc::clone(&entry.name),
        metrics: metrics.issuer(&entry.name),
    }
}

/// The issuers of the configuration before and of the next one, by `iss`.
#[derive(Default)]
struct Issuers(HashMap<Arc<str>, Vec<Arc<Issuer>>>);

impl Issuers {
    fn of(before: &[Arc<Verifier>]) -> Self {
        let mut this = Self::default();
        for issuer in issuers(before) {
            this.add(issuer);
        }
        this
    }

    fn add(&mut self, issuer: Arc<Issuer>) {
        let iss = Arc::clone(&issuer.entry().issuer);
        self.0.entry(iss).or_default().push(issuer);
    }

    /// Returns the issuer with the settings of an entry, which is made if there is none.
    fn get(
        &mut self,
        entry: &config::Issuer,
        metrics: &Metrics,
    ) -> Result<Arc<Issuer>, InvalidKeys> {
        let settings = &entry.entry;
        let known = self.0.get(&settings.issuer).into_iter().flatten();
        for issuer in known {
            if issuer.entry() == settings {
                return Ok(Arc::clone(issuer));
            }
        }
        let handles = vec![handle(entry, metrics)];
        let made = Issuer::new(settings.clone(), handles).map_err(|error| InvalidKeys {
            issuer: Arc::clone(&entry.name),
            error,
        })?;
        self.add(Arc::clone(&made));
        Ok(made)
    }
}

/// The slots of the token cache that the verifiers of each issuer have.
#[derive(Default)]
struct Slots(HashMap<*const Issuer, Vec<CacheSlot>>);

impl Slots {
    fn take(&mut self, issuer: &Arc<Issuer>, slot: CacheSlot) {
        self.0.entry(Arc::as_ptr(issuer)).or_default().push(slot);
    }

    /// Takes the first slot that is free.
    fn next(&mut self, issuer: &Arc<Issuer>) -> CacheSlot {
        let taken = self.0.entry(Arc::as_ptr(issuer)).or_default();
        let slot = CacheSlot::first_free(taken);
        taken.push(slot);
        slot
    }
}
