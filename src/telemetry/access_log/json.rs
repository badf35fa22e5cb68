//! JSON, written by hand.

use serde::Serialize;

/// Writes a string as JSON (RFC 8259 §7). Most strings need no escapes and are copied.
pub fn push_json(out: &mut Vec<u8>, text: &str) {
    let mut is_plain = true;
    for byte in text.bytes() {
        // Without an early exit, which few texts would take.
        is_plain &= (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    }
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        push(out, text);
    }
}

/// Writes a value with a serializer.
pub(super) fn push(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Strings and numbers always serialize.
    let _ = serde_json::to_writer(out, value);
}

/// Appends a character of a JSON string. One that a terminal acts on or does not show, or at which
/// some reader ends a line, is escaped (RFC 8259 §7).
pub(super) fn push_char(out: &mut Vec<u8>, char: char) {
    match char {
        '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        ' '..='~' => out.push(char as u8),
        char if char.escape_debug().count() == 1 => {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        char => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
}
