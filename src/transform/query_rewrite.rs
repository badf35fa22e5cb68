//! The parameters that a rewrite sets in the query.

use super::rewrite_error::RewriteError;
use super::template::{Escape, Facts, Reference, Template};
use crate::content::form_decoded;

/// The parameters that a rewrite sets in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRewrite(Vec<Parameter>);

/// A parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    /// The name, decoded.
    name: Box<str>,
    /// The name as the configuration has it.
    written: Box<str>,
    value: Template,
}

impl QueryRewrite {
    pub(super) fn parse<'v>(
        query: Template,
        variable: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Self, RewriteError> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut rest = Some(query);
        while let Some(query) = rest {
            let (parameter, after) = match query.split_once('&') {
                Some((parameter, after)) => (parameter, Some(after)),
                None => (query, None),
            };
            let mut parameter = Parameter::parse(&parameter)?;
            parameter.value = parameter.value.filled(|name| {
                let value = variable(name)?;
                Some(Escape::form(value))
            });
            if parameters.iter().any(|other| other.name == parameter.name) {
                return Err(RewriteError::Twice(parameter.name));
            }
            parameters.push(parameter);
            rest = after;
        }
        Ok(Self(parameters))
    }

    /// Returns whether no parameter is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the decoded names of the parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|parameter| &*parameter.name)
    }

    /// Returns the references of the values.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        let values = self.0.iter().map(|parameter| &parameter.value);
        values.flat_map(|value| value.references().map(|(reference, _)| reference))
    }

    /// Returns the parameters as a query. One without a value is left out.
    #[must_use]
    pub fn render(&self, facts: &impl Facts) -> String {
        let mut out = String::new();
        for parameter in &self.0 {
            let Ok(value) = parameter.value.render(Escape::Form, facts) else {
                continue;
            };
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(&parameter.written);
            out.push('=');
            out.push_str(&value);
        }
        out
    }
}

impl Parameter {
    fn parse(text: &Template) -> Result<Self, RewriteError> {
        let shown = text.sample("..");
        let error = || RewriteError::Query(shown.as_str().into());
        let (name, value) = text.split_once('=').ok_or_else(error)?;
        let written = name.literal().filter(|name| !name.is_empty());
        let written = written.ok_or_else(error)?;
        let is_written = text.texts().all(is_query_text);
        let decoded = form_decoded(written.as_bytes());
        match String::from_utf8(decoded.into_owned()) {
            Ok(name) if is_written => Ok(Self {
                name: name.into(),
                written: written.into(),
                value,
            }),
            _ => Err(error()),
        }
    }
}

/// Returns whether a text can stand in a query, as it is, for every reader.
fn is_query_text(text: &str) -> bool {
    let is_query_byte = |byte: u8| byte.is_ascii_graphic() && !b"#;\"<>\\^`{|}".contains(&byte);
    text.bytes().all(is_query_byte)
}
