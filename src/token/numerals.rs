//! The numbers of a JSON text as they are written.
//!
//! The JSON parser reads a number with a fraction, an exponent or more than 64 bits into a float,
//! and drops its digits. Its own remedy (`arbitrary_precision`) represents such a number as an
//! object with a certain member, which a token could contain as well. So these numbers are looked
//! up in the text. Outside of strings, only numbers begin with a digit or a minus sign, and the
//! parser reads them in order.

use std::cell::Cell;

/// An iterator over the numbers of a text. It inspects only bytes that the parser has already
/// accepted, so they need no second check, and each byte once.
pub(super) struct Numerals<'j> {
    rest: Cell<&'j [u8]>,
    /// The number of integers that the parser has read since the last look-up.
    passed: Cell<usize>,
}

impl<'j> Numerals<'j> {
    pub(super) fn of(json: &'j [u8]) -> Self {
        Self {
            rest: Cell::new(json),
            passed: Cell::new(0),
        }
    }

    /// Notes that the parser has read an integer, whose digits are not needed.
    pub(super) fn pass(&self) {
        self.passed.set(self.passed.get().saturating_add(1));
    }

    /// Returns the number that the parser has just read; `None` if the text has no more numbers.
    pub(super) fn take(&self) -> Option<&'j str> {
        for _ in 0..self.passed.replace(0) {
            self.next()?;
        }
        str::from_utf8(self.next()?).ok()
    }

    fn next(&self) -> Option<&'j [u8]> {
        let mut rest = self.rest.get();
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b'"' => rest = after_string(after)?,
                b'-' | b'0'..=b'9' => break,
                _ => rest = after,
            }
        }
        let end = rest.iter().position(is_outside_a_number);
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.rest.set(after);
        Some(number)
    }
}

/// Returns the text after a string whose opening quote was read.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
            [] => return None,
        }
    }
}

fn is_outside_a_number(byte: &u8) -> bool {
    !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_between_strings() {
        let json = br#"{"1":-0,"\"2\\":["3\\\"4",5.0,true,null,{"e6":7E-8}],"9":10}"#;
        let numerals = Numerals::of(json);
        assert_eq!(numerals.take(), Some("-0"));
        numerals.pass();
        assert_eq!(numerals.take(), Some("7E-8"));
        assert_eq!(numerals.take(), Some("10"));
        assert_eq!(numerals.take(), None);
        numerals.pass();
        assert_eq!(numerals.take(), None);
        assert_eq!(Numerals::of(br#""1"#).take(), None);
    }
}
