//! The answer of a function: what it returns, as an HTTP response.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_DISPOSITION, CONTENT_LOCATION, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::answer_error::cut;
use super::members::{FieldList, Members, Outline, Scalar, Scalars};
use super::{AnswerError, EventFormat};
use crate::content;

/// The content type of an answer that states none.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The fields of an answer that have one value. Of two, one reader would take the first and another
/// the last.
const SINGLE: [HeaderName; 9] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_DISPOSITION,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
    LOCATION,
    RETRY_AFTER,
];

/// Base64 with or without padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The answer of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, from 200 to 599.
    pub status: StatusCode,
    /// The header fields, those about framing and the connection included.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The limits of an answer's header fields.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// The limit of the bytes of names and values.
    pub field_bytes: usize,
    /// The limit of the fields.
    pub fields: usize,
}

/// The header fields of an answer, within their limits.
struct Collected {
    fields: HeaderMap,
    bytes: usize,
    limits: AnswerLimits,
}

impl Answer {
    /// Parses what the Invoke API returned with status 200. `is_error` is set if it said that the
    /// function failed (`X-Amz-Function-Error`).
    ///
    /// # Errors
    /// [`AnswerError`]
    pub fn parse(
        payload: &Bytes,
        is_error: bool,
        format: EventFormat,
        limits: AnswerLimits,
    ) -> Result<Self, AnswerError> {
        let Ok(text) = str::from_utf8(payload) else {
            return Err(without_text(is_error));
        };
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Self::of_value(text, is_error, payload, format);
        }
        let outline = match Outline::parse(text) {
            Ok(outline) => outline,
            Err(_) if is_error => return Err(without_text(is_error)),
            Err(error) => return Err(error),
        };
        if is_error || outline.is_error() {
            return Err(AnswerError::Failed {
                kind: outline.error_type,
                message: outline.error_message,
            });
        }
        if let Some(twice) = outline.twice {
            return Err(AnswerError::Twice(twice));
        }
        match (format, outline.unknown) {
            (EventFormat::Rest, Some(name)) => Err(AnswerError::UnknownMember(name)),
            (EventFormat::Rest, None) if outline.members.cookies.is_some() => {
                Err(AnswerError::UnknownMember("cookies".into()))
            }
            (EventFormat::Http, _) if outline.members.status.is_none() => {
                Ok(Self::json(payload.slice_ref(text.as_bytes())))
            }
            _ => Self::of_members(&outline.members, limits),
        }
    }

    /// Returns the answer that is a JSON value but no object: in format 2.0 the value itself.
    fn of_value(
        text: &str,
        is_error: bool,
        payload: &Bytes,
        format: EventFormat,
    ) -> Result<Self, AnswerError> {
        if is_error {
            return Err(without_text(is_error));
        }
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return Err(AnswerError::NotJson);
        }
        match format {
            EventFormat::Rest => Err(AnswerError::NotAnObject(kind_of(text))),
            EventFormat::Http => Ok(Self::json(payload.slice_ref(text.as_bytes()))),
        }
    }

    fn json(body: Bytes) -> Self {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, JSON);
        Self {
            status: StatusCode::OK,
            fields,
            body,
        }
    }

    fn of_members(members: &Members<'_>, limits: AnswerLimits) -> Result<Self, AnswerError> {
        let status = status(members.status)?;
        let mut collected = Collected {
            fields: HeaderMap::new(),
            bytes: 0,
            limits,
        };
        collected.add_fields(members)?;
        collected.add_cookies(members.cookies)?;
        let mut fields = collected.fields;
        let body = body(members)?;
        let has_content = !content::is_absent(status);
        if has_content && !fields.contains_key(CONTENT_TYPE) {
            fields.insert(CONTENT_TYPE, JSON);
        }
        Ok(Self {
            status,
            fields,
            body: if has_content { body } else { Bytes::new() },
        })
    }
}

impl Collected {
    /// Adds `headers` and `multiValueHeaders`. A value that both have is added once. In `headers`
    /// each field has one value: which of two spellings counts, is for the function to say. A field
    /// that has one value by its definition has one in both together.
    fn add_fields(&mut self, members: &Members<'_>) -> Result<(), AnswerError> {
        let single = FieldList::single(members.headers, self.limits.fields)?;
        let multiple = FieldList::multiple(members.multi_value_headers, self.limits.fields)?;
        let mut names = HashSet::new();
        for (name, value) in &single.0 {
            let field = field_name(name)?;
            // Functions spell the name in several cases, since a JSON object has a name once.
            if field != SET_COOKIE && !names.insert(field.clone()) {
                return Err(AnswerError::FieldTwice(field.as_str().into()));
            }
            if !multiple.has(name, value) {
                self.append(field, value)?;
            }
        }
        for (name, value) in &multiple.0 {
            self.append(field_name(name)?, value)?;
        }
        Ok(())
    }

