//! The content of messages of HTTP: which responses have none, and how a form is written in it.

#[cfg(test)]
mod fuzz;

use std::borrow::Cow;

use http::StatusCode;
use percent_encoding::percent_decode;

/// Returns whether a final response of this status ends with its head, whatever length its fields
/// state (RFC 9112 §6.3).
#[must_use]
pub fn ends_with_head(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Returns whether a final response of this status has no content of its own. That of 205 is empty,
/// and framed like any other (RFC 9110 §15.3.6).
#[must_use]
pub fn is_absent(status: StatusCode) -> bool {
    ends_with_head(status) || status == StatusCode::RESET_CONTENT
}

/// Decodes a name or a value of a form or of a query: `+` is a space, and escapes are bytes. An
/// escape that is none is text.
#[must_use]
pub fn form_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let mut spaced = text.to_vec();
    for byte in &mut spaced {
        if *byte == b'+' {
            *byte = b' ';
        }
    }
    percent_decode(&spaced).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_framed_and_has_no_content() {
        for (status, ends, absent) in [
            (200, false, false),
            (204, true, true),
            (205, false, true),
            (206, false, false),
            (304, true, true),
            (404, false, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                (ends_with_head(status), is_absent(status)),
                (ends, absent),
                "{status}"
            );
        }
    }

    #[test]
    fn a_form_is_decoded_once() {
        for (text, decoded) in [
            ("a+b%20c", &b"a b c"[..]),
            ("%2B+%2b", b"+ +"),
            ("%252B", b"%2B"),
            ("%ff%", b"\xff%"),
            ("plain", b"plain"),
        ] {
            assert_eq!(&*form_decoded(text.as_bytes()), decoded, "{text}");
        }
    }
}
