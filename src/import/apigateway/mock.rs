//! Mock integrations: answers without an upstream, and the answers to preflights.

use std::collections::BTreeMap;

use http::StatusCode;

use super::source::literal_field;
use crate::content;
use crate::import::document::{Entry, Node};
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::openapi::{Method, Operation};
use crate::import::plan::Respond;
use crate::transform::Direction;

/// The media type of templates.
const JSON: &str = "application/json";

/// Returns the answer of a mock integration.
///
/// # Errors
/// Returns an error if its status or its body is computed.
pub(super) fn respond(
    operation: &Operation<'_>,
    integration: &Node,
    findings: &mut Vec<Finding>,
) -> Result<Respond, Untranslated> {
    let fail = || Untranslated::new(Code::UnusableMock, integration.place, "");
    if let Some(name) = integration.unresolved() {
        let about = format!("{name:?}");
        return Err(Untranslated::new(
            Code::UnusableMock,
            integration.place,
            about,
        ));
    }
    let selected = selected(integration).ok_or_else(fail)?;
    let response = response(integration, selected);
    let status = response.and_then(status_of).unwrap_or(selected);
    if !(200..=599).contains(&status) {
        return Err(fail());
    }
    let mut headers = BTreeMap::new();
    for entry in response.map_or(&[][..], parameters) {
        match field(entry) {
            Some((name, _)) if name.starts_with("access-control-") => {}
            Some((name, value)) if Direction::Response.name(&name).is_ok() => {
                headers.insert(name, value);
            }
            _ => findings.push(lost(entry).of(operation)),
        }
    }
    let template = response.and_then(|response| response.get("responseTemplates"));
    let template = template.and_then(|templates| templates.get(JSON));
    let body = template
        .and_then(Node::text)
        .filter(|text| !text.trim().is_empty());
    // Browsers do not read the body of an answer to a preflight, whose fields a template computes.
    let is_preflight = operation.method == Method::Options && response.is_some_and(has_override);
    if is_preflight {
        let place = template.map_or(integration.place, |node| node.place);
        let about = "\"responseTemplates\"";
        findings.push(Untranslated::new(Code::MockPart, place, about).of(operation));
    } else if body.is_some_and(is_computed) {
        let place = template.map_or(integration.place, |node| node.place);
        let about = "its template has directives or references";
        return Err(Untranslated::new(Code::UnusableMock, place, about));
    }
    let has_content = !StatusCode::from_u16(status).is_ok_and(content::is_absent);
    let body = body.filter(|_| has_content && !is_preflight);
    if body.is_some() {
        headers
            .entry("content-type".to_owned())
            .or_insert_with(|| JSON.to_owned());
    }
    Ok(Respond {
        status,
        headers,
        body: body.map(|body| body.replace('$', "$$")),
    })
}

/// Returns the status that the request template selects.
fn selected(integration: &Node) -> Option<u16> {
    let templates = integration.get("requestTemplates");
    let Some(template) = templates.and_then(|templates| templates.get(JSON)) else {
        return Some(200);
    };
    let text = template.text()?;
    let (_, rest) = text.split_once("statusCode")?;
    let rest = rest.trim_start_matches(['"', '\'', ' ', ':', '\t']);
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let is_plain = !text.contains(['#', '$']);
    rest.get(..end)?.parse().ok().filter(|_| is_plain)
}

/// Returns the response for a status: the one whose pattern is that status, or the default.
fn response(integration: &Node, status: u16) -> Option<&Node> {
    let responses = integration.get("responses")?;
    responses
        .get(&status.to_string())
        .or_else(|| responses.get("default"))
        .or_else(|| {
            let mut all = responses.entries().iter().map(|entry| &entry.value);
            all.find(|response| status_of(response) == Some(status))
        })
}

fn status_of(response: &Node) -> Option<u16> {
    response.get("statusCode")?.scalar()?.parse().ok()
}

/// Returns the response of a mock integration that answers preflights.
pub(super) fn preflight(integration: &Node) -> Option<&Node> {
    response(integration, selected(integration).unwrap_or(200))
}

/// Returns the fields that a response sets.
pub(super) fn parameters(response: &Node) -> &[Entry] {
    response
        .get("responseParameters")
        .map_or(&[][..], Node::entries)
}

/// Returns the name of a field, in lower case, and its value, if that is a plain text.
pub(super) fn field(entry: &Entry) -> Option<(String, String)> {
    let name = field_name(entry)?;
    let value = entry.value.text()?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    let is_plain = value.bytes().all(|b| matches!(b, b' '..=b'~')) && value.trim() == value;
    let value = literal_field(value).filter(|_| is_plain)?;
    Some((name, value))
}

/// Returns the name of the field that a mapping sets, in lower case.
pub(super) fn field_name(entry: &Entry) -> Option<String> {
    let name = entry.key.strip_prefix("method.response.header.")?;
    Some(name.to_ascii_lowercase())
}

/// Returns whether a template changes the fields of the response.
pub(super) fn has_override(response: &Node) -> bool {
    let templates = response
        .get("responseTemplates")
        .map_or(&[][..], Node::entries);
    let mut texts = templates.iter().filter_map(|entry| entry.value.text());
    texts.any(|text| text.contains("responseOverride"))
}

/// Returns whether a template has a directive or a reference.
pub(super) fn is_computed(template: &str) -> bool {
    template.contains(['#', '$'])
}

fn lost(entry: &Entry) -> Untranslated {
    let about = format!("{:?}", entry.key);
    Untranslated::new(Code::MockPart, entry.place, about)
}
