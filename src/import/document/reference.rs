//! `$ref`: another node of the same document, by a JSON Pointer (RFC 6901).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::{DocumentError, Fault};
use super::node::Node;

/// The limit on the references that lead from one to the next.
const MAX_HOPS: usize = 32;

/// Returns the node that a node stands for.
pub(super) fn resolve<'d>(root: &'d Node, node: &'d Node) -> Result<&'d Node, DocumentError> {
    Ok(steps(root, node)?.last().copied().unwrap_or(node))
}

/// Returns a node and those that its `$ref` leads over, the last of which has none.
pub(super) fn steps<'d>(root: &'d Node, node: &'d Node) -> Result<Vec<&'d Node>, DocumentError> {
    let mut at = node;
    let mut steps = vec![node];
    for _ in 0..MAX_HOPS {
        let Some(target) = at.get("$ref") else {
            return Ok(steps);
        };
        let target = target.text().unwrap_or_default();
        let Some(pointer) = target.strip_prefix('#') else {
            let fault = Fault::RemoteReference(target.into());
            return Err(DocumentError::at(at.place, fault));
        };
        let next = follow(root, pointer);
        at = next.ok_or_else(|| DocumentError::at(at.place, broken(target)))?;
        steps.push(at);
    }
    let target = node.get("$ref").and_then(Node::text).unwrap_or_default();
    let fault = Fault::ReferenceLoop(target.into());
    Err(DocumentError::at(node.place, fault))
}

fn broken(target: &str) -> Fault {
    Fault::BrokenReference(target.into())
}

fn follow<'d>(root: &'d Node, pointer: &str) -> Option<&'d Node> {
    let pointer = percent_decode_str(pointer).decode_utf8().ok()?;
    if pointer.is_empty() {
        return Some(root);
    }
    let mut steps = pointer.strip_prefix('/')?.split('/');
    steps.try_fold(root, |node, step| {
        let step = unescaped(step);
        match node.is_list() {
            true => node.items().get(step.parse::<usize>().ok()?),
            false => node.get(&step),
        }
    })
}

fn unescaped(step: &str) -> Cow<'_, str> {
    match step.contains('~') {
        true => step.replace("~1", "/").replace("~0", "~").into(),
        false => step.into(),
    }
}
