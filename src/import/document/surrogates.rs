//! The characters that JSON escapes as two halves, such as `"\ud83d\ude00"`. YAML has no such
//! escape, and is otherwise a superset of JSON.

use std::borrow::Cow;

use super::marks::Marks;

/// The length of the escape of one half.
const HALF: usize = r"\ud83d".len();

/// Returns a JSON text in which each pair of halves is one escape of YAML, with the places where it
/// is shorter.
pub(super) fn joined(text: &str) -> (Cow<'_, str>, Marks) {
    let mut marks = Marks::default();
    if !text.contains(r"\ud") && !text.contains(r"\uD") {
        return (text.into(), marks);
    }
    let mut out = String::with_capacity(text.len());
    let (mut line, mut column) = (1, 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (piece, after) = rest.split_at(piece_length(rest, first));
        if let Some(char) = pair(piece) {
            let escape = format!(r"\U{:08x}", u32::from(char));
            marks.shortened_at(line, column);
            column += escape.len();
            out.push_str(&escape);
        } else {
            column += piece.chars().count();
            out.push_str(piece);
        }
        if first == '\n' {
            (line, column) = (line + 1, 0);
        }
        rest = after;
    }
    (out.into(), marks)
}

/// Returns the length of the piece that a text begins with: a pair of halves, another escape, or
/// one character.
fn piece_length(text: &str, first: char) -> usize {
    if first != '\\' {
        return first.len_utf8();
    }
    match text.get(..2 * HALF) {
        Some(both) if pair(both).is_some() => both.len(),
        _ => 1 + text.chars().nth(1).map_or(0, char::len_utf8),
    }
}

/// Returns the character of a pair of halves.
fn pair(text: &str) -> Option<char> {
    let (high, low) = text.split_at_checked(HALF)?;
    let halves = [half(high)?, half(low)?];
    char::decode_utf16(halves).next()?.ok()
}

fn half(text: &str) -> Option<u16> {
    let digits = text
        .strip_prefix(r"\u")
        .filter(|digits| digits.len() == 4)?;
    let half = u16::from_str_radix(digits, 16).ok()?;
    (0xd800..0xe000).contains(&half).then_some(half)
}
