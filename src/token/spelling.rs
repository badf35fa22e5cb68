//! The names under which applications find a cookie or a query parameter.
//!
//! Parsers disagree about names: some trim them, some decode them, PHP writes `.` as `_`, and
//! ASP.NET ignores case. A credential that is judged under one spelling while the application obeys
//! another one lets a client show a good token to the gateway and a forged one to the application.
//! So every spelling that a common parser takes for the name is the name.

/// Whether a common parser could read `spelling`, as it stands in the request, as `name`.
///
/// Names are compared after: percent-decoding; blanks, quotes, brackets and bytes beyond ASCII off
/// at the ends; ASCII case folded; `.`, `[`, `+` and blanks as `_`. A bracket or a NUL ends a name,
/// since PHP and Rack read `name[0]` as an item of `name`, and PHP reads `name%00x` as `name`.
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

/// A byte at an end may be dropped by one parser and be a part of the name for another, so each
/// place that the name could have is tried: as many as the name is long at most.
fn matches(spelling: &[u8], name: &[u8]) -> bool {
    let first = spelling
        .iter()
        .position(|b| !is_dropped(*b))
        .unwrap_or(spelling.len());
    let after = |at: usize| spelling.iter().enumerate().skip(at);
    let end = after(first)
        .find(|(_, b)| is_cut(**b))
        .map_or(spelling.len(), |(at, _)| at);
    let whole = spelling.get(..end).unwrap_or_default();
    let last = whole
        .iter()
        .rposition(|b| !is_dropped(*b))
        .map_or(0, |at| at + 1);
    let earliest = last.saturating_sub(name.len());
    (earliest..=first).any(|at| {
        let parts = spelling
            .get(at..)
            .and_then(|from| from.split_at_checked(name.len()));
        parts.is_some_and(|(part, rest)| is_folded(part, name) && ends(rest))
    })
}

fn is_folded(part: &[u8], name: &[u8]) -> bool {
    part.iter().zip(name).all(|(a, b)| folded(*a) == folded(*b))
}

/// Whether nothing of a name follows: what is dropped, up to the end or to what ends a name.
fn ends(rest: &[u8]) -> bool {
    let solid = rest
        .iter()
        .position(|b| !is_dropped(*b))
        .unwrap_or(rest.len());
    solid == rest.len() || rest.iter().take(solid).any(|b| is_cut(*b))
}

fn is_cut(byte: u8) -> bool {
    matches!(byte, b'[' | b']' | 0)
}

/// Bytes that parsers take off at the ends of a name. `str.strip()` of Python and `trim()` of
/// JavaScript know blanks beyond ASCII; Rack and the `qs` of Express read `[name]` as `name`.
fn is_dropped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'\'' | b'+' | b'=' | b'?' | b'[' | b']')
}

fn folded(byte: u8) -> u8 {
    match byte {
        b'.' | b'[' | b'+' | 0..=b' ' => b'_',
        _ => byte.to_ascii_lowercase(),
    }
}

/// Decodes `%41`, and `%u0041` as ASP.NET does. An escape that is none stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let escape = if *byte == b'%' { escaped(after) } else { None };
        let (byte, after) = escape.unwrap_or((*byte, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// The byte of an escape, from what follows its `%`, and what follows the escape.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'u' | b'U', b'0', b'0', high, low, rest @ ..] | [high, low, rest @ ..] => {
            Some((octet(*high, *low)?, rest))
        }
        _ => None,
    }
}

fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
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

    // A name that begins or ends with what others drop.
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
