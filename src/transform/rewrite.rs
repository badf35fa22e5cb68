//! The path that an upstream receives in place of the path that was matched, and the parameters
//! that are set in its query.
//!
//! A rewrite of whole segments is a pattern over the parameters of its route. The values of the
//! parameters are the raw bytes that were matched, so that the forwarded path is the authorized
//! one. A path with an ambiguity that the route does not allow was refused before
//! (attacks.md#row-1). Any other rewrite is a template. A value of it is escaped for its place, and
//! the path that it makes has to be inspected as that of a request.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::query_rewrite::QueryRewrite;
use super::rewrite_error::RewriteError;
use super::template::{Escape, Facts, Place, Reference, RenderError, Template, has_parameter};
use crate::route::{Pattern, PatternError, Segment, Tail};

/// The characters that a pattern takes and a path does not have (RFC 3986 §3.3 `pchar`). An escape
/// that the configuration has stays as it is.
const NO_PATH_CHARACTER: &AsciiSet = &CONTROLS
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'|');

/// A compiled rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    text: Box<str>,
    path: Path,
    /// The number of segments before the open end of the route's pattern; `None` if the rewrite
    /// does not end in it.
    tail: Option<usize>,
    query: QueryRewrite,
}

/// The path of a rewrite, before its open end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Segments(Vec<Part>),
    Template(Template),
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A percent-encoded text.
    Literal(Box<str>),
    /// The segment of the matched path with this index.
    Segment(usize),
}

impl Rewrite {
    /// Parses a rewrite for the paths of a pattern. `variable` returns the values of variables.
    ///
    /// # Errors
    /// [`RewriteError`]
    pub fn parse<'v>(
        text: &str,
        pattern: &Pattern,
        variable: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Self, RewriteError> {
        let segments = Pattern::parse(text).map_err(RewriteError::Pattern);
        match segments.and_then(|template| Self::of_segments(text, &template, pattern)) {
            Ok(rewrite) => Ok(rewrite),
            Err(_) if text.contains(['$', '{', '?']) => Self::of_template(text, pattern, variable),
            Err(error) => Err(error),
        }
    }

    fn of_segments(
        text: &str,
        template: &Pattern,
        pattern: &Pattern,
    ) -> Result<Self, RewriteError> {
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
            path: Path::Segments(parts),
            tail,
            query: QueryRewrite::default(),
        })
    }

    fn of_template<'v>(
        text: &str,
        pattern: &Pattern,
        variable: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Self, RewriteError> {
        let parsed = Template::parse(text, &Place::REQUEST).map_err(RewriteError::Template)?;
        for (reference, _) in parsed.references() {
            check_parameter(reference, pattern)?;
        }
        // The parts are told apart before variables are filled in: a value begins none of them.
        let (path, query) = match parsed.split_once('?') {
            Some((path, query)) => (path, QueryRewrite::parse(query, &variable)?),
            None => (parsed, QueryRewrite::default()),
        };
        let path = fill_path(&path, &variable)?;
        // Every value is one segment or a part of one, so that the text around it can be checked
        // with any other in its place.
        let sample = Pattern::parse(&path.sample("x")).map_err(RewriteError::Pattern)?;
        check_literals(&sample, text.ends_with("/**"))?;
        let (path, tail) = match (sample.tail(), path.strip_suffix("/**")) {
            (Some(tail), Some(before)) => (before, Some(tail_position(tail, pattern)?)),
            _ => (path, None),
        };
        Ok(Self {
            text: text.into(),
            path: Path::Template(path.with_texts(escaped)),
            tail,
            query,
        })
    }

    /// Returns the new path for a path that the pattern matched; `None` if it depends on values of
    /// the request.
    #[must_use]
    pub fn apply(&self, path: &str) -> Option<String> {
        let Path::Segments(parts) = &self.path else {
            return None;
        };
        let mut out = String::with_capacity(path.len() + self.text.len());
        for part in parts {
            out.push('/');
            out.push_str(match part {
                Part::Literal(text) => text,
                Part::Segment(index) => path.split('/').nth(index + 1).unwrap_or_default(),
            });
        }
        Some(self.ended(out, path))
    }

    /// Returns the new path for a path that the pattern matched, with values of the request. It can
    /// be ambiguous.
    ///
    /// # Errors
    /// [`RenderError`]: a value is absent, or is no segment of a path.
    pub fn render(&self, path: &str, facts: &impl Facts) -> Result<String, RenderError<'_>> {
        match &self.path {
            Path::Segments(_) => Ok(self.apply(path).unwrap_or_default()),
            Path::Template(template) => {
                let out = template.render(Escape::Path, facts)?;
                Ok(self.ended(out, path))
            }
        }
    }

    /// Appends the open end of a path. A path that ends at the root of a subtree gets no slash that
    /// it did not have.
    fn ended(&self, mut out: String, path: &str) -> String {
        let end = self
            .tail
            .and_then(|before| path.match_indices('/').nth(before));
        if let Some((at, _)) = end {
            out.push_str(path.get(at..).unwrap_or_default());
        }
        if out.is_empty() { "/".to_owned() } else { out }
    }

    /// Returns the parameters that are set in the query.
    #[must_use]
    pub fn query(&self) -> &QueryRewrite {
        &self.query
    }

    /// Returns whether the path or the query depends on values of the request.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(self.path, Path::Template(_))
    }

    /// Returns the path before its open end, if it depends on values of the request.
    #[must_use]
    pub fn template(&self) -> Option<&Template> {
        match &self.path {
            Path::Segments(_) => None,
            Path::Template(template) => Some(template),
        }
    }

    /// Returns whether the path ends in the open end of the route's pattern.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tail.is_some()
    }

    /// Returns the references of the path and the query.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let own = self.template().into_iter().flat_map(Template::references);
        own.map(|(reference, _)| reference)
            .chain(self.query.references())
    }

    /// Returns the rewrite as the configuration has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Fills variables into a path. A value is a part of a segment, or some segments: it is data, so
