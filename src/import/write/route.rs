//! `[[groups.routes]]`

use super::cors::cors;
use super::output::Output;
use super::requirement::requirement;
use super::value::{duration, inline, key, list, map, one_or_list, quoted};
use crate::import::plan::{Asked, Handler, Respond, Route, Rule, Settings, Tokens};

pub(super) fn route(out: &mut Output, route: &Route) {
    out.blank();
    out.at(route.place);
    out.table("[[groups.routes]]");
    out.set("path", &quoted(&route.path));
    match &route.handler {
        Handler::Nobody => {}
        Handler::Upstream(name) => out.set("upstream", &quoted(name)),
        Handler::Respond(respond) => out.set("respond", &self::respond(respond)),
    }
    tokens(out, &route.tokens);
    settings(out, &route.settings);
    if let Some(cors) = &route.cors {
        out.set("cors", &self::cors(cors));
    }
    methods(out, route);
}

pub(super) fn tokens(out: &mut Output, tokens: &Tokens) {
    if tokens.is_empty() {
        return;
    }
    out.set("issuer", &one_or_list(&tokens.issuers));
    out.set("token_from", &list(&tokens.from));
    if tokens.is_forwarded {
        out.set("forward_token", "true");
    }
}

fn settings(out: &mut Output, settings: &Settings) {
    if let Some(rewrite) = &settings.rewrite {
        out.set("rewrite", &quoted(rewrite));
    }
    if let Some(method) = &settings.upstream_method {
        out.set("upstream_method", &quoted(method));
    }
    if !settings.forward.is_empty() {
        out.set("forward", &map(&settings.forward));
    }
    let mut rules = Vec::new();
    if !settings.remove.is_empty() {
        let remove: Vec<_> = settings.remove.iter().collect();
        rules.push(format!("remove = {}", list(&remove)));
    }
    for (key, fields) in [("set", &settings.set), ("add", &settings.add)] {
        if !fields.is_empty() {
            rules.push(format!("{key} = {}", map(fields)));
        }
    }
    if !rules.is_empty() {
        out.set("request_headers", &inline(rules));
    }
    if let Some(milliseconds) = settings.response_timeout {
        out.set("response_timeout", &duration(milliseconds));
    }
}

fn respond(respond: &Respond) -> String {
    let mut entries = vec![format!("status = {}", respond.status)];
    if !respond.headers.is_empty() {
        entries.push(format!("headers = {}", map(&respond.headers)));
    }
    if let Some(body) = &respond.body {
        entries.push(format!("body = {}", quoted(body)));
    }
    inline(entries)
}

/// Returns what the document asks for, in the words of a route that is not denied.
fn asked(rule: &Rule, asked: &Asked) -> String {
    let method = format!("{} = {}", key(rule.method), requirement(&asked.access));
    if asked.tokens.is_empty() {
        return format!("beside that, the document says: {method}");
    }
    format!(
        "beside that, the document says: {method}, with issuer = {} and token_from = {}",
        one_or_list(&asked.tokens.issuers),
        list(&asked.tokens.from)
    )
}

/// Writes the methods: in one line if there is one without a comment.
fn methods(out: &mut Output, route: &Route) {
    if let [only] = &*route.methods
        && only.comments.is_empty()
    {
        let value = format!("{} = {}", key(only.method), requirement(&only.access));
        return out.set("methods", &inline(vec![value]));
    }
    out.table("[groups.routes.methods]");
    for rule in &route.methods {
        for comment in &rule.comments {
            out.comment(comment);
        }
        if let Some(asked) = &rule.asked {
            out.comment(&self::asked(rule, asked));
        }
        out.set(&key(rule.method), &requirement(&rule.access));
    }
}
