//! Values of TOML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns a text as a basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if !crate::config::is_printable(char) => {
                let _ = write!(out, "\\U{:08X}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Returns texts as a list.
pub(super) fn list(texts: &[impl AsRef<str>]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// Returns one text as a string, and several as a list.
pub(super) fn one_or_list(texts: &[impl AsRef<str>]) -> String {
    match texts {
        [only] => quoted(only.as_ref()),
        several => list(several),
    }
}

/// Returns a map as an inline table.
pub(super) fn map(entries: &BTreeMap<String, String>) -> String {
    let entries = entries
        .iter()
        .map(|(key, value)| format!("{} = {}", self::key(key), quoted(value)));
    inline(entries.collect())
}

/// Returns entries as an inline table.
pub(super) fn inline(entries: Vec<String>) -> String {
    format!("{{ {} }}", entries.join(", "))
}

/// Returns a name as a key: bare where TOML takes it so.
pub(super) fn key(name: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(is_part) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// Returns a duration in milliseconds, in the largest unit that has it whole.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds % 1000 {
        0 => quoted(&format!("{}s", milliseconds / 1000)),
        _ => quoted(&format!("{milliseconds}ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was() {
        for text in [
            "",
            "a\"b\\c",
            "a\nb\r\t\u{7}\u{1b}\u{7f}\u{85}\u{202e}é😀",
            "''' \"\"\" # = [x]",
            "\\u0041",
        ] {
            let line = format!("a = {}\n{} = 1\n", quoted(text), key(&format!("k{text}")));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table.get("a").and_then(toml::Value::as_str), Some(text));
            assert!(table.contains_key(&format!("k{text}")), "{line}");
            assert_eq!(line.lines().count(), 2);
        }
    }

    #[test]
    fn durations_are_whole() {
        assert_eq!(duration(29_000), "\"29s\"");
        assert_eq!(duration(50), "\"50ms\"");
    }
}
