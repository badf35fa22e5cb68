//! Keys that stand under a misspelled name. That name is reported, so that the absence of the key
//! need not be.

use crate::config::language::{AnyKey, Reader};

/// The keys of a route that are misspelled, in the route itself or in a table around it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Misspelled {
    pub(super) upstream: bool,
    pub(super) issuer: bool,
}

impl Misspelled {
    pub(super) fn read(reader: &Reader<'_>, upstream: &dyn AnyKey, issuer: &dyn AnyKey) -> Self {
        Self {
            upstream: reader.is_misspelled(upstream),
            issuer: reader.is_misspelled(issuer),
        }
    }

    /// Returns what is misspelled here or in the enclosing table.
    pub(super) fn within(self, outer: Self) -> Self {
        Self {
            upstream: self.upstream || outer.upstream,
            issuer: self.issuer || outer.issuer,
        }
    }
}
