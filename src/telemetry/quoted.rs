//! Text that a peer wrote, as logs and commands show it.

use std::fmt;

/// The largest number of characters of a text that is shown.
const MAX_CHARS: usize = 120;

/// The beginning of a JSON object in base64url, with which every JWT begins.
const TOKEN_START: &str = "eyJ";

/// The smallest number of characters after [`TOKEN_START`] for which a text counts as a token.
const MIN_TOKEN_CHARS: usize = 16;

/// The smallest number of characters of a signature: 256 bits in base64url. The label of a host
/// name is seldom as long.
const MIN_SIGNATURE_CHARS: usize = 43;

/// A text that a peer wrote, in quotation marks: a claim, a header field, a name in a certificate.
///
/// `Display` writes one line without control characters, whatever the text holds. Characters that a
/// terminal would act on or not show are escaped as in a Rust string, and a text of more than 120
/// characters is cut. A text that may hold a token is not shown, only its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if may_hold_token(self.0) {
            return HiddenToken(self.0.len()).fmt(f);
        }
        f.write_str("\"")?;
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(MAX_CHARS) {
            match char {
                '\'' => f.write_str("'")?,
                char => write!(f, "{}", char.escape_debug())?,
            }
        }
        let is_cut = chars.next().is_some();
        f.write_str(if is_cut { "\"…" } else { "\"" })
    }
}

/// The stand-in of logs for a text that may hold a token; its length, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenToken(pub usize);

impl fmt::Display for HiddenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(a token, {} bytes)", self.0)
    }
}

/// Returns whether a part of the text looks like the header of a JWT, which a rest follows.
#[must_use]
pub fn may_hold_token(text: &str) -> bool {
    find_token(text).is_some()
}

/// Returns the place of the first part of the text that looks like the header of a JWT.
pub(super) fn find_token(text: &str) -> Option<usize> {
    if text.len() < TOKEN_START.len() + MIN_TOKEN_CHARS {
        return None;
    }
    // The claims begin like a header, so that the earlier place is the right one.
    match (find_header(text), find_parts(text)) {
        (Some(header), Some(parts)) => Some(header.min(parts)),
        (header, parts) => header.or(parts),
    }
}

/// Returns the place of the usual beginning of a header, which a rest follows.
fn find_header(text: &str) -> Option<usize> {
    // Most texts have no such letter; to search for more costs more.
    memchr::memchr(b'J', text.as_bytes())?;
    let mut starts = text.match_indices(TOKEN_START);
    let (start, _) = starts.find(|(start, found)| {
        let rest = text.get(start + found.len()..).unwrap_or_default();
        count_base64url(rest) >= MIN_TOKEN_CHARS
    })?;
    Some(start)
}

/// Returns the place of three parts with dots between them, of which the last is as long as a
/// signature: a header may begin with a blank.
fn find_parts(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(dot) = memchr::memchr(b'.', text.as_bytes().get(from..)?) {
        let dot = from + dot;
        let before = text.get(..dot)?.bytes().rev();
        let header = before.take_while(|byte| is_base64url(*byte)).count();
        let claims = count_base64url(text.get(dot + 1..)?);
        let signature = text.get(dot + 1 + claims..)?.strip_prefix('.');
        if header >= MIN_TOKEN_CHARS
            && claims >= MIN_TOKEN_CHARS
            && signature.is_some_and(|rest| count_base64url(rest) >= MIN_SIGNATURE_CHARS)
        {
            return Some(dot - header);
        }
        from = dot + 1;
    }
    None
}

fn count_base64url(text: &str) -> usize {
    text.bytes().take_while(|byte| is_base64url(*byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_printable_line() {
        for (text, shown) in [
            ("", r#""""#),
            ("https://idp.example.com/", r#""https://idp.example.com/""#),
            ("Zoë's", r#""Zoë's""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\r\nok  verdict", r#""a\r\nok  verdict""#),
            ("\u{1b}[2J\u{9b}\u{7f}", r#""\u{1b}[2J\u{9b}\u{7f}""#),
            ("\u{202e}\u{200b}\u{2028}", r#""\u{202e}\u{200b}\u{2028}""#),
        ] {
            assert_eq!(Quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = Quoted(&"é".repeat(121)).to_string();
        assert_eq!(shown, format!("\"{}\"…", "é".repeat(120)));
        assert_eq!(
            Quoted(&"é".repeat(120)).to_string().chars().count(),
            MAX_CHARS + 2
        );
        // Escaping makes a text longer, but only so far.
        assert!(Quoted(&"\u{10ffff}".repeat(1 << 16)).to_string().len() < 1300);
    }

    #[test]
    fn a_token_is_not_shown() {
        for text in [
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0.eyJpc3MiOiJhIn0.c2ln",
            "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0",
            "x=eyJ; eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0",
        ] {
            let shown = Quoted(text).to_string();
            assert_eq!(shown, format!("(a token, {} bytes)", text.len()));
        }
        let blank = format!(
            "eyAiYWxnIjoiUlMyNTYifQ.ewogImlzcyI6ICJhIn0.{}",
            "c2ln".repeat(11)
        );
        assert_eq!(find_token(&format!("/a/{blank}")), Some(3));
        for text in [
            "heyJude",
            "a-service-of-orders.a-namespace-of-it.a-cluster-somewhere.example.com",
        ] {
            assert_eq!(Quoted(text).to_string(), format!("\"{text}\""));
        }
    }
}
