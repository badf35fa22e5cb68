//! The steps of a decision and its result, as text and as JSON.
//!
//! Every text is one line that is safe on a terminal: values of peers come here through
//! [`Quoted`](crate::telemetry::Quoted).

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::near::NearMiss;
use crate::config::{is_printable, printable};

/// An explained decision.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) entries: Vec<Entry>,
    pub(super) result: Verdict,
    pub(super) request: Option<AskedFor>,
    /// The reason of a refusal.
    pub(super) reason: Option<&'static str>,
    /// The sentence about a refusal.
    pub(super) detail: Option<String>,
    /// The label of the route.
    pub(super) route: Option<String>,
    /// The name of the upstream that the request is forwarded to.
    pub(super) upstream: Option<String>,
    /// The name of the issuer that the token is of, or claims to be of.
    pub(super) issuer: Option<String>,
    /// The scopes of a token whose signature verified.
    pub(super) granted: Option<Vec<String>>,
}

/// The members of the JSON form, in order. All of them are always there.
#[derive(Serialize)]
struct Object<'r> {
    verdict: &'static str,
    status: Option<u16>,
    reason: Option<&'static str>,
    detail: Option<&'r str>,
    request: Option<&'r AskedFor>,
    route: Option<&'r str>,
    upstream: Option<&'r str>,
    issuer: Option<&'r str>,
    granted: Option<&'r [String]>,
    steps: Vec<Value>,
    token: Vec<Value>,
    headers: Vec<Value>,
    near: Vec<Value>,
    notes: Vec<Value>,
}

/// The request, as it was read.
#[derive(Debug, Serialize)]
pub(super) struct AskedFor {
    pub(super) method: String,
    pub(super) host: Option<String>,
    pub(super) path: String,
    /// The names of the parameters in the query.
    pub(super) query: Option<String>,
}

/// The end of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    Forwarded,
    /// The gateway answers itself, with this status.
    Answered(u16),
    /// There is no whole request, and so no answer.
    #[default]
    NoRequest,
    /// The gateway refuses, with this status.
    Refused(u16),
}

impl Verdict {
    /// Returns whether the request gets further than a refusal.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Forwarded | Self::Answered(_))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Answered(_) => "answered",
            Self::Refused(_) | Self::NoRequest => "refused",
        }
    }

    fn status(self) -> Option<u16> {
        match self {
            Self::Answered(status) | Self::Refused(status) => Some(status),
            Self::Forwarded | Self::NoRequest => None,
        }
    }
}

/// A line of the explanation.
#[derive(Debug)]
pub(super) enum Entry {
    /// A step and its result.
    Step(Step),
    /// A claim or a member of the header: what the token has, and what it must have.
    Claim(ClaimRow),
    /// A line above others, in text only.
    Heading(&'static str),
    /// A fact that does not affect the decision.
    Note(String),
    /// A field of the answer.
    Field {
        name: String,
        value: String,
    },
    Near(NearMiss),
}

/// One step and its result.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) says: String,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The check succeeded.
    Passed,
    /// The check failed.
    Failed,
    /// There was nothing to check.
    Note,
}

/// A value of a token beside the values that are accepted.
#[derive(Debug)]
pub(super) struct ClaimRow {
    pub(super) name: String,
    pub(super) found: String,
    pub(super) wanted: Option<String>,
}

impl Report {
    pub(super) fn step(&mut self, name: &'static str, outcome: Outcome, says: impl Into<String>) {
        let says = says.into();
        self.entries.push(Entry::Step(Step {
            name,
            outcome,
            says,
        }));
    }

    pub(super) fn note(&mut self, says: impl Into<String>) {
        self.entries.push(Entry::Note(says.into()));
    }

