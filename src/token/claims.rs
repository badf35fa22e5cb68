//! A strict parser from JSON to claims: an object without duplicate members, bounded in depth, with
//! numbers as they are written, and the registered claims by type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::confirmation::Confirmation;
use super::numerals::Numerals;
use crate::policy::{Claim, Claims};

/// The maximum depth of nested objects and lists. Real tokens need four levels; a parser needs a
/// bound (attacks.md#row-16).
const MAX_DEPTH: usize = 16;

/// The capacity for the members of an object: enough for an ordinary token, so that the list does
/// not grow.
const USUAL_MEMBERS: usize = 16;

/// Parses a JSON object. Two members with one name are refused at any depth, since two parsers
/// could take different ones (requirements.md#d10, #d27). Returns `None` for everything else,
/// including trailing bytes and a byte order mark.
pub(super) fn parse_object(json: &[u8]) -> Option<Claims> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let numerals = Numerals::of(json);
    let strict = Strict {
        depth: MAX_DEPTH,
        numerals: Some(&numerals),
    };
    let claim = strict.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    match claim {
        Claim::Map(claims) => Some(claims),
        _ => None,
    }
}

/// The claims that name the client, of which the first one present counts: those of RFC 9068,
/// OpenID Connect, Entra and Okta.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "appid", "cid"];

/// The registered claims that decisions depend on, each with its one right type. An absent claim is
/// `None`; a claim of another type makes the token malformed, and never counts as absent
/// (CVE-2026-25537).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) expires: u64,
    pub(super) not_before: Option<u64>,
    pub(super) audience: Vec<Box<str>>,
    pub(super) client: Option<Box<str>>,
    pub(super) token_use: Option<Box<str>>,
    pub(super) confirmation: Confirmation,
}

impl Registered {
    /// Reads the registered claims; `None` if a claim has the wrong type, or `exp` is missing.
    pub(super) fn of(claims: &Claims) -> Option<Self> {
        optional(claims, "iat", numeric_date).ok()?;
        optional(claims, "sub", Claim::as_text).ok()?;
        let audience = optional(claims, "aud", Claim::as_texts).ok()?;
        let token_use = optional(claims, "token_use", Claim::as_text).ok()?;
        Some(Self {
            expires: numeric_date(claims.get("exp")?)?,
            not_before: optional(claims, "nbf", numeric_date).ok()?,
            audience: audience
                .unwrap_or_default()
                .into_iter()
                .map(Box::from)
                .collect(),
            client: client(claims)?.map(Box::from),
            token_use: token_use.map(Box::from),
            confirmation: Confirmation::of(claims.get("cnf")),
        })
    }
}

/// Returns the client's name, if the claims have one; the outer `None` if one of its claims has the
/// wrong type.
fn client(claims: &Claims) -> Option<Option<&str>> {
    let mut client = None;
    for name in CLIENT_CLAIMS {
        // Each of them has to be a string, even if another one takes precedence.
        let named = optional(claims, name, Claim::as_text).ok()?;
        client = client.or(named);
    }
    Some(client)
}

/// The error of a claim with the wrong type.
struct WrongType;

fn optional<'c, T>(
    claims: &'c Claims,
    name: &str,
    read: impl Fn(&'c Claim) -> Option<T>,
) -> Result<Option<T>, WrongType> {
    match claims.get(name) {
        None => Ok(None),
        Some(claim) => read(claim).map(Some).ok_or(WrongType),
    }
}

/// Reads a date in seconds since 1970, rounded up: for a clock that counts whole seconds, "before
/// 100.5" is "before 101", and "not before 100.5" is "not before 101" (requirements.md#d25).
fn numeric_date(claim: &Claim) -> Option<u64> {
    let Claim::Number(text) = claim else {
        return None;
    };
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, as it should"
    )]
    number.is_finite().then(|| number.ceil() as u64)
}

/// The strict parser of one JSON value.
pub(super) struct Strict<'n> {
    /// The number of levels that may still be nested.
    depth: usize,
    /// The numbers of the text as they are written; `None` if the parsed value is not kept.
    numerals: Option<&'n Numerals<'n>>,
}

