//! The head of the request that is explained, read by the parser of connections.

use http::request::Parts;
use zeroize::Zeroizing;

use super::head::{Head, Placed};
use super::request_file::RequestFile;
use super::token_file::{Credential, TokenFile};
use crate::policy::Requirement;
use crate::route::{Miss, Target};
use crate::server::{HeadRefusal, ParsedHead, parse_head};
use crate::snapshot::{RouteMethod, Snapshot};
use crate::token::Source;

/// A request as the command line has it.
pub(super) enum Asked<'a> {
    /// The head in a file.
    File(&'a RequestFile),
    /// A head, and the token that goes into it.
    Head(&'a Head<'a>, Option<&'a TokenFile>),
}

impl Asked<'_> {
    fn bytes(&self, placed: Option<Placed<'_>>) -> Zeroizing<Vec<u8>> {
        match self {
            Self::File(file) => file.bytes.clone(),
            Self::Head(head, _) => head.bytes(placed),
        }
    }
}

/// Reads the head, with the token in the place that its route looks at first. Adds to `notes` what
/// was done to the input, and what is taken for granted.
pub(super) async fn read(
    snapshot: &Snapshot,
    request: &Asked<'_>,
    notes: &mut Vec<String>,
) -> Result<ParsedHead, HeadRefusal> {
    let server = &snapshot.config.server;
    let parsed = parse_head(&request.bytes(None), server).await;
    let (head, file) = match request {
        Asked::File(file) => {
            if !file.changes.is_empty() {
                notes.push(format!("the file is read: {}", file.changes.join(", ")));
            }
            return parsed;
        }
        Asked::Head(_, None) => return parsed,
        Asked::Head(head, Some(file)) => (head, file),
    };
    let entry = entry(snapshot, &parsed?.head);
    let sources = match entry.and_then(|entry| snapshot.routes.get(entry.route)) {
        Some(route) => &*route.config.token_from,
        None => &[],
    };
    let source = first_source(sources, head.origin.is_some());
    let looked_at: &[Source] = match entry.map(|entry| &entry.requirement) {
        Some(Requirement::Denied) => &[],
        _ => sources,
    };
    notes.push(presumed(looked_at, source, file));
    let placed = Placed {
        credential: &file.credential,
        source,
    };
    parse_head(&request.bytes(Some(placed)), server).await
}

/// Says where the token was put: traffic has it where the client puts it.
fn presumed(sources: &[Source], source: &Source, file: &TokenFile) -> String {
    let changes = match file.changes.as_slice() {
        [] => String::new(),
        changes => format!(" ({})", changes.join(", ")),
    };
    let place = match (&file.credential, sources) {
        (Credential::Authorization(_), _) => "authorization, with its own scheme".to_owned(),
        (Credential::Token(_), []) => source.to_string(),
        (Credential::Token(_), [_]) => format!("{source}, where the route looks for one"),
        (Credential::Token(_), _) => format!("{source}, one of the places where the route looks"),
    };
    format!("the token of the file{changes} is presumed in {place}")
}

/// Finds the rule for the request, whose sources decide where the token is put. If there is none,
/// the decision reports the reason.
pub(super) fn entry<'s>(snapshot: &'s Snapshot, head: &Parts) -> Option<&'s RouteMethod> {
    let target = Target::parse(&head.method, &head.uri, head.version, &head.headers).ok()?;
    match snapshot.table.find(&target) {
        Ok(entry) | Err(Miss::Shadowed { found: entry, .. }) => Some(entry),
        Err(_) => None,
    }
}

/// Returns the source that the token is put in: the first of the route, or its cookie if the
/// request comes from a page.
fn first_source(sources: &[Source], from_page: bool) -> &Source {
    for source in sources {
        if from_page && matches!(source, Source::Cookie(_)) {
            return source;
        }
    }
    sources.first().unwrap_or(&Source::Bearer)
}
