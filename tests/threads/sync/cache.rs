//! A stand-in for `quick_cache::sync::Cache`.

use std::fmt;
use std::marker::PhantomData;

use loom::sync::Mutex;
use quick_cache::Weighter;

/// A map with a limit of weight. The entry that was inserted first leaves first, where the cache itself chooses.
pub(crate) struct Cache<K, V, W, H> {
    /// In the order in which they were inserted, which is the same whatever the hashes are.
    entries: Mutex<Vec<(K, V)>>,
    weighter: W,
    most: u64,
    hasher: PhantomData<H>,
}

/// What the cache does with entries that leave: it drops them.
#[derive(Default)]
pub(crate) struct Lifecycle;

impl<K: PartialEq, V: Clone, W: Weighter<K, V>, H> Cache<K, V, W, H> {
    pub(crate) fn with(_entries: usize, most: u64, weighter: W, _hasher: H, _: Lifecycle) -> Self {
        Self {
            entries: Mutex::new(Vec::new()),
            weighter,
            most,
            hasher: PhantomData,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock().unwrap();
        let (_, value) = entries.iter().find(|(one, _)| one == key)?;
        Some(value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|(one, _)| *one != key);
        entries.push((key, value));
        while entries.len() > 1 && self.weight(&entries) > self.most {
            entries.remove(0);
        }
    }

    pub(crate) fn retain(&self, mut is_kept: impl FnMut(&K, &V) -> bool) {
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|(key, value)| is_kept(key, value));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    fn weight(&self, entries: &[(K, V)]) -> u64 {
        let weights = entries
            .iter()
            .map(|(key, value)| self.weighter.weight(key, value));
        weights.sum()
    }
}

impl<K, V, W, H> fmt::Debug for Cache<K, V, W, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}
