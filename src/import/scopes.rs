//! Scopes of a document.

use std::collections::HashSet;

use super::document::Place;
use super::finding::{Code, Untranslated};
use super::openapi::Member;

/// Returns the scopes of a member as the configuration can have them.
pub(super) fn scopes(member: &Member<'_>) -> Result<Vec<String>, Untranslated> {
    let mut known = HashSet::with_capacity(member.scopes.len());
    let mut scopes = Vec::with_capacity(member.scopes.len());
    for scope in &member.scopes {
        if !is_scope(scope) {
            return Err(bad(member.place, scope));
        }
        // The text of a function that nothing has resolved; a route cannot have it either.
        if scope.contains("${") {
            let code = Code::UnresolvedFunction;
            return Err(Untranslated::new(code, member.place, format!("{scope:?}")));
        }
        if known.insert(*scope) {
            scopes.push((*scope).to_owned());
        }
    }
    Ok(scopes)
}

fn bad(place: Place, scope: &str) -> Untranslated {
    Untranslated::new(Code::BadScope, place, format!("{scope:?}"))
}

/// Returns whether a text is a scope (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(is_part)
}
