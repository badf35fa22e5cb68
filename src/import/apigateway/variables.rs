//! Stage variables, whose values exports do not hold.

use crate::import::document::Place;
use crate::import::finding::{Code, Untranslated};
use crate::import::openapi::Variables;

/// How a stage variable stands in a text.
const BEGIN: &str = "${stageVariables.";

/// Returns a text with the values of its stage variables. A value is not read again.
///
/// # Errors
/// Returns an error for a variable without a value: API Gateway takes an empty text for it, and an
/// upstream would be another one.
pub(super) fn filled(
    text: &str,
    variables: &Variables,
    place: Place,
) -> Result<String, Untranslated> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(value(name, variables, place)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns the value of a stage variable.
///
/// # Errors
/// Returns an error if it has none.
pub(super) fn value<'v>(
    name: &str,
    variables: &'v Variables,
    place: Place,
) -> Result<&'v str, Untranslated> {
    match variables.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Untranslated::new(
            Code::MissingVariable,
            place,
            format!("{name:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_without_a_value_is_an_error() {
        let variables = [
            ("host", "h:81"),
            ("again", "${stageVariables.host}"),
            ("empty", ""),
        ];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let variables = variables.into_iter().collect();
        let in_text = |text| filled(text, &variables, Place::default());
        assert_eq!(
            in_text("http://${stageVariables.host}/a").unwrap(),
            "http://h:81/a"
        );
        assert_eq!(
            in_text("${stageVariables.again}").unwrap(),
            "${stageVariables.host}"
        );
        for text in [
            "${stageVariables.x}",
            "${stageVariables.empty}",
            "a${stageVariables.host${",
        ] {
            assert_eq!(
                in_text(text).unwrap_err().code,
                Code::MissingVariable,
                "{text}"
            );
        }
    }
}
