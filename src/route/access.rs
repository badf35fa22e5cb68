//! The comparison of the values of two rules, for the rule *Tolerant reading*.

use super::Ambiguities;

/// The comparison of two route values for one method.
pub trait Access {
    /// Returns the ambiguities that the route allows.
    fn allows(&self) -> Ambiguities;
    /// Returns whether both lead to the same upstream.
    fn same_upstream(&self, other: &Self) -> bool;
    /// Returns whether the route refuses every request.
    fn is_denied(&self) -> bool;
    /// Returns whether this value admits every caller that `other` admits.
    fn admits_all_of(&self, other: &Self) -> bool;
    /// Returns a number that is the same for values that lead to the same upstream and admit the
    /// same callers.
    fn class(&self) -> usize;
}

/// The differences between paths that an application distinguishes and the tolerant reading does
/// not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// Set when `/admin/` is another path than `/admin`.
    pub slash: bool,
    /// Set when `/Admin` is another path than `/admin`.
    pub case: bool,
}

impl Distinct {
    /// The names in the configuration, in the order of the fields.
    pub const NAMES: [&str; 2] = ["slash", "case"];

    /// Returns the differences that both distinguish.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            slash: self.slash && other.slash,
            case: self.case && other.case,
        }
    }

    /// Returns the names of the differences that are distinguished.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let [slash, case] = Self::NAMES;
        let names = [self.slash.then_some(slash), self.case.then_some(case)];
        names.into_iter().flatten()
    }
}
