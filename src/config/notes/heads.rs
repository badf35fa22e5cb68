//! Notes on `HEAD` that `head = false` leaves to a rule for other callers than those of `GET`.

use http::Method;

use super::detours::{find, label};
use super::route_table::RouteTable;
use super::sample_path::sample;
use crate::config::context::Context;
use crate::config::language::Problem;
use crate::config::{Route, RouteMethod};
use crate::route::{Access as _, MethodPattern, Rule};

/// Adds a note for each `GET` with `head = false` whose `HEAD` reaches a rule that admits callers
/// that the `GET` refuses.
pub(crate) fn note(context: &Context, table: &RouteTable<'_>) {
    let routes = table.routes;
    if routes.iter().all(|route| route.head) {
        return;
    }
    let Some(table) = table.get() else {
        return;
    };
    for rule in table.rules().iter().filter(|rule| is_without_head(rule)) {
        let Some(own) = routes.get(rule.value.route) else {
            continue;
        };
        let path = sample(&own.pattern);
        let Some(found) = find(table, &Method::HEAD, rule.host.as_ref(), &path) else {
            continue;
        };
        if let Some(other) = routes.get(found.route)
            && !rule.value.admits_all_of(found)
        {
            context.note(Problem::without_span(message(own, other)));
        }
    }
}

fn is_without_head(rule: &Rule<RouteMethod>) -> bool {
    let is_get = matches!(&rule.method, MethodPattern::One(method) if *method == Method::GET);
    is_get && !rule.head
}

fn message(own: &Route, other: &Route) -> String {
    format!(
        "\"head = false\" of route \"{}\" leaves its HEAD to route \"{}\", which admits callers that \
         its GET refuses",
        label(own),
        label(other)
    )
}
