//! Query parameters, as the parsers of applications read them.

use super::segment::{Segment, segments};

/// Returns the values in a query that some parser reads under a name for which `is_ours` returns
/// true.
///
/// Parameters end at `&`, and for many parsers also at `;`. A value is returned up to the next `&`,
/// so that one with a `;`, about whose end parsers disagree, is not a valid token.
pub(super) fn values<N>(query: &str, is_ours: N) -> impl Iterator<Item = &[u8]>
where
    N: Fn(&[u8]) -> bool + Copy,
{
    let pairs = query.as_bytes().split(is_ampersand);
    let parameters = pairs.flat_map(|pair| segments(pair, b';'));
    parameters.filter_map(move |parameter| {
        let name = name_of(&parameter);
        if is_ours(name) {
            value_of(&parameter, name)
        } else {
            None
        }
    })
}

/// Returns the query without the parameters that [`values`] finds; `None` if there are none.
pub(super) fn without<N>(query: &str, is_ours: N) -> Option<String>
where
    N: Fn(&[u8]) -> bool + Copy,
{
    values(query, is_ours).next()?;
    let mut pairs = Vec::new();
    for pair in query.as_bytes().split(is_ampersand) {
        let mut others = Vec::new();
        for parameter in segments(pair, b';') {
            if !is_ours(name_of(&parameter)) {
                others.push(parameter.text);
            }
        }
        if !others.is_empty() {
            pairs.push(others.join(&b';'));
        }
    }
    // A text that is split at ASCII characters stays valid UTF-8.
    String::from_utf8(pairs.join(&b'&')).ok()
}

fn is_ampersand(byte: &u8) -> bool {
    *byte == b'&'
}

fn name_of<'q>(parameter: &Segment<'q>) -> &'q [u8] {
    let text = parameter.text;
    match text.iter().position(|b| *b == b'=') {
        Some(end) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

/// Returns the value of a parameter up to the end of its pair.
fn value_of<'q>(parameter: &Segment<'q>, name: &[u8]) -> Option<&'q [u8]> {
    // The value follows the name and `=`; for most parsers a name alone has an empty value.
    if name.len() == parameter.text.len() {
        return Some(b"");
    }
    parameter.rest.get(name.len() + 1..)
}

#[cfg(test)]
mod tests {
    use super::super::spelling::could_be;
    use super::*;

    #[test]
    fn every_parameter_that_some_parser_reads_as_ours_is_found_and_removed() {
        let is_ours = |name: &[u8]| could_be(name, "access_token");
        for (query, found, others) in [
            ("access_token=t", &["t"][..], ""),
            ("a=1&access_token=t&b", &["t"], "a=1&b"),
            ("access.token=F&access_token=G", &["F", "G"], ""),
            ("a=1;access_token=t&b", &["t"], "a=1&b"),
            (
                "access_token=G;access_token=F",
                &["G;access_token=F", "F"],
                "",
            ),
            ("access_token=G;a=1", &["G;a=1"], "a=1"),
            ("a=1;b=2;access%5Ftoken=t;c", &["t;c"], "a=1;b=2;c"),
            ("access+token=t", &["t"], ""),
            ("access[token=t", &["t"], ""),
            ("access_token[]=t", &["t"], ""),
            ("[access_token]=t", &["t"], ""),
            ("?access_token=t", &["t"], ""),
            ("ACCESS_TOKEN=t", &["t"], ""),
            ("a&amp;access_token=t", &["t"], "a&amp"),
            ("access_token", &[""], ""),
            ("access_token=", &[""], ""),
            ("a&&access_token=t", &["t"], "a&"),
        ] {
            let values: Vec<&[u8]> = values(query, is_ours).collect();
            let found: Vec<&[u8]> = found.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(values, found, "{query}");
            assert_eq!(without(query, is_ours).as_deref(), Some(others), "{query}");
        }
        for query in [
            "",
            "a=access_token",
            "a=b=access_token",
            "xaccess_token=t",
            "access-token=t",
            "&;",
        ] {
            assert_eq!(values(query, is_ours).count(), 0, "{query}");
            assert_eq!(without(query, is_ours), None, "{query}");
        }
    }
}
