//! The actors of the benchmarks: one issuer, one route, and a request with a good token.

use http::{Request, header};
use scopegate::config::Config;
use scopegate::decision::Reason;
use scopegate::reload;
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::{Label as _, Metrics};
use serde_json::json;

use crate::keys::Key;

pub(crate) const ISSUER: &str =
    "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";
pub(crate) const SCOPES: &str = "orders.read orders.write";

/// Returns a configuration with the issuer of `key` and the route `/orders`.
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

/// Returns a configuration of `routes` routes with `name` in their paths. Each has its own upstream
/// and resource.
#[allow(dead_code, reason = "one of the benchmarks has no use for it")]
pub(crate) fn many_routes(routes: u64, name: &str) -> String {
    let mut text = format!("[issuers.idp]\nissuer = \"{ISSUER}\"\naudience = \"api\"\n");
    for number in 0..routes {
        text += &format!(
            "[upstreams.{name}-{number}]\nurl = \"http://127.0.0.1:9\"\n\
             [[groups]]\nprefix = \"/{name}/{number}\"\n\
             public_url = \"https://{name}-{number}.example.com/\"\n\
             [[groups.routes]]\npath = \"/{{id}}\"\nupstream = \"{name}-{number}\"\n\
             scopes = \"orders.read\"\n"
        );
    }
    text
}

/// Compiles a configuration.
pub(crate) fn snapshot(toml: &str) -> Snapshot {
    let config = Config::parse(toml, "gateway.toml");
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    reload::first(
        config.unwrap_or_else(|problems| panic!("{problems}")),
        &metrics,
    )
    .unwrap()
}

/// Returns a request like those of `wrk`.
pub(crate) fn request(path: &str, token: &str) -> Request<()> {
    let request = Request::get(path).header(header::HOST, "api.example.com");
    request
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(())
        .unwrap()
}
