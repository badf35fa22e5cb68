//! Texts of a request line in the access log, which a client chose freely: its path and its method.

use std::ops::Range;

use super::json::push_char;
use crate::telemetry::quoted;

/// The most bytes of a path that a line shows: as many as a target has by default.
const MAX_PATH: usize = 8 * 1024;

/// The most bytes of a method that a line shows. The longest registered one has 17.
const MAX_METHOD: usize = 32;

/// The stand-in for a token.
const TOKEN: &str = "(a token)";

/// Appends a path as a JSON string. A segment that may hold a token is not shown from there on.
pub(super) fn push_path(out: &mut Vec<u8>, path: &str) {
    push_chosen(out, path, MAX_PATH);
}

/// Appends a method as a JSON string.
pub(super) fn push_method(out: &mut Vec<u8>, method: &str) {
    push_chosen(out, method, MAX_METHOD);
}

/// Appends the content of a JSON string, of at most `max` bytes of a text, without its quotation
/// marks. Formats of the operator's own have them, or not.
pub(super) fn push_value(out: &mut Vec<u8>, text: &str, max: usize) {
    push_checked(out, text, max);
}

/// Appends a text of at most `max` bytes. Most texts need no escape and are copied.
fn push_chosen(out: &mut Vec<u8>, text: &str, max: usize) {
    let mut is_plain = true;
    for byte in text.bytes() {
        // Without an early exit, which few texts would take.
        is_plain &= (b' '..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\');
    }
    out.push(b'"');
    if is_plain && text.len() <= max && !quoted::may_hold_token(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        push_checked(out, text, max);
    }
    out.push(b'"');
}

fn push_checked(out: &mut Vec<u8>, text: &str, max: usize) {
    let shown = beginning(text, max);
    let mut at = 0;
    // The whole text is searched: a token may go on behind the place where the text is cut.
    while let Some(token) = find_token(text, at).filter(|token| token.start < shown.len()) {
        push_escaped(out, text.get(at..token.start).unwrap_or_default());
        out.extend_from_slice(TOKEN.as_bytes());
        at = token.end;
    }
    push_escaped(out, shown.get(at..).unwrap_or_default());
    if shown.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
}

/// Returns the first `max` bytes of a text, or a little less: no character is cut.
fn beginning(text: &str, max: usize) -> &str {
    let mut ends = (0..=max.min(text.len())).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Returns the next part that may be a token: to the end of its segment.
fn find_token(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let start = from + quoted::find_token(rest)?;
    let segment = text.get(start..)?;
    let end = segment
        .find('/')
        .map_or(text.len(), |length| start + length);
    Some(start..end)
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for char in text.chars() {
        push_char(out, char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let mut out = Vec::new();
        push_path(&mut out, text);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0.eyJpc3MiOiJhIn0.c2ln";
        for (text, shown) in [
            ("/Jobs/heyJude".to_owned(), "/Jobs/heyJude"),
            (format!("/verify/{JWT}"), "/verify/(a token)"),
            (format!("/a/{JWT}/b/x{JWT}"), "/a/(a token)/b/x(a token)"),
            (format!("/{JWT}%2F{JWT};a"), "/(a token)"),
        ] {
            assert_eq!(path(&text), shown);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_not_within_a_token() {
        let long = format!("/{}", "é".repeat(MAX_PATH));
        assert_eq!(path(&long), format!("/{}…", "é".repeat(MAX_PATH / 2 - 1)));
        let before = "/".repeat(MAX_PATH - 5);
        let token = format!("{before}eyJ{}", "x".repeat(100));
        assert_eq!(path(&token), format!("{before}(a token)…"));
        let mut out = Vec::new();
        push_method(&mut out, &"M".repeat(40));
        assert_eq!(out, format!("\"{}…\"", "M".repeat(MAX_METHOD)).as_bytes());
    }

    #[test]
    fn no_character_of_a_terminal_is_left() {
        let mut out = Vec::new();
        push_path(&mut out, "/\u{9b}2J\u{202e}\u{7f}é\"\\");
        assert_eq!(out, br#""/\u009b2J\u202e\u007f"#.iter().copied().chain("é\\\"\\\\\"".bytes()).collect::<Vec<_>>());
    }
}
