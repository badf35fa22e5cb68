//! The name of a function, as the Invoke API takes it.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The most bytes of a name, an ARN included.
const MAX_BYTES: usize = 170;

/// The characters of a name that the path of an invocation has encoded: all but the unreserved ones
/// (RFC 3986 §2.3), as AWS's clients do.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The qualifier of the unpublished version.
const LATEST: &str = "$LATEST";

/// The name of a function: `orders`, `orders:live`, `123456789012:function:orders`, or an ARN, each
/// with or without a qualifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    text: Box<str>,
    invocation: Uri,
}

/// The reason why a text is no name of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty or longer than 170 bytes.
    Length,
    /// It has another character than letters, digits, `-`, `_`, `.` and `:`.
    Character(char),
    /// Its parts are not those of a name or of an ARN.
    Form,
}

impl FunctionName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`NameError`]
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(NameError::Length);
        }
        let name = text.strip_suffix(LATEST).unwrap_or(text);
        if let Some(found) = name.chars().find(|c| !is_name_character(*c)) {
            return Err(NameError::Character(found));
        }
        let parts: Vec<&str> = text.split(':').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(NameError::Form);
        }
        if !has_form(&parts) {
            return Err(NameError::Form);
        }
        Ok(Self {
            text: text.into(),
            invocation: invocation(text)?,
        })
    }

    /// Returns the name as the configuration has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the target of the request that invokes the function.
    #[must_use]
    pub fn invocation(&self) -> &Uri {
        &self.invocation
    }
}

fn invocation(name: &str) -> Result<Uri, NameError> {
    let name = utf8_percent_encode(name, ENCODED);
    let path = format!("/2015-03-31/functions/{name}/invocations");
    Uri::try_from(path).map_err(|_| NameError::Form)
}

/// Returns whether the parts are a name, `account:function:name`, or an ARN, with a qualifier or
/// without.
fn has_form(parts: &[&str]) -> bool {
    let name = match parts {
        [
            "arn",
            partition,
            "lambda",
            _region,
            account,
            "function",
            name @ ..,
        ] => {
            if !partition.starts_with("aws") || !is_account(account) {
                return false;
            }
            name
        }
        [account, "function", name @ ..] if is_account(account) => name,
        name => name,
    };
    match name {
        [name] | [name, LATEST] => is_name(name),
        [name, qualifier] => is_name(name) && is_name(qualifier),
        _ => false,
    }
}

fn is_account(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(part: &str) -> bool {
    !part.contains('$')
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a name has 1 to {MAX_BYTES} bytes"),
            Self::Character(c) => write!(f, "a name cannot contain {c:?}"),
            Self::Form => f.write_str(
                "it is no name, no name with a qualifier, and no ARN \
                 (arn:aws:lambda:REGION:ACCOUNT:function:NAME)",
            ),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_encoded_in_the_path_of_its_invocation() {
        for (name, path) in [
            ("function", "function"),
            ("my-func_1.x", "my-func_1.x"),
            ("orders:live", "orders%3Alive"),
            ("orders:$LATEST", "orders%3A%24LATEST"),
            (
                "123456789012:function:orders",
                "123456789012%3Afunction%3Aorders",
            ),
            (
                "arn:aws:lambda:eu-west-1:123456789012:function:orders:7",
                "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders%3A7",
            ),
            (
                "arn:aws-cn:lambda:cn-north-1:123456789012:function:orders",
                "arn%3Aaws-cn%3Alambda%3Acn-north-1%3A123456789012%3Afunction%3Aorders",
            ),
        ] {
            let parsed = FunctionName::parse(name).unwrap();
            let expected = format!("/2015-03-31/functions/{path}/invocations");
            assert_eq!(parsed.invocation().path(), expected);
        }
    }

    #[test]
    fn another_text_is_no_name() {
        for (text, error) in [
            ("", NameError::Length),
            (&*"x".repeat(171), NameError::Length),
            ("a/b", NameError::Character('/')),
            ("a b", NameError::Character(' ')),
            ("a?b", NameError::Character('?')),
            ("$LATEST:a", NameError::Character('$')),
            ("a%2Fb", NameError::Character('%')),
            ("ä", NameError::Character('ä')),
            ("a:", NameError::Form),
            (":a", NameError::Form),
            ("$LATEST", NameError::Form),
            ("a:b:c", NameError::Form),
            ("a$LATEST", NameError::Form),
            ("1234:function:orders", NameError::Form),
            (
                "arn:aws:s3:eu-west-1:123456789012:function:orders",
                NameError::Form,
            ),
            (
                "arn:aws:lambda:eu-west-1:1:function:orders",
                NameError::Form,
            ),
            (
                "arn:aws:lambda:eu-west-1:123456789012:layer:orders",
                NameError::Form,
            ),
        ] {
            assert_eq!(FunctionName::parse(text), Err(error), "{text}");
        }
    }
}
