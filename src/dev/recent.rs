//! The values that the embedded issuer keeps between requests: codes and registered clients.

use std::collections::VecDeque;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The most values that are kept of one kind. A trial of a configuration needs a few;
/// whatever else can reach the issuer must not make it grow.
const MAX_VALUES: usize = 1024;

/// The number of random bytes in a name, so that names cannot be guessed (RFC 6749 §10.10).
const NAME_BYTES: usize = 24;

/// Values by random names. A value beyond [`MAX_VALUES`] replaces the oldest.
pub(super) struct Recent<T>(VecDeque<Entry<T>>);

struct Entry<T> {
    name: Box<str>,
    value: T,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    /// Keeps a value and returns its name.
    pub(super) fn add(&mut self, value: T) -> Box<str> {
        if self.0.len() == MAX_VALUES {
            self.0.pop_front();
        }
        let name = new_name();
        self.0.push_back(Entry {
            name: name.clone(),
            value,
        });
        name
    }

    /// Returns the value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let entry = self.0.iter().find(|entry| *entry.name == *name)?;
        Some(&entry.value)
    }

    /// Removes the value of this name and returns it.
    pub(super) fn take(&mut self, name: &str) -> Option<T> {
        let index = self.0.iter().position(|entry| *entry.name == *name)?;
        Some(self.0.remove(index)?.value)
    }
}

/// Returns a random name in the characters of a URL.
pub(super) fn new_name() -> Box<str> {
    let mut bytes = [0; NAME_BYTES];
    rand::fill(&mut bytes).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_until_it_is_taken() {
        let mut recent = Recent::default();
        let (one, two) = (recent.add(1), recent.add(2));
        assert_ne!(one, two);
        assert_eq!((recent.get(&one), recent.get("other")), (Some(&1), None));
        assert_eq!(recent.take(&one), Some(1));
        assert_eq!(recent.take(&one), None);
        assert_eq!(recent.get(&two), Some(&2));
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut recent = Recent::default();
        let first = recent.add(0);
        let second = recent.add(1);
        for value in 2..=MAX_VALUES {
            recent.add(value);
        }
        assert_eq!(recent.get(&first), None);
        assert_eq!(recent.get(&second), Some(&1));
        assert_eq!(recent.0.len(), MAX_VALUES);
    }
}
