//! One issuer of the configuration, played by this process.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::grant::TokenRequest;
use super::grant_error::GrantError;
use super::key::{KeyRing, SigningKey};
use crate::clock::UnixTime;
use crate::config;
use crate::issuer::Algorithm;
use crate::policy::Scope;
use crate::token::{Audience, Rules, ScopeClaim};

/// The lifetime of a token in seconds, Cognito's default.
const LIFETIME: u64 = 3600;

/// An issuer whose tokens satisfy the settings of the configured issuer.
pub(super) struct EmbeddedIssuer {
    pub(super) name: Arc<str>,
    issuer: Arc<str>,
    rules: Rules,
    /// One key for each configured algorithm; the first is the default.
    keys: Vec<Arc<SigningKey>>,
    clients: Vec<Client>,
    scopes: Vec<Scope>,
}

/// A token that was issued.
pub(super) struct Grant {
    pub(super) access_token: String,
    pub(super) expires_in: u64,
    /// The granted scopes, if they differ from the requested ones (RFC 6749 §5.1).
    pub(super) scope: Option<String>,
}

impl EmbeddedIssuer {
    pub(super) fn new(
        entry: &config::Issuer,
        keys: &KeyRing,
        clients: Vec<Client>,
        scopes: Vec<Scope>,
    ) -> Self {
        let mut algorithms = entry.entry.algorithms.clone();
        // The sort is stable: RS256, which Cognito and most providers use, becomes the default if
        // it is configured.
        algorithms.sort_by_key(|algorithm| *algorithm != Algorithm::RS256);
        Self {
            name: Arc::clone(&entry.entry.name),
            issuer: Arc::clone(&entry.entry.issuer),
            rules: entry.rules.clone(),
            keys: algorithms
                .into_iter()
                .map(|algorithm| keys.key(algorithm))
                .collect(),
            clients,
            scopes,
        }
    }

    /// Returns the JWK Set (RFC 7517 §5).
    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().map(|key| key.jwk()).collect();
        json!({ "keys": keys })
    }

    /// Returns the metadata (OpenID Connect Discovery §3). Its `issuer` is the configured one,
    /// which is also the `iss` of the tokens.
    pub(super) fn metadata(&self, base: &str) -> Value {
        let algorithms: Vec<_> = self.keys.iter().map(|key| key.algorithm.name()).collect();
        let scopes: Vec<_> = self.scopes.iter().map(Scope::as_str).collect();
        json!({
            "issuer": *self.issuer,
            "token_endpoint": format!("{base}/oauth2/token"),
            "jwks_uri": format!("{base}/.well-known/jwks.json"),
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": scopes,
            // Discovery requires these three members, which concern the sign-in of users; this
            // issuer has none.
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
    }

    /// Authenticates the client and issues a token with the scopes that it may have.
    pub(super) fn grant(&self, request: &TokenRequest, now: UnixTime) -> Result<Grant, GrantError> {
        let client = self.authenticate(request)?;
        let scopes = request.scopes.as_ref().unwrap_or(&client.scopes);
        for scope in scopes {
            if !client.scopes.contains(scope) {
                return Err(GrantError::Scope(scope.clone()));
            }
        }
        let key = self.key(request.algorithm).ok_or(GrantError::Algorithm)?;
        let scope = join(scopes);
        let claims = self.claims(&client.id, &scope, now);
        let is_told = request.scopes.is_none() && !scope.is_empty();
        Ok(Grant {
            access_token: sign(key, &claims)?,
            expires_in: LIFETIME,
            scope: is_told.then_some(scope),
        })
    }

    fn authenticate(&self, request: &TokenRequest) -> Result<&Client, GrantError> {
        for client in &self.clients {
            if client.owns(&request.credentials) {
                return Ok(client);
            }
        }
        Err(GrantError::Authentication)
    }

    fn key(&self, algorithm: Option<Algorithm>) -> Option<&Arc<SigningKey>> {
        match algorithm {
            Some(wanted) => self.keys.iter().find(|key| key.algorithm == wanted),
            None => self.keys.first(),
        }
    }

    /// Returns the claims of a Cognito client-credentials token, adapted to the settings of the
    /// issuer.
    fn claims(&self, client: &str, scope: &str, now: UnixTime) -> Map<String, Value> {
        // If the settings list clients, only their tokens are accepted, and `dev` is not among
        // them.
        let client = match self.rules.client_ids.first() {
            Some(id) => id,
            None => client,
        };
        let token_use = self.rules.token_use.as_deref().unwrap_or("access");
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.into(), value);
        set("sub", client.into());
        set("client_id", client.into());
        set("token_use", token_use.into());
        set("auth_time", now.0.into());
        set("iat", now.0.into());
        set("exp", now.0.saturating_add(LIFETIME).into());
        set("iss", (*self.issuer).into());
        set("version", 2.into());
        set("jti", new_jti().into());
        if !scope.is_empty()
            && let Some(claim) = self.scope_claim()
        {
            set(&claim.path, granting(claim, scope));
        }
        if let Audience::OneOf(audiences) = &self.rules.audience
            && let Some(audience) = audiences.first()
        {
            set("aud", (**audience).into());
        }
        claims
    }

    /// Returns the claim that the settings read scopes from. A dotted path is also tried as the
    /// name of a single member, see [`crate::policy::Claims`].
    fn scope_claim(&self) -> Option<&ScopeClaim> {
        let mut claims = self.rules.scope_claims.iter();
        let usual = claims.find(|claim| &*claim.path == "scope" && !claim.takes_names);
        usual.or(self.rules.scope_claims.first())
    }
}

/// Returns the value by which a claim grants scopes.
fn granting(claim: &ScopeClaim, scope: &str) -> Value {
    if !claim.takes_names {
        return scope.into();
    }
    let names = scope.split(' ').map(|name| (name.to_owned(), true.into()));
    Value::Object(names.collect())
}

fn join(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

/// Signs a compact JWS (RFC 7515 §7.1). The header has no `typ`, like Cognito's.
fn sign(key: &SigningKey, claims: &Map<String, Value>) -> Result<String, GrantError> {
    let header = encode(&json!({ "kid": key.kid, "alg": key.algorithm.name() }));
    let input = format!("{header}.{}", encode(&Value::from(claims.clone())));
    match key.sign(input.as_bytes()) {
        Ok(signature) => Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))),
        Err(_) => Err(GrantError::Signing),
    }
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(escape_slashes(&json.to_string()))
}

/// Writes `/` as `\/`, like Cognito. A JSON parser reads the same text, but code that only searches
/// the JSON does not find it.
fn escape_slashes(json: &str) -> String {
    json.replace('/', "\\/")
}

/// Returns a random UUID (RFC 9562 §5.4).
fn new_jti() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has random numbers");
    let random = u128::from_be_bytes(bytes);
    let bits = random & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}
