//! Gateway responses: the answers of the API's own to refused requests.

use std::collections::BTreeMap;

use http::StatusCode;

use super::answer_body::{Body, body};
use crate::content;
use crate::import::document::{Entry, Node};
use crate::import::finding::{Code, Finding, Untranslated};
use crate::import::openapi::{Api, RESPONSES, Variables};
use crate::import::plan::ErrorResponse;
use crate::transform::{Direction, header_rule_value};

/// How the key of a field begins.
const FIELD: &str = "gatewayresponse.header.";

/// The field with the type of a body.
const CONTENT_TYPE: &str = "content-type";

/// A type of gateway responses.
struct Type {
    name: &'static str,
    /// The status without a setting; 0 for a class, which has none.
    status: u16,
    /// The values of `for`; none for an answer that the gateway never gives.
    reasons: &'static [&'static str],
}

/// Every type.
#[rustfmt::skip]
const TYPES: [Type; 21] = [
    Type { name: "ACCESS_DENIED", status: 403, reasons: &["route_denied"] },
    Type { name: "API_CONFIGURATION_ERROR", status: 500, reasons: &[] },
    Type { name: "AUTHORIZER_CONFIGURATION_ERROR", status: 500, reasons: &["keys_unavailable"] },
    Type { name: "AUTHORIZER_FAILURE", status: 500, reasons: &[] },
    Type { name: "BAD_REQUEST_BODY", status: 400, reasons: &[] },
    Type { name: "BAD_REQUEST_PARAMETERS", status: 400, reasons: &[] },
    Type { name: "DEFAULT_4XX", status: 0, reasons: &["4xx"] },
    Type { name: "DEFAULT_5XX", status: 0, reasons: &["5xx"] },
    // About AWS credentials, and not about JWTs.
    Type { name: "EXPIRED_TOKEN", status: 403, reasons: &[] },
    Type { name: "INTEGRATION_FAILURE", status: 504, reasons: &["upstream_unreachable", "upstream_closed", "upstream_refused", "upstream_connect_timeout"] },
    Type { name: "INTEGRATION_TIMEOUT", status: 504, reasons: &["request_timeout", "upstream_timeout"] },
    Type { name: "INVALID_API_KEY", status: 403, reasons: &[] },
    Type { name: "INVALID_SIGNATURE", status: 403, reasons: &[] },
    Type { name: "MISSING_AUTHENTICATION_TOKEN", status: 403, reasons: &["no_route", "shadowed_path", "method_not_allowed"] },
    Type { name: "QUOTA_EXCEEDED", status: 429, reasons: &[] },
    Type { name: "REQUEST_TOO_LARGE", status: 413, reasons: &["body_too_large", "event_too_large"] },
    Type { name: "RESOURCE_NOT_FOUND", status: 404, reasons: &[] },
    // The gateway has no rates; what it refuses under load is a 503.
    Type { name: "THROTTLED", status: 429, reasons: &[] },
    Type { name: "UNAUTHORIZED", status: 401, reasons: &[
        "missing_token", "wrong_scheme", "several_tokens", "invalid_token", "token_expired", "token_not_yet_valid",
        "wrong_audience", "wrong_client", "not_an_access_token", "required_claim", "wrong_client_certificate",
        "sender_constrained_token", "insufficient_scope",
    ] },
    Type { name: "UNSUPPORTED_MEDIA_TYPE", status: 415, reasons: &[] },
    Type { name: "WAF_FILTERED", status: 403, reasons: &[] },
];

impl Type {
    fn is_class(&self) -> bool {
        self.status == 0
    }

    /// Returns what `$context.error.responseType` stands for; nothing for a class, whose answers
    /// have several types.
    fn own_name(&self) -> Option<&'static str> {
        (!self.is_class()).then_some(self.name)
    }
}

/// The gateway responses of a document.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) entries: Vec<ErrorResponse>,
    pub(super) findings: Vec<Finding>,
}

impl Answers {
    /// Reads the gateway responses. `without_cors` is the first path that has no `cors`, which
    /// writes the fields of CORS into refusals as well.
    pub(super) fn of(api: &Api<'_>, variables: &Variables, without_cors: Option<&str>) -> Self {
        let mut reading = Reading {
            variables,
            without_cors,
            answers: Self::default(),
        };
        let node = api.root().get(RESPONSES);
        for entry in node.map_or(&[][..], Node::entries) {
            reading.response(entry);
        }
        reading.answers
    }
}

struct Reading<'r> {
    variables: &'r Variables,
    without_cors: Option<&'r str>,
    answers: Answers,
}

