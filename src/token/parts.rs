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
    let Some([first, ..]) = three(text) else {
        return false;
    };
    first.contains("eyJ") || is_jose_header(ending(first))
}

/// The beginnings of PASETO's tokens, which have three parts and are no JWTs.
const PASETO: [&str; 2] = [".local.", ".public."];

/// Returns whether a text ends like a JWT without the beginning of its header: in three parts that
/// are not empty, or in claims and a signature.
pub(super) fn has_cut_header(text: &str) -> bool {
    let Some([first, claims, signature]) = three(text) else {
        return false;
    };
    let is_paseto = PASETO
        .iter()
        .any(|kind| text.get(2..).is_some_and(|text| text.starts_with(kind)));
    let has_header = !ending(first).is_empty() || is_jose_header(claims);
    has_header && is_part(claims) && is_part(signature) && !is_paseto
}

/// Returns the parts of a text that has three.
fn three(text: &str) -> Option<[&str; 3]> {
    let mut parts = text.split('.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// Returns the characters of base64url at the end of a text.
fn ending(text: &str) -> &str {
    text.rsplit(|char| !is_base64url(char))
        .next()
        .unwrap_or_default()
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_base64url)
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
