//! The path of a request: split, decoded once, and every way in which two readers could disagree
//! about it noted.
//!
//! Nothing here rewrites a path. What is ambiguous is named, so that it can be refused (attacks.md
//! rows 1 to 5).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// One way in which a path can mean different things to the gateway and to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Ambiguity {
    /// `%2F`: one segment here, two for a reader that decodes first.
    EncodedSlash = 1,
    /// `%5C`, the same for a reader that takes `\` for `/`.
    EncodedBackslash = 1 << 1,
    /// `\` itself.
    Backslash = 1 << 2,
    /// `%25` before two hexadecimal digits in any spelling: an escape that decodes to an escape.
    DoubleEncoding = 1 << 3,
    /// `//`, which some readers merge.
    EmptySegment = 1 << 4,
    /// `;`, which some readers cut.
    Matrix = 1 << 5,
    /// `.` or `..`, in any spelling, with blanks around or between the dots, and before or after a
    /// `;`.
    DotSegment = 1 << 6,
    /// `%00` and other escaped control characters, which end a string for some readers.
    Control = 1 << 7,
    /// Escapes that are not UTF-8, or that are broken.
    InvalidEncoding = 1 << 8,
}

impl Ambiguity {
    /// Those that a route may allow by name. The others never pass: a dot segment or a NUL that the
    /// upstream resolves would make the authorized path another one than the served.
    pub const ALLOWABLE: [Self; 6] = [
        Self::EncodedSlash,
        Self::EncodedBackslash,
        Self::Backslash,
        Self::DoubleEncoding,
        Self::EmptySegment,
        Self::Matrix,
    ];

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

    /// The name in `allow` and in answers.
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
    /// Adds one.
    pub fn insert(&mut self, one: Ambiguity) {
        self.0 |= one as u16;
    }

    /// What is here and not in `allowed`; the gravest first.
    #[must_use]
    pub fn first_beyond(self, allowed: Self) -> Option<Ambiguity> {
        let left = self.0 & !allowed.0;
        Ambiguity::ALL
            .into_iter()
            .find(|one| left & *one as u16 != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of the set, the gravest first.
    pub fn iter(self) -> impl Iterator<Item = Ambiguity> {
        Ambiguity::ALL
            .into_iter()
            .filter(move |one| self.0 & *one as u16 != 0)
    }
}

impl FromIterator<Ambiguity> for Ambiguities {
    fn from_iter<I: IntoIterator<Item = Ambiguity>>(items: I) -> Self {
        let mut set = Self::default();
        items.into_iter().for_each(|one| set.insert(one));
        set
    }
}

/// Everything that is ambiguous in a raw path, which begins with `/` and has no query.
pub(super) fn inspect(path: &str) -> Ambiguities {
    let mut found = Ambiguities::default();
    // Most paths hold none of these bytes and are done after one look at each byte.
    let suspicious = |b: u8| matches!(b, b'%' | b'.' | b';' | b'\\') || !(0x21..=0x7e).contains(&b);
    let mut before = 0;
    let mut plain = true;
    for byte in path.bytes() {
        plain &= !(suspicious(byte) || byte == b'/' && before == b'/');
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

fn inspect_segment(segment: &str, last: bool, found: &mut Ambiguities) {
    if segment.is_empty() {
        if !last {
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
    // `%3B` is inspected with `;`: a reader that decodes before it cuts takes them for the same.
    let name = decoded.split(|b| *b == b';').next().unwrap_or_default();
    if name.len() != decoded.len() {
        found.insert(Ambiguity::Matrix);
    }
    if has_dot_segment(decoded) {
        found.insert(Ambiguity::DotSegment);
    }
}

/// Escapes within escapes that are looked into. A deeper one is nothing that anybody means.
const MAX_NESTING: usize = 4;

/// Whether a reader finds `.` or `..` here, however often it decodes: `%252e` may be allowed as a
/// double encoding, but not as a way up. `..\x`, `..%2Fx` and `..;x` are dot segments for a reader
/// that splits there.
fn has_dot_segment(decoded: Vec<u8>) -> bool {
    let mut text = decoded;
    for round in 0..MAX_NESTING {
        if text
            .split(|b| matches!(b, b'/' | b'\\' | b';'))
            .any(|part| is_dots(part, round > 0))
        {
            return true;
        }
        let next: Vec<u8> = percent_encoding::percent_decode(&text).collect();
        if next == text {
            return false;
        }
        text = next;
    }
    true
}

/// Whether a segment is `.` or `..`, or dots and blanks alone: Windows trims `.. ` to `..`. Three
/// dots without a blank are a name. A control character is an ambiguity of its own at the first
/// decoding, and a blank for a reader that decodes again.
fn is_dots(part: &[u8], controls: bool) -> bool {
    if !part.contains(&b'.') {
        return false;
    }
    let blank = |c: char| c.is_whitespace() && !c.is_control() || controls && c.is_control();
    let text = String::from_utf8_lossy(part);
    let dots = text.matches('.').count();
    let blanks = text.matches(blank).count();
    dots + blanks == text.chars().count() && (dots <= 2 || blanks > 0)
}

/// Whether a literal is a dot segment for some reader.
pub(super) fn is_dot_segment(literal: &str) -> bool {
    has_dot_segment(literal.into())
}

fn inspect_escapes(raw: &[u8], decoded: &[u8], found: &mut Ambiguities) {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let hex = |index: usize| rest.get(index).and_then(|b| char::from(*b).to_digit(16));
        let Some(value) = hex(0).zip(hex(1)).map(|(high, low)| high * 16 + low) else {
            found.insert(Ambiguity::InvalidEncoding);
            continue;
        };
        match value {
            0x2f => found.insert(Ambiguity::EncodedSlash),
            0x5c => found.insert(Ambiguity::EncodedBackslash),
            0x00..=0x1f | 0x7f => found.insert(Ambiguity::Control),
            _ => {}
        }
    }
    // Looked for in what was decoded: the digits may be escaped themselves (`%25%32%66`).
    let is_escape = |three: &[u8]| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if decoded.windows(3).any(is_escape) {
        found.insert(Ambiguity::DoubleEncoding);
    }
    if std::str::from_utf8(decoded).is_err() {
        found.insert(Ambiguity::InvalidEncoding);
    }
}

/// A segment as it is compared: decoded once. Invalid UTF-8 decodes to nothing that a pattern can
/// equal, and such a path never passes anyway.
pub(super) fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    percent_decode_str(segment).decode_utf8_lossy()
}

/// The decoded text of a pattern's literal; `None` when a request for it would be ambiguous.
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
