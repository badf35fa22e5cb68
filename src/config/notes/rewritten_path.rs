//! The paths that a rewrite makes, and the requests that have them.
//!
//! A value of the request stands in a path as a text that no literal has, so that two rewrites are
//! compared by their form. Parameters, fields and the query are what the client chooses: such a
//! value of one rewrite may be any text of another. A claim is what the issuer says: it equals the
//! same claim alone. An id of a request equals none.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::sample_path::{ANY_SEGMENT, encoded, or_root, push};
use crate::config::Route;
use crate::route::{Pattern, Segment, Tail};
use crate::transform::{Facts, Part, Reference, Rewrite, Template, Value, parameter};

/// The form of the paths that a rewrite makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RewrittenPath<'c> {
    /// The paths that are rewritten.
    pattern: &'c Pattern,
    pub(super) segments: Vec<RewrittenSegment>,
    /// Set if the path ends as that of the client does.
    pub(super) is_open: bool,
}

/// A segment of a path that a rewrite makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RewrittenSegment {
    /// A percent-encoded text.
    Literal(String),
    /// A value, or texts and values.
    Values(Vec<Piece>),
}

/// A part of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Piece {
    Text(String),
    Value(Reference),
}

/// The values of a request, percent-encoded as a path has them.
type Values<'p> = HashMap<&'p Reference, &'p str>;

impl<'c> RewrittenPath<'c> {
    pub(super) fn of(pattern: &'c Pattern, rewrite: &Rewrite) -> Option<Self> {
        let mut made = Self {
            pattern,
            segments: Vec::new(),
            is_open: rewrite.is_open(),
        };
        match rewrite.template() {
            Some(template) => made.read_template(template)?,
            None => made.read_segments(&Pattern::parse(rewrite.as_str()).ok()?),
        }
        Some(made)
    }

    fn read_segments(&mut self, segments: &Pattern) {
        for segment in segments.segments() {
            self.segments.push(match segment {
                Segment::Literal(text) => RewrittenSegment::Literal(encoded(text)),
                Segment::Param(name) => {
                    let name = name.clone();
                    let is_open = false;
                    let value = Piece::Value(Reference::Parameter { name, is_open });
                    RewrittenSegment::Values(vec![value])
                }
            });
        }
    }

    /// Reads a template; returns `None` if it does not begin with a slash.
    fn read_template(&mut self, template: &Template) -> Option<()> {
        let mut segments: Vec<Vec<Piece>> = Vec::new();
        for part in template.parts() {
            match part {
                Part::Reference(reference) => {
                    segments.last_mut()?.push(Piece::Value(reference.clone()));
                }
                Part::Text(text) => {
                    for (index, text) in text.split('/').enumerate() {
                        if index > 0 {
                            segments.push(Vec::new());
                        }
                        if !text.is_empty() {
                            segments.last_mut()?.push(Piece::Text(text.to_owned()));
                        }
                    }
                }
            }
        }
        if let Some([Piece::Value(last)]) = segments.last().map(Vec::as_slice)
            && self.is_open_end(last)
        {
            segments.pop();
            self.is_open = true;
        }
        self.segments
            .extend(segments.into_iter().map(RewrittenSegment::of));
        Some(())
    }

    /// Returns whether a reference is to the open end of the client's path.
    fn is_open_end(&self, reference: &Reference) -> bool {
        match (reference, self.pattern.tail()) {
            (Reference::Parameter { name, .. }, Some(Tail::Rest(tail))) => name == tail,
            _ => false,
        }
    }

    /// Returns a client's path that is rewritten to `path`.
    pub(super) fn invert(&self, path: &str) -> Option<String> {
        let segments: Vec<_> = path.strip_prefix('/')?.split('/').collect();
        let values = self.values(&segments)?;
        let rest = segments.get(self.segments.len()..).unwrap_or_default();
        let mut path = String::new();
        for segment in self.pattern.segments() {
            match segment {
                Segment::Literal(text) => push(&mut path, &encoded(text)),
                Segment::Param(name) => push(&mut path, parameter_in(&values, name)),
            }
        }
        if self.is_open {
            for segment in rest {
                push(&mut path, segment);
            }
        } else if let Some(Tail::Rest(name)) = self.pattern.tail() {
            push(&mut path, parameter_in(&values, name));
        }
        Some(or_root(path))
    }

