//! Sizes and durations.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::Value as Json;

use super::count::{Number, range};
use super::text::Str;
use crate::config::language::document::{self, Value};
use crate::config::language::json::reference;
use crate::config::language::key::{DefaultKey, Field, Key, Kind, Readable};
use crate::config::language::source::Span;
use crate::config::language::units::{self, Measure, show_duration, show_size};

/// A number of bytes within bounds that the type `N` holds.
#[derive(Clone, Copy)]
pub(crate) struct Size<N> {
    min: u64,
    max: u64,
    number: PhantomData<N>,
}

/// A duration within bounds.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    min: Duration,
    max: Duration,
}

/// A duration or size as it stands in the program.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    text: &'static str,
    /// In milliseconds or bytes.
    amount: u64,
}

impl Written {
    const fn new(text: &'static str, measure: Measure) -> Self {
        let amount = units::constant(text, measure);
        Self { text, amount }
    }
}

impl<N> Size<N> {
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        let number = PhantomData;
        Self { min, max, number }
    }
}

impl<N> Kind for Size<N> {
    fn describe(&self) -> String {
        "a size".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(show_size(self.min), show_size(self.max)))
    }

    fn json_schema(&self) -> Json {
        reference("size")
    }
}

impl<N: Number> Readable for Size<N> {
    type Value = N;
    type Default = Written;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<N> {
        let text = measure_text(field, value, Measure::Size)?;
        let size = measured(field, value.span, units::size(&text))?;
        if !(self.min..=self.max).contains(&size) {
            field.out_of_bounds(value);
            return None;
        }
        Some(N::saturating(size))
    }

    fn default_value(&self, default: Written, _: Span) -> N {
        N::saturating(default.amount)
    }

    fn show(&self, default: Written) -> String {
        Str.show(default.text)
    }
}

impl<N: Number> Key<Size<N>> {
    pub(crate) const fn or(self, default: &'static str) -> DefaultKey<Size<N>> {
        self.with_default(Written::new(default, Measure::Size))
    }
}

impl Time {
    /// A duration of at least one millisecond, for keys where zero would refuse everything.
    pub(crate) const POSITIVE: Self = Self::new(Duration::from_millis(1), YEAR);
    /// A duration of zero or more.
    pub(crate) const ANY: Self = Self::new(Duration::ZERO, YEAR);

    pub(crate) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }
}

/// The longest duration. A longer one is an error of the unit, and unbounded durations overflow
/// clocks.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Kind for Time {
    fn describe(&self) -> String {
        "a duration".into()
    }

    fn bounds(&self) -> Option<String> {
        Some(range(show_duration(self.min), show_duration(self.max)))
    }

    fn json_schema(&self) -> Json {
        reference("duration")
    }
}

impl Readable for Time {
    type Value = Duration;
    type Default = Written;

    fn read(&self, field: &Field<'_>, value: &Value) -> Option<Duration> {
        let text = measure_text(field, value, Measure::Duration)?;
        let duration = measured(field, value.span, units::duration(&text))?;
        if !(self.min..=self.max).contains(&duration) {
            field.out_of_bounds(value);
            return None;
        }
        Some(duration)
    }

    fn default_value(&self, default: Written, _: Span) -> Duration {
        Duration::from_millis(default.amount)
    }

    fn show(&self, default: Written) -> String {
        Str.show(default.text)
    }
}

impl Key<Time> {
    pub(crate) const fn or(self, default: &'static str) -> DefaultKey<Time> {
        self.with_default(Written::new(default, Measure::Duration))
    }
}

/// Returns the text of a duration or size. Zero needs no unit; for any other bare number the
/// problem suggests a unit.
fn measure_text(field: &Field<'_>, value: &Value, measure: Measure) -> Option<String> {
    match &value.kind {
        document::Kind::Text(text) => Some(text.clone()),
        document::Kind::Integer(Some(0)) => Some("0".into()),
        document::Kind::Integer(Some(number)) if *number > 0 => {
            let (name, unit) = (field.name(), measure.plain_unit());
            let message =
                format!("\"{name}\" has no unit: write, for example, {name} = \"{number}{unit}\"");
            field.problem(value.span, message);
            None
        }
        _ => {
            field.mismatch(value);
            None
        }
    }
}

/// Returns an amount, or reports why the text is none.
fn measured<T>(field: &Field<'_>, span: Span, amount: Result<T, units::UnitError>) -> Option<T> {
    amount
        .inspect_err(|error| field.problem(span, format!("\"{}\": {error}", field.name())))
        .ok()
}

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
