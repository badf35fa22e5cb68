//! The path of a request: the ways in which two readers could understand it differently, and the
//! text of a segment, decoded once.
//!
//! This module rewrites no path. Each ambiguity is named, so that the request can be refused
//! (docs/design/attacks.md#row-1 to #row-5). A *reader* is a program that interprets the path: the
//! gateway, an application, or a proxy between them.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// One way in which a path can mean different things to the gateway and to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Ambiguity {
    /// `%2F`: one segment to the gateway, two to a reader that decodes before it splits.
    EncodedSlash = 1,
    /// `%5C`: two segments to a reader that decodes first and takes `\` for `/`.
    EncodedBackslash = 1 << 1,
    /// `\` itself.
    Backslash = 1 << 2,
    /// `%25` before two hexadecimal digits in any spelling: an escape that decodes to an escape.
    DoubleEncoding = 1 << 3,
    /// `//`, which some readers merge.
    EmptySegment = 1 << 4,
    /// `;`, at which some readers cut a segment.
    Matrix = 1 << 5,
    /// `.` or `..` in any spelling, with blanks around or between the dots, before or after a `;`.
    DotSegment = 1 << 6,
    /// `%00` and other escaped control characters, which end a string for some readers.
    Control = 1 << 7,
    /// Escapes that are broken or do not decode to UTF-8.
    InvalidEncoding = 1 << 8,
}

impl Ambiguity {
    /// The ambiguities that a route may allow by name. The others are always refused: if the
    /// upstream resolved a dot segment or a NUL, it would serve another path than the one that was
    /// authorized.
    pub const ALLOWABLE: [Self; 6] = [
        Self::EncodedSlash,
        Self::EncodedBackslash,
        Self::Backslash,
        Self::DoubleEncoding,
        Self::EmptySegment,
        Self::Matrix,
    ];

    /// All ambiguities, the most dangerous first.
    pub(super) const ALL: [Self; 9] = [
        Self::DotSegment,
        Self::Control,
        Self::InvalidEncoding,
        Self::EncodedSlash,
        Self::EncodedBackslash,
        Self::Backslash,
        Self::DoubleEncoding,
        Self::EmptySegment,
        Self::Matrix,
    ];

