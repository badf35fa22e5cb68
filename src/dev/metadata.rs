//! The metadata of the embedded issuer (RFC 8414, OpenID Connect Discovery).

use serde_json::{Value, json};

use super::authorization::OPENID;
use super::embedded::EmbeddedIssuer;
use crate::policy::Scope;

/// The paths of the endpoints, below the URL of the issuer.
pub(super) const TOKEN: &str = "/oauth2/token";
pub(super) const AUTHORIZE: &str = "/oauth2/authorize";
pub(super) const REGISTER: &str = "/oauth2/register";
pub(super) const JWKS: &str = "/.well-known/jwks.json";

/// Returns the metadata of the issuer at this URL. Its `issuer` is the URL, since clients refuse
/// another one (RFC 8414 §3.3), although the `iss` of access tokens is the configured one.
pub(super) fn metadata(issuer: &EmbeddedIssuer, url: &str) -> Value {
    let mut scopes: Vec<_> = issuer.scopes.iter().map(Scope::as_str).collect();
    scopes.push(OPENID);
    json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}{AUTHORIZE}"),
        "token_endpoint": format!("{url}{TOKEN}"),
        "registration_endpoint": format!("{url}{REGISTER}"),
        "jwks_uri": format!("{url}{JWKS}"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": issuer.algorithms(),
    })
}
