//! The configuration language: documents with positions, keys and tables, problems, and the reading
//! of tables.

pub(super) mod document;
pub(super) mod json;
pub(super) mod json_schema;
mod key;
mod kind;
pub(super) mod nearness;
pub(super) mod printable;
pub(super) mod problem;
mod reader;
pub(super) mod reference;
mod source;
pub(super) mod suggestion;
pub(super) mod units;

pub(super) use key::{AnyKey, DefaultKey, Key, Table, Tables, quoted};
pub(super) use kind::{
    Choice, Count, Custom, Flag, GIB, KIB, MIB, NamedTables, Size, Str, StrList, Subtable,
    Subtables, Text, Time, Words, WordsOrNone, collect,
};
pub(super) use problem::Problem;
pub(super) use reader::Reader;
pub(super) use source::{SourceFile, Span};
