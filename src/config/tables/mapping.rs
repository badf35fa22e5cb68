//! `rewrite`, `upstream_method`, and what templates of a route may refer to.

use http::Method;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::header_rules::LocatedRules;
use super::shared::{REQUEST_HEADERS, RESPONSE_HEADERS, Shared, WEBSOCKET};
use crate::config::context::Context;
use crate::config::language::{AnyKey as _, Key, Problem, Reader, Span, Str};
use crate::route::{MethodPattern, Pattern};
use crate::token::Source;
use crate::transform::{Place, Reference, Rewrite, has_parameter, is_twin};

pub(super) const REWRITE: Key<Str> = Key::new("rewrite", Str)
    .absent("the client's path, without the group's prefix if that is stripped")
    .doc(
        "The path that the upstream gets, made of literal segments and the parameters of the \
         route's path (with the group's prefix); `{rest+}` or `**` at its end if the route's path \
         ends with it. It replaces the effect of `strip`. Characters that no URI has are \
         percent-encoded. It may refer to the request \
         ([templates](traffic.md#templates)), and set parameters of the query: \
         `/v2/{id}?tenant=${claim:tenant}`. Other parameters are kept.",
    )
    .takes(&Place::REQUEST)
    .example(r#""/v2/orders/{id}""#);

pub(super) const UPSTREAM_METHOD: Key<Str> = Key::new("upstream_method", Str)
    .absent("the client's method")
    .doc(
        "The method of the request to the upstream. The client's own method decides about the \
         authorization, and a response to `HEAD` has no body. Not `CONNECT`, `HEAD` or `TRACE`.",
    )
    .example(r#""POST""#);

/// Returns the rewrite of a route, or reports why it is invalid.
pub(super) fn rewrite(reader: &mut Reader<'_>, pattern: Option<&Pattern>) -> Option<Rewrite> {
    // Read even without a pattern, so that it is not reported as a key that is never read.
    let text = reader.find(&REWRITE)?;
    let variables = reader.context.variables();
    let parsed = Rewrite::parse(&text.text, pattern?, |name| variables?.value(name));
    reader.accept(text.span, "\"rewrite\"", parsed)
}

/// Returns the method for the upstream, or reports why it is invalid.
pub(super) fn upstream_method(reader: &mut Reader<'_>, shared: &Shared) -> Option<Method> {
    let text = reader.find(&UPSTREAM_METHOD)?;
    let subject = format_args!("\"upstream_method\" is \"{}\"", text.text);
    let parsed = reader.accept(text.span, subject, MethodPattern::parse(&text.text))?;
    let method = match parsed {
        MethodPattern::One(method) if method != Method::HEAD => method,
        // The answer to a HEAD has the length of a body that the client would wait for.
        MethodPattern::One(_) | MethodPattern::Any => {
            let message = format!("{subject}: write another method, such as \"POST\"");
            reader.problem(text.span, message);
            return None;
        }
    };
    if shared.takes_websockets() {
        let name = WEBSOCKET.name();
        let message = format!("{subject}: a WebSocket begins with GET, and \"{name}\" is set");
        reader.problem(text.span, message);
    }
    Some(method)
}

/// Reports parameters in header rules that the path of the route does not have.
pub(super) fn check_parameters(reader: &Reader<'_>, pattern: &Pattern, shared: &Shared) {
    for (reference, span) in rules_of(shared).flat_map(LocatedRules::references) {
        if let Reference::Parameter { name, is_open } = reference
            && !has_parameter(pattern, name, *is_open)
        {
            let message = format!("\"{reference}\" is not in the route's path");
            reader.problem_with_hint(span, message, "a \"{\" in a value of a variable is text");
        }
    }
}

/// Reports references to claims in keys of a route that reads no token. Rules of its group or of
/// `[defaults]` may have them: the field is left out.
pub(super) fn refuse_claims(reader: &Reader<'_>, shared: &Shared, rewrite: Option<&Rewrite>) {
    let mut found: Vec<(&Reference, Span)> = Vec::new();
    if let Some(rewrite) = rewrite {
        let span = reader.value_span(&REWRITE);
        found.extend(rewrite.references().map(|reference| (reference, span)));
    }
    if reader.has(&REQUEST_HEADERS) {
        let rules = shared.request_headers.iter();
        found.extend(rules.flat_map(|rules| rules.references()));
    }
    if reader.has(&RESPONSE_HEADERS) {
        let rules = shared.response_headers.iter();
        found.extend(rules.flat_map(|rules| rules.references()));
    }
    for (reference, span) in found {
        if matches!(reference, Reference::Claim(_)) {
            let message = format!("\"{reference}\" has no value: the route reads no token");
            reader.problem(span, message);
        }
    }
}

fn rules_of(shared: &Shared) -> impl Iterator<Item = &LocatedRules> {
    let rules = shared
        .request_headers
        .iter()
        .chain(&shared.response_headers);
    rules.map(|rules| &**rules)
}

/// The fields with credentials that no template may read.
const CREDENTIALS: [http::HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// Reports a reference to a place of requests that holds a token on some route: a token stays where
/// it stands. `sources` are the places of all routes.
pub(super) fn refuse_tokens(
    context: &Context,
    route: &Pattern,
    sources: &[Source],
    reference: &Reference,
    span: Span,
) {
    if may_hold_token(sources, reference) {
        let message =
            format!("route \"{route}\": \"{reference}\" may hold a token, which is not copied");
        let hint = "\"forward_token\" says whether the upstream gets the token";
        context.problem(Problem::at(span, message).hint(hint));
    }
}

/// Reports a reference of an answer to a place of requests that holds a token on some route: a
/// client that knows that route sends its token to the others as well.
pub(super) fn refuse_tokens_in_answer(
    context: &Context,
    route: &Pattern,
    sources: &[Source],
    reference: &Reference,
    span: Span,
) {
    if may_hold_token(sources, reference) {
        let message = format!(
            "route \"{route}\": \"respond\": \"{reference}\" may hold a token, which must not be \
             in \
             an answer"
        );
        context.problem(Problem::at(span, message));
    }
}

/// Returns whether a reference is to a place that holds credentials, or a token of some route, in
/// any spelling.
pub(crate) fn may_hold_token(sources: &[Source], reference: &Reference) -> bool {
    let place = match reference {
        Reference::Header(name) => {
            let mut credentials = CREDENTIALS.iter();
            if credentials.any(|own| is_twin(own.as_str(), name.as_str())) {
                return true;
            }
            Source::Header(name.clone())
        }
        Reference::Query(name) => Source::Query(name.clone()),
        Reference::WholeQuery => {
            let mut sources = sources.iter();
            return sources.any(|source| matches!(source, Source::Query(_)));
        }
        _ => return false,
    };
    sources.iter().any(|source| source.covers(&place))
}
