//! Names for issuers and upstreams: stable, readable, each used once.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::plan::{Issuer, Upstream};

/// Returns a text as a name: letters, digits, `-` and `_`; other characters become `-`.
pub(super) fn slug(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for char in text.chars() {
        let is_part = char.is_ascii_alphanumeric() || char == '_';
        match is_part {
            true => name.push(char),
            false if name.ends_with('-') => {}
            false => name.push('-'),
        }
    }
    match name.trim_matches('-') {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// The issuers or upstreams of a configuration.
#[derive(Debug)]
pub(super) struct Registry<T> {
    entries: Vec<T>,
    /// The name of each entry, which itself is without its name here.
    names: HashMap<T, String>,
    taken: HashSet<String>,
    /// For each wish the number that is tried next.
    numbers: HashMap<String, usize>,
}

/// An entry with a name.
pub(super) trait Named: Eq + Hash + Clone {
    fn name(&mut self) -> &mut String;
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            names: HashMap::new(),
            taken: HashSet::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Named> Registry<T> {
    /// Returns the name of an entry, whose own name is the one that it would like to have. Equal
    /// entries have one name.
    pub(super) fn name(&mut self, entry: &T) -> String {
        let mut entry = entry.clone();
        let wish = std::mem::take(entry.name());
        if let Some(name) = self.names.get(&entry) {
            return name.clone();
        }
        let name = self.free(wish);
        self.names.insert(entry.clone(), name.clone());
        entry.name().clone_from(&name);
        self.entries.push(entry);
        name
    }

    fn free(&mut self, wish: String) -> String {
        let number = self.numbers.entry(wish.clone()).or_insert(1);
        loop {
            let name = match *number {
                1 => wish.clone(),
                number => format!("{wish}-{number}"),
            };
            *number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Returns the entries, in the order of their names.
    pub(super) fn into_sorted(mut self) -> Vec<T> {
        self.entries
            .sort_by_cached_key(|entry| entry.clone().name().clone());
        self.entries
    }
}

impl Named for Issuer {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }
}

impl Named for Upstream {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(name: &str, url: &str) -> Upstream {
        Upstream {
            name: name.to_owned(),
            comment: String::new(),
            url: url.to_owned(),
            lambda: None,
            server_name: None,
            is_unverified: false,
        }
    }

    #[test]
    fn a_name_is_used_once_and_an_entry_has_one() {
        let mut registry = Registry::default();
        assert_eq!(registry.name(&upstream("a", "http://a")), "a");
        assert_eq!(registry.name(&upstream("a", "http://b")), "a-2");
        assert_eq!(registry.name(&upstream("a", "http://a")), "a");
        assert_eq!(registry.name(&upstream("a", "http://b")), "a-2");
        assert_eq!(registry.into_sorted().len(), 2);
    }

    #[test]
    fn a_slug_is_a_name() {
        for (text, name) in [
            ("orders.example.com:8443", "orders-example-com-8443"),
            ("eu-west-1_AbC", "eu-west-1_AbC"),
            ("..", "unnamed"),
            ("[::1]", "1"),
        ] {
            assert_eq!(slug(text), name);
        }
    }
}
