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
    let pairs = field.split(|b| *b == b';');
    pairs
        .flat_map(|pair| segments(pair, b','))
        .flat_map(move |cookie| cookie_values(&cookie, is_ours))
}

/// Returns the field without the cookies that [`values`] finds; `None` if there are none.
pub(super) fn without<N>(field: &[u8], is_ours: N) -> Option<Vec<u8>>
where
    N: Fn(&[u8]) -> bool + Copy,
{
    values(field, is_ours).next()?;
    let mut kept = Vec::with_capacity(field.len());
    for pair in field.split(|b| *b == b';') {
        let others =
            segments(pair, b',').filter(|cookie| cookie_values(cookie, is_ours).next().is_none());
        let pair = others
            .map(|cookie| cookie.text)
            .collect::<Vec<_>>()
            .join(&b',');
        let pair = pair.trim_ascii();
        if !pair.is_empty() {
            kept.extend_from_slice(if kept.is_empty() { b"" } else { b"; " });
            kept.extend_from_slice(pair);
        }
    }
    Some(kept)
}

/// Returns the values of a cookie that some parser reads under a name for which `is_ours` returns
/// true.
fn cookie_values<'f, N>(
    cookie: &Segment<'f>,
    is_ours: N,
) -> impl Iterator<Item = &'f [u8]> + use<'f, N>
where
    N: Fn(&[u8]) -> bool,
{
    let Segment {
        text,
        rest,
        is_first,
    } = *cookie;
    let begin = text
        .iter()
        .take_while(|b| is_boundary(**b) || **b == b'=')
        .count();
    let text = text.get(begin..).unwrap_or_default();
    let rest = rest.get(begin..).unwrap_or_default();
    let mut end = 0;
    text.split(|b| *b == b'=')
        .enumerate()
        .filter_map(move |(index, name)| {
            end += name.len() + 1;
            let has_value = end <= text.len();
            // PHP takes a name without a value for a cookie with an empty one, but ends cookies at
            // `;` alone: after a comma such a name is part of the value.
            let may_be_bare = index == 0 && is_first;
            let is_word = (may_be_bare || has_value) && last_word(name).is_some_and(&is_ours);
            let is_whole = index == 0 && (is_first || has_value) && is_ours(name);
            let value = if has_value {
                rest.get(end..).unwrap_or_default()
            } else {
                b""
            };
            (is_whole || is_word).then(|| value.trim_ascii())
        })
}

/// Returns the last word of several, which a parser that ends values at blanks takes for the next
/// name; `None` if there is one word only.
fn last_word(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().rposition(|b| !is_boundary(*b))? + 1;
    let words = text.get(..end)?;
    words.get(words.iter().rposition(|b| is_boundary(*b))? + 1..)
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