/// that it begins no query, and is no parameter, wildcard or step up.
fn fill_path<'v>(
    path: &Template,
    variable: impl Fn(&str) -> Option<&'v str>,
) -> Result<Template, RewriteError> {
    for (reference, _) in path.references() {
        if let Reference::Variable(name) = reference
            && let Some(value) = variable(name)
            && !is_path_data(value)
        {
            return Err(RewriteError::Variable(name.clone()));
        }
    }
    Ok(path.filled(variable))
}

/// Returns whether a text has characters that every reader takes for those of a segment, and
/// slashes between them.
fn is_path_data(text: &str) -> bool {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@!+,=/".contains(&byte);
    let is_step = |segment: &str| segment.bytes().all(|byte| byte == b'.');
    let inside = text.strip_prefix('/').unwrap_or(text);
    text.bytes().all(is_kept) && !inside.split('/').any(is_step)
}

/// Checks that a path without its references has literal segments alone: the value of a variable is
/// text, and no parameter or wildcard.
fn check_literals(sample: &Pattern, has_subtree: bool) -> Result<(), RewriteError> {
    let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    let is_end = match sample.tail() {
        None => true,
        Some(Tail::Subtree) => has_subtree,
        Some(Tail::Rest(_)) => false,
    };
    if is_end && sample.segments().iter().all(is_literal) {
        return Ok(());
    }
    let text = sample.as_str().into();
    Err(RewriteError::Pattern(PatternError::Partial(text)))
}

