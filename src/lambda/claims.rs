//! The claims of a token in events, where every value is a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::policy::{Claim, Claims};

/// The claims of a token, by name.
pub(super) type ClaimTexts<'c> = BTreeMap<&'c str, Cow<'c, str>>;

/// Returns the claims as format 1.0 has them: the items of a list are joined by commas, an object
/// is JSON, and `null` is left out.
pub(super) fn rest_claims(claims: &Claims) -> ClaimTexts<'_> {
    texts(claims, |items| joined(items, ","))
}

/// Returns the claims as format 2.0 has them: as in format 1.0, but for lists, which are written
/// `[a b]`.
pub(super) fn http_claims(claims: &Claims) -> ClaimTexts<'_> {
    texts(claims, bracketed)
}

fn texts(claims: &Claims, list: fn(&[Claim]) -> String) -> ClaimTexts<'_> {
    let mut texts = ClaimTexts::new();
    for (name, claim) in claims.iter() {
        if let Some(text) = text(claim, list) {
            texts.insert(name, text);
        }
    }
    texts
}

/// Returns the text of a claim; `None` for `null`.
fn text(claim: &Claim, list: fn(&[Claim]) -> String) -> Option<Cow<'_, str>> {
    Some(match claim {
        Claim::Null => return None,
        Claim::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        Claim::Number(text) | Claim::Text(text) => Cow::Borrowed(text),
        Claim::List(items) => list(items).into(),
        Claim::Map(_) => json(claim).into(),
    })
}

fn bracketed(items: &[Claim]) -> String {
    format!("[{}]", joined(items, " "))
}

/// Joins the items of a list. A list in a list, an object and `null` are JSON.
fn joined(items: &[Claim], separator: &str) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        match item {
            Claim::Text(item) => text.push_str(item),
            other => text.push_str(&json(other)),
        }
    }
    text
}

/// Returns a claim as JSON. A token's JSON has a bound on its depth.
fn json(claim: &Claim) -> String {
    serde_json::to_string(&Json(claim)).unwrap_or_default()
}

/// A claim as JSON. Numbers have the notation of the token.
struct Json<'c>(&'c Claim);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Claim::Null => serializer.serialize_unit(),
            Claim::Bool(truth) => serializer.serialize_bool(*truth),
            Claim::Text(text) => serializer.serialize_str(text),
            Claim::Number(text) => number(text).serialize(serializer),
            Claim::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Json(item))?;
                }
                list.end()
            }
            Claim::Map(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, member) in members.iter() {
                    map.serialize_entry(name, &Json(member))?;
                }
                map.end()
            }
        }
    }
}

/// Returns a number in the notation of its token, which is JSON.
fn number(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(members: Vec<(&str, Claim)>) -> Claims {
        let members = members
            .into_iter()
            .map(|(name, claim)| (name.into(), claim));
        Claims::of(members.collect()).unwrap()
    }

    fn text(text: &str) -> Claim {
        Claim::Text(text.into())
    }

    #[test]
    fn every_value_is_a_text() {
        let list = vec![text("a b"), Claim::Number("1e3".into()), Claim::Bool(true)];
        let nested = vec![Claim::List(vec![text("x"), Claim::Null]), Claim::Null];
        let object = claims(vec![
            ("b", Claim::Number("1.50".into())),
            (
                "a\"",
                Claim::List(vec![text("ä\n"), Claim::Map(Claims::default())]),
            ),
        ]);
        let all = claims(vec![
            (
                "cognito:groups",
                Claim::List(vec![text("admin"), text("poweruser")]),
            ),
            ("empty", Claim::List(Vec::new())),
            ("exp", Claim::Number("1583348638".into())),
            ("list", Claim::List(list)),
            ("nested", Claim::List(nested)),
            ("null", Claim::Null),
            ("object", Claim::Map(object)),
            ("off", Claim::Bool(false)),
            ("sub", text("ü \"x\"")),
        ]);
        let rest: Vec<_> = rest_claims(&all).into_iter().collect();
        let object = "{\"a\\\"\":[\"ä\\n\",{}],\"b\":1.50}";
        let expected = [
            ("cognito:groups", "admin,poweruser"),
            ("empty", ""),
            ("exp", "1583348638"),
            ("list", "a b,1e3,true"),
            ("nested", "[\"x\",null],null"),
            ("object", object),
            ("off", "false"),
            ("sub", "ü \"x\""),
        ];
        assert_eq!(rest, expected.map(|(name, text)| (name, text.into())));
        let http: Vec<_> = http_claims(&all).into_iter().collect();
        let lists = [
            ("cognito:groups", "[admin poweruser]"),
            ("empty", "[]"),
            ("list", "[a b 1e3 true]"),
            ("nested", "[[\"x\",null] null]"),
        ];
        for (name, value) in http {
            let listed = lists.iter().find(|(list, _)| *list == name);
            let same = expected.iter().find(|(other, _)| *other == name);
            assert_eq!(value, listed.or(same).unwrap().1, "{name}");
        }
    }
}
