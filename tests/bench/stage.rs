//! What the benchmarks play with: one issuer, one route, a request with a good token.

use http::{Request, header};
use scopegate::config::Config;
use scopegate::proxy::REASONS;
use scopegate::reload;
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::Metrics;
use scopegate::token::TokenError;
use serde_json::json;

use crate::keys::Key;

pub(crate) const ISSUER: &str =
    "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";
pub(crate) const SCOPES: &str = "orders.read orders.write";

/// A configuration with the issuer of `key` and the route `/orders`.
pub(crate) fn toml(key: &Key, upstream: &str) -> String {
    let jwks = json!({ "keys": [key.jwk()] });
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\nworkers = 1\n\
         [log]\naccess = \"off\"\n\
         [issuers.idp]\nissuer = \"{ISSUER}\"\naudience = \"api\"\njwks = '{jwks}'\n\
         [upstreams.orders]\nurl = \"{upstream}\"\n\
         [[routes]]\npath = \"/orders\"\nupstream = \"orders\"\n\
         methods = {{ GET = \"orders.read\", POST = \"orders.write\" }}\n"
    )
}

/// A configuration of so many routes with `name` in their paths. Each has an upstream and a
/// resource of its own.
#[allow(dead_code, reason = "one of the benchmarks has no use for it")]
pub(crate) fn many_routes(routes: u64, name: &str) -> String {
    let mut text = format!("[issuers.idp]\nissuer = \"{ISSUER}\"\naudience = \"api\"\n");
    for number in 0..routes {
        text += &format!(
            "[upstreams.{name}-{number}]\nurl = \"http://127.0.0.1:9\"\n\
             [[groups]]\nprefix = \"/{name}/{number}\"\npublic_url = \"https://{name}-{number}.example.com/\"\n\
             [[groups.routes]]\npath = \"/{{id}}\"\nupstream = \"{name}-{number}\"\nscopes = \"orders.read\"\n"
        );
    }
    text
}

/// A configuration, compiled.
pub(crate) fn snapshot(toml: &str) -> Snapshot {
    let config = Config::parse(toml, "gateway.toml");
    let metrics = Metrics::new(&REASONS, &TokenError::RESULTS).unwrap();
    reload::first(
        config.unwrap_or_else(|problems| panic!("{problems}")),
        &metrics,
    )
    .unwrap()
}

/// A request as clients of `wrk`'s kind make it.
pub(crate) fn request(path: &str, token: &str) -> Request<()> {
    let request = Request::get(path).header(header::HOST, "api.example.com");
    request
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(())
        .unwrap()
}