fn check_parameter(reference: &Reference, pattern: &Pattern) -> Result<(), RewriteError> {
    match reference {
        Reference::Parameter { name, is_open } if !has_parameter(pattern, name, *is_open) => {
            Err(RewriteError::Unknown(reference.to_string().into()))
        }
        _ => Ok(()),
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

/// Returns a text of a path with its other characters percent-encoded, so that the upstream gets a
/// URI (RFC 3986 §2.1).
fn escaped(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, NO_PATH_CHARACTER).into()
}

fn parse_part(segment: &Segment, raw: &str, pattern: &Pattern) -> Result<Part, RewriteError> {
    match segment {
        Segment::Literal(_) => Ok(Part::Literal(escaped(raw).into())),
        Segment::Param(_) => {
            let index = pattern.segments().iter().position(|other| other == segment);
            index
                .map(Part::Segment)
                .ok_or_else(|| RewriteError::Unknown(raw.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::{Value, parameter};
    use super::*;

    fn parse(template: &str, pattern: &str) -> Result<Rewrite, RewriteError> {
        let pattern = Pattern::parse(pattern).unwrap();
        Rewrite::parse(template, &pattern, |name| match name {
            "stage" => Some("v%2D1/{id}"),
            "plain" => Some("v2/x"),
            _ => None,
        })
    }

    fn rewritten(pattern: &str, template: &str, path: &str) -> String {
        parse(template, pattern).unwrap().apply(path).unwrap()
    }

    /// A request for a path, with claims.
    struct Request {
        pattern: Pattern,
        path: &'static str,
        claims: &'static [(&'static str, &'static str)],
    }

    impl Facts for Request {
        fn value(&self, reference: &Reference) -> Option<Value<'_>> {
            match reference {
                Reference::Parameter { name, .. } => {
                    parameter(&self.pattern, name, self.path).map(Value::Path)
                }
                Reference::Claim(name) => {
                    let claim = self.claims.iter().find(|(claim, _)| *claim == &**name)?;
                    Some(Value::Text(claim.1.as_bytes().into()))
                }
                _ => None,
            }
        }
    }

    /// Returns the path and the query.
    fn rendered(pattern: &str, template: &str, path: &'static str) -> Option<(String, String)> {
        let request = Request {
            pattern: Pattern::parse(pattern).unwrap(),
            path,
            claims: &[("t", "a b"), ("up", ".."), ("none", ""), ("slash", "a/b&c")],
        };
        let rewrite = parse(template, pattern).unwrap();
        let path = rewrite.render(path, &request).ok()?;
        Some((path, rewrite.query().render(&request)))
    }

    #[test]
    fn a_value_is_one_segment_or_one_parameter() {
        for (pattern, template, path, expected) in [
            ("/o/{id}", "/v2/x-{id}.json", "/o/a%20b", "/v2/x-a%20b.json"),
            ("/o/{id}", "/{id}/{id}", "/o/7", "/7/7"),
            ("/o/{id}", "/${claim:t}/{id}", "/o/7", "/a%20b/7"),
            ("/o/{id}", "/${claim:slash}/{id}", "/o/7", "/a%2Fb%26c/7"),
            ("/o/**", "/${claim:t}/**", "/o/a//b", "/a%20b/a//b"),
            ("/o/**", "/${claim:t}/**", "/o", "/a%20b"),
            (
                "/o/{rest+}",
                "/${claim:t}/{rest+}",
                "/o/a%2Fb/",
                "/a%20b/a%2Fb/",
            ),
            ("/o/{rest+}", "/{rest}/end", "/o/a/b", "/a/b/end"),
            ("/o/**", "/x-{rest+}", "/o/a/b", "/x-a/b"),
            ("/o/{id}", "/${plain}/{id}", "/o/7", "/v2/x/7"),
            ("/o/{id}", "/{id}?a=1", "/o/7", "/7?a=1"),
            (
                "/o/{id}",
                "/x?id={id}&t=${claim:t}",
                "/o/a%2Bb",
                "/x?id=a%2Bb&t=a+b",
            ),
            ("/o/{id}", "/x?t=${claim:slash}", "/o/7", "/x?t=a%2Fb%26c"),
            ("/o/{id}", "/x?gone=${claim:x}&t=1", "/o/7", "/x?t=1"),
            (
                "/o/{id}",
                "/x?a%20b=p-${claim:t}-s",
                "/o/7",
                "/x?a%20b=p-a+b-s",
            ),
            ("/o/{id}", "/x?t=${claim:none}", "/o/7", "/x?t="),
        ] {
            let (path, query) = rendered(pattern, template, path).unwrap();
            let whole = match query.as_str() {
                "" => path,
                query => format!("{path}?{query}"),
            };
            assert_eq!(whole, expected, "{template}");
        }
        for template in ["/${claim:up}/x", "/${claim:none}", "/${claim:x}/y"] {
            assert_eq!(rendered("/o/{id}", template, "/o/7"), None, "{template}");
        }
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

    /// A pattern takes characters that no URI has. Of a rewrite they come to the upstream as their
    /// escapes: the target would be none otherwise, and each request of the route 500.
    #[test]
    fn the_text_of_a_rewrite_is_percent_encoded() {
        for (text, encoded) in [
            ("a`b", "a%60b"),
            ("<a>", "%3Ca%3E"),
            ("a\"b", "a%22b"),
            ("a^|b", "a%5E%7Cb"),
            ("a[0]", "a%5B0%5D"),
            ("straße", "stra%C3%9Fe"),
            ("a%2Db", "a%2Db"),
            ("a-._~!$&'()+,=:@b", "a-._~!$&'()+,=:@b"),
        ] {
            let plain = format!("/{text}/{{id}}");
            assert_eq!(
                rewritten("/o/{id}", &plain, "/o/7"),
                format!("/{encoded}/7"),
                "{text}"
            );
            let template = format!("/${{claim:t}}/{text}-{{id}}/**");
            let (path, _) = rendered("/o/{id}/**", &template, "/o/7/`x").unwrap();
            assert_eq!(path, format!("/a%20b/{encoded}-7/`x"), "{text}");
        }
    }

    #[test]
    fn a_template_that_no_request_could_fill_is_refused() {
        for template in [
            "orders",
            "/{name}",
            "/{name+}",
            "/a?b",
            "/a#b",
            "/a/../b",
            "//a",
            "/%2e%2e",
            "/x{name}",
            "/{id+}",
            "${claim:a}",
            "/../${claim:a}",
            "//${claim:a}",
            "/${claim:a",
            "/${claims:a}",
            "/${reason}",
            "/${stage}",
            "/x?",
            "/x?a",
            "/x?=1",
            "/x?a=1&",
            "/x?a=1&%61=2",
            "/x?${claim:a}=1",
            "/x?a=b c",
            "/x?a=b#c",
            "/x?%ff=1",
            "/{id}/**/${claim:a}",
        ] {
            assert!(parse(template, "/orders/{id}/**").is_err(), "{template}");
        }
        assert!(parse("/x/{id}/**", "/orders/{id}/**").is_ok());
        assert!(parse("/**", "/a").is_err() && parse("/${claim:a}/**", "/a").is_err());
    }
}
