//! Joins the operations of a path into routes.

use super::document::Place;
use super::plan::{Access, Cors, Group, Handler, Route, Rule, Settings, Tokens};

/// A translated operation.
#[derive(Debug)]
pub(super) struct Planned {
    /// The place of the operation in the document.
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) handler: Handler,
    pub(super) tokens: Tokens,
    pub(super) settings: Settings,
    pub(super) rule: Rule,
}

/// Returns the routes of operations: one for all methods of a path that are handled alike, in the
/// order of the operations.
pub(super) fn routes(operations: Vec<Planned>, cors: impl Fn(&str) -> Option<Cors>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for operation in operations {
        // Operations of a path stand together.
        let of_path = routes.iter_mut().rev();
        let mut of_path = of_path.take_while(|route| route.path == operation.path);
        match of_path.find(|route| fits(route, &operation)) {
            Some(route) => join(route, operation),
            None => routes.push(Route {
                cors: cors(&operation.path),
                place: operation.place,
                path: operation.path,
                handler: operation.handler,
                tokens: operation.tokens,
                settings: operation.settings,
                methods: vec![operation.rule],
            }),
        }
    }
    routes
}

/// Returns whether an operation can be a method of a route: the same handler answers it. One that is
/// denied needs no settings; its handler says which application it protects from other spellings
/// of its path.
fn fits(route: &Route, operation: &Planned) -> bool {
    let is_denied = operation.rule.access == Access::Deny || only_denies(route);
    let has_tokens = !route.tokens.is_empty() && !operation.tokens.is_empty();
    route.handler == operation.handler
        && (is_denied || route.settings == operation.settings)
        && (!has_tokens || route.tokens == operation.tokens)
}

fn only_denies(route: &Route) -> bool {
    let mut methods = route.methods.iter();
    methods.all(|rule| rule.access == Access::Deny)
}

fn join(route: &mut Route, operation: Planned) {
    if only_denies(route) {
        route.settings = operation.settings;
    }
    if route.tokens.is_empty() {
        route.tokens = operation.tokens;
    }
    route.methods.push(operation.rule);
}

/// Moves the tokens that all routes take to the group.
pub(super) fn share_tokens(group: &mut Group) {
    let mut with_tokens = group.routes.iter().filter(|route| !route.tokens.is_empty());
    let Some(first) = with_tokens.next() else {
        return;
    };
    if with_tokens.any(|route| route.tokens != first.tokens) {
        return;
    }
    group.tokens = first.tokens.clone();
    for route in &mut group.routes {
        route.tokens = Tokens::default();
    }
}