    /// Formats one line for each entry.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let line = entry.line();
            let _ = writeln!(text, "{}", printable(line.trim_end()));
        }
        text
    }

    /// Formats one object, whose members are described in docs/explain.md.
    pub(super) fn json(&self) -> String {
        let object = Object {
            verdict: self.result.name(),
            status: self.result.status(),
            reason: self.reason,
            detail: self.detail.as_deref(),
            request: self.request.as_ref(),
            route: self.route.as_deref(),
            upstream: self.upstream.as_deref(),
            issuer: self.issuer.as_deref(),
            granted: self.granted.as_deref(),
            steps: self.collect(step_json),
            token: self.collect(claim_json),
            headers: self.collect(field_json),
            near: self.collect(near_json),
            notes: self.collect(note_json),
        };
        let text = serde_json::to_string(&object).expect("it has strings, numbers and lists only");
        let mut text = without_control_characters(&text);
        text.push('\n');
        text
    }

    fn collect(&self, of: fn(&Entry) -> Option<Value>) -> Vec<Value> {
        self.entries.iter().filter_map(of).collect()
    }
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Step(step) => {
                let mark = match step.outcome {
                    Outcome::Passed => "ok",
                    Outcome::Failed => "NO",
                    Outcome::Note => "",
                };
                format!("{mark:<3} {:<9} {}", step.name, step.says)
            }
            Self::Claim(ClaimRow {
                name,
                found,
                wanted,
            }) => match wanted {
                Some(wanted) => format!("{:13} {name:<9} {found}; wanted {wanted}", ""),
                None => format!("{:13} {name:<9} {found}", ""),
            },
            Self::Heading(says) => format!("{:13} {says}", ""),
            Self::Note(says) => format!("{:13} {says}", ""),
            Self::Field { name, value } => format!("{:13} {name}: {value}", ""),
            Self::Near(near) => format!("{:13} {near}", ""),
        }
    }
}

fn step_json(entry: &Entry) -> Option<Value> {
    let Entry::Step(step) = entry else {
        return None;
    };
    let result = match step.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Note => "note",
    };
    Some(json!({ "name": step.name, "result": result, "text": step.says }))
}

fn claim_json(entry: &Entry) -> Option<Value> {
    let Entry::Claim(row) = entry else {
        return None;
    };
    Some(json!({ "name": row.name, "found": row.found, "wanted": row.wanted }))
}

fn field_json(entry: &Entry) -> Option<Value> {
    let Entry::Field { name, value } = entry else {
        return None;
    };
    Some(json!({ "name": name, "value": value }))
}

fn near_json(entry: &Entry) -> Option<Value> {
    let Entry::Near(near) = entry else {
        return None;
    };
    Some(json!({
        "difference": near.difference.name(),
        "path": near.path,
        "route": near.route,
        "text": near.to_string(),
    }))
}

fn note_json(entry: &Entry) -> Option<Value> {
    let Entry::Note(says) = entry else {
        return None;
    };
    Some(json!(says))
}

/// Escapes the characters of a JSON text that are not printable, all of which stand in strings.
fn without_control_characters(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if is_printable(char) {
            text.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report {
            result: Verdict::Refused(401),
            reason: Some("wrong_audience"),
            ..Report::default()
        };
        report.step("form", Outcome::Passed, "a JWT");
        report.entries.push(Entry::Claim(ClaimRow {
            name: "aud".to_owned(),
            found: "\"b\"".to_owned(),
            wanted: Some("\"a\"".to_owned()),
        }));
        report.step("audience", Outcome::Failed, "no\nok  verdict");
        report.entries.push(Entry::Field {
            name: "allow".to_owned(),
            value: "\u{9b}\u{e0041}".to_owned(),
        });
        report
    }

    #[test]
    fn an_entry_is_a_line() {
        assert_eq!(
            report().text(),
            "ok  form      a JWT\n              aud       \"b\"; wanted \"a\"\n\
             NO  audience  no\\nok  verdict\n              allow: \\u{9b}\\u{e0041}\n"
        );
    }

    #[test]
    fn json_has_every_member_and_no_control_character() {
        let text = report().json();
        assert!(text.trim_end().chars().all(is_printable), "{text}");
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["verdict"], "refused");
        assert_eq!(object["status"], 401);
        assert_eq!(object["token"][0]["wanted"], "\"a\"");
        assert_eq!(object["steps"][1]["result"], "failed");
        assert_eq!(object["headers"][0]["value"], "\u{9b}\u{e0041}");
        for name in ["request", "route", "upstream", "issuer", "granted"] {
            assert!(object.get(name).is_some_and(Value::is_null), "{name}");
        }
        assert_eq!(object["near"], json!([]));
    }
}
