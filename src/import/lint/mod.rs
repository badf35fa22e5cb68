//! The comparison of a configuration with a document: what one of them has and the other has not,
//! and where the configuration admits more callers.

mod callers;
mod comparison;
mod contract;
mod model;
pub(super) mod paths;
mod pattern_tree;
mod prefixes;

pub use contract::{Reading, contract};
pub use model::{Callers, Contract, Difference, Kind, Operation, RouteName, TokenKind};
pub use prefixes::prefixes;

use comparison::Comparison;

use crate::config::Config;
use crate::route::Conflict;

/// The result of a comparison.
#[derive(Clone, Debug)]
pub struct Comparing<P> {
    /// The differences, those that matter most first.
    pub differences: Vec<Difference<P>>,
    /// The number of operations that a route denies.
    pub denied: usize,
    /// The number of operations that a route answers, each method of them.
    pub answered: usize,
}

/// Compares a configuration with a document.
///
/// # Errors
/// Returns the indices of two operations with the same method and path.
pub fn compare<P: Clone>(
    config: &Config,
    contract: &Contract<P>,
) -> Result<Comparing<P>, Conflict> {
    let comparison = Comparison::new(config, contract)?;
    let missing = comparison.operations_without_route();
    let answered = contract.operations.len().saturating_sub(missing.len());
    let mut differences = comparison.other_callers();
    differences.extend(missing);
    differences.extend(comparison.routes_without_operation());
    differences.extend(comparison.scopes());
    differences.sort_by_key(|difference| difference.kind);
    Ok(Comparing {
        differences,
        denied: comparison.denied(),
        answered,
    })
}

#[cfg(test)]
mod tests;
