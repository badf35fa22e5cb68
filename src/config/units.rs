//! Durations and sizes: numbers with a unit, so that a file never leaves open whether `30` means
//! seconds.

use std::fmt;
use std::time::Duration;

/// The units of time in milliseconds, the largest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The units of size in bytes, the largest first. Powers of 1024 have an `i` in their name (IEC
/// 80000-13).
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// The quantity that a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Time.
    Duration,
    /// Bytes.
    Size,
}

/// An error in the text of a duration or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// A number without a unit.
    Missing(Measure, Box<str>),
    /// A number with an unknown unit, and the unit that was probably meant, if there is one.
    Unknown(Measure, Box<str>, Option<&'static str>),
    /// A text that does not begin with a whole number.
    Number(Measure, Box<str>),
    /// A value that does not fit in 64 bits.
    TooLarge(Box<str>),
}

/// Parses a duration such as `"200ms"`, `"30s"`, `"10m"`, `"24h"`, `"7d"`; `"0"` needs no unit.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    measure(text, Measure::Duration).map(Duration::from_millis)
}

/// Parses a size such as `"8 KiB"`, `"512KiB"`, `"8192 B"`; `"0"` needs no unit.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    measure(text, Measure::Size)
}

fn measure(text: &str, measure: Measure) -> Result<u64, UnitError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Number(measure, text.into()));
    }
    let value: u64 = number
        .parse()
        .map_err(|_| UnitError::TooLarge(text.into()))?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() {
        return if value == 0 {
            Ok(0)
        } else {
            Err(UnitError::Missing(measure, number.into()))
        };
    }
    if unit.starts_with(['.', ',', '_']) {
        return Err(UnitError::Number(measure, text.into()));
    }
    let Some((_, factor)) = measure.units().iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::Unknown(
            measure,
            unit.into(),
            measure.meant(unit),
        ));
    };
    value
        .checked_mul(*factor)
        .ok_or_else(|| UnitError::TooLarge(text.into()))
}

impl Measure {
    fn units(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Duration => &TIMES,
            Self::Size => &SIZES,
        }
    }

    /// Returns the unit that was probably meant by a unit of other languages: nginx's `8k`, Go's
    /// and Envoy's units, whole words.
    fn meant(self, unit: &str) -> Option<&'static str> {
        let unit = unit.to_ascii_lowercase();
        let unit = unit
            .strip_suffix('s')
            .filter(|word| word.len() > 2)
            .unwrap_or(&unit);
        Some(match (self, unit) {
            (Self::Duration, "msec" | "milli" | "millisecond") => "ms",
            (Self::Duration, "s" | "sec" | "second") => "s",
            (Self::Duration, "m" | "min" | "minute") => "m",
            (Self::Duration, "h" | "hr" | "hour") => "h",
            (Self::Duration, "d" | "day") => "d",
            (Self::Size, "b" | "byte") => "B",
            (Self::Size, "k" | "kb" | "kib" | "ki") => "KiB",
            (Self::Size, "m" | "mb" | "mib" | "mi") => "MiB",
            (Self::Size, "g" | "gb" | "gib" | "gi") => "GiB",
            _ => return None,
        })
    }

    fn example(self) -> &'static str {
        match self {
            Self::Duration => "a duration is a whole number with ms, s, m, h or d, such as \"30s\"",
            Self::Size => "a size is a whole number with B, KiB, MiB or GiB, such as \"8 KiB\"",
        }
    }

    /// Returns the unit that a bare number most likely has: seconds and bytes, as in nginx and JWT.
    pub(super) fn plain_unit(self) -> &'static str {
        match self {
            Self::Duration => "s",
            Self::Size => " B",
        }
    }
}

/// Formats a duration as a file would write it: in the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match TIMES
        .iter()
        .find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}s"),
    }
}

/// Formats a size as a file would write it: in the largest unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    match SIZES
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(measure, number) => {
                write!(
                    f,
                    "add a unit to \"{number}\", such as \"{number}{}\"",
                    measure.plain_unit()
                )
            }
            Self::Unknown(_, unit, Some(meant)) => {
                write!(f, "\"{unit}\" is not a unit; did you mean \"{meant}\"?")
            }
            Self::Unknown(measure, unit, None) => {
                write!(f, "\"{unit}\" is not a unit: {}", measure.example())
            }
            Self::Number(measure, text) => write!(f, "\"{text}\": {}", measure.example()),
            Self::TooLarge(text) => write!(f, "\"{text}\" is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_number_and_one_unit() {
        for (text, millis) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "", "s", "-1s", "1.5s", "1h30m", "30  s", " 30s", "30s ", "1_000ms",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_tells_1000_from_1024() {
        for (text, bytes) in [
            ("8 KiB", 8192),
            ("512KiB", 524_288),
            ("1 MB", 1_000_000),
            ("8192 B", 8192),
            ("2 GiB", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_error_says_what_to_write() {
        let says = |result: Result<Duration, UnitError>| result.unwrap_err().to_string();
        assert_eq!(
            says(duration("30")),
            "add a unit to \"30\", such as \"30s\""
        );
        assert_eq!(
            says(duration("30sec")),
            "\"sec\" is not a unit; did you mean \"s\"?"
        );
        assert!(
            says(duration("30 parsecs")).starts_with("\"parsecs\" is not a unit: a duration is")
        );
        assert_eq!(
            size("8k").unwrap_err().to_string(),
            "\"k\" is not a unit; did you mean \"KiB\"?"
        );
        assert_eq!(
            size("8").unwrap_err().to_string(),
            "add a unit to \"8\", such as \"8 B\""
        );
        assert!(
            duration("99999999999999999999s")
                .unwrap_err()
                .to_string()
                .ends_with("is too large")
        );
        assert!(duration("999999999999999999d").is_err());
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["200ms", "30s", "90s", "10m", "24h", "0s"] {
            let shown = show_duration(duration(text).unwrap());
            assert_eq!(duration(&shown), duration(text), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_size(65_536), "64 KiB");
        assert_eq!(show_size(1_000_000), "1 MB");
        assert_eq!(show_size(0), "0 B");
    }
}