    /// Returns the values with which the segments of a path are made; `None` if no values make them.
    fn values<'p>(&'p self, segments: &[&'p str]) -> Option<Values<'p>> {
        let has_length = match self.is_open {
            true => segments.len() >= self.segments.len(),
            false => segments.len() == self.segments.len(),
        };
        let mut values = Values::new();
        for (own, segment) in self.segments.iter().zip(segments) {
            match own {
                RewrittenSegment::Literal(text) if text == segment => {}
                RewrittenSegment::Literal(_) => return None,
                RewrittenSegment::Values(pieces) => collect_values(pieces, segment, &mut values)?,
            }
        }
        has_length.then_some(values)
    }
}

impl RewrittenSegment {
    fn of(pieces: Vec<Piece>) -> Self {
        match pieces.as_slice() {
            [] => Self::Literal(String::new()),
            [Piece::Text(text)] => {
                Self::Literal(encoded(&percent_decode_str(text).decode_utf8_lossy()))
            }
            _ => Self::Values(pieces),
        }
    }
}

fn parameter_in<'p>(values: &Values<'p>, parameter: &str) -> &'p str {
    let mut all = values.iter();
    let found = all.find(|(reference, _)| {
        matches!(reference, Reference::Parameter { name, .. } if **name == *parameter)
    });
    found.map_or(ANY_SEGMENT, |(_, value)| *value)
}

/// Takes the values out of a segment, each as short as it can be.
fn collect_values<'p>(pieces: &'p [Piece], text: &'p str, values: &mut Values<'p>) -> Option<()> {
    let mut rest = text;
    let mut pieces = pieces;
    while let Some((piece, following)) = pieces.split_first() {
        pieces = following;
        let reference = match piece {
            Piece::Text(text) => {
                rest = rest.strip_prefix(text.as_str())?;
                continue;
            }
            Piece::Value(reference) => reference,
        };
        let length = match following {
            [] => rest.len(),
            [Piece::Text(last)] => rest.strip_suffix(last.as_str())?.len(),
            [Piece::Text(next), ..] => rest.find(next.as_str())?,
            // Where one value ends and the other begins is not known.
            [Piece::Value(_), ..] => return None,
        };
        let (value, behind) = rest.split_at_checked(length)?;
        rest = behind;
        insert(values, reference, value)?;
    }
    rest.is_empty().then_some(())
}

/// Adds a value, unless the reference has another one, or cannot have this.
fn insert<'p>(values: &mut Values<'p>, reference: &'p Reference, value: &'p str) -> Option<()> {
    let may_be = match reference {
        Reference::Claim(name) => encoded(&claim(name)) == value,
        Reference::Parameter { .. } | Reference::Header(_) | Reference::Query(_) => true,
        _ => false,
    };
    let known = *values.entry(reference).or_insert(value);
    (may_be && known == value).then_some(())
}

/// Returns a value of a claim, which no literal and no other claim has.
fn claim(name: &str) -> String {
    format!("~claim.{name}")
}

/// The values of a request for a path.
struct Request<'r> {
    pattern: &'r Pattern,
    path: &'r str,
    /// The values besides those of the path, if another path determines them.
    values: Option<Values<'r>>,
}

impl Facts for Request<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        if let Reference::Parameter { name, .. } = reference {
            return parameter(self.pattern, name, self.path).map(Value::Path);
        }
        let text = match (&self.values, reference) {
            (Some(values), _) => Cow::from(percent_decode_str(values.get(reference)?)),
            (None, Reference::Claim(name)) => claim(name).into_bytes().into(),
            (None, Reference::RequestId) => b"~request_id".as_slice().into(),
            (None, _) => ANY_SEGMENT.as_bytes().into(),
        };
        Some(Value::Text(text))
    }
}

