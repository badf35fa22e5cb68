//! A strict parser from JSON to claims: an object without duplicate members, bounded in depth, with
//! numbers as they are written, and the registered claims by type.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::confirmation::Confirmation;
use super::excerpt::{Excerpt, kind};
use super::malformation::{JsonFault, Malformation, Part};
use super::numerals::Numerals;
use crate::policy::{Claim, Claims};

/// The maximum depth of nested objects and lists. Real tokens need four levels; a parser needs a
/// bound (attacks.md#row-16).
const MAX_DEPTH: usize = 16;

/// The capacity for the members of an object: enough for an ordinary token, so that the list does
/// not grow.
const USUAL_MEMBERS: usize = 16;

/// Parses a JSON object. Two members with one name are refused at any depth, since two parsers
/// could take different ones (requirements.md#d10, #d27).
///
/// # Errors
/// The fault of everything else, including trailing bytes and a byte order mark.
pub(super) fn parse_object(json: &[u8]) -> Result<Claims, JsonFault> {
    parse(json, Repetitions::Refused)
}

/// Parses a JSON object to show it. Of members with one name, one is kept.
pub(super) fn parse_to_show(json: &[u8]) -> Option<Claims> {
    parse(json, Repetitions::Dropped).ok()
}

fn parse(json: &[u8], repetitions: Repetitions) -> Result<Claims, JsonFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let text = ParsedText {
        numerals: Numerals::of(json),
        repetitions,
        fault: RefCell::default(),
    };
    let strict = Strict {
        depth: MAX_DEPTH,
        text: &text,
    };
    let parsed = strict.deserialize(&mut deserializer);
    match parsed.and_then(|claim| deserializer.end().map(|()| claim)) {
        Ok(Claim::Map(claims)) => Ok(claims),
        Ok(_) => Err(JsonFault::NotAnObject),
        // The message of a syntax error is the parser's own: it quotes nothing.
        Err(error) => Err(match text.fault.take() {
            Some(fault) => fault,
            None => JsonFault::Syntax(error.to_string().into()),
        }),
    }
}

/// The claims that name the client, of which the first one present counts: those of RFC 9068,
/// OpenID Connect, Entra and Okta.
pub(super) const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "appid", "cid"];

/// The registered claims that decisions depend on. An absent claim is `None`. A claim of another
/// type makes the token malformed where something asks for it, and never counts as absent there
/// (CVE-2026-25537): [`super::Rules::check_types`] checks those that only some issuers' entries ask
/// for, and here they count as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) expires: u64,
    pub(super) not_before: Option<u64>,
    pub(super) client: Option<Box<str>>,
    pub(super) token_use: Option<Box<str>>,
    pub(super) confirmation: Confirmation,
}

impl Registered {
    /// Reads the registered claims.
    ///
    /// # Errors
    /// The fault, if `exp` is missing, or a claim that every token is asked for has the wrong type.
    pub(super) fn of(claims: &Claims) -> Result<Self, Malformation> {
        optional(claims, "iat", numeric_date, NUMBER)?;
        optional(claims, "sub", Claim::as_text, STRING)?;
        let token_use = claims.get("token_use").and_then(Claim::as_text);
        Ok(Self {
            expires: required(claims, "exp", numeric_date, NUMBER)?,
            not_before: optional(claims, "nbf", numeric_date, NUMBER)?,
            client: client(claims).map(Box::from),
            token_use: token_use.map(Box::from),
            confirmation: Confirmation::of(claims.get("cnf")),
        })
    }
}

/// The types of registered claims in words.
pub(super) const STRING: &str = "a string";
const NUMBER: &str = "a number";

/// Returns the name of the client: the first of its claims that is a string.
#[must_use]
pub fn client(claims: &Claims) -> Option<&str> {
    let mut texts = CLIENT_CLAIMS.iter().map(|name| claims.get(name)?.as_text());
    texts.find_map(|text| text)
}

/// Reads a claim.
///
/// # Errors
/// The fault of a claim with the wrong type; `wanted` is the right one in words.
pub(super) fn optional<'c, T>(
    claims: &'c Claims,
    name: &'static str,
    read: impl Fn(&'c Claim) -> Option<T>,
    wanted: &'static str,
) -> Result<Option<T>, Malformation> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    match read(claim) {
        Some(value) => Ok(Some(value)),
        None => Err(Malformation::Type {
            part: Part::Claims,
            name,
            found: kind(claim),
            wanted,
        }),
    }
}

/// Reads a claim that every token needs.
pub(super) fn required<'c, T>(
    claims: &'c Claims,
    name: &'static str,
    read: impl Fn(&'c Claim) -> Option<T>,
    wanted: &'static str,
) -> Result<T, Malformation> {
    match optional(claims, name, read, wanted)? {
        Some(value) => Ok(value),
        None => Err(Malformation::Missing {
            part: Part::Claims,
            name,
        }),
    }
}

