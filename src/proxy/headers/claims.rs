//! Claims as values of header fields.

use std::fmt::Write as _;

use http::HeaderValue;

use crate::policy::Claim;

/// Returns a claim as a field value: a scalar, or the items of a list joined by commas.
///
/// Different strings have different values, and so have different lists of more than one item or of
/// none. For that, the characters that are not visible ASCII are percent-encoded as UTF-8, and so
/// are `%`, `,`, and the blanks at both ends, which a reader would strip (RFC 9110 §5.5). No
/// character of a token can therefore end the field. Numbers are written as in the token.
///
/// Returns `None` for `null`, for objects, for an empty list, and for a list that holds another
/// list, an object or `null`.
pub(super) fn header_value(claim: &Claim) -> Option<HeaderValue> {
    match claim {
        Claim::Text(text) if is_plain(text) => HeaderValue::from_str(text).ok(),
        Claim::Number(text) => HeaderValue::from_str(text).ok(),
        Claim::List(items) => HeaderValue::try_from(list(items)?).ok(),
        other => {
            let mut value = String::new();
            write_scalar(&mut value, other)?;
            HeaderValue::try_from(value).ok()
        }
    }
}

fn list(items: &[Claim]) -> Option<String> {
    let mut value = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            value.push(',');
        }
        write_scalar(&mut value, item)?;
    }
    (!items.is_empty()).then_some(value)
}

/// Returns whether a string needs no encoding.
fn is_plain(text: &str) -> bool {
    text.bytes().all(is_unescaped) && !text.starts_with(' ') && !text.ends_with(' ')
}

fn is_unescaped(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'%' && byte != b','
}

/// Appends a scalar; `None` for a claim that is not a scalar.
fn write_scalar(value: &mut String, claim: &Claim) -> Option<()> {
    match claim {
        Claim::Text(text) => write_text(value, text),
        Claim::Number(text) => value.push_str(text),
        Claim::Bool(truth) => value.push_str(if *truth { "true" } else { "false" }),
        Claim::Null | Claim::List(_) | Claim::Map(_) => return None,
    }
    Some(())
}

fn write_text(value: &mut String, text: &str) {
    let leading = text.len() - text.trim_start_matches(' ').len();
    let trailing = text.trim_end_matches(' ').len();
    for (index, byte) in text.bytes().enumerate() {
        let is_at_an_end = index < leading || index >= trailing;
        if is_unescaped(byte) && !(byte == b' ' && is_at_an_end) {
            value.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::decision::claim_value;
    use crate::transform::{Escape, Facts, Place, Reference, Template, Value};

    fn text(text: &str) -> Claim {
        Claim::Text(text.into())
    }

    fn value(claim: &Claim) -> String {
        header_value(claim).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn no_claim_can_end_a_field() {
        for (claim, expected) in [
            ("a b", "a b"),
            ("a\r\nx: y\0%é", "a%0D%0Ax: y%00%25%C3%A9"),
            ("\t\u{7f}\u{85}", "%09%7F%C2%85"),
            ("Doe, John", "Doe%2C John"),
            (" alice", "%20alice"),
            ("alice  ", "alice%20%20"),
            ("  ", "%20%20"),
            ("", ""),
        ] {
            assert_eq!(value(&text(claim)), expected, "{claim:?}");
        }
    }

    #[test]
    fn a_list_is_its_items_and_an_empty_list_has_no_value() {
        let items = vec![
            text("a,b"),
            text(" c"),
            Claim::Number("1.0".into()),
            Claim::Bool(true),
        ];
        assert_eq!(value(&Claim::List(items)), "a%2Cb,%20c,1.0,true");
        for none in [
            Claim::Null,
            Claim::List(vec![]),
            Claim::List(vec![Claim::Null]),
            Claim::List(vec![text("a"), Claim::List(vec![text("b")])]),
        ] {
            assert_eq!(header_value(&none), None, "{none:?}");
        }
        // An upstream cannot distinguish these; the documentation says so.
        assert_eq!(value(&Claim::List(vec![text("x")])), value(&text("x")));
        assert_eq!(value(&Claim::Number("1".into())), value(&text("1")));
    }

    // Two users must not become one: all strings, and all lists of two, over an alphabet of special
    // characters.
    #[test]
    fn two_claims_never_have_one_value() {
        let mut strings = vec![String::new()];
        for _ in 0..3 {
            let longer = strings
                .iter()
                .flat_map(|one| ["a", " ", ",", "%", "2", "C", "\t"].map(|c| format!("{one}{c}")));
            strings = std::iter::once(String::new()).chain(longer).collect();
        }
        let some: Vec<&String> = strings.iter().filter(|one| one.len() < 3).collect();
        let pairs = some
            .iter()
            .flat_map(|a| some.iter().map(|b| Claim::List(vec![text(a), text(b)])));
        let mut seen: HashMap<String, Claim> = HashMap::new();
        for claim in strings.iter().map(|one| text(one)).chain(pairs) {
            let value = value(&claim);
            // The field's value as every reader sees it.
            let read = value.trim_matches([' ', '\t']).to_owned();
            let items: Vec<&str> = read
                .split(',')
                .map(|item| item.trim_matches([' ', '\t']))
                .collect();
            assert_eq!(items.join(","), value, "{claim:?} loses something");
            if let Some(other) = seen.insert(read, claim.clone()) {
                panic!("{claim:?} and {other:?} are alike");
            }
        }
    }

    /// The facts of a token with one claim.
    struct Token(Claim);

    impl Facts for Token {
        fn value(&self, _: &Reference) -> Option<Value<'_>> {
            claim_value(&self.0)
        }
    }

    // `forward` and a header rule must not disagree about a user.
    #[test]
    fn a_template_writes_a_claim_as_forward_does() {
        let template = Template::parse("${claim:a}", &Place::REQUEST).unwrap();
        for claim in [
            text("alice"),
            text(" a\r\nb,%\u{e9}  "),
            text(""),
            Claim::Number("1.0e+3".into()),
            Claim::Bool(false),
            Claim::Null,
            Claim::List(vec![]),
            Claim::List(vec![text("a,b"), text(" c"), Claim::Number("1".into())]),
            Claim::List(vec![text("a"), Claim::Null]),
            Claim::List(vec![Claim::List(vec![text("a")])]),
        ] {
            let forwarded = header_value(&claim);
            let forwarded = forwarded.map(|value| value.to_str().unwrap().to_owned());
            let token = Token(claim);
            let rendered = template.render(Escape::Header, &token).ok();
            assert_eq!(rendered, forwarded, "{:?}", token.0);
        }
    }
}
