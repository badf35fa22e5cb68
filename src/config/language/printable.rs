//! Text as a terminal shows it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns whether a terminal shows the character where it stands. Other characters move the
/// cursor, begin a control sequence, change the direction of the text around them, or are
/// invisible.
#[must_use]
pub fn is_printable(char: char) -> bool {
    !char.is_control() && !is_format(char)
}

/// Returns whether a character has no shape of its own, but changes how others are shown, or
/// nothing: joiners, marks of direction, separators of lines, interlinear notes, tags.
fn is_format(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Returns a text as one line: each character that is not printable is escaped as in a Rust string.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_printable)
}

/// Returns a text of several lines, whose characters are escaped except line feeds and tabs.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |char| {
        is_printable(char) || matches!(char, '\n' | '\t')
    })
}

fn escaped(text: &str, is_kept: fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(is_kept) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_kept(char) {
            shown.push(char);
        } else if matches!(char, '\n' | '\r' | '\t') {
            let _ = write!(shown, "{}", char.escape_default());
        } else {
            let _ = write!(shown, "{}", char.escape_unicode());
        }
    }
    shown.into()
}

/// Returns a text in which each character that is not printable is replaced by one of the same
/// length in UTF-8, so that positions in the text stay the same. Characters of ASCII stay: the
/// renderer of positions shows them by their symbols.
pub(super) fn same_length(text: &str) -> Cow<'_, str> {
    let is_kept = |char: char| char.is_ascii() || is_printable(char);
    if text.chars().all(is_kept) {
        return text.into();
    }
    let replaced = text.chars().map(|char| match char.len_utf8() {
        _ if is_kept(char) => char,
        2 => '\u{bf}',
        3 => char::REPLACEMENT_CHARACTER,
        _ => '\u{1fbc4}',
    });
    replaced.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\r\n\t\u{7f}\u{9b}m\u{ad}\u{202e}\u{2028}\u{feff}\u{e0041}é";

    #[test]
    fn a_text_is_one_line_that_a_terminal_only_shows() {
        assert_eq!(
            printable(HOSTILE),
            "a\\u{1b}[2J\\r\\n\\t\\u{7f}\\u{9b}m\\u{ad}\\u{202e}\\u{2028}\\u{feff}\\u{e0041}é"
        );
        let plain = "GET \"/zoë\" \\ e\u{301} 日本 🦀";
        assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
    }

    #[test]
    fn several_lines_stay_lines() {
        assert_eq!(printable_lines("a\n\tb\r\n\u{1b}"), "a\n\tb\\r\n\\u{1b}");
    }

    #[test]
    fn a_replaced_text_has_the_same_positions() {
        let replaced = same_length(HOSTILE);
        assert_eq!(replaced.len(), HOSTILE.len());
        let is_shown = |char: char| char.is_ascii() || is_printable(char);
        assert!(replaced.chars().all(is_shown), "{replaced:?}");
        for (at, char) in HOSTILE.char_indices() {
            assert!(replaced.is_char_boundary(at), "{char:?}");
        }
    }
}