impl Strict<'_> {
    /// Returns the parser for the value of an object's member that is not kept.
    pub(super) fn skipped() -> Self {
        Self {
            depth: MAX_DEPTH - 1,
            numerals: None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Claim;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Claim, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict<'_> {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..*self }),
            None => Err(E::custom("nested too deeply")),
        }
    }

    /// Makes the claim of an integer that fits into 64 bits, whose text is as it was written.
    fn integer(&self, value: impl ToString) -> Claim {
        if let Some(numerals) = self.numerals {
            numerals.pass();
        }
        Claim::Number(value.to_string().into())
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Claim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Claim, E> {
        Ok(Claim::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Claim, E> {
        Ok(Claim::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Claim, E> {
        Ok(self.integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Claim, E> {
        Ok(self.integer(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Claim, E> {
        let Some(numerals) = self.numerals else {
            return Ok(Claim::Number(value.to_string().into()));
        };
        match numerals.take() {
            Some(text) => Ok(Claim::Number(text.into())),
            None => Err(E::custom("a number is not where it was read")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Claim, E> {
        Ok(Claim::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Claim, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        Ok(Claim::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Claim, A::Error> {
        let mut list = Vec::with_capacity(USUAL_MEMBERS);
        while let Some(name) = members.next_key::<Box<str>>()? {
            list.push((name, members.next_value_seed(self.inner()?)?));
        }
        match Claims::of(list) {
            Some(claims) => Ok(Claim::Map(claims)),
            None => Err(A::Error::custom("a member occurs twice")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_strict_json_object_is_taken() {
        assert!(parse_object(br#"{"iss":"https:\/\/a","n":{"m":[1,-2,0.5,true,null]}}"#).is_some());
        for json in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{} {}",
            "{}x",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"\\u0062\":2}}",
            &format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20)),
            &"[".repeat(100_000),
        ] {
            assert_eq!(
                parse_object(json.as_bytes()),
                None,
                "{}",
                json.get(..40).unwrap_or(json)
            );
        }
        assert_eq!(
            parse_object(
                "{\"a\":1}"
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            None
        );
    }

    // A float has 53 bits: two users with longer numbers would become one.
    #[test]
    fn numbers_are_as_the_token_writes_them() {
        let number = |text: &str| {
            let claims =
                parse_object(format!("{{\"a\":[1,\"-2e5\",{text}],\"z\":7.50}}").as_bytes())?;
            assert_eq!(
                claims.get("z"),
                Some(&Claim::Number("7.50".into())),
                "{text}"
            );
            match claims.get("a") {
                Some(Claim::List(items)) => items.last().cloned(),
                _ => None,
            }
        };
        let long = "9".repeat(300);
        let precise = format!("0.{}", "1".repeat(5000));
        for text in [
            "0",
            "-0",
            "1.0",
            "-1.50",
            "1E5",
            "1e+05",
            "2e-7",
            "1e-400",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            &long,
            &precise,
        ] {
            assert_eq!(number(text), Some(Claim::Number(text.into())), "{text}");
        }
        // Numbers beyond the range of a float are refused, and so is text that is not JSON.
        for text in [
            "1e400",
            "-1e400",
            &"9".repeat(400),
            "01",
            "+1",
            "1.",
            ".5",
            "0x1",
            "1e",
            "--1",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    // Some libraries represent long numbers as objects with a member of this name. An object with
    // such a member in a token must stay an object.
    #[test]
    fn no_object_is_taken_for_a_number() {
        for name in [
            "$serde_json::private::Number",
            "$serde_json::private::RawValue",
        ] {
            let claims =
                parse_object(format!("{{\"a\":{{\"{name}\":\"1, admin\"}}}}").as_bytes()).unwrap();
            assert!(matches!(claims.get("a"), Some(Claim::Map(_))), "{name}");
        }
    }

    // CVE-2026-25537.
    #[test]
    fn a_claim_of_the_wrong_type_is_not_an_absent_claim() {
        let of = |json: &str| Registered::of(&parse_object(json.as_bytes()).unwrap());
        assert_eq!(of(r#"{"exp":100.5}"#).unwrap().expires, 101);
        assert_eq!(of(r#"{"exp":-5}"#).unwrap().expires, 0);
        assert_eq!(of(r#"{"exp":1e300}"#).unwrap().expires, u64::MAX);
        assert_eq!(
            of(r#"{"exp":18446744073709551616}"#).unwrap().expires,
            u64::MAX
        );
        assert_eq!(of(r#"{"exp":1.7E+9}"#).unwrap().expires, 1_700_000_000);
        assert_eq!(of(r#"{"exp":-0}"#).unwrap().expires, 0);
        assert_eq!(of(r#"{"exp":1e-400}"#).unwrap().expires, 0);
        assert_eq!(
            of(r#"{"exp":1,"aud":["a","b"]}"#).unwrap().audience.len(),
            2
        );
        assert_eq!(
            of(r#"{"exp":1,"azp":"a"}"#).unwrap().client.as_deref(),
            Some("a")
        );
        assert_eq!(
            of(r#"{"exp":1,"cid":"a"}"#).unwrap().client.as_deref(),
            Some("a")
        );
        assert_eq!(
            of(r#"{"exp":1,"client_id":"b","azp":"a"}"#)
                .unwrap()
                .client
                .as_deref(),
            Some("b")
        );
        for json in [
            "{}",
            r#"{"exp":"100"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":[1]}"#,
            r#"{"exp":true}"#,
            r#"{"exp":1,"nbf":"1"}"#,
            r#"{"exp":1,"nbf":null}"#,
            r#"{"exp":1,"iat":"1"}"#,
            r#"{"exp":1,"sub":1}"#,
            r#"{"exp":1,"aud":1}"#,
            r#"{"exp":1,"aud":["a",1]}"#,
            r#"{"exp":1,"aud":{"a":1}}"#,
            r#"{"exp":1,"aud":null}"#,
            r#"{"exp":1,"client_id":["a"]}"#,
            r#"{"exp":1,"client_id":"a","cid":1}"#,
            r#"{"exp":1,"token_use":1}"#,
        ] {
            assert_eq!(of(json), None, "{json}");
        }
    }
}
