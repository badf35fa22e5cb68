//! The tolerant reading of a path: what the most lenient application takes it for.
//!
//! Applications decode again, ignore case, merge slashes, cut parameters and drop what they trim. The tolerant reading does
//! all of that, to a fixed point: decode; cut at `?` and `#`; `\` is `/`; cut each segment at `;`; drop its trailing dots and
//! blanks; drop empty segments and the last slash; fold case. It is compared, and never forwarded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Rounds after which a path is read. An escape that is nested deeper than the limit of `path` never gets here, and each
/// round but the last decodes once.
const MOST_ROUNDS: usize = 12;

/// A path as the most lenient application reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The segments that are left, in order.
    pub(super) pieces: Vec<Piece>,
    /// Whether a slash was dropped from the end.
    pub(super) slash: bool,
}

/// One segment of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The segment, decoded once and no more where it is `literal`.
    pub(super) text: String,
    /// The same with its case folded, and read tolerantly in either case.
    pub(super) folded: String,
    /// Whether the matched pattern spells this segment: it is read as it came, since the operator has said how.
    pub(super) literal: bool,
}

/// A segment on its way to a [`Piece`].
#[derive(Clone, PartialEq, Eq)]
struct Part<'p> {
    text: Cow<'p, str>,
    literal: bool,
}

/// In which order a reader decodes a segment, splits it and cuts its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `/a;b%2Fc` is `/a/c`.
    SplitThenCut,
    /// `/a;b%2Fc` is `/a`.
    CutThenSplit,
}

impl Reading {
    /// Reads a path, which begins with `/` and has no query. `is_literal` says of which segments the matched pattern spells
    /// the text; these are not read tolerantly.
    pub(super) fn of(path: &str, order: Order, is_literal: impl Fn(usize) -> bool) -> Self {
        let segments = path.strip_prefix('/').unwrap_or(path).split('/').enumerate();
        let mut parts: Vec<_> = segments
            .map(|(index, segment)| match is_literal(index) {
                true => Part { text: super::path::decode(segment), literal: true },
                false if order == Order::SplitThenCut => {
                    Part { text: Cow::Borrowed(segment), literal: false }
                }
                false => Part { text: Cow::Owned(without_parameters(segment)), literal: false },
            })
            .collect();
        let mut slash = false;
        for _ in 0..MOST_ROUNDS {
            let round = Round::of(&parts);
            slash = round.slash || slash && !round.cut;
            let same = round.parts == parts;
            parts = round.parts;
            if same {
                break;
            }
        }
        Self { pieces: parts.into_iter().map(Part::into_piece).collect(), slash }
    }

    /// A literal of a pattern, which is decoded already, as the only segment of a path; whether what follows is cut.
    pub(super) fn of_literal(text: &str) -> (Option<Piece>, bool) {
        let round = Round::of(&[Part { text: Cow::Borrowed(text), literal: false }]);
        (round.parts.into_iter().next().map(Part::into_piece), round.cut)
    }
}

impl Part<'_> {
    fn into_piece(self) -> Piece {
        // The key by which a literal of another pattern is looked up, spelled or not.
        let folded = match self.literal {
            true => Reading::of_literal(&self.text).0.map(|piece| piece.folded).unwrap_or_default(),
            false => fold_case(&self.text),
        };
        Piece { text: self.text.into_owned(), folded, literal: self.literal }
    }
}

/// One round of reading.
struct Round {
    parts: Vec<Part<'static>>,
    /// Whether the last segment is empty.
    slash: bool,
    /// Whether something was cut at `?` or `#`.
    cut: bool,
}

impl Round {
    fn of(before: &[Part<'_>]) -> Self {
        let mut round = Self { parts: Vec::with_capacity(before.len()), slash: false, cut: false };
        for part in before {
            if part.literal {
                round.slash = false;
                round.push(&part.text, true);
                continue;
            }
            let decoded = percent_decode_str(&part.text).decode_utf8_lossy();
            let (kept, cut) = match decoded.find(['?', '#']) {
                Some(at) => (decoded.get(..at).unwrap_or_default(), true),
                None => (&*decoded, false),
            };
            for segment in kept.split(['/', '\\']) {
                let name = segment.split(';').next().unwrap_or_default();
                let name = name.trim_end_matches(is_trimmed);
                round.slash = name.is_empty();
                if !name.is_empty() {
                    round.push(name, false);
                }
            }
            if cut {
                round.cut = true;
                break;
            }
        }
        round
    }

    fn push(&mut self, text: &str, literal: bool) {
        self.parts.push(Part { text: Cow::Owned(text.to_owned()), literal });
    }
}

/// A segment that is decoded as often as it can be, up to its first `;`.
fn without_parameters(segment: &str) -> String {
    let mut text = segment.to_owned();
    for _ in 0..MOST_ROUNDS {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if next == text {
            break;
        }
        text = next;
    }
    // A query ends the path before any parameter does.
    let end = text.find([';', '?', '#']);
    let end = end.filter(|at| text.as_bytes().get(*at) == Some(&b';'));
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// Dots and blanks: white space, and control characters, which end a string for some readers.
fn is_trimmed(c: char) -> bool {
    c == '.' || c.is_whitespace() || c.is_control()
}

/// Folds case as widely as any comparison does: `ẞ` is `ß` in lower case, and that is `SS` in upper case.
fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // The dot that Unicode keeps of `İ` is none for readers that fold one character to one.
    let plain = text.chars().map(|c| if c == 'İ' { 'i' } else { c });
    let lower = plain.flat_map(char::to_lowercase);
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A segment that is decoded and has no ambiguity, with its case folded; `None` where more than case would be folded.
pub(super) fn tolerant_name(name: &str) -> Option<Cow<'_, str>> {
    if name.contains(['?', '#']) || name.ends_with(is_trimmed) {
        return None;
    }
    let folds = name.bytes().any(|byte| byte.is_ascii_uppercase() || byte >= 0x80);
    Some(if folds { Cow::Owned(fold_case(name)) } else { Cow::Borrowed(name) })
}

/// Whether a path without ambiguities is its own tolerant reading. It has no `;`, `\`, `//` or control character then.
pub(super) fn is_plain(path: &str) -> bool {
    // Without an early exit the loop takes many bytes at a time.
    let (mut changed, mut dot) = (false, false);
    for byte in path.bytes() {
        changed |= byte.is_ascii_uppercase() | (byte == b'%') | (byte >= 0x80);
        dot |= byte == b'.';
    }
    changed |= path.len() > 1 && path.ends_with('/');
    changed |= dot && (path.ends_with('.') || path.contains("./"));
    !changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        read_in(Order::SplitThenCut, path)
    }

