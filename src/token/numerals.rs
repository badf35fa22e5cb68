//! Numbers of a JSON text as they are written.
//!
//! The parser reads a number with a fraction, an exponent or more than 64 bits into a float, and
//! forgets its digits. Its own remedy (`arbitrary_precision`) hands such a number on as an object
//! with a member of a certain name, which a token could write as well. So these numbers are looked
//! up in the text: outside of strings nothing else begins with a digit or a minus sign, and the
//! parser meets them in their order.

use std::cell::Cell;

/// The numbers of a text from the first to the last. Only what the parser has read already is
/// looked at, so that it need not be checked again, and each byte once.
pub(super) struct Numerals<'j> {
    rest: Cell<&'j [u8]>,
    /// Numbers that were read and not looked up since the last one that was.
    passed: Cell<usize>,
}

impl<'j> Numerals<'j> {
    pub(super) fn of(json: &'j [u8]) -> Self {
        Self {
            rest: Cell::new(json),
            passed: Cell::new(0),
        }
    }

    /// Goes past the next number.
    pub(super) fn pass(&self) {
        self.passed.set(self.passed.get().saturating_add(1));
    }

    /// The next number; `None` where the text has none any more.
    pub(super) fn take(&self) -> Option<&'j str> {
        for _ in 0..self.passed.replace(0) {
            self.next()?;
        }
        self.next().and_then(|numeral| str::from_utf8(numeral).ok())
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
        let end = rest
            .iter()
            .position(|byte| !is_of_a_number(*byte))
            .unwrap_or(rest.len());
        let (numeral, after) = rest.split_at(end);
        self.rest.set(after);
        Some(numeral)
    }
}

/// Returns the text after a string whose opening quote was read.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    text.get(end?.checked_add(1)?..)
}

fn is_of_a_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
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
