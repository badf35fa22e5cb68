//! What everybody may call, said once.

use super::finding::{Code, Finding, Untranslated};
use super::gather::Planned;
use super::openapi::{Api, Operation, Origin};
use super::options::Prefix;
use super::path::route_path;
use super::plan::Access;

/// Returns the findings about public operations: one about a document without any other, or else
/// one about each that writes.
pub(super) fn open_operations(api: &Api<'_>, prefix: &Prefix, planned: &[Planned]) -> Vec<Finding> {
    if planned.iter().all(|one| one.rule.access == Access::Public) {
        let note = Untranslated::new(Code::OpenDocument, api.root().place, "");
        return vec![note.of_document()];
    }
    let operations = api.operations.iter();
    let open = operations
        .filter(|operation| operation.method.writes() && is_public(operation, prefix, planned));
    open.map(open_write).collect()
}

fn open_write(operation: &Operation<'_>) -> Finding {
    let own = operation.node.get("security");
    let own = own.filter(|_| operation.security.origin == Origin::Operation);
    let place = own.map_or(operation.place, |node| node.place);
    Untranslated::new(Code::OpenWrite, place, "").of(operation)
}

fn is_public(operation: &Operation<'_>, prefix: &Prefix, planned: &[Planned]) -> bool {
    let Ok(path) = route_path(operation, prefix) else {
        return false;
    };
    let mut same = planned.iter().filter(|one| one.path == path);
    let method = operation.method.as_str();
    same.any(|one| one.rule.method == method && one.rule.access == Access::Public)
}
