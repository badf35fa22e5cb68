//! The issuers of a route.

use std::sync::Arc;

use super::names::Names;
use super::requirement::{MethodRequirement, needs_token, why_without_token};
use super::shared::{ISSUER, Shared};
use super::without_effect::refuse_token_keys;
use crate::config::language::{Reader, quoted};

/// Returns the issuers whose tokens a route accepts: those that it names, or the only one that is
/// defined.
pub(super) fn issuers(
    reader: &Reader<'_>,
    methods: &[MethodRequirement],
    shared: &Shared,
    names: &Names,
) -> Vec<Arc<str>> {
    if !needs_token(methods) {
        refuse_token_keys(reader, why_without_token(methods));
        return Vec::new();
    }
    if let Some(named) = &shared.issuers {
        return named.iter().map(|name| name.text.as_str().into()).collect();
    }
    // A broken or misspelled "issuer" is reported by itself.
    match reader.has(&ISSUER) || shared.misspelled.issuer {
        true => Vec::new(),
        false => only_issuer(reader, names).into_iter().collect(),
    }
}

/// Returns the only issuer that is defined, or reports that there is none, or several.
fn only_issuer(reader: &Reader<'_>, names: &Names) -> Option<Arc<str>> {
    match names.issuers.list.as_slice() {
        [only] => return Some(only.text.as_str().into()),
        [] => reader.problem_with_hint(
            reader.span(),
            "it requires a token, and no issuer is defined",
            "write [issuers.<name>] with \"issuer\" and \"audience\"",
        ),
        several => {
            let several: Vec<_> = several.iter().map(|name| name.text.as_str()).collect();
            let known = quoted(&several, "and");
            reader.problem_with_hint(
                reader.span(),
                "it names no issuer, and several are defined",
                format!(
                    "write issuer = \"..\" in the route, its group or [defaults]; there are {known}"
                ),
            );
        }
    }
    None
}
