//! A rule of the route table, and the rules that share a pattern.
//!
//! The rules of one pattern are given as their indices in the list of all rules, in the order in
//! which their methods are tried.

use http::Method;

use super::{ANY, Access, Distinct, HostPattern, MethodPattern, Pattern};

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

/// Returns the rule that answers a method, of the rules of one pattern. `GET` also answers `HEAD`,
/// unless its rule says that it does not; `ANY` stands last and answers the methods that no other
/// rule names.
pub(super) fn rule_for_method<T>(
    shared: &[usize],
    method: &Method,
    rules: &[Rule<T>],
) -> Option<usize> {
    if let Some(index) = rule_naming(shared, method, rules) {
        return Some(index);
    }
    if *method == Method::HEAD
        && let Some(index) = rule_naming(shared, &Method::GET, rules)
        && rules.get(index).is_some_and(|rule| rule.head)
    {
        return Some(index);
    }
    let last = *shared.last()?;
    let is_any = rules.get(last)?.method == MethodPattern::Any;
    (is_any && ANY.contains(method)).then_some(last)
}

#[inline]
fn rule_naming<T>(shared: &[usize], wanted: &Method, rules: &[Rule<T>]) -> Option<usize> {
    for index in shared {
        if let Some(rule) = rules.get(*index)
            && let MethodPattern::One(method) = &rule.method
            && method == wanted
        {
            return Some(*index);
        }
    }
    None
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
/// upstream admits. A pattern that lacks the method admits no caller, and neither does a denied rule:
/// nothing is stricter than that.
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
