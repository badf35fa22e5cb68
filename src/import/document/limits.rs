//! The limits on a document.

/// The limit on the bytes of a file: that of API Gateway's own import.
pub const MAX_BYTES: usize = 6 << 20;

/// The limit on the levels of lists and maps, one in another. Exports have about twenty.
pub const MAX_DEPTH: usize = 64;

/// The limit on the nodes of a document.
pub const MAX_NODES: usize = 1_000_000;

/// The limit on the nodes that anchors and aliases copy. A few bytes of aliases could otherwise
/// stand for any number of nodes.
pub const MAX_ALIASED: usize = 100_000;

/// The limit on the nodes that `$ref`s lead to, for the same reason.
pub const MAX_REFERENCED: usize = 1_000_000;
