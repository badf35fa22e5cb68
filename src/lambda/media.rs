//! Media types whose bodies travel in base64.

use std::fmt;

/// A media type, or all types (`*/*`) or subtypes (`image/*`) of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// In lower case; `None` for any type.
    kind: Option<Box<str>>,
    /// In lower case; `None` for any subtype.
    subtype: Option<Box<str>>,
}

/// The text is no media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaError;

impl MediaRange {
    /// Parses a range, such as `image/*`.
    ///
    /// # Errors
    /// [`MediaError`]
    pub fn parse(text: &str) -> Result<Self, MediaError> {
        let (kind, subtype) = text.split_once('/').ok_or(MediaError)?;
        let range = Self {
            kind: part(kind)?,
            subtype: part(subtype)?,
        };
        // `*/png` is not a range of RFC 9110 §12.5.1.
        if range.kind.is_none() && range.subtype.is_some() {
            return Err(MediaError);
        }
        Ok(range)
    }

    /// Returns whether the range has the type of a `Content-Type` field.
    pub(super) fn holds(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default();
        let Some((kind, subtype)) = essence.trim().split_once('/') else {
            return false;
        };
        is_part(self.kind.as_deref(), kind) && is_part(self.subtype.as_deref(), subtype)
    }
}

fn is_part(expected: Option<&str>, found: &str) -> bool {
    expected.is_none_or(|expected| expected.eq_ignore_ascii_case(found))
}

/// Returns one side of a range; `None` for `*`.
fn part(text: &str) -> Result<Option<Box<str>>, MediaError> {
    if text == "*" {
        return Ok(None);
    }
    if text.is_empty() || !text.bytes().all(is_token_byte) {
        return Err(MediaError);
    }
    Ok(Some(text.to_ascii_lowercase().into()))
}

/// Returns whether a name may have this byte (RFC 6838 §4.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("*");
        let subtype = self.subtype.as_deref().unwrap_or("*");
        write!(f, "{kind}/{subtype}")
    }
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a media type such as \"image/png\", \"image/*\" or \"*/*\"")
    }
}

impl std::error::Error for MediaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_types() {
        for (range, content_type, holds) in [
            ("image/png", "image/png", true),
            ("image/png", "IMAGE/PNG; q=1", true),
            ("image/png", "image/pngx", false),
            ("image/*", "image/svg+xml", true),
            ("image/*", "text/plain", false),
            ("*/*", "text/plain", true),
            ("*/*", "none", false),
            ("*/*", "", false),
            ("Application/X-Thing", "application/x-thing ;a=b", true),
        ] {
            let parsed = MediaRange::parse(range).unwrap();
            assert_eq!(parsed.holds(content_type), holds, "{range} {content_type}");
        }
        for text in [
            "", "image", "/png", "image/", "*/png", "a/b;c", "a b/c", "image/**",
        ] {
            assert_eq!(MediaRange::parse(text), Err(MediaError), "{text}");
        }
    }
}