    /// Adds each cookie as a field of its own.
    fn add_cookies(&mut self, cookies: Option<&RawValue>) -> Result<(), AnswerError> {
        let Some(cookies) = cookies else {
            return Ok(());
        };
        let mistyped = AnswerError::Mistyped {
            member: "cookies",
            expected: "a list of strings",
        };
        let Ok(list) = serde_json::from_str::<Option<Scalars<'_>>>(cookies.get()) else {
            return Err(mistyped);
        };
        for cookie in list.into_iter().flat_map(|list| list.0) {
            let Scalar::Text(cookie) = cookie else {
                return Err(mistyped);
            };
            self.append(SET_COOKIE, &cookie)?;
        }
        Ok(())
    }

    fn append(&mut self, name: HeaderName, value: &str) -> Result<(), AnswerError> {
        // Blanks around a value are none of it; a line break is refused there as elsewhere.
        let trimmed = value.trim_matches([' ', '\t']);
        let Ok(value) = HeaderValue::from_bytes(trimmed.as_bytes()) else {
            return Err(AnswerError::FieldValue(name.as_str().into()));
        };
        if SINGLE.contains(&name) && self.fields.contains_key(&name) {
            return Err(AnswerError::FieldTwice(name.as_str().into()));
        }
        self.bytes += name.as_str().len() + value.len();
        if self.bytes > self.limits.field_bytes {
            return Err(AnswerError::FieldsTooLong);
        }
        if self.fields.len() >= self.limits.fields {
            return Err(AnswerError::TooManyFields);
        }
        self.fields.append(name, value);
        Ok(())
    }
}

fn field_name(text: &str) -> Result<HeaderName, AnswerError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| AnswerError::FieldName(cut(text)))
}

/// Returns the error for an answer that says nothing of itself.
fn without_text(is_error: bool) -> AnswerError {
    if is_error {
        AnswerError::Failed {
            kind: None,
            message: None,
        }
    } else {
        AnswerError::NotJson
    }
}

/// Returns the kind of a JSON value that is no object.
fn kind_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "null",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

/// Returns the status: a whole number, also as text. Without one it is 200.
fn status(member: Option<&RawValue>) -> Result<StatusCode, AnswerError> {
    let Some(member) = member else {
        return Ok(StatusCode::OK);
    };
    let text = match serde_json::from_str(member.get()) {
        Ok(Scalar::Text(text) | Scalar::Number(text)) => text,
        Ok(Scalar::Null) => return Ok(StatusCode::OK),
        Ok(Scalar::Bool(_)) | Err(_) => {
            return Err(AnswerError::Mistyped {
                member: "statusCode",
                expected: "a number",
            });
        }
    };
    let number: Option<u16> = text.parse().ok();
    match number.filter(|number| (200..=599).contains(number)) {
        Some(number) => StatusCode::from_u16(number).map_err(|_| AnswerError::Status(cut(&text))),
        None => Err(AnswerError::Status(cut(&text))),
    }
}

fn body(members: &Members<'_>) -> Result<Bytes, AnswerError> {
    let text: Option<Cow<'_, str>> = match members.body.map(|body| parse_text(body)) {
        None => None,
        Some(Ok(text)) => text,
        Some(Err(_)) => {
            return Err(AnswerError::Mistyped {
                member: "body",
                expected: "a string",
            });
        }
    };
    let text = text.unwrap_or_default();
    if is_base64(members.is_base64)? {
        return match BASE64.decode(&*text) {
            Ok(bytes) => Ok(bytes.into()),
            Err(_) => Err(AnswerError::Base64),
        };
    }
    Ok(text.into_owned().into())
}

fn parse_text(member: &RawValue) -> serde_json::Result<Option<Cow<'_, str>>> {
    match serde_json::from_str(member.get())? {
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Null => Ok(None),
        Scalar::Bool(_) | Scalar::Number(_) => Err(serde::de::Error::custom("not a string")),
    }
}

fn is_base64(member: Option<&RawValue>) -> Result<bool, AnswerError> {
    match member.map(|member| serde_json::from_str(member.get())) {
        None | Some(Ok(None)) => Ok(false),
        Some(Ok(Some(flag))) => Ok(flag),
        Some(Err(_)) => Err(AnswerError::Mistyped {
            member: "isBase64Encoded",
            expected: "true or false",
        }),
    }
}
