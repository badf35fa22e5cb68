//! What a document becomes.

use super::finding::Finding;
use super::plan::Plan;

/// The configuration of a document, and what is not in it.
pub(super) struct Translation {
    pub(super) plan: Plan,
    pub(super) findings: Vec<Finding>,
}
