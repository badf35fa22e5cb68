//! Whole numbers.

use std::fmt;
use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use crate::config::language::document::{self, Value};
use crate::config::language::key::{DefaultKey, Field, Key, Kind, Readable};
use crate::config::language::source::Span;

/// A whole number within bounds that the type `N` holds.
#[derive(Clone, Copy)]
pub(crate) struct Count<N> {
    min: u64,
    max: u64,
    number: PhantomData<N>,
}

/// A type of numbers. The bounds of each key are within its range.
pub(crate) trait Number: Copy + Sync + 'static {
    fn saturating(number: u64) -> Self;
}

impl Number for u16 {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for u32 {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for u64 {
    fn saturating(number: u64) -> Self {
        number
    }
}

impl Number for usize {
    fn saturating(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl<N> Count<N> {
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        let number = PhantomData;
        Self { min, max, number }
    }
}

impl<N> Kind for Count<N> {
    fn describe(&self) -> String {
        "a whole number".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(self.min, self.max))
    }

    fn json_schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }
}

impl<N: Number> Readable for Count<N> {
    type Value = N;
    type Default = u64;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<N> {
        let document::Kind::Integer(number) = value.kind else {
            field.mismatch(value);
            return None;
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        let found = number.filter(|number| (self.min..=self.max).contains(number));
        if found.is_none() {
            field.out_of_bounds(value);
        }
        found.map(N::saturating)
    }

    fn default_value(&self, default: u64, _: Span) -> N {
        N::saturating(default)
    }

    fn show(&self, default: u64) -> String {
        default.to_string()
    }
}

impl<N: Number> Key<Count<N>> {
    pub(crate) const fn or(self, default: u64) -> DefaultKey<Count<N>> {
        self.with_default(default)
    }
}

pub(super) fn range(min: impl fmt::Display, max: impl fmt::Display) -> String {
    format!("{min} to {max}")
}
