//! An issuer with a placeholder, as multi-tenant providers document it:
//! `https://login.example.com/{tenant}/v2.0`.
//!
//! The placeholder only stands for the tenants that the operator lists: each of them becomes an
//! issuer with an exact `iss`. No token is compared with a pattern, because any customer of a
//! provider has a tenant there.

use std::fmt;

/// A URL with one placeholder, which is a whole segment of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: Box<str>,
    /// The placeholder, with its braces.
    placeholder: Box<str>,
    after: Box<str>,
}

/// An error in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// More than one placeholder, or braces that do not pair.
    Braces,
    /// The placeholder's name is empty, or holds more than letters, digits, `-` and `_`.
    Name,
    /// The placeholder is in the host or the query, or is only a part of a segment.
    Position,
}

/// An error in the name of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantError;

impl Template {
    /// Parses a template; `None` for a text without braces, which are not allowed in a URL (RFC
    /// 3986 §2).
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn parse(text: &str) -> Result<Option<Self>, TemplateError> {
        if !text.contains(['{', '}']) {
            return Ok(None);
        }
        let (before, rest) = text.split_once('{').ok_or(TemplateError::Braces)?;
        let (name, after) = rest.split_once('}').ok_or(TemplateError::Braces)?;
        for part in [before, name, after] {
            if part.contains(['{', '}']) {
                return Err(TemplateError::Braces);
            }
        }
        if name.is_empty() || !name.chars().all(is_name_char) {
            return Err(TemplateError::Name);
        }
        let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if !is_segment || !ends_in_path(before) {
            return Err(TemplateError::Position);
        }
        let placeholder = format!("{{{name}}}").into();
        Ok(Some(Self {
            before: before.into(),
            placeholder,
            after: after.into(),
        }))
    }

    /// Returns the placeholder, with its braces.
    #[must_use]
    pub fn placeholder(&self) -> &str {
        &self.placeholder
    }

    /// Returns the URL of one tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> String {
        format!("{}{}{}", self.before, tenant.0, self.after)
    }
}

/// Returns whether a text that follows `before` would be in the path of a URL, not in its scheme,
/// host or query.
fn ends_in_path(before: &str) -> bool {
    let Some((_, rest)) = before.split_once("://") else {
        return false;
    };
    let Some((host, path)) = rest.split_once('/') else {
        return false;
    };
    !host.is_empty() && !host.contains(['?', '#']) && !path.contains(['?', '#'])
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_tenant_char(c: char) -> bool {
    is_name_char(c) || c == '.'
}

/// One tenant of a provider, as the `iss` of its tokens spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant(Box<str>);

impl Tenant {
    /// Parses a path segment that needs no escape (RFC 3986 §2.3), so that it cannot lead to
    /// another path.
    ///
    /// # Errors
    /// [`TenantError`]
    pub fn parse(text: &str) -> Result<Self, TenantError> {
        let is_dots = text.trim_matches('.').is_empty();
        if is_dots || !text.chars().all(is_tenant_char) {
            Err(TenantError)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Braces => "it has more than one placeholder, or braces that do not pair",
            Self::Name => "a placeholder's name is made of letters, digits, \"-\" and \"_\"",
            Self::Position => "a placeholder is one whole segment of a URL's path",
        })
    }
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TenantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tenant is made of letters, digits, \"-\", \"_\" and \".\"")
    }
}

impl std::error::Error for TenantError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_holds_one_segment_for_a_tenant() {
        let tenant = Tenant::parse("8ae2-d7.example_1").unwrap();
        for (text, filled) in [
            (
                "https://login.example.com/{tenant}/v2.0",
                "https://login.example.com/8ae2-d7.example_1/v2.0",
            ),
            (
                "https://example.com/realms/{realm-1}",
                "https://example.com/realms/8ae2-d7.example_1",
            ),
            (
                "http://127.0.0.1:9400/a/{t}/",
                "http://127.0.0.1:9400/a/8ae2-d7.example_1/",
            ),
        ] {
            assert_eq!(Template::parse(text).unwrap().unwrap().of(&tenant), filled);
        }
        for text in ["https://idp.example.com/", "urn:example", ""] {
            assert_eq!(Template::parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_placeholder_elsewhere_or_several_are_refused() {
        use TemplateError::{Braces, Name, Position};
        for (text, error) in [
            ("https://idp.example.com/{a}/{b}", Braces),
            ("https://idp.example.com/{a", Braces),
            ("https://idp.example.com/a}", Braces),
            ("https://idp.example.com/}a{", Braces),
            ("https://idp.example.com/{{a}}", Braces),
            ("https://idp.example.com/{}", Name),
            ("https://idp.example.com/{a b}", Name),
            ("https://idp.example.com/{a/b}", Name),
            ("https://idp.example.com/{*}", Name),
            ("https://{tenant}.example.com/", Position),
            ("https://{tenant}/", Position),
            ("{scheme}://idp.example.com/", Position),
            ("https://idp.example.com/x{tenant}", Position),
            ("https://idp.example.com/{tenant}x", Position),
            ("https://idp.example.com/{tenant}?x", Position),
            ("https://idp.example.com/?a=/{tenant}", Position),
            ("https://idp.example.com?a/{tenant}", Position),
            ("https:///{tenant}", Position),
            ("urn:example:{tenant}", Position),
            ("/{tenant}", Position),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_tenant_is_one_plain_segment() {
        for text in ["8ae2d7f0-0000-4000-8000-0123456789ab", "a.b", "A_1"] {
            assert_eq!(Tenant::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "", ".", "..", "a/b", "a%2Fb", "a?b", "a#b", "*", "a b", "ä", "{a}", "a\n",
        ] {
            assert_eq!(Tenant::parse(text), Err(TenantError), "{text:?}");
        }
    }
}
