//! The path patterns of the route table: `/orders`, `/orders/{id}`, `/files/{rest+}`, `/admin/**`.

use std::fmt;

use super::path::{decode_literal, is_dot_segment};

/// A parsed pattern. Its segments are percent-decoded, as they are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    tail: Option<Tail>,
}

/// One segment of a pattern, before its [`Tail`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A text that equals the whole decoded segment. The empty literal is a trailing slash.
    Literal(Box<str>),
    /// A parameter of this name, which matches any one segment that is not empty.
    Param(Box<str>),
}

/// The end of a pattern that matches paths of any length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    /// `{rest+}`: one or more segments, the first of them not empty (API Gateway's `{proxy+}`).
    Rest(Box<str>),
    /// `**`: the root before it and everything below.
    Subtree,
}

/// An error in a pattern, with the segment that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The pattern does not begin with `/`.
    NotRooted,
    /// It has two slashes in a row, which only ambiguous requests could match.
    EmptySegment,
    /// It has `.` or `..` in some spelling, which no request could match.
    DotSegment(Box<str>),
    /// It has a brace or a star that is not a whole segment.
    Partial(Box<str>),
    /// It has `{}`, or a name with other characters than letters, digits, `_` and `-`.
    ParamName(Box<str>),
    /// It has the same parameter name twice.
    ParamTwice(Box<str>),
    /// It has `{rest+}` or `**` before the last segment.
    TailNotLast(Box<str>),
    /// It has a query, a fragment, a control character, a backslash, or an escape that is broken,
    /// not UTF-8 or ambiguous.
    Character(Box<str>),
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`], with the segment that is at fault.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError::NotRooted);
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let last = parts.len() - 1;
        let mut segments = Vec::new();
        let mut tail = None;
        for (index, part) in parts.into_iter().enumerate() {
            if part.is_empty() && index != last {
                return Err(PatternError::EmptySegment);
            }
            match parse_segment(part)? {
                Parsed::Segment(segment) => segments.push(segment),
                Parsed::Tail(_) if index != last => {
                    return Err(PatternError::TailNotLast(part.into()));
                }
                Parsed::Tail(found) => tail = Some(found),
            }
        }
        let pattern = Self {
            text: text.into(),
            segments,
            tail,
        };
        pattern.check_names()?;
        Ok(pattern)
    }

    /// Parses the pattern of a route with the `path` in a group with the `prefix`. Both begin with
    /// a slash; the prefix does not end in one.
    ///
    /// # Errors
    /// [`PatternError`] if the whole is not a pattern, for example if both halves have a parameter
    /// of the same name.
    pub fn join(prefix: &str, path: &str) -> Result<Self, PatternError> {
        Self::parse(&format!("{prefix}{path}"))
    }

    /// Returns the pattern as the configuration has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the segments before the tail.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the open end, if the pattern has one.
    #[must_use]
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Returns whether both patterns match the same paths with the same precedence: they are equal
    /// except for the names of parameters.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        let has_same_tail = match (&self.tail, &other.tail) {
            (Some(a), Some(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
            (None, None) => true,
            _ => false,
        };
        if !has_same_tail || self.segments.len() != other.segments.len() {
            return false;
        }
        let mut pairs = self.segments.iter().zip(&other.segments);
        pairs.all(|(a, b)| a.same_shape(b))
    }

    /// Returns whether the pattern matches every path that the other one matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let count = self.segments.len();
        // `{rest+}` stands for one segment that is not empty, and any number behind it.
        let has_rest = matches!(other.tail, Some(Tail::Rest(_)));
        let least = other.segments.len() + usize::from(has_rest);
        let has_length = match (&self.tail, &other.tail) {
            (None, None) => least == count,
            (None, Some(_)) => false,
            (Some(Tail::Subtree), _) => least >= count,
            (Some(Tail::Rest(_)), _) => {
                let first = other.segments.get(count);
                least > count && first.is_none_or(Segment::is_filled)
            }
        };
        let rest = Segment::Param("".into());
        let others = other.segments.iter().chain([&rest]);
        let mut pairs = self.segments.iter().zip(others);
        has_length && pairs.all(|(own, other)| own.covers(other))
    }

    /// Returns whether the pattern matches a path with these segments, each decoded once.
    pub(super) fn matches<S: AsRef<str>>(&self, path: &[S]) -> bool {
        let count = self.segments.len();
        let has_length = match self.tail {
            None => path.len() == count,
            Some(Tail::Rest(_)) => path
                .get(count)
                .is_some_and(|first| !first.as_ref().is_empty()),
            Some(Tail::Subtree) => path.len() >= count,
        };
        let mut pairs = self.segments.iter().zip(path);
        has_length && pairs.all(|(segment, text)| segment.matches(text.as_ref()))
    }

    fn check_names(&self) -> Result<(), PatternError> {
        let mut names = Vec::new();
        for segment in &self.segments {
            if let Segment::Param(name) = segment {
                push_unique(name, &mut names)?;
            }
        }
        if let Some(Tail::Rest(name)) = &self.tail {
            push_unique(name, &mut names)?;
        }
        Ok(())
    }
}

fn push_unique<'n>(name: &'n str, names: &mut Vec<&'n str>) -> Result<(), PatternError> {
    if names.contains(&name) {
        return Err(PatternError::ParamTwice(name.into()));
    }
    names.push(name);
    Ok(())
}

impl Segment {
    fn same_shape(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::Param(_), Self::Param(_)) => true,
            _ => false,
        }
    }

    /// Returns whether the segment matches whatever the other one matches.
    fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Literal(_) => self.same_shape(other),
            Self::Param(_) => other.is_filled(),
        }
    }

    /// Returns whether the segment matches no empty segment of a path.
    fn is_filled(&self) -> bool {
        match self {
            Self::Literal(literal) => !literal.is_empty(),
            Self::Param(_) => true,
        }
    }

    /// Returns whether the segment matches a decoded segment of a path.
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Param(_) => !text.is_empty(),
        }
    }
}

enum Parsed {
    Segment(Segment),
    Tail(Tail),
}

fn parse_segment(part: &str) -> Result<Parsed, PatternError> {
    if part == "**" {
        return Ok(Parsed::Tail(Tail::Subtree));
    }
    if let Some(name) = part
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        return parse_param(name).ok_or_else(|| PatternError::ParamName(part.into()));
    }
    parse_literal(part)
}

/// Parses the text between the braces of a parameter: a name, and `+` for an open end.
fn parse_param(text: &str) -> Option<Parsed> {
    let name = text.strip_suffix('+').unwrap_or(text);
    if !is_parameter_name(name) {
        return None;
    }
    Some(if name.len() < text.len() {
        Parsed::Tail(Tail::Rest(name.into()))
    } else {
        Parsed::Segment(Segment::Param(name.into()))
    })
}

/// Returns whether a text can be the name of a parameter.
#[must_use]
pub fn is_parameter_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

fn parse_literal(part: &str) -> Result<Parsed, PatternError> {
    if part.contains(['{', '}', '*']) {
        return Err(PatternError::Partial(part.into()));
    }
    if part.contains(['?', '#', '\\', ';']) || part.chars().any(|c| c.is_control() || c == ' ') {
        return Err(PatternError::Character(part.into()));
    }
    let decoded = decode_literal(part).ok_or_else(|| PatternError::Character(part.into()))?;
    if is_dot_segment(&decoded) {
        return Err(PatternError::DotSegment(part.into()));
    }
    Ok(Parsed::Segment(Segment::Literal(decoded.into())))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRooted => f.write_str("a path begins with \"/\""),
            Self::EmptySegment => {
                f.write_str("\"//\" matches nothing: such requests are refused as ambiguous")
            }
            Self::DotSegment(part) => write!(
                f,
                "\"{part}\" matches nothing: such requests are refused as ambiguous"
            ),
            Self::Partial(part) => write!(
                f,
                "\"{part}\": a parameter or wildcard is a whole segment: \"{{name}}\", \
                 \"{{name+}}\", \"**\""
            ),
            Self::ParamName(part) => write!(
                f,
                "\"{part}\": a parameter is named with letters, digits, \"_\" and \"-\""
            ),
            Self::ParamTwice(name) => write!(f, "the parameter \"{name}\" occurs twice"),
            Self::TailNotLast(part) => write!(f, "\"{part}\" can only be the last segment"),
            Self::Character(part) => write!(
                f,
                "\"{part}\" holds a character or escape that no matching request can have"
            ),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_literals_parameters_and_a_tail() {
        let pattern = Pattern::parse("/orders/{id}/a%20b/{rest+}").unwrap();
        assert_eq!(
            pattern.segments(),
            [
                Segment::Literal("orders".into()),
                Segment::Param("id".into()),
                Segment::Literal("a b".into())
            ]
        );
        assert_eq!(pattern.tail(), Some(&Tail::Rest("rest".into())));
        assert_eq!(
            Pattern::parse("/").unwrap().segments(),
            [Segment::Literal("".into())]
        );
        assert_eq!(Pattern::parse("/a/").unwrap().segments().len(), 2);
        assert_eq!(Pattern::parse("/**").unwrap().tail(), Some(&Tail::Subtree));
    }

    #[test]
    fn a_pattern_matches_whole_segments() {
        let matches = |pattern: &str, path: &str| {
            let path: Vec<_> = path.strip_prefix('/').unwrap().split('/').collect();
            Pattern::parse(pattern).unwrap().matches(&path)
        };
        for (pattern, path) in [
            ("/", "/"),
            ("/a/{x}", "/a/b"),
            ("/a/", "/a/"),
            ("/a/**", "/a"),
            ("/**", "/"),
            ("/a/**", "/a/"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/a", "/a/"),
            ("/a/{x}", "/a/"),
            ("/a/{x}", "/a"),
            ("/a/{x+}", "/a/"),
            ("/a/{x+}", "/a"),
            ("/a/**", "/ab"),
            ("/a/**", "/"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_that_no_request_could_match_is_refused() {
        for text in [
            "orders",
            "/a//b",
            "/a/../b",
            "/a/%2e%2E",
            "/a/..%20",
            "/a/%3b..",
            "/a{id}",
            "/{}",
            "/{a b}",
            "/{a}/{a}",
            "/{a+}/b",
            "/**/b",
            "/a*",
            "/a?b",
            "/a#b",
            "/a;b",
            "/a\\b",
            "/a%2Fb",
            "/a%zz",
            "/a%ff",
            "/a%00",
            "/a%252F",
            "/a b",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_another_if_it_matches_all_of_its_paths() {
        let patterns = [
            "/",
            "/a",
            "/a/",
            "/b",
            "/{x}",
            "/{x}/",
            "/a/b",
            "/a/{x}",
            "/{x}/b",
            "/{x}/{y}",
            "/{x+}",
            "/a/{x+}",
            "/**",
            "/a/**",
            "/{x}/**",
            "/{x}/{y+}",
        ];
        let parse = |text: &&str| Pattern::parse(text).unwrap();
        let segments = ["", "a", "b", "c"];
        let mut paths: Vec<Vec<&str>> = vec![vec![]];
        for _ in 0..4 {
            let longer = paths.iter().flat_map(|path| {
                segments.map(|segment| path.iter().copied().chain([segment]).collect::<Vec<_>>())
            });
            paths = [vec![], longer.collect()]
                .into_iter()
                .flatten()
                .chain(paths.clone())
                .collect();
            paths.sort();
            paths.dedup();
        }
        for own in patterns.iter().map(parse) {
            for other in patterns.iter().map(parse) {
                let mut matched = paths.iter().filter(|path| other.matches(path));
                let expected = matched.all(|path| own.matches(path));
                assert_eq!(
                    own.covers(&other),
                    expected,
                    "{} {}",
                    own.as_str(),
                    other.as_str()
                );
            }
        }
    }

    #[test]
    fn shape_ignores_the_names_of_parameters() {
        let same = |a: &str, b: &str| {
            Pattern::parse(a)
                .unwrap()
                .same_shape(&Pattern::parse(b).unwrap())
        };
        assert!(same("/a/{x}", "/a/{y}"));
        assert!(same("/{x+}", "/{y+}"));
        assert!(same("/a%20b", "/a b".replace(' ', "%20").as_str()));
        assert!(!same("/a/{x}", "/a/{x+}"));
        assert!(!same("/a", "/a/"));
        assert!(!same("/**", "/{x+}"));
    }
}
