//! Finds the rule that applies to a request, by host, path and method. It does not know what the
//! rules decide.

mod access;
mod folded;
mod forms;
mod host;
mod index;
mod marks;
mod method;
mod path;
mod pattern;
mod rule;
mod stricter;
mod table;
mod target;
mod tolerant;
mod tree;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod release_tests;
#[cfg(test)]
mod tolerance_tests;
#[cfg(test)]
mod trial;

pub use access::{Access, Distinct};
pub(crate) use host::is_host;
pub use host::{HostError, HostPattern};
pub use method::{ANY, Fit, MethodError, MethodPattern};
pub use path::{Ambiguities, Ambiguity};
pub use pattern::{Pattern, PatternError, Segment, Tail, is_parameter_name};
pub use rule::Rule;
pub use table::{Conflict, Miss, Table};
pub use target::{Target, TargetError, is_authority};
#[cfg(test)]
pub(crate) use trial::{Draw, Numbers};
