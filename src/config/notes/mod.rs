//! Notes on settings that are valid but deserve attention.

pub(super) mod detours;
pub(super) mod exposure;
pub(super) mod heads;
pub(super) mod issuers;
pub(super) mod limits;
pub(super) mod mcp;
pub(super) mod methods;
pub(super) mod unjudged;
