//! `$ref`: another node of the same document, by a JSON Pointer (RFC 6901).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::{DocumentError, Fault};
use super::limits::MAX_REFERENCED;
use super::node::Node;

/// The limit on the references that lead from one to the next.
const MAX_HOPS: usize = 32;

/// The nodes that `$ref`s may still lead to. A few bytes of them could otherwise stand for any number
/// of nodes, each time one is read.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: MAX_REFERENCED,
        }
    }
}

impl Allowance {
    /// Takes a node that a `$ref` led to.
    ///
    /// # Errors
    /// Returns an error if these are more than [`MAX_REFERENCED`] nodes.
    pub fn take(&mut self, node: &Node) -> Result<(), DocumentError> {
        match self.left.checked_sub(node.size()) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(DocumentError::at(node.place, Fault::TooManyReferenced)),
        }
    }
}

/// Returns the node that a node stands for.
pub(super) fn resolve<'d>(root: &'d Node, node: &'d Node) -> Result<&'d Node, DocumentError> {
    Ok(steps(root, node)?.last().copied().unwrap_or(node))
}

/// Returns the node that a node stands for. What stands beside a `$ref` has no meaning.
pub(super) fn alone<'d>(root: &'d Node, node: &'d Node) -> Result<&'d Node, DocumentError> {
    let steps = steps(root, node)?;
    for step in &steps {
        if step.get("$ref").is_some() && step.entries().len() > 1 {
            return Err(DocumentError::at(step.place, Fault::BesideReference));
        }
    }
    Ok(steps.last().copied().unwrap_or(node))
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