    fn read_in(order: Order, path: &str) -> String {
        let reading = Reading::of(path, order, |_| false);
        reading.pieces.iter().map(|piece| format!("/{}", piece.folded)).collect()
    }

    #[test]
    fn a_path_is_read_to_a_fixed_point() {
        for (path, reading) in [
            ("/", ""),
            ("/admin", "/admin"),
            ("/Admin", "/admin"),
            ("/admin/", "/admin"),
            ("/admin.", "/admin"),
            ("/admin%20", "/admin"),
            ("/admin%20.%20..", "/admin"),
            ("/admin%C2%A0", "/admin"),
            ("/admin%3Fx/y", "/admin"),
            ("/admin%23x/y", "/admin"),
            ("/admin;a/x", "/admin/x"),
            ("/admin%3Ba/x", "/admin/x"),
            ("/;a/admin", "/admin"),
            ("//admin//x", "/admin/x"),
            ("/%2fadmin%2Fx", "/admin/x"),
            ("/a\\b%5Cc", "/a/b/c"),
            ("/%2561dmin", "/admin"),
            ("/%25%36%31dmin", "/admin"),
            ("/%252561dmin", "/admin"),
            ("/admin%252520", "/admin"),
            ("/admin%2500", "/admin"),
            ("/admin%25253Fx", "/admin"),
            ("/a/.../b/%20/c", "/a/b/c"),
            ("/100%25", "/100%"),
            ("/a%zz", "/a%zz"),
            ("/%C3%84%E1%BA%9E/\u{212a}\u{130}\u{17f}\u{131}", "/äss/kisi"),
            ("/.well-known/a.b", "/.well-known/a.b"),
            ("/%20a/+", "/ a/+"),
        ] {
            assert_eq!(read(path), reading, "{path}");
        }
    }

    #[test]
    fn parameters_are_cut_before_and_after_a_segment_is_split() {
        for (path, split, cut) in [
            ("/a;b%2Fc/d", "/a/c/d", "/a/d"),
            ("/a%3Bb%2Fc", "/a/c", "/a"),
            ("/a%253Bb%252Fc", "/a/c", "/a"),
            ("/a;b%5Cc", "/a/c", "/a"),
            ("/a;b\\c", "/a/c", "/a"),
            ("/a%2Fb;c", "/a/b", "/a/b"),
            ("/a%3F;b/c", "/a", "/a"),
        ] {
            assert_eq!(read_in(Order::SplitThenCut, path), split, "{path}");
            assert_eq!(read_in(Order::CutThenSplit, path), cut, "{path}");
        }
    }

    #[test]
    fn the_last_slash_is_dropped_and_known() {
        for (path, slash) in [
            ("/admin", false),
            ("/admin/", true),
            ("/admin/...", true),
            ("/admin%2F", true),
            ("/admin/%3Fx", true),
            ("/admin%3Fx/", false),
            ("/admin%253Fx/", false),
            ("/admin/%253Fx", true),
            ("/admin%252F", true),
            ("/admin/%2520", true),
        ] {
            assert_eq!(Reading::of(path, Order::SplitThenCut, |_| false).slash, slash, "{path}");
        }
    }

    #[test]
    fn what_the_matched_pattern_spells_is_read_as_it_came() {
        let reading = Reading::of("/A%64min/X/", Order::SplitThenCut, |index| index != 1);
        let texts: Vec<_> = reading.pieces.iter().map(|piece| (&*piece.text, piece.literal)).collect();
        assert_eq!(texts, [("Admin", true), ("X", false), ("", true)]);
        assert!(!reading.slash);
    }

    #[test]
    fn a_plain_path_is_its_own_reading() {
        for path in ["/", "/admin", "/a.b/c", "/.well-known/x", "/a-b_c~d/1", "/a+b@c"] {
            assert!(is_plain(path), "{path}");
            assert_eq!(read(path), path.trim_end_matches('/'), "{path}");
        }
        for path in ["/A", "/a/", "/a.", "/a./b", "/a%20", "/ä", "/%61", "/a/..."] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
