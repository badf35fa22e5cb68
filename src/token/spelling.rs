//! The spellings of a name by which applications find a cookie or a query parameter.
//!
//! Parsers disagree about names: some trim them, some decode them, PHP writes `.` as `_`, and
//! ASP.NET ignores case. If the gateway checks a credential with one spelling and the application
//! reads another, a client can send a valid token to the gateway and a forged one to the
//! application. So every spelling that a common parser takes for the name counts as the name.

/// Returns whether a common parser could read `spelling`, as it is in the request, as `name`.
///
/// Names are compared after these changes: percent-decoding; removal of blanks, quotes, brackets
/// and non-ASCII bytes at the ends; folding of ASCII case; `.`, `[`, `+` and blanks as `_`. A
/// bracket or a NUL ends a name, since PHP and Rack read `name[0]` as an item of `name`, and PHP
/// reads `name%00x` as `name`.
pub(super) fn could_be(spelling: &[u8], name: &str) -> bool {
    // No parser makes a name longer.
    if spelling.len() < name.len() {
        return false;
    }
    if spelling.contains(&b'%') {
        return matches(&decoded(spelling), name.as_bytes());
    }
    matches(spelling, name.as_bytes())
}

/// Returns whether a decoded spelling matches a name. One parser may drop a byte at an end that is
/// part of the name for another, so each position of the name in the spelling is tried, at most as
/// many as the name has bytes.
fn matches(spelling: &[u8], name: &[u8]) -> bool {
    let first = first_kept(spelling);
    let from_first = spelling.get(first..).unwrap_or_default();
    let end = match from_first.iter().position(is_cut) {
        Some(length) => first + length,
        None => spelling.len(),
    };
    let whole = spelling.get(..end).unwrap_or_default();
    let last = match whole.iter().rposition(is_kept) {
        Some(at) => at + 1,
        None => 0,
    };
    let earliest = last.saturating_sub(name.len());
    (earliest..=first).any(|at| has_name_at(spelling, at, name))
}

/// Returns the index of the first byte that no parser drops; the length if there is none.
fn first_kept(text: &[u8]) -> usize {
    text.iter().position(is_kept).unwrap_or(text.len())
}

fn has_name_at(spelling: &[u8], at: usize, name: &[u8]) -> bool {
    let from = spelling.get(at..).unwrap_or_default();
    match from.split_at_checked(name.len()) {
        Some((part, rest)) => is_folded(part, name) && ends(rest),
        None => false,
    }
}

fn is_folded(part: &[u8], name: &[u8]) -> bool {
    for (byte, expected) in part.iter().zip(name) {
        if folded(*byte) != folded(*expected) {
            return false;
        }
    }
    true
}

/// Returns whether the name ends here: only dropped bytes follow, up to the end of the spelling or
/// to a byte that ends a name.
fn ends(rest: &[u8]) -> bool {
    let kept = first_kept(rest);
    kept == rest.len() || rest.iter().take(kept).any(is_cut)
}

/// Returns whether a byte ends a name.
fn is_cut(byte: &u8) -> bool {
    matches!(byte, b'[' | b']' | 0)
}

fn is_kept(byte: &u8) -> bool {
    !is_dropped(*byte)
}

/// Returns whether some parser removes a byte at the ends of a name. Python's `str.strip()` and
/// JavaScript's `trim()` know blanks beyond ASCII; Rack and the `qs` of Express read `[name]` as
/// `name`.
fn is_dropped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'\'' | b'+' | b'=' | b'?' | b'[' | b']')
}

fn folded(byte: u8) -> u8 {
    match byte {
        b'.' | b'[' | b'+' | 0..=b' ' => b'_',
        _ => byte.to_ascii_lowercase(),
    }
}

/// Decodes `%41`, and `%u0041` as ASP.NET does. An invalid escape stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        if *byte == b'%'
            && let Some((octet, after)) = escaped(after)
        {
            decoded.push(octet);
            rest = after;
        } else {
            decoded.push(*byte);
            rest = after;
        }
    }
    decoded
}

/// Decodes the escape whose text follows a `%`; returns its byte, and the text after the escape.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'u' | b'U', b'0', b'0', high, low, rest @ ..] | [high, low, rest @ ..] => {
            Some((octet(*high, *low)?, rest))
        }
        _ => None,
    }
}

fn octet(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (char::from(high), char::from(low));
    u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_takes_for_a_name_is_the_name() {
        for spelling in [
            "access_token",
            // Django, Starlette and Express trim; PHP trims in front.
            " access_token",
            "access_token \t",
            "\u{b}access_token\u{1f}",
            "\u{a0}access_token\u{2003}",
            "\"access_token\"",
            "\" access_token \"",
            // ASP.NET, nginx.
            "Access_TOKEN",
            // PHP.
            "access.token",
            "access token",
            "access[token",
            "access+token",
            "access_token[",
            "access_token[]",
            "access_token[0]",
            "access_token[a][b]",
            "access_token%00",
            "access_token%00x",
            // The `qs` of Express, Rack.
            "[access_token]",
            "[access_token",
            "access_token]",
            "access%5Ftoken",
            "%61%63%63%65%73%73%5f%74%6f%6b%65%6e",
            "access%2Etoken",
            "%20access_token",
            "+access_token",
            "%5Baccess_token%5D",
            "%22access_token%22",
            "%u0061ccess_token",
            "=access_token",
        ] {
            assert!(
                could_be(spelling.as_bytes(), "access_token"),
                "{spelling:?}"
            );
        }
        for spelling in [
            "",
            "token",
            "access",
            "access-token",
            "accesstoken",
            "access__token",
            "xaccess_token",
            "access_tokenx",
            "_access_token",
            "access_token_",
            ".access_token",
            "__Host-access_token",
            "x[access_token]",
            "access%255Ftoken",
            "access%5token",
            "access%u5Ftoken",
            "access[tokens",
            "access_token%2",
        ] {
            assert!(
                !could_be(spelling.as_bytes(), "access_token"),
                "{spelling:?}"
            );
        }
    }

    // A name that begins or ends with bytes that some parsers drop.
    #[test]
    fn a_byte_at_an_end_is_dropped_or_part_of_the_name() {
        for (spelling, name) in [
            (".session", "_session"),
            ("[session", "_session"),
            ("+session", "_session"),
            ("+session", "session"),
            (" _session", "_session"),
            ("session ", "session_"),
            ("session+", "session"),
            ("..Host-session", "__Host-session"),
            ("[_HOST-session", "__Host-session"),
            ("a.b", "a_b"),
            ("a_b", "a.b"),
            ("_", "_"),
            ("   ", "__"),
        ] {
            assert!(could_be(spelling.as_bytes(), name), "{spelling:?} {name}");
        }
        for (spelling, name) in [
            ("session", "session_"),
            ("session", "_session"),
            ("_session_id", "session_id"),
            ("\"\"", "a"),
        ] {
            assert!(!could_be(spelling.as_bytes(), name), "{spelling:?} {name}");
        }
    }
}
