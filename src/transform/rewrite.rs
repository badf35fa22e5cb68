//! The path that an upstream receives in place of the path that was matched.
//!
//! A template is a pattern over the parameters of its route. The values of the parameters are the
//! raw bytes that were matched, so that the forwarded path is the authorized one. A path with an
//! ambiguity that the route does not allow was refused before (attacks.md#row-1).

use std::fmt;

use crate::route::{Pattern, PatternError, Segment, Tail};

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    text: Box<str>,
    parts: Vec<Part>,
    /// The number of segments before the open end of the route's pattern; `None` if the template
    /// has no open end.
    tail: Option<usize>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A percent-encoded text, as the configuration has it.
    Literal(Box<str>),
    /// The segment of the matched path with this index.
    Segment(usize),
}

/// An error in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The template is not a path.
    Pattern(PatternError),
    /// The route's pattern has no such parameter or open end.
    Unknown(Box<str>),
}

impl Rewrite {
    /// Parses a template for the paths of a pattern.
    ///
    /// # Errors
    /// [`RewriteError`]
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Self, RewriteError> {
        let template = Pattern::parse(text).map_err(RewriteError::Pattern)?;
        let tail = match template.tail() {
            None => None,
            Some(tail) => Some(tail_position(tail, pattern)?),
        };
        let mut parts = Vec::with_capacity(template.segments().len());
        for (segment, raw) in template.segments().iter().zip(text.split('/').skip(1)) {
            parts.push(parse_part(segment, raw, pattern)?);
        }
        Ok(Self {
            text: text.into(),
            parts,
            tail,
        })
    }

    /// Returns the new path for a path that the pattern matched.
    #[must_use]
    pub fn apply(&self, path: &str) -> String {
        let mut out = String::with_capacity(path.len() + self.text.len());
        for part in &self.parts {
            out.push('/');
            out.push_str(match part {
                Part::Literal(text) => text,
                Part::Segment(index) => path.split('/').nth(index + 1).unwrap_or_default(),
            });
        }
        // A path that ends at the root of a subtree gets no slash that it did not have.
        if let Some((at, _)) = self
            .tail
            .and_then(|before| path.match_indices('/').nth(before))
        {
            out.push_str(path.get(at..).unwrap_or_default());
        }
        if out.is_empty() { "/".to_owned() } else { out }
    }

    /// Returns the template as the configuration has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns the number of segments before the open end of a pattern, if it is that of the template.
fn tail_position(tail: &Tail, pattern: &Pattern) -> Result<usize, RewriteError> {
    if pattern.tail() == Some(tail) {
        return Ok(pattern.segments().len());
    }
    Err(RewriteError::Unknown(match tail {
        Tail::Rest(name) => format!("{{{name}+}}").into(),
        Tail::Subtree => "**".into(),
    }))
}

fn parse_part(segment: &Segment, raw: &str, pattern: &Pattern) -> Result<Part, RewriteError> {
    match segment {
        Segment::Literal(_) => Ok(Part::Literal(raw.into())),
        Segment::Param(_) => {
            let index = pattern.segments().iter().position(|other| other == segment);
            index
                .map(Part::Segment)
                .ok_or_else(|| RewriteError::Unknown(raw.into()))
        }
    }
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(error) => error.fmt(f),
            Self::Unknown(part) => write!(f, "\"{part}\" is not in the route's path"),
        }
    }
}

impl std::error::Error for RewriteError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(pattern: &str, template: &str, path: &str) -> String {
        Rewrite::parse(template, &Pattern::parse(pattern).unwrap())
            .unwrap()
            .apply(path)
    }

    // The new path has the bytes that were matched, neither decoded nor encoded again.
    #[test]
    fn parameters_go_in_as_they_came() {
        for (pattern, template, path, expected) in [
            (
                "/orders/{id}",
                "/v2/orders/{id}",
                "/orders/a%20b",
                "/v2/orders/a%20b",
            ),
            ("/{a}/{b}", "/{b}/x/{a}", "/1/%32", "/%32/x/1"),
            ("/orders/{id}", "/by%2Did/{id}/", "/orders/7", "/by%2Did/7/"),
            (
                "/files/{rest+}",
                "/store/{rest+}",
                "/files/a/b/",
                "/store/a/b/",
            ),
            ("/admin/**", "/back/**", "/admin", "/back"),
            ("/admin/**", "/back/**", "/admin/", "/back/"),
            ("/admin/**", "/back/**", "/admin/a%2Fb/c", "/back/a%2Fb/c"),
            ("/admin/**", "/**", "/admin", "/"),
            ("/admin/**", "/**", "/admin/", "/"),
            ("/admin/**", "/**", "/admin/x", "/x"),
            ("/**", "/all/**", "/", "/all/"),
            ("/a", "/", "/a", "/"),
            ("/{t}/files/{rest+}", "/{rest+}", "/acme/files/x", "/x"),
        ] {
            assert_eq!(
                rewritten(pattern, template, path),
                expected,
                "{pattern} {template} {path}"
            );
        }
    }

    #[test]
    fn a_template_that_no_request_could_fill_is_refused() {
        let pattern = Pattern::parse("/orders/{id}/**").unwrap();
        for template in [
            "orders",
            "/{name}",
            "/{rest+}",
            "/a?b",
            "/a#b",
            "/a/../b",
            "//a",
            "/%2e%2e",
            "/x{id}",
            "/{id}/{id}",
        ] {
            assert!(Rewrite::parse(template, &pattern).is_err(), "{template}");
        }
        assert!(Rewrite::parse("/x/{id}/**", &pattern).is_ok());
        assert!(Rewrite::parse("/**", &Pattern::parse("/a").unwrap()).is_err());
    }
}
