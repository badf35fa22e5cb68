//! The limits on what a document says about operations and servers.

/// The longest path, in bytes. No client sends one that is longer.
pub(super) const MAX_PATH: usize = 4096;

/// The longest address, in bytes. Values of variables could otherwise make one of any length.
pub(super) const MAX_ADDRESS: usize = 2048;

/// The limit on the schemes and scopes that all operations together inherit from the root. Each of
/// them would otherwise be there once for each operation.
pub(super) const MAX_INHERITED: usize = 200_000;
