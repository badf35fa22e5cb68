//! A path pattern of the route table: `/orders`, `/orders/{id}`, `/files/{rest+}`, `/admin/**`.

use std::fmt;

/// A parsed pattern. Segments are kept percent-decoded, as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    tail: Option<Tail>,
}

/// One segment of a pattern, before its [`Tail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Compared whole with the decoded segment. The empty literal is a trailing slash.
    Literal(Box<str>),
    /// Any one non-empty segment, under this name.
    Param(Box<str>),
}

/// What an open-ended pattern ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// `{rest+}`: one or more segments, the first of them not empty (API Gateway's `{proxy+}`).
    Rest(Box<str>),
    /// `**`: the root before it and everything below.
    Subtree,
}

/// Why a text is not a pattern. The message names the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Does not begin with `/`.
    NotRooted,
    /// Two slashes in a row: no request that is not ambiguous could match.
    EmptySegment,
    /// `.` or `..` in any spelling: no request could match.
    DotSegment(Box<str>),
    /// A brace or star that is not a whole segment.
    Partial(Box<str>),
    /// `{}` or a name with other characters than letters, digits, `_` and `-`.
    ParamName(Box<str>),
    /// The same parameter name twice.
    ParamTwice(Box<str>),
    /// `{rest+}` or `**` before the last segment.
    TailNotLast(Box<str>),
    /// A query, a fragment, a control character, a backslash, or an escape that is broken, not
    /// UTF-8 or ambiguous.
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
        let (mut segments, mut tail) = (Vec::new(), None);
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
        pattern.unique_names()?;
        Ok(pattern)
    }

    /// The pattern of a group's `prefix` and a route's `path`. Both are rooted; a prefix ends in no
    /// slash.
    ///
    /// # Errors
    /// [`PatternError`] when the whole is not a pattern, such as a parameter named in both halves.
    pub fn join(prefix: &str, path: &str) -> Result<Self, PatternError> {
        Self::parse(&format!("{prefix}{path}"))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments before the tail.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The open end, if the pattern has one.
    #[must_use]
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Whether both match the same paths at the same rank: equal but for the names of parameters.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        let alike = |a: &Segment, b: &Segment| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Param(_), Segment::Param(_)) => true,
            _ => false,
        };
        let tails = match (&self.tail, &other.tail) {
            (Some(a), Some(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
            (None, None) => true,
            _ => false,
        };
        tails
            && self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(a, b)| alike(a, b))
    }

    /// Whether a path of these segments, each decoded once, is one of the pattern's.
    pub(super) fn matches<S: AsRef<str>>(&self, path: &[S]) -> bool {
        let fits = |(segment, text): (&Segment, &S)| match segment {
            Segment::Literal(literal) => **literal == *text.as_ref(),
            Segment::Param(_) => !text.as_ref().is_empty(),
        };
        let count = self.segments.len();
        let open = match self.tail {
            None => path.len() == count,
            Some(Tail::Rest(_)) => path
                .get(count)
                .is_some_and(|first| !first.as_ref().is_empty()),
            Some(Tail::Subtree) => path.len() >= count,
        };
        open && self.segments.iter().zip(path).all(fits)
    }

    fn unique_names(&self) -> Result<(), PatternError> {
        let mut seen: Vec<&str> = Vec::new();
        let params = self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(&**name),
            Segment::Literal(_) => None,
        });
        let rest = self.tail.iter().filter_map(|tail| match tail {
            Tail::Rest(name) => Some(&**name),
            Tail::Subtree => None,
        });
        for name in params.chain(rest) {
            if seen.contains(&name) {
                return Err(PatternError::ParamTwice(name.into()));
            }
            seen.push(name);
        }
        Ok(())
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
        let (name, greedy) = name
            .strip_suffix('+')
            .map_or((name, false), |name| (name, true));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(PatternError::ParamName(part.into()));
        }
        return Ok(if greedy {
            Parsed::Tail(Tail::Rest(name.into()))
        } else {
            Parsed::Segment(Segment::Param(name.into()))
        });
    }
    if part.contains(['{', '}', '*']) {
        return Err(PatternError::Partial(part.into()));
    }
    if part.contains(['?', '#', '\\', ';']) || part.chars().any(|c| c.is_control() || c == ' ') {
        return Err(PatternError::Character(part.into()));
    }
    let decoded =
        super::path::decode_literal(part).ok_or_else(|| PatternError::Character(part.into()))?;
    if super::path::is_dot_segment(&decoded) {
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
            Self::DotSegment(part) => {
                write!(
                    f,
                    "\"{part}\" matches nothing: such requests are refused as ambiguous"
                )
            }
            Self::Partial(part) => {
                write!(
                    f,
                    "\"{part}\": a parameter or wildcard is a whole segment: \"{{name}}\", \"{{name+}}\", \"**\""
                )
            }
            Self::ParamName(part) => {
                write!(
                    f,
                    "\"{part}\": a parameter is named with letters, digits, \"_\" and \"-\""
                )
            }
            Self::ParamTwice(name) => write!(f, "the parameter \"{name}\" occurs twice"),
            Self::TailNotLast(part) => write!(f, "\"{part}\" can only be the last segment"),
            Self::Character(part) => {
                write!(
                    f,
                    "\"{part}\" holds a character or escape that no matching request can have"
                )
            }
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
