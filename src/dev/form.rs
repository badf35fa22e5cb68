//! Parameters in `application/x-www-form-urlencoded`, as OAuth 2.0 reads them (RFC 6749 §3.2,
//! appendix B). The crate `form_urlencoded` replaces bytes that are not UTF-8 instead of reporting
//! them, and has no function for a single value, which `Basic` credentials need.

use std::collections::BTreeMap;

use crate::content::form_decoded;

/// Parameters by name. Each occurs once and is not empty.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

/// An error in the parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormError {
    /// An escape that is not UTF-8.
    Encoding,
    /// A parameter that occurs more than once.
    Repeated,
}

impl Form {
    /// Adds the parameters of a query or a body. A parameter without a value counts as absent (RFC
    /// 6749 §3.2).
    pub(super) fn add(&mut self, text: &[u8]) -> Result<(), FormError> {
        for pair in text.split(|b| *b == b'&') {
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if !value.is_empty() && self.0.insert(name, value).is_some() {
                return Err(FormError::Repeated);
            }
        }
        Ok(())
    }

    /// Returns the parameter of this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Decodes one name or value.
pub(super) fn decode(text: &[u8]) -> Result<String, FormError> {
    match String::from_utf8(form_decoded(text).into_owned()) {
        Ok(decoded) => Ok(decoded),
        Err(_) => Err(FormError::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let mut form = Form::default();
        form.add(b"scope=a+b%20c%2Fd&empty=&flag&&%61=1=2").unwrap();
        assert_eq!(form.value("scope"), Some("a b c/d"));
        assert_eq!(form.value("a"), Some("1=2"));
        assert_eq!(
            (form.value("empty"), form.value("flag"), form.value("")),
            (None, None, None)
        );
    }

    #[test]
    fn a_parameter_occurs_once_over_query_and_body() {
        let mut form = Form::default();
        form.add(b"scope=a").unwrap();
        assert_eq!(form.add(b"scope=a"), Err(FormError::Repeated));
        assert_eq!(Form::default().add(b"a=1&a=2"), Err(FormError::Repeated));
        assert_eq!(Form::default().add(b"a=%ff"), Err(FormError::Encoding));
    }
}
