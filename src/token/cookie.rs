//! Cookies in a `Cookie` field, as the parsers of applications read them, each in its own way.

use super::segment::{Segment, segments};

/// Returns the values in a `Cookie` field that some parser reads under a name for which `is_ours`
/// returns true.
///
/// Pairs end at `;`, and for nginx and for parsers of RFC 2965 also at `,`. Some parsers take a
/// pair without a name for its value (`=name=value`), and Python's `http.cookies` ends a value at a
/// blank. A value is returned up to the next `;`, so that one about whose end parsers disagree is
/// not a valid token.
pub(super) fn values<N>(field: &[u8], is_ours: N) -> impl Iterator<Item = &[u8]>
where
    N: Fn(&[u8]) -> bool + Copy,
{
    let pairs = field.split(is_semicolon);
    let cookies = pairs.flat_map(|pair| segments(pair, b','));
    cookies.flat_map(move |cookie| Values::of(&cookie, is_ours))
}

/// Returns the field without the cookies that [`values`] finds; `None` if there are none.
pub(super) fn without<N>(field: &[u8], is_ours: N) -> Option<Vec<u8>>
where
    N: Fn(&[u8]) -> bool + Copy,
{
    values(field, is_ours).next()?;
    let mut kept = Vec::with_capacity(field.len());
    for pair in field.split(is_semicolon) {
        let mut others = Vec::new();
        for cookie in segments(pair, b',') {
            if Values::of(&cookie, is_ours).next().is_none() {
                others.push(cookie.text);
            }
        }
        let pair = others.join(&b',');
        let pair = pair.trim_ascii();
        if !pair.is_empty() {
            kept.extend_from_slice(if kept.is_empty() { b"" } else { b"; " });
            kept.extend_from_slice(pair);
        }
    }
    Some(kept)
}

fn is_semicolon(byte: &u8) -> bool {
    *byte == b';'
}

/// An iterator over the values of a cookie that some parser reads under a name for which `is_ours`
/// returns true. Each part of the cookie before a `=` is tried as a name.
struct Values<'f, N> {
    /// The rest of the cookie, from the name that is tried next; `None` at the end.
    text: Option<&'f [u8]>,
    /// The same up to the end of its pair.
    rest: &'f [u8],
    is_ours: N,
    is_first_cookie: bool,
    is_first_name: bool,
}

impl<'f, N: Fn(&[u8]) -> bool> Values<'f, N> {
    fn of(cookie: &Segment<'f>, is_ours: N) -> Self {
        let begin = cookie.text.iter().position(|b| !is_in_front(*b));
        let begin = begin.unwrap_or(cookie.text.len());
        Self {
            text: Some(cookie.text.get(begin..).unwrap_or_default()),
            rest: cookie.rest.get(begin..).unwrap_or_default(),
            is_ours,
            is_first_cookie: cookie.is_first,
            is_first_name: true,
        }
    }

    /// Returns whether some parser reads this name as ours.
    fn is_read(&self, name: &[u8], has_value: bool) -> bool {
        // PHP takes a name without a value for a cookie with an empty one, but ends cookies at `;`
        // alone: after a comma such a name is part of the value.
        let may_be_alone = self.is_first_name && self.is_first_cookie;
        if !has_value && !may_be_alone {
            return false;
        }
        if self.is_first_name && (self.is_ours)(name) {
            return true;
        }
        match last_word(name) {
            Some(word) => (self.is_ours)(word),
            None => false,
        }
    }
}

impl<'f, N: Fn(&[u8]) -> bool> Iterator for Values<'f, N> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        while let Some(text) = self.text.take() {
            let mut name = text;
            let mut value: &[u8] = b"";
            let end = text.iter().position(|b| *b == b'=');
            if let Some(end) = end {
                name = text.get(..end)?;
                self.text = text.get(end + 1..);
                self.rest = self.rest.get(end + 1..)?;
                value = self.rest;
            }
            let is_read = self.is_read(name, end.is_some());
            self.is_first_name = false;
            if is_read {
                return Some(value.trim_ascii());
            }
        }
        None
    }
}

