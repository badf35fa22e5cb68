//! Fuzz target: texts of forms.

use super::form_decoded;
use crate::fuzz::check;

#[test]
fn form_text() {
    check("form_text", |input| {
        let decoded = form_decoded(input);
        assert_eq!(&*decoded, read_slowly(input));
        assert!(decoded.len() <= input.len());
    });
}

/// Reads a text of a form by the URL Standard, one byte after the other.
fn read_slowly(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(*low));
                rest = &after[2..];
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        rest = after;
    }
    out
}

fn digit(byte: u8) -> u8 {
    u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap()
}
