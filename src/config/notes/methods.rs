//! Notes on methods that no client is likely to use.

use crate::config::language::nearness::did_you_mean;
use crate::config::language::{Reader, Span};

/// The methods of the IANA registry that a route can name, and those that are in common use
/// without being in it.
const KNOWN: [&str; 44] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LIST",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SUBSCRIBE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "VIEW",
];

/// Notes a method that is neither registered nor in common use. It is valid: HTTP allows any token.
pub(crate) fn note(reader: &Reader<'_>, method: &str, span: Span) {
    if method == "ANY" || KNOWN.contains(&method) {
        return;
    }
    let known = KNOWN.into_iter().chain(["ANY"]);
    let meant = did_you_mean(&method.to_ascii_uppercase(), known);
    let message = format!("method \"{method}\" is none that is registered{meant}");
    reader.note(span, message);
}
