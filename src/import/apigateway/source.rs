//! The sources of parameter mappings, as templates of the configuration.

use crate::config::may_hold_token;
use crate::import::openapi::Variables;
use crate::import::path::parameter_of;
use crate::route::is_parameter_name;
use crate::token::Source as TokenPlace;
use crate::transform::Reference;

/// A text with references, as an export has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Header(String),
    Query(String),
    Parameter(String),
    Claim(String),
    RequestId,
    Variable(String),
    Unknown,
}

/// What a source is rendered for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'s> {
    /// The path of the operation, as the document has it.
    pub(super) path: &'s str,
    pub(super) variables: &'s Variables,
    /// The places of tokens on all routes: what a client sends to one of them, it may send to each.
    pub(super) token_places: &'s [TokenPlace],
}

impl Source {
    /// Parses a source of a REST API: one reference, or a text between single quotes.
    pub(super) fn rest(text: &str) -> Self {
        let inner = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''));
        let part = match inner {
            Some(inner) => Part::Text(inner.to_owned()),
            None => match text.strip_prefix("method.") {
                Some(rest) => reference(rest),
                None => reference(text),
            },
        };
        Self { parts: vec![part] }
    }

    /// Parses a source of an HTTP API: a text with references such as `$request.header.x` and
    /// `${context.requestId}`.
    pub(super) fn http(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push(&mut parts, before);
            let (name, after) = split_name(after);
            match name {
                "" => push(&mut parts, "$"),
                name => parts.push(reference(name)),
            }
            rest = after;
        }
        push(&mut parts, rest);
        Self { parts }
    }

    /// Returns the name of the request field, if the source is the whole of one.
    pub(super) fn as_header(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Header(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns the name of the query parameter, if the source is the whole of one.
    pub(super) fn as_query(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Query(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns the name of the claim, if the source is the whole of one.
    pub(super) fn as_claim(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Claim(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns whether a part of it is a claim.
    pub(super) fn has_claim(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Claim(_)))
    }

    /// Returns the name of a stage variable that has no value, if a part of it is one.
    pub(super) fn missing_variable(&self, variables: &Variables) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Variable(name) if !variables.contains_key(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns whether a part of it is a place in which clients send tokens.
    pub(super) fn may_have_token(&self, scene: Scene<'_>) -> bool {
        self.parts.iter().any(|part| part.may_be_token(scene))
    }

    /// Returns the source as a template; `None` if the language cannot say it. A token stays where
    /// it stands, so that its place is not copied.
    pub(super) fn template(&self, scene: Scene<'_>) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            out.push_str(&part.template(scene)?);
        }
        Some(out)
    }
}

impl Part {
    /// Returns whether it is a place in which clients send tokens.
    fn may_be_token(&self, scene: Scene<'_>) -> bool {
        let reference = match self {
            Self::Header(name) => name.parse().ok().map(Reference::Header),
            Self::Query(name) => Some(Reference::Query(name.as_str().into())),
            _ => None,
        };
        reference.is_some_and(|reference| may_hold_token(scene.token_places, &reference))
    }

    fn template(&self, scene: Scene<'_>) -> Option<String> {
        match self {
            Self::Text(text) => literal(text),
            Self::Variable(name) => literal(scene.variables.get(name)?),
            Self::Header(_) | Self::Query(_) if self.may_be_token(scene) => None,
            Self::Header(name) => is_field(name).then(|| format!("${{header:{name}}}")),
            Self::Query(name) => is_name(name).then(|| format!("${{query:{name}}}")),
            Self::Claim(name) => is_name(name).then(|| format!("${{claim:{name}}}")),
            Self::Parameter(name) => parameter_of(scene.path, name),
            Self::RequestId => Some("${request_id}".to_owned()),
            Self::Unknown => None,
        }
    }
}

fn push(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// Splits the name of a reference, which stands after a dollar, from what follows. Without a name
/// the dollar is a character.
fn split_name(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return (name, after);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn reference(text: &str) -> Part {
    let owned = str::to_owned;
    for (begin, part) in [
        ("request.header.", Part::Header as fn(String) -> Part),
        ("request.multivalueheader.", Part::Header),
        ("request.querystring.", Part::Query),
        ("request.multivaluequerystring.", Part::Query),
        ("request.path.", Part::Parameter),
        ("stageVariables.", Part::Variable),
        ("context.authorizer.claims.", Part::Claim),
        ("context.authorizer.jwt.claims.", Part::Claim),
    ] {
        if let Some(name) = text.strip_prefix(begin) {
            return part(owned(name));
        }
    }
    match text {
        // The principal of a Cognito authorizer is the subject of the token.
        "context.authorizer.principalId" => Part::Claim("sub".to_owned()),
        "context.requestId" | "context.extendedRequestId" => Part::RequestId,
        _ => Part::Unknown,
    }
}

/// Returns a value of a field in which a template finds no reference; `None` if there is no way to
/// write it: braces with the name of a parameter would be the value of that.
pub(super) fn literal_field(text: &str) -> Option<String> {
    let mut after = text.split('{').skip(1);
    let has_parameter = after.any(|rest| {
        let name = rest.split_once('}').map_or("", |(name, _)| name);
        is_parameter_name(name.strip_suffix('+').unwrap_or(name))
    });
    (!has_parameter).then(|| text.replace('$', "$$"))
}

/// Returns a text in which a template finds no reference; `None` if there is no way to write it.
pub(super) fn literal(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|b| matches!(b, b' '..=b'~')) && !text.contains(['{', '}']);
    is_plain.then(|| text.replace('$', "$$"))
}

fn is_name(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_graphic() && !matches!(b, b'{' | b'}' | b'$');
    !name.is_empty() && name.bytes().all(is_part)
}

fn is_field(name: &str) -> bool {
    is_name(name) && http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &Source) -> Option<String> {
        let variables = [("v".to_owned(), "a$b".to_owned())].into_iter().collect();
        source.template(Scene {
            path: "/a/{id}/{proxy+}",
            variables: &variables,
            token_places: &[TokenPlace::Query("token".into())],
        })
    }

    #[test]
    fn sources_of_rest_apis_are_templates() {
        for (text, expected) in [
            ("'static $1'", Some("static $$1")),
            ("method.request.header.X-A", Some("${header:X-A}")),
            ("method.request.multivaluequerystring.q", Some("${query:q}")),
            ("method.request.path.id", Some("{id}")),
            ("method.request.path.proxy", Some("{proxy+}")),
            ("method.request.path.other", None),
            ("context.authorizer.claims.sub", Some("${claim:sub}")),
            ("context.authorizer.principalId", Some("${claim:sub}")),
            ("context.requestId", Some("${request_id}")),
            ("context.identity.sourceIp", None),
            ("method.request.header.AUTHORIZATION", None),
            ("method.request.header.Cookie", None),
            ("method.request.multivaluequerystring.token", None),
            ("stageVariables.v", Some("a$$b")),
            ("stageVariables.w", None),
            ("method.request.body", None),
            ("'{id}'", None),
            ("'a\nb'", None),
            ("unquoted", None),
        ] {
            assert_eq!(rendered(&Source::rest(text)).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sources_of_http_apis_are_texts_with_references() {
        for (text, expected) in [
            ("plain", Some("plain")),
            ("$request.header.a", Some("${header:a}")),
            (
                "a-${request.querystring.b}-$context.requestId/c",
                Some("a-${query:b}-${request_id}/c"),
            ),
            ("$context.authorizer.claims.sub", Some("${claim:sub}")),
            ("/x/$request.path.proxy", Some("/x/{proxy+}")),
            ("5$ and $ 6", Some("5$$ and $$ 6")),
            ("$request.body.a", None),
            ("$stageVariables.v", Some("a$$b")),
        ] {
            assert_eq!(rendered(&Source::http(text)).as_deref(), expected, "{text}");
        }
    }
}
