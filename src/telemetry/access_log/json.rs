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
