//! The configuration language: documents with positions, problems, and the reading of tables.

pub(super) mod document;
pub(super) mod json_schema;
pub(super) mod problem;
pub(super) mod reader;
pub(super) mod reference;
pub(super) mod source;
pub(super) mod suggestion;
pub(super) mod units;