    /// Returns the name that the key `allow` and the answers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded-slash",
            Self::EncodedBackslash => "encoded-backslash",
            Self::Backslash => "backslash",
            Self::DoubleEncoding => "double-encoding",
            Self::EmptySegment => "empty-segment",
            Self::Matrix => "matrix",
            Self::DotSegment => "dot-segment",
            Self::Control => "control-character",
            Self::InvalidEncoding => "invalid-encoding",
        }
    }
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of [`Ambiguity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ambiguities(u16);

impl Ambiguities {
    /// Adds an ambiguity.
    pub fn insert(&mut self, ambiguity: Ambiguity) {
        self.0 |= ambiguity as u16;
    }

    /// Returns the ambiguities of a raw path, which begins with `/` and has no query.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        inspect(path)
    }

    /// Returns the most dangerous ambiguity of this set that is not in `allowed`.
    #[must_use]
    pub fn first_beyond(self, allowed: Self) -> Option<Ambiguity> {
        let left = self.0 & !allowed.0;
        Ambiguity::ALL
            .into_iter()
            .find(|ambiguity| left & *ambiguity as u16 != 0)
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the ambiguities of the set, the most dangerous first.
    pub fn iter(self) -> impl Iterator<Item = Ambiguity> {
        Ambiguity::ALL
            .into_iter()
            .filter(move |ambiguity| self.0 & *ambiguity as u16 != 0)
    }
}

impl FromIterator<Ambiguity> for Ambiguities {
    fn from_iter<I: IntoIterator<Item = Ambiguity>>(items: I) -> Self {
        let mut set = Self::default();
        for ambiguity in items {
            set.insert(ambiguity);
        }
        set
    }
}

/// Returns the ambiguities of a raw path, which begins with `/` and has no query.
pub(super) fn inspect(path: &str) -> Ambiguities {
    let mut found = Ambiguities::default();
    // Most paths hold no suspicious byte, and one pass over their bytes is enough.
    let mut before = 0;
    let mut plain = true;
    for byte in path.bytes() {
        plain &= !(is_suspicious(byte) || byte == b'/' && before == b'/');
        before = byte;
    }
    if plain {
        return found;
    }
    let segments = path.strip_prefix('/').unwrap_or(path);
    let last = segments.matches('/').count();
    for (index, segment) in segments.split('/').enumerate() {
        inspect_segment(segment, index == last, &mut found);
    }
    found
}

/// Returns whether a byte may be part of an ambiguity.
#[inline]
fn is_suspicious(byte: u8) -> bool {
    matches!(byte, b'%' | b'.' | b';' | b'\\') || !(0x21..=0x7e).contains(&byte)
}

fn inspect_segment(segment: &str, is_last: bool, found: &mut Ambiguities) {
    if segment.is_empty() {
        if !is_last {
            found.insert(Ambiguity::EmptySegment);
        }
        return;
    }
    if segment.contains('\\') {
        found.insert(Ambiguity::Backslash);
    }
    if segment.bytes().any(|b| b <= 0x20 || b == 0x7f) {
        found.insert(Ambiguity::Control);
    }
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    inspect_escapes(segment.as_bytes(), &decoded, found);
    // `%3B` counts as `;`: a reader that decodes before it cuts takes them for the same.
    if decoded.contains(&b';') {
        found.insert(Ambiguity::Matrix);
    }
    if has_dot_segment(decoded) {
        found.insert(Ambiguity::DotSegment);
    }
}

/// The number of times that a segment is decoded in search of dot segments. No client has a use for
/// escapes that are nested deeper, so such a segment counts as one.
const MAX_NESTING: usize = 4;

/// Returns whether a reader finds `.` or `..` in a segment, however often it decodes: a route may
/// allow `%252e` as a double encoding, but not as a step to the parent directory. `..\x`, `..%2Fx`
/// and `..;x` hold a dot segment for a reader that splits there, and `..?x` for one that cuts.
fn has_dot_segment(decoded: Vec<u8>) -> bool {
    let mut text = decoded;
    for round in 0..MAX_NESTING {
        let controls_are_blanks = round > 0;
        for part in text.split(|b| matches!(b, b'/' | b'\\' | b';')) {
            let cut = cut_path(part, controls_are_blanks);
            if is_dots(part, controls_are_blanks) || is_dots(cut, controls_are_blanks) {
                return true;
            }
        }
        let next: Vec<u8> = percent_encoding::percent_decode(&text).collect();
        if next == text {
            return false;
        }
        text = next;
    }
    true
}

/// Returns the part of a text at whose end the path ends for some readers: the query or the
/// fragment follows, or a string of C ends.
fn cut_path(text: &[u8], ends_at_nul: bool) -> &[u8] {
    let mut parts = text.split(|b| matches!(b, b'?' | b'#') || ends_at_nul && *b == 0);
    parts.next().unwrap_or_default()
}

/// Returns whether a character is a blank: white space, a control character, or one that only some
/// languages trim (U+FEFF in JavaScript).
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{180e}' | '\u{200b}' | '\u{feff}')
}

/// Returns whether a text is `.` or `..`, or consists of dots and blanks: Windows trims `.. ` to
/// `..`. Three dots without a blank are a name. The control characters of ASCII are blanks only
/// after a second decoding: after the first one they are an ambiguity of their own.
fn is_dots(part: &[u8], controls_are_blanks: bool) -> bool {
    if !part.contains(&b'.') {
        return false;
    }
    let mut dots = 0;
    let mut blanks = 0;
    for c in String::from_utf8_lossy(part).chars() {
        let is_blank = if c.is_ascii_control() {
            controls_are_blanks
        } else {
            is_blank(c)
        };
        if c == '.' {
            dots += 1;
        } else if is_blank {
            blanks += 1;
        } else {
            return false;
        }
    }
    dots <= 2 || blanks > 0
}

/// Returns whether a literal is a dot segment for some reader.
pub(super) fn is_dot_segment(literal: &str) -> bool {
    has_dot_segment(literal.into())
}

fn inspect_escapes(raw: &[u8], decoded: &[u8], found: &mut Ambiguities) {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        match hex_byte(rest) {
            None => found.insert(Ambiguity::InvalidEncoding),
            Some(b'/') => found.insert(Ambiguity::EncodedSlash),
            Some(b'\\') => found.insert(Ambiguity::EncodedBackslash),
            Some(0x00..=0x1f | 0x7f) => found.insert(Ambiguity::Control),
            Some(_) => {}
        }
    }
    // The decoded text is searched, because the digits may be escaped themselves (`%25%32%66`).
    if decoded.windows(3).any(is_escape) {
        found.insert(Ambiguity::DoubleEncoding);
    }
    if std::str::from_utf8(decoded).is_err() {
        found.insert(Ambiguity::InvalidEncoding);
    }
}

/// Returns the byte that two hexadecimal digits at the start of a text stand for.
fn hex_byte(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn is_escape(three: &[u8]) -> bool {
    match three {
        [b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Returns a segment in the form in which it is compared: decoded once. Bytes that are not UTF-8
/// decode to a text that no pattern equals, and such a path is always refused.
pub(super) fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    percent_decode_str(segment).decode_utf8_lossy()
}

/// Returns the decoded text of a literal of a pattern; `None` if a request for it would be
/// ambiguous.
pub(super) fn decode_literal(segment: &str) -> Option<String> {
    let mut found = Ambiguities::default();
    if segment.contains('%') {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        inspect_escapes(segment.as_bytes(), &decoded, &mut found);
    }
    found.is_empty().then(|| decode(segment).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<&'static str> {
        inspect(path).iter().map(Ambiguity::name).collect()
    }

    #[test]
    fn ordinary_paths_are_not_ambiguous() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a.b/c..d/...",
            "/..%2e/.%2e./a%20.",
            "/a./b..",
            "/%20/a%20",
            "/a%20b/%C3%A4",
            "/100%25",
            "/what%3F.",
            "/what%3F../x",
            "/c%23.net",
            "/...%3Fx",
            "/~a/:b/@c,d",
        ] {
            assert!(names(path).is_empty(), "{path}: {:?}", names(path));
        }
    }

    #[test]
    fn every_spelling_of_an_ambiguity_is_noted() {
        for (path, expected) in [
            ("/a/../x", vec!["dot-segment"]),
            ("/a/./x", vec!["dot-segment"]),
            ("/a/%2e%2e/x", vec!["dot-segment"]),
            ("/a/.%2E/x", vec!["dot-segment"]),
            ("/a/..;x=y/b", vec!["dot-segment", "matrix"]),
            ("/a/..%3bx/b", vec!["dot-segment", "matrix"]),
            ("/a/%2e%2e%2fx", vec!["dot-segment", "encoded-slash"]),
            ("/a/..\\x", vec!["dot-segment", "backslash"]),
            ("/a/..%20/x", vec!["dot-segment"]),
            ("/a/.%20", vec!["dot-segment"]),
            ("/a/%20../x", vec!["dot-segment"]),
            ("/a/.%20./x", vec!["dot-segment"]),
            ("/a/..%20./x", vec!["dot-segment"]),
            ("/a/...%20/x", vec!["dot-segment"]),
            ("/a/..%c2%a0/x", vec!["dot-segment"]),
            ("/a/..%e3%80%80/x", vec!["dot-segment"]),
            ("/a/..%c2%85/x", vec!["dot-segment"]),
            ("/a/%c2%9f./x", vec!["dot-segment"]),
            ("/a/..%ef%bb%bf", vec!["dot-segment"]),
            ("/a/..%e2%80%8b/x", vec!["dot-segment"]),
            ("/a/.%e1%a0%8e./x", vec!["dot-segment"]),
            ("/a/..%3f", vec!["dot-segment"]),
            ("/a/..%3Fx/y", vec!["dot-segment"]),
            ("/a/..%23x", vec!["dot-segment"]),
            ("/a/.%20%23/y", vec!["dot-segment"]),
            ("/a/x;..%3f", vec!["dot-segment", "matrix"]),
            ("/a/..%253fx", vec!["dot-segment", "double-encoding"]),
            ("/a/..%2523", vec!["dot-segment", "double-encoding"]),
            ("/a/..%2500x", vec!["dot-segment", "double-encoding"]),
            ("/a/..%00x", vec!["control-character"]),
            ("/a/..%09/x", vec!["control-character"]),
            ("/a/..%20;x/y", vec!["dot-segment", "matrix"]),
            ("/a/..%20%2fx", vec!["dot-segment", "encoded-slash"]),
            ("/a/..%2520/x", vec!["dot-segment", "double-encoding"]),
            ("/a/..%2509/x", vec!["dot-segment", "double-encoding"]),
            ("/a/..%2500/x", vec!["dot-segment", "double-encoding"]),
            ("/a/x;..", vec!["dot-segment", "matrix"]),
            ("/a/x;..%20/y", vec!["dot-segment", "matrix"]),
            ("/a%2Fb", vec!["encoded-slash"]),
            ("/a%2fb", vec!["encoded-slash"]),
            ("/a%5Cb", vec!["encoded-backslash"]),
            ("/a%252Fb", vec!["double-encoding"]),
            ("/a%25%32%66b", vec!["double-encoding"]),
            ("/a%252%66b", vec!["double-encoding"]),
            ("/a/%252e%252E/b", vec!["dot-segment", "double-encoding"]),
            ("/a/.%25252e/b", vec!["dot-segment", "double-encoding"]),
            (
                "/a/%2525252525252Fb",
                vec!["dot-segment", "double-encoding"],
            ),
            ("//a", vec!["empty-segment"]),
            ("/a//", vec!["empty-segment"]),
            ("/a;b=c", vec!["matrix"]),
            ("/a%00", vec!["control-character"]),
            ("/a%ff", vec!["invalid-encoding"]),
            ("/a%zz", vec!["invalid-encoding"]),
            ("/a%", vec!["invalid-encoding"]),
        ] {
            assert_eq!(names(path), expected, "{path}");
        }
    }

    #[test]
    fn what_a_route_allows_is_not_reported() {
        let found = inspect("/a%2Fb;c");
        let slash = Ambiguities::from_iter([Ambiguity::EncodedSlash]);
        assert_eq!(found.first_beyond(slash), Some(Ambiguity::Matrix));
        assert_eq!(
            found.first_beyond(Ambiguities::from_iter(Ambiguity::ALLOWABLE)),
            None
        );
    }
}
