//! The answerer of a route: an upstream, or the gateway itself.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::requirement::{DENY, MethodRequirement, is_denied};
use super::respond::RESPOND;
use super::shared::{Shared, UPSTREAM};
use crate::config::language::Reader;
use crate::transform::Respond;

/// The answerer of the requests that a route permits.
#[derive(Clone, Debug)]
pub enum Handler {
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// The gateway itself, with this answer.
    Respond(Arc<Respond>),
    /// No answerer: the route denies every method, and names no upstream.
    Nobody,
}

impl Handler {
    /// Returns the name of the upstream.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<str>> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Respond(_) | Self::Nobody => None,
        }
    }
}

/// Returns the answerer of a route, or reports that it names none.
pub(super) fn handler(
    reader: &Reader<'_>,
    shared: &Shared,
    methods: &[MethodRequirement],
    respond: Option<Arc<Respond>>,
) -> Option<Handler> {
    if reader.has(&RESPOND) {
        refuse_beside_respond(reader, methods);
        return respond.map(Handler::Respond);
    }
    if let Some(upstream) = &shared.upstream {
        return Some(Handler::Upstream(upstream.text.as_str().into()));
    }
    // A broken or misspelled "upstream" is reported by itself.
    if reader.has(&UPSTREAM) || shared.misspelled.upstream {
        return None;
    }
    if is_denied(methods) {
        return Some(Handler::Nobody);
    }
    if reader.is_misspelled(&DENY) {
        return None;
    }
    reader.problem_with_hint(
        reader.span(),
        "it names no upstream",
        "write upstream = \"..\" in the route, its group or [defaults]",
    );
    None
}

/// Reports what cannot stand beside an answer of the gateway itself.
fn refuse_beside_respond(reader: &Reader<'_>, methods: &[MethodRequirement]) {
    if reader.has(&UPSTREAM) {
        reader.refuse_beside(&RESPOND, &UPSTREAM);
    }
    if is_denied(methods) {
        let message = "\"respond\" has no effect: the route denies every request";
        reader.problem(reader.key_span(&RESPOND), message);
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => f.write_str(name),
            Self::Respond(respond) => {
                write!(f, "answer {}", respond.status().as_u16())?;
                let names: Vec<_> = respond.names().map(HeaderName::as_str).collect();
                match names.is_empty() {
                    true => Ok(()),
                    false => write!(f, " with {}", names.join(", ")),
                }
            }
            Self::Nobody => f.write_str("nobody"),
        }
    }
}
