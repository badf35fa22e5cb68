//! Reports of keys that a route has and that have no effect on it.

use super::shared::{
    COOKIE_ORIGINS, DISTINCT, FORWARD, FORWARD_AUTHORIZATION, ISSUER, Shared, TOKEN_FROM,
};
use crate::config::language::{AnyKey, Reader, quoted};
use crate::route::{Pattern, Tail};
use crate::token::Source;

/// Notes those of some keys that a route has.
pub(super) fn note_without_effect(reader: &Reader<'_>, keys: &[&dyn AnyKey], why: &str) {
    let written: Vec<_> = keys.iter().filter(|key| reader.has(**key)).collect();
    let Some(first) = written.first() else {
        return;
    };
    let names: Vec<_> = written.iter().map(|key| key.name()).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    let message = format!("{} {verb} no effect: {why}", quoted(&names, "and"));
    reader.note(reader.key_span(**first), message);
}

/// Refuses those of some keys that a route has.
pub(super) fn refuse_without_effect(reader: &Reader<'_>, keys: &[&dyn AnyKey], why: &str) {
    for key in keys.iter().filter(|key| reader.has(**key)) {
        let message = format!("\"{}\" has no effect: {why}", key.name());
        reader.problem(reader.key_span(*key), message);
    }
}

/// Refuses keys about tokens on a route that reads none: they would have no effect. Without a
/// reason it is not known whether the route reads one.
pub(super) fn refuse_token_keys(reader: &Reader<'_>, why: Option<&str>) {
    let Some(why) = why else {
        return;
    };
    let keys: [&dyn AnyKey; 5] = [
        &ISSUER,
        &TOKEN_FROM,
        &FORWARD,
        &FORWARD_AUTHORIZATION,
        &COOKIE_ORIGINS,
    ];
    refuse_without_effect(reader, &keys, why);
}

/// Refuses `distinct` on a route for every path of a host, where it has no effect: such a route
/// accepts every path unchanged.
pub(super) fn refuse_distinct(reader: &Reader<'_>, pattern: &Pattern) {
    if !reader.has(&DISTINCT)
        || !pattern.segments().is_empty()
        || pattern.tail() != Some(&Tail::Subtree)
    {
        return;
    }
    reader.problem_with_hint(
        reader.key_span(&DISTINCT),
        format!("\"distinct\" has no effect: \"{pattern}\" accepts every path unchanged"),
        "write it in the stricter route, whose paths the application distinguishes",
    );
}

/// Refuses `forward_authorization` where every token comes from `Authorization`, and the key has no
/// effect.
pub(super) fn refuse_forward_authorization(reader: &Reader<'_>, shared: &Shared) {
    let sources = shared.token_sources();
    if reader.has(&FORWARD_AUTHORIZATION) && sources.iter().all(Source::is_authorization) {
        reader.problem(
            reader.key_span(&FORWARD_AUTHORIZATION),
            "\"forward_authorization\" has no effect: tokens come from \"Authorization\" alone",
        );
    }
}

/// Refuses `cookie_origins` where no token comes from a cookie, and the key has no effect.
pub(super) fn refuse_cookie_keys(reader: &Reader<'_>, shared: &Shared) {
    let mut sources = shared.token_from.iter().flatten();
    let has_cookie = sources.any(|source| matches!(source, Source::Cookie(_)));
    if reader.has(&COOKIE_ORIGINS) && !has_cookie {
        reader.problem(
            reader.key_span(&COOKIE_ORIGINS),
            "\"cookie_origins\" has no effect: \"token_from\" names no cookie",
        );
    }
}
