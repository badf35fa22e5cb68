//! The members of a function's answer, parsed without a tree: an answer of some megabytes would
//! take many times its size as a tree of JSON values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::AnswerError;
use super::answer_error::cut;

/// The known members of an answer, as they are written.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) status: Option<&'a RawValue>,
    pub(super) headers: Option<&'a RawValue>,
    pub(super) multi_value_headers: Option<&'a RawValue>,
    pub(super) cookies: Option<&'a RawValue>,
    pub(super) body: Option<&'a RawValue>,
    pub(super) is_base64: Option<&'a RawValue>,
}

/// The members of an answer that is an object, before those of an answer are looked at.
#[derive(Default)]
pub(super) struct Outline<'a> {
    pub(super) members: Members<'a>,
    /// The first known member that occurs twice.
    pub(super) twice: Option<&'static str>,
    /// The first member that is not one of an answer.
    pub(super) unknown: Option<Box<str>>,
    /// The text of `errorType`, if the object has it; empty if it is no text.
    pub(super) error_type: Option<Box<str>>,
    /// The text of `errorMessage`, if the object has it; empty if it is no text.
    pub(super) error_message: Option<Box<str>>,
}

impl<'a> Outline<'a> {
    /// Parses an object.
    ///
    /// # Errors
    /// [`AnswerError::NotJson`]
    pub(super) fn parse(text: &'a str) -> Result<Self, AnswerError> {
        serde_json::from_str(text).map_err(|_| AnswerError::NotJson)
    }

    /// Returns whether the object is the error of a function, which the runtime emulator returns as
    /// an answer.
    pub(super) fn is_error(&self) -> bool {
        self.members.status.is_none() && self.error_type.is_some() && self.error_message.is_some()
    }

    /// Returns the place of a known member, and its name.
    fn place(&mut self, name: &str) -> Option<(&mut Option<&'a RawValue>, &'static str)> {
        let members = &mut self.members;
        Some(match name {
            "statusCode" => (&mut members.status, "statusCode"),
            "headers" => (&mut members.headers, "headers"),
            "multiValueHeaders" => (&mut members.multi_value_headers, "multiValueHeaders"),
            "cookies" => (&mut members.cookies, "cookies"),
            "body" => (&mut members.body, "body"),
            "isBase64Encoded" => (&mut members.is_base64, "isBase64Encoded"),
            _ => return None,
        })
    }

    fn note_unknown(&mut self, name: &str, value: &'a RawValue) {
        match name {
            "errorType" => self.error_type = Some(text_of(value)),
            "errorMessage" => self.error_message = Some(text_of(value)),
            _ => {}
        }
        if self.unknown.is_none() {
            self.unknown = Some(cut(name));
        }
    }
}

fn text_of(value: &RawValue) -> Box<str> {
    match serde_json::from_str(value.get()) {
        Ok(Scalar::Text(text)) => cut(&text),
        _ => Box::default(),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Outline<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outline = Outline::default();
        while let Some(Text(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            let Some((place, known)) = outline.place(&name) else {
                outline.note_unknown(&name, value);
                continue;
            };
            if place.replace(value).is_some() {
                outline.twice.get_or_insert(known);
            }
        }
        Ok(outline)
    }
}

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value that is neither a list nor an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// In the notation of the answer.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value: &RawValue = Deserialize::deserialize(deserializer)?;
        let text = value.get();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => {
                let Text(text) = serde_json::from_str(text).map_err(Error::custom)?;
                Self::Text(text)
            }
            Some(b'[' | b'{') | None => return Err(Error::custom("not a scalar")),
            Some(_) => Self::Number(text.into()),
        })
    }
}

/// The header fields of an answer, in its order. A field that is `null` is left out.
pub(super) struct FieldList<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> FieldList<'a> {
    /// Returns the fields of `headers`, of which there may be as many as the limit.
    pub(super) fn single(member: Option<&'a RawValue>, limit: usize) -> Result<Self, AnswerError> {
        let visitor = FieldVisitor {
            limit,
            is_multiple: false,
        };
        visitor.parse(
            member,
            "headers",
            "an object of strings, numbers and booleans",
        )
    }

    /// Returns the fields of `multiValueHeaders`, of which there may be as many as the limit.
    pub(super) fn multiple(
        member: Option<&'a RawValue>,
        limit: usize,
    ) -> Result<Self, AnswerError> {
        let visitor = FieldVisitor {
            limit,
            is_multiple: true,
        };
        visitor.parse(
            member,
            "multiValueHeaders",
            "an object of lists of strings, numbers and booleans",
        )
    }

    /// Returns whether a field with this value is in the list.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        let mut fields = self.0.iter();
        fields.any(|(known, other)| known.eq_ignore_ascii_case(name) && other == value)
    }
}

/// Reads header fields.
#[derive(Clone, Copy)]
struct FieldVisitor {
    limit: usize,
    is_multiple: bool,
}

/// The message of the parser for too many fields. Its errors carry nothing but a text.
const TOO_MANY: &str = "too many fields";

impl FieldVisitor {
    fn parse<'a>(
        self,
        member: Option<&'a RawValue>,
        name: &'static str,
        expected: &'static str,
    ) -> Result<FieldList<'a>, AnswerError> {
        let text = match member {
            None => return Ok(FieldList(Vec::new())),
            Some(member) if member.get() == "null" => return Ok(FieldList(Vec::new())),
            Some(member) => member.get(),
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(self).map_err(|error| {
            if error.to_string().starts_with(TOO_MANY) {
                return AnswerError::TooManyFields;
            }
            AnswerError::Mistyped {
                member: name,
                expected,
            }
        })
    }

    fn push<'a, E: Error>(
        self,
        list: &mut FieldList<'a>,
        name: Cow<'a, str>,
        value: Scalar<'a>,
    ) -> Result<(), E> {
        let value = match value {
            Scalar::Null => return Ok(()),
            Scalar::Bool(true) => "true".into(),
            Scalar::Bool(false) => "false".into(),
            Scalar::Number(text) | Scalar::Text(text) => text,
        };
        if list.0.len() >= self.limit {
            return Err(E::custom(TOO_MANY));
        }
        list.0.push((name, value));
        Ok(())
    }
}

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldList<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut list = FieldList(Vec::new());
        while let Some(Text(name)) = map.next_key()? {
            if !self.is_multiple {
                self.push(&mut list, name, map.next_value()?)?;
                continue;
            }
            let values: Option<Scalars<'de>> = map.next_value()?;
            for value in values.map(|values| values.0).unwrap_or_default() {
                self.push(&mut list, name.clone(), value)?;
            }
        }
        Ok(list)
    }
}

/// A list of scalars, which has no more items than any limit of fields allows.
pub(super) struct Scalars<'a>(pub(super) Vec<Scalar<'a>>);

/// The most items of a list of scalars: that of `response_head_fields`.
const MAX_SCALARS: usize = 1000;

impl<'de: 'a, 'a> Deserialize<'de> for Scalars<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ScalarsVisitor)
    }
}

struct ScalarsVisitor;

impl<'de> Visitor<'de> for ScalarsVisitor {
    type Value = Scalars<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut scalars = Vec::new();
        while let Some(scalar) = seq.next_element()? {
            if scalars.len() >= MAX_SCALARS {
                return Err(A::Error::custom(TOO_MANY));
            }
            scalars.push(scalar);
        }
        Ok(Scalars(scalars))
    }
}
