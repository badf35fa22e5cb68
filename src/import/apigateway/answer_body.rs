//! The bodies of gateway responses: texts with `$context.…` and `$stageVariables.…`, without
//! directives.

use crate::config::{MAX_ERROR_BODY, MAX_ERROR_REFERENCES, is_json_template};
use crate::import::document::Node;
use crate::import::openapi::Variables;
use crate::transform::{Place, Template};

/// The media type of most templates.
const JSON: &str = "application/json";

/// How the references begin that a template can have. Another `$` is text.
const SOURCES: [&str; 5] = ["context", "stageVariables", "method", "input", "util"];

/// A body, as the configuration has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) text: String,
    pub(super) media: String,
    /// Set if the text is JSON with a word in the place of each reference.
    pub(super) is_json: bool,
}

/// Returns the body of a gateway response: that of JSON, or the first. `kind` is the name of its type,
/// if all answers that it is for have the same.
///
/// # Errors
/// Returns the part of a template that has no counterpart.
pub(super) fn body(
    response: &Node,
    kind: Option<&str>,
    variables: &Variables,
) -> Result<Option<Body>, String> {
    let templates = response.get("responseTemplates");
    let templates = templates.map_or(&[][..], Node::entries);
    let json = templates.iter().find(|entry| &*entry.key == JSON);
    let Some(entry) = json.or(templates.first()) else {
        return Ok(None);
    };
    let Some(template) = entry.value.text() else {
        return Err("its template is no text".to_owned());
    };
    if template.is_empty() {
        return Ok(None);
    }
    let mut writing = Writing {
        kind,
        variables,
        text: String::new(),
    };
    writing.template(template)?;
    let text = writing.text;
    // The configuration reads the text like this.
    let written = Template::parse(&text, &Place::ERROR).map_err(|error| error.to_string())?;
    if text.len() > MAX_ERROR_BODY || written.references().count() > MAX_ERROR_REFERENCES {
        return Err("its template is too long".to_owned());
    }
    Ok(Some(Body {
        is_json: is_json_template(&written),
        text,
        media: entry.key.to_ascii_lowercase(),
    }))
}

/// A body so far.
struct Writing<'w> {
    kind: Option<&'w str>,
    variables: &'w Variables,
    text: String,
}

impl Writing<'_> {
    fn template(&mut self, template: &str) -> Result<(), String> {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            self.plain(before);
            let name = name(after);
            let source = name.split('.').next().unwrap_or_default();
            let is_formal = after.starts_with(['{', '!']);
            if is_formal || SOURCES.contains(&source) {
                self.reference(name)
                    .ok_or_else(|| format!("its template has \"${}\"", shown(name, after)))?;
                rest = after.get(name.len()..).unwrap_or_default();
            } else {
                self.plain("$");
                rest = after;
            }
        }
        self.plain(rest);
        Ok(())
    }

    /// Writes what a reference stands for; `None` if it has no counterpart.
    fn reference(&mut self, name: &str) -> Option<()> {
        match name {
            "context.error.message" => self.text.push_str("${detail}"),
            // It is a string of JSON, with its quotation marks.
            "context.error.messageString" => {
                self.plain("\"");
                self.text.push_str("${detail}");
                self.plain("\"");
            }
            "context.requestId" | "context.extendedRequestId" => {
                self.text.push_str("${request_id}");
            }
            "context.error.responseType" => self.plain(self.kind?),
            name => {
                let variable = name.strip_prefix("stageVariables.")?;
                let value = self.variables.get(variable)?;
                self.plain(value);
            }
        }
        Some(())
    }

    /// Writes a text of the document, which is no reference of the configuration.
    fn plain(&mut self, text: &str) {
        self.text.push_str(&text.replace('$', "$$"));
    }
}

/// Returns the name that a text begins with. A dot at its end belongs to the text.
fn name(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    name.trim_end_matches('.')
}

/// Returns a reference as a message shows it.
fn shown<'t>(name: &'t str, after: &'t str) -> &'t str {
    match name {
        "" => after
            .get(..after.find('}').map_or(1, |end| end + 1))
            .unwrap_or_default(),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::document::Document;

    fn read(template: &str, kind: Option<&str>) -> Result<Option<Body>, String> {
        let text = serde_json::json!({ "responseTemplates": { "text/x": "-", JSON: template } });
        let document = Document::read(text.to_string().as_bytes()).unwrap();
        let variables = [("a", "${detail}"), ("b", "1$")];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        body(document.root(), kind, &variables.into_iter().collect())
    }

    #[test]
    fn references_with_a_counterpart_are_translated_and_all_else_is_text() {
        for (template, text, is_json) in [
            (
                r#"{"message":$context.error.messageString}"#,
                r#"{"message":"${detail}"}"#,
                true,
            ),
            (
                r#"{"a":"$context.error.message.","b":"$context.requestId-1"}"#,
                r#"{"a":"${detail}.","b":"${request_id}-1"}"#,
                true,
            ),
            (
                r#"{"a":"$context.error.responseType"}"#,
                r#"{"a":"UNAUTHORIZED"}"#,
                true,
            ),
            ("$context.error.message", "${detail}", false),
            // No text of the document becomes a reference.
            (
                r#"["$5", "$", "$$", "$x"]"#,
                r#"["$$5", "$$", "$$$$", "$$x"]"#,
                true,
            ),
            (
                r#"["$stageVariables.a", $stageVariables.b]"#,
                r#"["$${detail}", 1$$]"#,
                false,
            ),
        ] {
            let body = read(template, Some("UNAUTHORIZED")).unwrap().unwrap();
            assert_eq!(
                (body.text.as_str(), body.is_json),
                (text, is_json),
                "{template}"
            );
            assert_eq!(body.media, JSON);
        }
        assert_eq!(read("", None), Ok(None));
    }

    #[test]
    fn a_reference_without_a_counterpart_is_named() {
        for (template, named) in [
            ("$context.error.responseType", "$context.error.responseType"),
            ("$context.stage", "$context.stage"),
            ("$stageVariables.c", "$stageVariables.c"),
            ("$method.request.header.x", "$method.request.header.x"),
            ("${detail}", "${detail}"),
            ("${context.requestId} x", "${context.requestId}"),
            ("$!{é", "$!"),
            ("$context.", "$context"),
            ("$input.body", "$input.body"),
        ] {
            let error = read(template, None).unwrap_err();
            assert!(error.ends_with(&format!("has \"{named}\"")), "{error}");
        }
        assert!(read(&"$context.requestId".repeat(65), None).is_err());
        assert!(read(&"a".repeat((64 << 10) + 1), None).is_err());
    }
}
