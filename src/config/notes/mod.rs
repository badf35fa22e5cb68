//! Notes on settings that are valid but deserve attention.

pub(super) mod detours;
pub(super) mod exposure;
pub(super) mod heads;
pub(super) mod issuers;
pub(super) mod limits;
pub(super) mod mcp;
pub(super) mod methods;
mod path_mappings;
mod rewritten_path;
pub(super) mod route_table;
mod sample_path;
pub(super) mod unjudged;
