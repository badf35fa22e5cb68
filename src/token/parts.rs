//! The form of a token's parts, in base64url (RFC 7515 §2).

/// Returns whether a text begins with the header of a JWT, which is a JSON object.
pub(super) fn is_jose_header(text: &str) -> bool {
    // The first character of base64url has the high bits of `{`, and of no blank.
    let mut chars = text.bytes();
    chars.next() == Some(b'e')
        && matches!(chars.next(), Some(b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Returns whether the first of three parts has the beginning of a header after something else.
pub(super) fn has_prefix(text: &str) -> bool {
    let first = text.split('.').next().unwrap_or_default();
    first.contains("eyJ") && text.split('.').count() == 3
}

/// Returns whether base64url has the character.
pub(super) fn is_base64url(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

/// Returns whether a token in parts may have the character.
pub(super) fn may_have(char: char) -> bool {
    is_base64url(char) || char == '.'
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_header_begins_with_a_brace() {
        for byte in 0..=u8::MAX {
            let text = URL_SAFE_NO_PAD.encode([byte, b'"', b'a']);
            assert_eq!(is_jose_header(&text), byte == b'{', "{byte}");
        }
        assert!(!is_jose_header("") && !is_jose_header("e") && !is_jose_header(".e30"));
    }
}