/// Returns the path that the upstream of a route gets for a client's path, with sample values where
/// it has values of the request; `None` if it gets none.
pub(super) fn upstream_path_of(route: &Route, path: &str) -> Option<String> {
    match (&route.heads.rewrite, &route.strip) {
        (Some(rewrite), _) => {
            let request = Request {
                pattern: &route.pattern,
                path,
                values: None,
            };
            rewrite.render(path, &request).ok()
        }
        (None, Some(prefix)) => {
            let rest = path.strip_prefix(&**prefix).unwrap_or(path);
            Some(or_root(rest.to_owned()))
        }
        (None, None) => Some(path.to_owned()),
    }
}

/// Returns whether the upstream of a route may get `upstream_path` for a client's path.
pub(super) fn may_reach(route: &Route, path: &str, upstream_path: &str) -> bool {
    let Some(rewrite) = route.heads.rewrite.as_ref().filter(|one| one.is_template()) else {
        return upstream_path_of(route, path).as_deref() == Some(upstream_path);
    };
    let Some(made) = RewrittenPath::of(&route.pattern, rewrite) else {
        return false;
    };
    let segments: Vec<_> = upstream_path.split('/').skip(1).collect();
    let Some(values) = made.values(&segments) else {
        return false;
    };
    let request = Request {
        pattern: &route.pattern,
        path,
        values: Some(values),
    };
    let rendered = rewrite.render(path, &request);
    rendered.is_ok_and(|path| path == upstream_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the client's path for which the upstream gets a path.
    fn inverted(pattern: &str, rewrite: &str, path: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let rewrite = Rewrite::parse(rewrite, &pattern, |_| None).unwrap();
        RewrittenPath::of(&pattern, &rewrite).unwrap().invert(path)
    }

    #[test]
    fn a_path_is_traced_back_through_values_that_the_client_chooses() {
        for (pattern, rewrite, path, expected) in [
            ("/o/{id}", "/v2/{id}", "/v2/7", Some("/o/7")),
            ("/o/{id}", "/v2/x-{id}.json", "/v2/x-7.json", Some("/o/7")),
            ("/o/{id}", "/v2/x-{id}.json", "/v2/7.json", None),
            ("/o/{id}", "/v2/x-{id}.json", "/v2/x-7", None),
            ("/{a}/{b}", "/x/{b}-{a}", "/x/1-2-3", Some("/2-3/1")),
            ("/{a}/{b}", "/x/{b}{a}", "/x/12", None),
            ("/o/{id}", "/{id}/{id}", "/7/7", Some("/o/7")),
            ("/o/{id}", "/{id}/{id}", "/7/8", None),
            ("/o/{id}", "/fixed?id={id}", "/fixed", Some("/o/~")),
            ("/o", "/${header:x-t}/a", "/acme/a", Some("/o")),
            ("/o", "/${query:t}/a", "/acme/a", Some("/o")),
            ("/o", "/${query:t}/a", "/acme/b", None),
            ("/o", "/${claim:t}/a", "/acme/a", None),
            ("/o", "/${claim:t}/a", "/~claim.t/a", Some("/o")),
            ("/o", "/${claim:u}/a", "/~claim.t/a", None),
            ("/o", "/${request_id}/a", "/~request_id/a", None),
            ("/o/**", "/${query:t}/**", "/acme/a/b", Some("/o/a/b")),
            (
                "/o/{rest+}",
                "/x-${query:t}/{rest+}",
                "/x-1/a/b",
                Some("/o/a/b"),
            ),
            ("/o/{rest+}", "/{rest}/end", "/a/end", Some("/o/a")),
            ("/o/{rest+}", "/fixed", "/fixed", Some("/o/~")),
            ("/o", "/a%2Db/${query:t}", "/a-b/7", Some("/o")),
        ] {
            let found = inverted(pattern, rewrite, path);
            assert_eq!(found.as_deref(), expected, "{pattern} {rewrite} {path}");
        }
    }
}
