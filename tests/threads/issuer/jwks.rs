use std::sync::Arc;

use super::Key;

pub(crate) use scopegate::issuer::{JwksError, Skips};

/// A set of keys that no document has.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    pub(crate) keys: Vec<Arc<Key>>,
    pub(crate) skips: Skips,
}

impl KeySet {
    pub(crate) fn of(kids: &[&str]) -> Self {
        Self {
            keys: kids.iter().map(|kid| Arc::new(Key::new(kid))).collect(),
            skips: Skips::default(),
        }
    }

    /// No issuer of a model has its keys from a text.
    pub(crate) fn parse(_: &[u8], _: usize) -> Result<Self, JwksError> {
        Ok(Self::default())
    }
}
