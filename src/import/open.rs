//! What everybody may call, said once.

use std::collections::HashSet;

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
    let mut public = HashSet::with_capacity(planned.len());
    for one in planned {
        if one.rule.access == Access::Public {
            public.insert((one.path.as_str(), one.rule.method));
        }
    }
    let mut findings = Vec::new();
    for operation in api.operations.iter().filter(|one| one.method.writes()) {
        let path = route_path(operation, prefix);
        if path.is_ok_and(|path| public.contains(&(path.as_str(), operation.method.as_str()))) {
            findings.push(open_write(operation));
        }
    }
    findings
}

fn open_write(operation: &Operation<'_>) -> Finding {
    let own = operation.node.get("security");
    let own = own.filter(|_| operation.security.origin == Origin::Operation);
    let place = own.map_or(operation.place, |node| node.place);
    Untranslated::new(Code::OpenWrite, place, "").of(operation)
}
