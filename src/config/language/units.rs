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
pub(crate) enum Measure {
    /// Time.
    Duration,
    /// Bytes.
    Size,
}

/// An error in the text of a duration or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
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
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    measure(text, Measure::Duration).map(Duration::from_millis)
}

/// Parses a size such as `"8 KiB"`, `"512KiB"`, `"8192 B"`; `"0"` needs no unit.
pub(crate) fn size(text: &str) -> Result<u64, UnitError> {
    measure(text, Measure::Size)
}

/// Returns the amount of a measure that is a part of the program, in milliseconds or bytes. An
/// invalid one does not compile.
pub(crate) const fn constant(text: &str, measure: Measure) -> u64 {
    match parse(text, measure.units()) {
        Ok(amount) => amount,
        #[expect(clippy::panic, reason = "the compiler calls it")]
        Err(_) => panic!("not a whole number with a unit"),
    }
}

/// The flaw of a text that is no measure.
enum Flaw {
    Number,
    MissingUnit,
    UnknownUnit,
    TooLarge,
}

/// Parses a whole number and one of the units. A space may stand between them, and zero needs no
/// unit.
const fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, Flaw> {
    let mut rest = text.as_bytes();
    let mut number = 0_u64;
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        let Some(shifted) = number.checked_mul(10) else {
            return Err(Flaw::TooLarge);
        };
        let Some(sum) = shifted.checked_add((*digit - b'0') as u64) else {
            return Err(Flaw::TooLarge);
        };
        (number, rest) = (sum, more);
    }
    if rest.len() == text.len() {
        return Err(Flaw::Number);
    }
    if let [b' ', more @ ..] = rest {
        rest = more;
    }
    match (rest, number) {
        ([], 0) => return Ok(0),
        ([], _) => return Err(Flaw::MissingUnit),
        ([b'.' | b',' | b'_', ..], _) => return Err(Flaw::Number),
        _ => {}
    }
    let Some(factor) = factor(rest, units) else {
        return Err(Flaw::UnknownUnit);
    };
    match number.checked_mul(factor) {
        Some(amount) => Ok(amount),
        None => Err(Flaw::TooLarge),
    }
}

/// Returns the value of a unit, in milliseconds or bytes.
const fn factor(unit: &[u8], mut units: &[(&str, u64)]) -> Option<u64> {
    while let [(name, factor), more @ ..] = units {
        if are_equal(name.as_bytes(), unit) {
            return Some(*factor);
        }
        units = more;
    }
    None
}

/// Compares texts where the compiler needs it, which cannot use `==`.
const fn are_equal(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([first, more_a @ ..], [second, more_b @ ..]) = (a, b) {
        if *first != *second {
            return false;
        }
        (a, b) = (more_a, more_b);
    }
    a.is_empty() && b.is_empty()
}

fn measure(text: &str, measure: Measure) -> Result<u64, UnitError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    parse(text, measure.units()).map_err(|flaw| match flaw {
        Flaw::Number => UnitError::Number(measure, text.into()),
        Flaw::MissingUnit => UnitError::Missing(measure, number.into()),
        Flaw::UnknownUnit => UnitError::Unknown(measure, unit.into(), measure.meant(unit)),
        Flaw::TooLarge => UnitError::TooLarge(text.into()),
    })
}

impl Measure {
    const fn units(self) -> &'static [(&'static str, u64)] {
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
    pub(crate) fn plain_unit(self) -> &'static str {
        match self {
            Self::Duration => "s",
            Self::Size => " B",
        }
    }
}

/// Formats a duration as a file would write it: in the largest unit that divides it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match largest_divisor(millis, &TIMES) {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}s"),
    }
}

/// Returns the largest unit of which a value is a multiple; `None` for zero.
fn largest_divisor(value: u64, units: &[(&'static str, u64)]) -> Option<(&'static str, u64)> {
    let mut units = units.iter().copied();
    units.find(|(_, factor)| value > 0 && value.is_multiple_of(*factor))
}

/// Formats a size as a file would write it: in the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    match largest_divisor(bytes, &SIZES) {
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
