//! Finds the rule that applies to a request, by host, path and method. It does not know what the
//! rules decide.

mod access;
mod cors;
mod field_names;
mod folded;
mod header_rules;
mod host;
mod impersonation;
mod index;
mod marks;
mod method;
mod path;
mod pattern;
mod rewrite;
mod rule;
mod stricter;
mod table;
mod target;
mod tolerant;
mod tree;

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod release_tests;
#[cfg(test)]
mod tolerance_tests;
#[cfg(test)]
mod trial;

pub use access::{Access, Distinct};
pub use cors::{Cors, Origin, OriginError, Origins, origin_of};
pub use field_names::{FieldPattern, FieldSet, is_twin};
pub use header_rules::{Direction, HeaderRuleError, HeaderRules, header_rule_value};
pub use host::{HostError, HostPattern};
pub use impersonation::{Meaning, is_impersonation, is_impersonation_in_trailers, meaning};
pub use method::{ANY, MethodError, MethodPattern};
pub use path::{Ambiguities, Ambiguity};
pub use pattern::{Pattern, PatternError, Segment, Tail};
pub use rewrite::{Rewrite, RewriteError};
pub use rule::Rule;
pub use table::{Conflict, Miss, Table};
pub use target::{Target, TargetError, is_authority};
