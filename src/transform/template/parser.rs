//! Splits a text into characters and references.

use std::ops::Range;

use http::HeaderName;

use super::error::{TemplateError, TemplateFault};
use super::place::Place;
use super::reference::{Reference, ReferenceKind, reserved};
use crate::route::is_parameter_name;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    /// A reference, with its position in the text that was parsed.
    Reference(Reference, Range<usize>),
}

/// Parses a text for a place.
pub(super) fn parse(text: &str, place: &Place) -> Result<Box<[Piece]>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        let (before, found) = rest.split_at(at);
        push_text(&mut pieces, before);
        let start = text.len() - found.len();
        let length = match read(found, start, place)? {
            Some(Found::Text(text, length)) => {
                push_text(&mut pieces, text);
                length
            }
            Some(Found::Reference(reference, length)) => {
                pieces.push(Piece::Reference(reference, start..start + length));
                length
            }
            None => {
                push_text(&mut pieces, found.get(..1).unwrap_or_default());
                1
            }
        };
        rest = found.get(length..).unwrap_or_default();
    }
    push_text(&mut pieces, rest);
    Ok(pieces.into())
}

/// Adds a text to a list of pieces. Two texts in a row become one.
pub(super) fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        *last = format!("{last}{text}").into();
        return;
    }
    pieces.push(Piece::Text(text.into()));
}

/// The meaning of a `$` or `{` in a text.
enum Found {
    /// `$$`: a text, with its length in the template.
    Text(&'static str, usize),
    /// A reference, with its length in bytes.
    Reference(Reference, usize),
}

/// Reads what a text begins with; `None` for a character that has no meaning here.
fn read(text: &str, start: usize, place: &Place) -> Result<Option<Found>, TemplateError> {
    if text.starts_with("$${") {
        // The brace is text as well, and not that of a parameter.
        return Ok(Some(Found::Text("${", 3)));
    }
    if text.starts_with("$$") {
        return Ok(Some(Found::Text("$", 2)));
    }
    if let Some(inside) = text.strip_prefix("${") {
        return read_dollar(inside, start, place).map(Some);
    }
    let is_brace = text.starts_with('{') && place.takes(ReferenceKind::Parameter);
    Ok(if is_brace { read_brace(text) } else { None })
}

fn read_dollar(inside: &str, start: usize, place: &Place) -> Result<Found, TemplateError> {
    let Some((name, _)) = inside.split_once('}') else {
        let at = start..start + 2;
        let fault = TemplateFault::Open;
        return Err(TemplateError { at, fault });
    };
    let length = name.len() + 3;
    let at = start..start + length;
    let reference = match reference(name) {
        Ok(reference) => reference,
        Err(fault) => return Err(TemplateError { at, fault }),
    };
    if !place.takes(reference.kind()) {
        let fault = TemplateFault::Misplaced(reference, *place);
        return Err(TemplateError { at, fault });
    }
    Ok(Found::Reference(reference, length))
}

/// Reads `{name}` or `{name+}`; `None` for other braces, such as those of JSON.
fn read_brace(text: &str) -> Option<Found> {
    let (inside, _) = text.get(1..)?.split_once('}')?;
    let name = inside.strip_suffix('+').unwrap_or(inside);
    if !is_parameter_name(name) {
        return None;
    }
    let reference = Reference::Parameter {
        name: name.into(),
        is_open: name.len() < inside.len(),
    };
    Some(Found::Reference(reference, inside.len() + 2))
}

/// Parses the text between `${` and `}`.
fn reference(text: &str) -> Result<Reference, TemplateFault> {
    let Some((source, name)) = text.split_once(':') else {
        return match reserved(text) {
            Some(reference) => Ok(reference),
            None if is_variable_name(text) => Ok(Reference::Variable(text.into())),
            None => Err(TemplateFault::Name(text.into())),
        };
    };
    let is_name = !name.is_empty() && !name.chars().any(char::is_control);
    match (source, HeaderName::from_bytes(name.as_bytes())) {
        ("claim", _) if is_name => Ok(Reference::Claim(name.into())),
        ("query", _) if is_name => Ok(Reference::Query(name.into())),
        ("header", Ok(name)) => Ok(Reference::Header(name)),
        ("claim" | "query" | "header", _) => Err(TemplateFault::Name(text.into())),
        _ => Err(TemplateFault::Source(source.into())),
    }
}

/// Returns whether a text can be the name of a variable: letters, digits and `_`, since it is part
/// of the name of an environment variable.
#[must_use]
pub fn is_variable_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(is_part)
}
