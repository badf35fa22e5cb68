//! The parameters of a query, decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::content::form_decoded;

/// The parameters of a query: the values of each name, in the order of the query.
pub(super) type Parameters<'q> = BTreeMap<Cow<'q, str>, Vec<Cow<'q, str>>>;

/// Returns the parameters of a query, decoded as a form is: `+` is a space. A parameter without `=`
/// has an empty value. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn parameters(query: Option<&str>) -> Parameters<'_> {
    let mut parameters = Parameters::new();
    for pair in query.unwrap_or_default().split('&') {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values = parameters.entry(decoded(name)).or_default();
        values.push(decoded(value));
    }
    parameters
}

fn decoded(text: &str) -> Cow<'_, str> {
    match form_decoded(text.as_bytes()) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Returns the last value of each name, as format 1.0 has it.
pub(super) fn last_values<'p>(parameters: &'p Parameters<'_>) -> BTreeMap<&'p str, &'p str> {
    let mut last = BTreeMap::new();
    for (name, values) in parameters {
        if let Some(value) = values.last() {
            last.insert(&**name, &**value);
        }
    }
    last
}

/// Returns the values of each name, joined by commas, as format 2.0 has them.
pub(super) fn joined_values<'p>(parameters: &'p Parameters<'_>) -> BTreeMap<&'p str, String> {
    let mut joined = BTreeMap::new();
    for (name, values) in parameters {
        joined.insert(&**name, values.join(","));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> String {
        let mut text = String::new();
        for (name, values) in parameters(Some(query)) {
            text.push_str(&format!("{name}={};", values.join("|")));
        }
        text
    }

    #[test]
    fn a_query_is_decoded_as_a_form() {
        for (query, expected) in [
            ("", ""),
            ("a=1&a=2&b=3", "a=1|2;b=3;"),
            ("a=x+y%2B&+%20b=1", "  b=1;a=x y+;"),
            ("a&b=&=c&&", "=c;a=;b=;"),
            ("a=b=c", "a=b=c;"),
            ("%61=1&a=2", "a=1|2;"),
            ("a=%&b=%zz&c=%4", "a=%;b=%zz;c=%4;"),
            ("a=%FF%C3%A4", "a=\u{fffd}ä;"),
            ("__proto__=1&constructor=2", "__proto__=1;constructor=2;"),
            ("a=1;b=2", "a=1;b=2;"),
            ("a=%00%0d%0a", "a=\0\r\n;"),
        ] {
            assert_eq!(list(query), expected, "{query}");
        }
        assert!(parameters(None).is_empty());
    }
}
