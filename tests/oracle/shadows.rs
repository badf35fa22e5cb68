//! The paths that are refused because an application may read them as those of a stricter route.

use scopegate::config::{Handler, Route};
use scopegate::policy::Requirement;

use crate::decide::{Entry, Request, answering, fits, group};
use crate::reading::{Path, Readings, is_literal};
use crate::scopes::admits_all_of;

/// Returns whether an application may take the path of a request for one of a stricter pattern.
pub(crate) fn shadows(other: &[Entry<'_>], found: &Entry<'_>, request: &Request<'_>) -> bool {
    is_stricter(other, found, request.method)
        && !fits(&other[0].path.segments, &request.path.segments)
        && Rivals::new(other, found).are_mistaken_on(request.path)
}

/// Returns whether a pattern that leads to the same upstream refuses a caller whom the found entry
/// lets pass. A method that it lacks refuses everybody; but in a group that falls through, where
/// the found path has all paths of the pattern, the method goes on to the found entry.
fn is_stricter(other: &[Entry<'_>], found: &Entry<'_>, method: &str) -> bool {
    let leads_there = |entry: &&Entry<'_>| is_same_upstream(entry.route, found.route);
    let is_own_group = group(other).is_some() && group(other) == found.route.method_fallthrough;
    let goes_on = is_own_group
        && answering(other, method).is_none()
        && covers(&found.path.segments, &other[0].path.segments);
    if goes_on || *found.asks == Requirement::Denied || other.iter().all(|own| !leads_there(&own)) {
        return false;
    }
    let entry = answering(other, method).filter(leads_there);
    entry.is_none_or(|entry| !admits_all_of(entry, found))
}

/// Returns whether a pattern fits every path that another one fits.
fn covers(pattern: &[String], other: &[String]) -> bool {
    let is_filled = |segment: &String| !["", "**"].contains(&segment.as_str());
    match (pattern, other) {
        ([tail], _) if tail == "**" => true,
        ([tail], [first, ..]) if tail == "{+}" => is_filled(first),
        ([own, pattern @ ..], [tail]) if own == "{}" && tail == "{+}" => {
            covers(pattern, &["**".to_owned()])
        }
        ([own, pattern @ ..], [first, other @ ..]) => {
            (own == first || own == "{}" && is_filled(first)) && covers(pattern, other)
        }
        _ => pattern.is_empty() && other.is_empty(),
    }
}

/// Returns whether two routes lead to one upstream. A denied route without one is for all of them.
fn is_same_upstream(one: &Route, other: &Route) -> bool {
    match (&one.handler, &other.handler) {
        (Handler::Upstream(one), Handler::Upstream(other)) => one == other,
        (Handler::Respond(_), _) | (_, Handler::Respond(_)) => false,
        (Handler::Nobody, _) | (_, Handler::Nobody) => true,
    }
}

/// The stricter path and the found one, and what the application of the stricter one distinguishes.
struct Rivals<'p> {
    stricter: &'p Path,
    found: &'p Path,
    keeps_slash: bool,
    folds: bool,
}

impl<'p> Rivals<'p> {
    fn new(other: &'p [Entry<'_>], found: &'p Entry<'_>) -> Self {
        let stricter = &other[0].path;
        Self {
            stricter,
            found: &found.path,
            keeps_slash: stricter.is_closed() && other.iter().all(|own| own.route.distinct.slash),
            folds: !other.iter().all(|own| own.route.distinct.case),
        }
    }

    /// Returns whether the stricter path goes before the found one in some reading of a path, and
    /// the found one does not spell the difference: it has each of these readings, with a literal
    /// that the stricter one has not, and there is one of them for which nothing but its literals
    /// is read.
    fn are_mistaken_on(&self, path: &Path) -> bool {
        let stricter = self.stricter.readings(self.folds);
        let mut before = path
            .readings(self.folds)
            .iter()
            .filter(|reading| self.is_first(stricter, reading))
            .peekable();
        if before.peek().is_none() {
            return false;
        }
        let is_spelled = |index: usize| {
            self.found
                .segments
                .get(index)
                .is_some_and(|text| is_literal(text))
        };
        let is_told_apart = (0..self.found.segments.len())
            .any(|index| is_spelled(index) && self.differs_at(index))
            && before.all(|(reading, _)| self.is_found(reading));
        let spelled = || self.stricter.read_where(self.folds, is_spelled);
        let readings = || path.read_where(self.folds, is_spelled);
        !is_told_apart
            || !readings()
                .iter()
                .any(|reading| self.is_first(&spelled(), reading))
    }

    /// Returns whether the stricter path, in one of these readings, goes before the found one.
    fn is_first(&self, stricter: &Readings, (reading, slash): &(Vec<String>, bool)) -> bool {
        let is_told_apart = self.keeps_slash && self.stricter.ends_in_slash() != *slash;
        !is_told_apart
            && stricter.iter().any(|(own, _)| fits(own, reading))
            && (!self.is_found(reading) || self.stricter.rank(*slash) < self.found.rank(*slash))
    }

    fn is_found(&self, reading: &[String]) -> bool {
        self.found
            .readings(self.folds)
            .iter()
            .any(|(own, _)| fits(own, reading))
    }

    /// Returns whether the stricter path has another literal at this place, or ends before it.
    fn differs_at(&self, index: usize) -> bool {
        match self.stricter.segments.get(index) {
            Some(text) => is_literal(text) && *text != self.found.segments[index],
            None => self.stricter.is_closed(),
        }
    }
}
