//! The carry-over of a reload: the parts that the next configuration has in common with the one
//! before, such as upstreams, pools and tasks. They stay the same ones, with their state.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The parts of the configuration before, by their identity. The next configuration takes those
/// that it has as well.
#[derive(Debug)]
pub struct CarryOver<K, T>(HashMap<K, T>);

impl<K: Eq + Hash, T> CarryOver<K, T> {
    /// Collects the parts of the configuration before. No two of them may have the same identity.
    pub fn new(before: impl IntoIterator<Item = T>, identity: impl Fn(&T) -> K) -> Self {
        let mut parts = HashMap::new();
        for part in before {
            parts.insert(identity(&part), part);
        }
        Self(parts)
    }

    /// Takes the part with this identity, if there was one.
    pub fn take<Q>(&mut self, identity: &Q) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.remove(identity)
    }

    /// Returns the parts that were not taken, in any order: the next configuration does not have
    /// them.
    pub fn left(self) -> impl Iterator<Item = T> {
        self.0.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_once_and_the_others_are_left() {
        let before = ["orders at one", "billing at two", "search at three"];
        let mut carry_over = CarryOver::new(before, |part| part.split_once(' ').unwrap().0);
        assert_eq!(carry_over.take("billing"), Some("billing at two"));
        assert_eq!(carry_over.take("billing"), None);
        assert_eq!(carry_over.take("unknown"), None);
        let mut left: Vec<_> = carry_over.left().collect();
        left.sort_unstable();
        assert_eq!(left, ["orders at one", "search at three"]);
    }
}
