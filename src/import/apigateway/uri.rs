//! The URI of an HTTP integration: an upstream, and the path that it gets.

use std::collections::BTreeMap;

use super::source::{Scene, Source, literal};
use crate::import::document::Place;
use crate::import::finding::{Code, Untranslated};
use crate::import::path::parameter_of;
use crate::net::Url;

/// The parts of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// The path, as a `rewrite` has it; empty if the URI has none.
    pub(super) path: String,
    /// The query, as a `rewrite` has it.
    pub(super) query: Vec<(String, String)>,
}

/// The longest URI, in bytes.
const MAX_URI: usize = 8192;

/// Parses the URI of an integration, whose stage variables are filled in. `mapped` are the sources
/// of its placeholders.
pub(super) fn target(
    uri: &str,
    mapped: &BTreeMap<&str, Source>,
    scene: Scene<'_>,
    place: Place,
) -> Result<Target, Untranslated> {
    let fail = || Untranslated::new(Code::UnusableUri, place, format!("{uri:?}"));
    if uri.len() > MAX_URI {
        return Err(fail());
    }
    let (scheme, rest) = uri.split_once("://").ok_or_else(fail)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // A placeholder in the host would let a client choose the upstream.
    if authority.contains(['{', '}', '$', '@']) || rest.contains('#') {
        return Err(fail());
    }
    let url = Url::parse(&format!("{scheme}://{authority}")).map_err(|_| fail())?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let filler = Filler { mapped, scene };
    let path = filler.path(path).ok_or_else(fail)?;
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = filler.text(value).ok_or_else(fail)?;
        pairs.push((literal(name).ok_or_else(fail)?, value));
    }
    Ok(Target {
        origin: origin(&url),
        path,
        query: pairs,
    })
}

/// Returns scheme, host and port in one spelling, so that one address is one upstream.
fn origin(url: &Url) -> String {
    let scheme = if url.is_tls() { "https" } else { "http" };
    format!("{scheme}://{}", url.authority())
}

/// Fills in placeholders.
struct Filler<'f> {
    mapped: &'f BTreeMap<&'f str, Source>,
    scene: Scene<'f>,
}

impl Filler<'_> {
    fn path(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return Some(String::new());
        }
        let last = path.split('/').count() - 1;
        let mut segments = Vec::new();
        for (index, segment) in path.split('/').enumerate() {
            let filled = self.text(segment)?;
            // A greedy parameter takes the place of the whole end.
            if filled.contains("+}") && (index != last || !filled.starts_with('{')) {
                return None;
            }
            // A star would stand for the rest of the client's path.
            if matches!(&*filled, "." | "..") || filled.contains([' ', '*']) {
                return None;
            }
            segments.push(filled);
        }
        Some(segments.join("/"))
    }

    fn text(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            out.push_str(&literal(before)?);
            out.push_str(&self.placeholder(name)?);
            rest = after;
        }
        out.push_str(&literal(rest)?);
        Some(out)
    }

    fn placeholder(&self, name: &str) -> Option<String> {
        let name = name.strip_suffix('+').unwrap_or(name);
        match self.mapped.get(name) {
            Some(source) => source.template(self.scene),
            None => parameter_of(self.scene.path, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::openapi::Variables;

    #[test]
    fn a_uri_is_an_origin_a_path_and_a_query() {
        let mapped = [
            ("p", Source::rest("method.request.path.id")),
            ("h", Source::rest("method.request.header.x-h")),
            ("s", Source::rest("'v2'")),
        ];
        let mapped = mapped.into_iter().collect();
        let variables = Variables::new();
        let scene = Scene {
            path: "/pets/{id}/{proxy+}",
            variables: &variables,
            token_places: &[],
        };
        for (uri, expected) in [
            ("https://h", Some("https://h|")),
            ("HTTP://h:81/", Some("http://h:81|/")),
            ("HTTPS://H.Example:443/", Some("https://h.example|/")),
            ("http://h:443/", Some("http://h:443|/")),
            ("http://h/a/{p}", Some("http://h|/a/{id}")),
            (
                "http://h/{s}/{h}/{proxy}",
                Some("http://h|/v2/${header:x-h}/{proxy+}"),
            ),
            ("http://h/a?x=1&y={p}&z", Some("http://h|/a|x=1|y={id}|z=")),
            ("http://{p}.h/a", None),
            ("http://h/{proxy}/a", None),
            ("http://h/x{proxy}", None),
            ("http://h/{unknown}", None),
            ("http://h/a#b", None),
            ("http://u@h/a", None),
            ("http:///a", None),
            ("http://h/../a", None),
            ("http://h/a/**", None),
            ("http://h/a*b", None),
            ("http://h/a:b/$x", Some("http://h|/a:b/$$x")),
            ("ftp://h/a", None),
            ("arn:aws:sqs", None),
            ("/a", None),
            ("http://${stageVariables.h}/a", None),
        ] {
            let found = target(uri, &mapped, scene, Place::default()).ok();
            let shown = found.map(|target| {
                let query = target
                    .query
                    .iter()
                    .map(|(name, value)| format!("|{name}={value}"));
                format!(
                    "{}|{}{}",
                    target.origin,
                    target.path,
                    query.collect::<String>()
                )
            });
            assert_eq!(shown.as_deref(), expected, "{uri}");
        }
    }
}
