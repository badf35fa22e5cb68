//! Writes a configuration as TOML, with comments. The output depends on the plan alone.

mod cors;
mod output;
mod requirement;
mod route;
mod value;

use std::collections::BTreeMap;

use cors::cors;
use output::{Output, Written};
use value::{inline, key, list, map, one_or_list, quoted};

use super::plan::{ErrorResponse, Group, Issuer, Lambda, Plan, Upstream};

/// Returns the text of a configuration.
pub(super) fn write(plan: &Plan) -> Written {
    let mut out = Output::default();
    for line in &plan.heading {
        out.comment(line);
    }
    errors(&mut out, plan);
    for issuer in &plan.issuers {
        self::issuer(&mut out, issuer);
    }
    for upstream in &plan.upstreams {
        self::upstream(&mut out, upstream);
    }
    group(&mut out, &plan.group);
    out.into_written()
}

fn errors(out: &mut Output, plan: &Plan) {
    let Some(profile) = plan.profile else {
        return;
    };
    out.blank();
    out.comment("Refused clients get the answers of API Gateway. `rfc6750` tells them more.");
    out.table("[errors]");
    out.set("profile", &quoted(profile));
    for response in &plan.responses {
        error_response(out, response);
    }
}

fn error_response(out: &mut Output, response: &ErrorResponse) {
    out.blank();
    out.comments(&response.comment);
    out.table("[[errors.responses]]");
    out.set("for", &one_or_list(&response.reasons));
    if let Some(status) = response.status {
        out.set("status", &status.to_string());
    }
    if !response.headers.is_empty() {
        out.set("headers", &map(&response.headers));
    }
    if let Some(body) = &response.body {
        out.set("body", &quoted(body));
    }
}

fn issuer(out: &mut Output, issuer: &Issuer) {
    out.blank();
    out.comments(&issuer.comment);
    out.table(&format!("[issuers.{}]", key(&issuer.name)));
    out.set("issuer", &setting(&issuer.issuer));
    match issuer.audience.is_empty() {
        true => out.set("audience", &quoted("any")),
        false => {
            let audience: Vec<_> = issuer.audience.iter().map(|text| dollars(text)).collect();
            out.set("audience", &one_or_list(&audience));
        }
    }
    if issuer.has_client_as_audience {
        out.set("audience_claims", &list(&["aud", "client_id"]));
    }
    if let Some(token_use) = issuer.token_use {
        out.set("token_use", &quoted(token_use));
    }
    if issuer.takes_any_type {
        out.set("typ", &quoted("any"));
    }
    if !issuer.algorithms.is_empty() {
        out.set("algorithms", &list(issuer.algorithms));
    }
}

fn upstream(out: &mut Output, upstream: &Upstream) {
    out.blank();
    out.comments(&upstream.comment);
    out.table(&format!("[upstreams.{}]", key(&upstream.name)));
    out.set("url", &setting(&upstream.url));
    if let Some(name) = &upstream.server_name {
        out.set("server_name", &quoted(name));
    }
    if upstream.is_unverified {
        out.set("verify", "false");
    }
    if let Some(lambda) = &upstream.lambda {
        out.set("lambda", &self::lambda(lambda));
    }
}

fn lambda(lambda: &Lambda) -> String {
    let mut entries = vec![
        format!("function = {}", setting(&lambda.function)),
        format!("event = {}", quoted(lambda.event)),
    ];
    let texts = [
        ("account_id", &lambda.account_id),
        ("api_id", &lambda.api_id),
        ("stage", &lambda.stage),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            entries.push(format!("{key} = {}", setting(text)));
        }
    }
    if !lambda.binary.is_empty() {
        entries.push(format!("binary = {}", list(&lambda.binary)));
    }
    if !lambda.stage_variables.is_empty() {
        let mut texts = BTreeMap::new();
        for (name, text) in &lambda.stage_variables {
            texts.insert(name.clone(), dollars(text));
        }
        entries.push(format!("stage_variables = {}", map(&texts)));
    }
    inline(entries)
}

fn group(out: &mut Output, group: &Group) {
    out.blank();
    out.table("[[groups]]");
    if !group.prefix.is_empty() {
        out.set("prefix", &quoted(&group.prefix));
        if !group.is_stripped {
            out.set("strip", "false");
        }
    }
    if group.matches_as_aws {
        out.set("method_fallthrough", "true");
        out.set("head", "false");
    }
    route::tokens(out, &group.tokens);
    if let Some(cors) = &group.cors {
        out.set("cors", &self::cors(cors));
    }
    for route in &group.routes {
        route::route(out, route);
    }
}

/// Returns a setting in which variables can stand: a dollar is written twice.
fn setting(text: &str) -> String {
    quoted(&dollars(text))
}

fn dollars(text: &str) -> String {
    text.replace('$', "$$")
}
