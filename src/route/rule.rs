//! A rule of the route table, and the rules that share a pattern.
//!
//! The rules of one pattern are given as their indices in the list of all rules, in the order of
//! their methods.

use http::Method;

use super::{Access, Distinct, Fit, HostPattern, MethodPattern, Pattern};

/// A line of the route table: the requests that it applies to, and the value for them.
#[derive(Debug)]
pub struct Rule<T> {
    /// The host; `None` for every host that no other rule names.
    pub host: Option<HostPattern>,
    /// The path.
    pub pattern: Pattern,
    /// The method.
    pub method: MethodPattern,
    /// The group that falls through: a method that this pattern lacks is looked up in less specific
    /// patterns of the same group. `None` if it is not looked up any further.
    pub method_fallthrough: Option<usize>,
    /// Set if `GET` also answers `HEAD` where no rule of the same pattern names it.
    pub head: bool,
    /// The differences that the application of this rule distinguishes. Paths that differ from the
    /// pattern only by them are not refused to protect this rule.
    pub distinct: Distinct,
    /// The value that a look-up returns.
    pub value: T,
}

/// Returns the pattern of rules that share one.
pub(super) fn pattern_of<'t, T>(shared: &[usize], rules: &'t [Rule<T>]) -> Option<&'t Pattern> {
    Some(&rules.get(*shared.first()?)?.pattern)
}

/// Returns the rule that answers a method, of the rules of one pattern: the one that names it, or
/// else the one whose method fits it most closely.
pub(super) fn rule_for_method<T>(
    shared: &[usize],
    method: &Method,
    rules: &[Rule<T>],
) -> Option<usize> {
    let mut closest = None;
    for index in shared {
        let Some(rule) = rules.get(*index) else {
            continue;
        };
        let fit = rule.method.fit(method, rule.head);
        if fit == Some(Fit::Named) {
            return Some(*index);
        }
        if fit > closest.map(|(fit, _)| fit) {
            closest = fit.map(|fit| (fit, *index));
        }
    }
    closest.map(|(_, index)| index)
}

/// Returns the first rule in the file, of the rules of one pattern, that leads to the same upstream
/// as another rule.
pub(super) fn rule_of_same_upstream<T: Access>(
    shared: &[usize],
    rules: &[Rule<T>],
    other: &Rule<T>,
) -> Option<usize> {
    let mut first = None;
    for index in shared {
        if let Some(rule) = rules.get(*index)
            && rule.value.same_upstream(&other.value)
            && first.is_none_or(|known| *index < known)
        {
            first = Some(*index);
        }
    }
    first
}

/// Returns whether the rules of one pattern refuse, for a method, a caller that a rule of the same
/// upstream admits. A pattern that lacks the method admits no caller, and neither does a denied
/// rule: nothing is stricter than that.
pub(super) fn refuses<T: Access>(
    shared: &[usize],
    rules: &[Rule<T>],
    method: &Method,
    other: &Rule<T>,
) -> bool {
    if other.value.is_denied() || rule_of_same_upstream(shared, rules, other).is_none() {
        return false;
    }
    match rule_for_method(shared, method, rules).and_then(|index| rules.get(index)) {
        None => true,
        Some(rule) => {
            !rule.value.same_upstream(&other.value) || !rule.value.admits_all_of(&other.value)
        }
    }
}