impl Reading<'_> {
    fn response(&mut self, entry: &Entry) {
        let Some(kind) = TYPES.iter().find(|kind| kind.name == &*entry.key) else {
            return self.note(Code::GatewayResponse, entry, format!("{:?}", entry.key));
        };
        if kind.reasons.is_empty() {
            return self.note(Code::UnusedResponse, entry, kind.name.to_owned());
        }
        let body = match body(&entry.value, kind.own_name(), self.variables) {
            Ok(body) => body,
            Err(about) => {
                let about = format!("{}: {about}", kind.name);
                return self.note(Code::GatewayResponse, entry, about);
            }
        };
        let status = self.status(kind, entry);
        let mut headers = self.headers(kind, entry);
        let body = self.fitting(kind, entry, status, body);
        let text = match with_type(&mut headers, body) {
            Ok(text) => text,
            Err(about) => {
                let about = format!("{}: {about}", kind.name);
                return self.note(Code::GatewayResponse, entry, about);
            }
        };
        // One for a class says something, or the profile answers. One for a reason may say nothing:
        // that for its class does not answer.
        if kind.is_class() && headers.is_empty() && text.is_none() {
            return;
        }
        self.answers.entries.push(ErrorResponse {
            reasons: kind.reasons.iter().map(|&name| name.to_owned()).collect(),
            status,
            headers,
            body: text,
            comment: format!("The gateway response {}.", kind.name),
        });
    }

    /// Returns the status, if it is another one than that of the profile.
    fn status(&mut self, kind: &Type, entry: &Entry) -> Option<u16> {
        let node = entry.value.get("statusCode")?;
        let status: Option<u16> = node.scalar().and_then(|text| text.parse().ok());
        match status {
            Some(status) if status == kind.status => None,
            Some(status) if !kind.is_class() && (200..=599).contains(&status) => Some(status),
            _ => {
                let about = format!("{}: \"statusCode\"", kind.name);
                self.note(Code::ResponsePart, entry, about);
                None
            }
        }
    }

    fn headers(&mut self, kind: &Type, entry: &Entry) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        let parameters = entry.value.get("responseParameters");
        for parameter in parameters.map_or(&[][..], Node::entries) {
            match field(parameter) {
                Some((name, _)) if name.starts_with("access-control-") => {
                    self.cors_field(kind, parameter);
                }
                Some((name, value)) => match Direction::Response.name(&name) {
                    Ok(_) => {
                        headers.insert(name, value);
                    }
                    Err(error) => self.lost_field(kind, parameter, &error.to_string()),
                },
                None => self.lost_field(kind, parameter, "its value is no fixed text"),
            }
        }
        headers
    }

    /// Notes a field of CORS, which `cors` writes, if every path has it.
    fn cors_field(&mut self, kind: &Type, parameter: &Entry) {
        match self.without_cors {
            None => {
                let about = format!("{}: {:?}", kind.name, parameter.key);
                self.note(Code::ResponseCors, parameter, about);
            }
            Some(path) => {
                let why = format!("there is no `cors` for {path:?}");
                self.lost_field(kind, parameter, &why);
            }
        }
    }

    fn lost_field(&mut self, kind: &Type, parameter: &Entry, why: &str) {
        let about = format!("{}: {:?} ({why})", kind.name, parameter.key);
        self.note(Code::ResponsePart, parameter, about);
    }

    /// Returns the body, if the status has one.
    fn fitting(
        &mut self,
        kind: &Type,
        entry: &Entry,
        status: Option<u16>,
        body: Option<Body>,
    ) -> Option<Body> {
        let has_content = !status
            .map(StatusCode::from_u16)
            .is_some_and(|it| it.is_ok_and(content::is_absent));
        if body.is_some() && !has_content {
            let about = format!("{}: \"responseTemplates\"", kind.name);
            self.note(Code::ResponsePart, entry, about);
        }
        body.filter(|_| has_content)
    }

    fn note(&mut self, code: Code, entry: &Entry, about: String) {
        let note = Untranslated::new(code, entry.place, about);
        self.answers.findings.push(note.of_document());
    }
}

/// Returns the name of a field, in lower case, and its value as a template, if that is a plain text.
fn field(entry: &Entry) -> Option<(String, String)> {
    let name = entry.key.strip_prefix(FIELD)?.to_ascii_lowercase();
    let value = entry.value.text()?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    header_rule_value(value).ok()?;
    Some((name, value.replace('$', "$$")))
}

/// Returns the text of a body, and states its type among the fields where that is not evident.
///
/// # Errors
/// Returns what is wrong with a body that is not of its type.
fn with_type(
    headers: &mut BTreeMap<String, String>,
    body: Option<Body>,
) -> Result<Option<String>, String> {
    let Some(body) = body else {
        headers.remove(CONTENT_TYPE);
        return Ok(None);
    };
    let stated = headers.get(CONTENT_TYPE).cloned();
    let media = stated.as_ref().unwrap_or(&body.media);
    if is_json(media) && !body.is_json {
        return Err(format!("its template is not JSON, and {media:?} is stated"));
    }
    if stated.is_none() && body.media != "application/json" {
        header_rule_value(&body.media).map_err(|_| format!("{:?}", body.media))?;
        headers.insert(CONTENT_TYPE.to_owned(), body.media.replace('$', "$$"));
    }
    Ok(Some(body.text))
}

fn is_json(media: &str) -> bool {
    let name = media.split(';').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    name.ends_with("/json") || name.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_type_and_each_reason_stands_once() {
        let names: BTreeSet<_> = TYPES.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), TYPES.len());
        let all: Vec<_> = TYPES.iter().flat_map(|kind| kind.reasons).collect();
        let known: BTreeSet<_> = all.iter().collect();
        assert_eq!(known.len(), all.len());
    }
}
