//! The route table in which notes look requests up.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config::{Route, RouteMethod, rules};
use crate::route::Table;

/// The routes of a file, and their table once a note needs it.
pub(crate) struct RouteTable<'c> {
    pub(super) routes: &'c [Arc<Route>],
    table: OnceCell<Option<Table<RouteMethod>>>,
}

impl<'c> RouteTable<'c> {
    pub(crate) fn new(routes: &'c [Arc<Route>]) -> Self {
        Self {
            routes,
            table: OnceCell::new(),
        }
    }

    /// Returns the table; `None` if two routes conflict, which was reported already.
    pub(super) fn get(&self) -> Option<&Table<RouteMethod>> {
        let table = self
            .table
            .get_or_init(|| Table::new(rules(self.routes)).ok());
        table.as_ref()
    }
}