/// Returns the last word of several, which a parser that ends values at blanks takes for the next
/// name; `None` if there is one word only.
fn last_word(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().rposition(|b| !is_boundary(*b))? + 1;
    let words = text.get(..end)?;
    words.get(words.iter().rposition(|b| is_boundary(*b))? + 1..)
}

/// Returns whether parsers skip a byte in front of a name.
fn is_in_front(byte: u8) -> bool {
    is_boundary(byte) || byte == b'='
}

fn is_boundary(byte: u8) -> bool {
    byte <= b' ' || byte == b'"'
}

#[cfg(test)]
mod tests {
    use super::super::spelling::could_be;
    use super::*;

    fn found(field: &str) -> Vec<&str> {
        let values = values(field.as_bytes(), |name| could_be(name, "session"));
        values.map(|value| str::from_utf8(value).unwrap()).collect()
    }

    fn kept(field: &str) -> Option<String> {
        without(field.as_bytes(), |name| could_be(name, "session"))
            .map(|kept| String::from_utf8(kept).unwrap())
    }

    #[test]
    fn every_cookie_that_some_parser_reads_as_ours_is_found_and_removed() {
        for (field, values, others) in [
            ("session=t", &["t"][..], ""),
            ("a=b; session=t; c=d", &["t"], "a=b; c=d"),
            ("session =FORGED; session=GOOD", &["FORGED", "GOOD"], ""),
            ("session=GOOD; session =FORGED", &["GOOD", "FORGED"], ""),
            ("a=b;\tsession\t= t ;c", &["t"], "a=b; c"),
            ("a=b, session=t; c=d", &["t"], "a=b; c=d"),
            ("a=b, c; session=t", &["t"], "a=b, c"),
            (
                "cols=id,session,name; session=t",
                &["t"],
                "cols=id,session,name",
            ),
            ("a=\"x, session\"; session=t", &["t"], "a=\"x, session\""),
            ("a=b,session=t,c=d", &["t,c=d"], "a=b,c=d"),
            ("=session=t", &["t"], ""),
            ("a=b; = \"=session=t", &["t"], "a=b"),
            ("\"session\"=t", &["t"], ""),
            ("Session=t", &["t"], ""),
            ("%73ession=t", &["t"], ""),
            ("session[0]=t", &["t"], ""),
            ("session", &[""], ""),
            ("session; session=t", &["", "t"], ""),
            ("a=b session=t", &["t"], ""),
            ("a=\"b\"session = t", &["t"], ""),
            ("x session=t", &["t"], ""),
            ("session=\"t\"", &["\"t\""], ""),
            ("session=t x", &["t x"], ""),
            ("a=\"; session=t; b=\"", &["t"], "a=\"; b=\""),
            (
                "$Version=1; session=t; $Path=/",
                &["t"],
                "$Version=1; $Path=/",
            ),
            ("session=", &[""], ""),
            ("session==t", &["=t"], ""),
            ("session=a=b", &["a=b"], ""),
        ] {
            assert_eq!(found(field), values, "{field}");
            assert_eq!(kept(field).as_deref(), Some(others), "{field}");
        }
        for field in [
            "",
            ";",
            "=",
            "a=b",
            "a=session",
            "a=session; b",
            "cols=id,session,name",
            "a=\"x, session\"",
            "a=1, session; b=2",
            "a=b=session=c",
            "xsession=t",
            "__Host-session=t",
            "session_id=t; my session_=t",
            "a=b session",
            "session-=t",
        ] {
            assert_eq!((found(field), kept(field)), (Vec::new(), None), "{field}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_hide_no_cookie() {
        for field in [
            "session\u{a0}=t",
            "\u{2003}session=t",
            "a=\u{e9}; session=t",
        ] {
            assert_eq!(found(field), ["t"], "{field}");
        }
    }
}