/// Reads a date in seconds since 1970, rounded up: for a clock that counts whole seconds, "before
/// 100.5" is "before 101", and "not before 100.5" is "not before 101" (requirements.md#d25).
pub(super) fn numeric_date(claim: &Claim) -> Option<u64> {
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

/// The treatment of members with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repetitions {
    Refused,
    Dropped,
}

/// The text that is parsed.
struct ParsedText<'j> {
    /// The numbers of the text as they are written.
    numerals: Numerals<'j>,
    repetitions: Repetitions,
    /// The fault that ended the parsing, if the text is JSON.
    fault: RefCell<Option<JsonFault>>,
}

impl ParsedText<'_> {
    /// Notes a fault, and returns the error that ends the parsing.
    fn fail<E: Error>(&self, fault: JsonFault) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

/// The strict parser of one JSON value.
struct Strict<'n> {
    /// The number of levels that may still be nested.
    depth: usize,
    text: &'n ParsedText<'n>,
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
            None => Err(self.text.fail(JsonFault::TooDeep)),
        }
    }

    /// Makes the claim of an integer that fits into 64 bits, whose text is as it was written.
    fn integer(&self, value: impl ToString) -> Claim {
        self.text.numerals.pass();
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

    fn visit_f64<E: Error>(self, _: f64) -> Result<Claim, E> {
        match self.text.numerals.take() {
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
        if self.text.repetitions == Repetitions::Dropped {
            return Ok(Claim::Map(Claims::without_repetitions(list)));
        }
        match Claims::of(list) {
            Ok(claims) => Ok(Claim::Map(claims)),
            Err(name) => Err(self.text.fail(JsonFault::Twice(Excerpt::of(&name)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_strict_json_object_is_taken() {
        assert!(parse_object(br#"{"iss":"https:\/\/a","n":{"m":[1,-2,0.5,true,null]}}"#).is_ok());
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
            let shown = json.get(..40).unwrap_or(json);
            assert!(parse_object(json.as_bytes()).is_err(), "{shown}");
        }
        let wide: Vec<u8> = "{\"a\":1}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(parse_object(&wide).is_err());
    }

    #[test]
    fn a_fault_says_what_it_is() {
        let fault = |json: &str| parse_object(json.as_bytes()).unwrap_err();
        let twice = |name: &str| JsonFault::Twice(Excerpt::of(name));
        assert_eq!(fault("[]"), JsonFault::NotAnObject);
        assert_eq!(fault(r#""eyJ""#), JsonFault::NotAnObject);
        assert_eq!(fault(r#"{"a":1,"a":2}"#), twice("a"));
        assert_eq!(fault(r#"{"a":{"\u0062":1,"b":2}}"#), twice("b"));
        assert_eq!(fault(&"[".repeat(20)), JsonFault::TooDeep);
        for (json, part) in [
            (
                r#"{"a":"eyJhbGciOiJSUzI1NiJ9"#,
                "EOF while parsing a string",
            ),
            (r#"{"a":1e999}"#, "number out of range"),
            (r#"{"secret"}"#, "expected `:`"),
            (r#"{} {}"#, "trailing characters"),
        ] {
            match fault(json) {
                JsonFault::Syntax(message) => assert!(message.contains(part), "{message}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            parse_to_show(br#"{"a":1,"a":2}"#).unwrap().iter().count(),
            1
        );
        assert_eq!(parse_to_show(b"[]"), None);
    }

    // A float has 53 bits: two users with longer numbers would become one.
    #[test]
    fn numbers_are_as_the_token_writes_them() {
        let number = |text: &str| {
            let claims =
                parse_object(format!("{{\"a\":[1,\"-2e5\",{text}],\"z\":7.50}}").as_bytes())
                    .ok()?;
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
        ] {
            assert!(of(json).is_err(), "{json}");
        }
        let name = "exp";
        let part = Part::Claims;
        assert_eq!(of("{}"), Err(Malformation::Missing { part, name }));
        let (found, wanted) = ("a string", "a number");
        let wrong_type = Malformation::Type {
            part,
            name,
            found,
            wanted,
        };
        assert_eq!(of(r#"{"exp":"1"}"#), Err(wrong_type));
    }

    #[test]
    fn a_claim_that_nothing_asks_for_spoils_no_token() {
        for (json, client) in [
            (r#"{"exp":1,"aud":1,"token_use":1}"#, None),
            (r#"{"exp":1,"azp":null,"cid":7}"#, None),
            (r#"{"exp":1,"client_id":"a","cid":7}"#, Some("a")),
            (r#"{"exp":1,"client_id":["a"],"azp":"b"}"#, Some("b")),
        ] {
            let claims = parse_object(json.as_bytes()).unwrap();
            let registered = Registered::of(&claims).unwrap();
            assert_eq!(registered.client.as_deref(), client, "{json}");
            assert!(registered.token_use.is_none());
        }
    }
}
