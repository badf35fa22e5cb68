//! Which rule speaks for this request. Knows hosts, paths and methods, and nothing of what is decided there.

mod host;
mod method;
mod path;
mod pattern;
mod table;
mod target;

pub use host::{HostError, HostPattern};
pub use method::{ANY, MethodError, MethodPattern};
pub use path::{Ambiguities, Ambiguity};
pub use pattern::{Pattern, PatternError, Segment, Tail};
pub use table::{Conflict, Miss, Rule, Table};
pub use target::{Target, TargetError};
