//! One issuer of the configuration, played by this process.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::changes::{Changes, Signature, Time};
use super::client::Client;
use super::grant::{CodeGrant, Grant, TokenRequest};
use super::grant_error::GrantError;
use super::key::{KeyRing, SigningKey};
use super::memory::{Code, Memory};
use super::resource::DevResource;
use super::token::{new_jti, sign};
use crate::clock::UnixTime;
use crate::config::{self, DevClient};
use crate::issuer::Algorithm;
use crate::policy::{Claim, Scope};
use crate::token::{AcceptedKind, Audience, ClaimDemand, Rules, ScopeClaim, TypPolicy};

/// The lifetime of a token in seconds, Cognito's default.
const LIFETIME: u64 = 3600;

/// The claim that names the client, first of those that may.
const CLIENT_CLAIM: &str = "client_id";

/// An issuer whose tokens satisfy the settings of the configured issuer.
pub(super) struct EmbeddedIssuer {
    pub(super) name: Arc<str>,
    issuer: Arc<str>,
    rules: Rules,
    /// One key for each configured algorithm; the first is the default.
    keys: Vec<Arc<SigningKey>>,
    clients: Vec<Client>,
    /// Every scope that the routes name.
    pub(super) scopes: Vec<Scope>,
    common: Arc<Common>,
}

/// The settings that all issuers of one configuration share.
pub(super) struct Common {
    pub(super) clients: Vec<DevClient>,
    pub(super) scopes: Vec<Scope>,
    pub(super) resources: Vec<DevResource>,
    /// Keys that no issuer publishes.
    pub(super) other_keys: Arc<KeyRing>,
}

/// The answer to a token request.
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) expires_in: u64,
    /// The granted scopes, if they may differ from the requested ones (RFC 6749 §5.1).
    pub(super) scope: Option<String>,
    pub(super) id_token: Option<String>,
}

/// The claims of a token about its bearer.
struct Holder<'a> {
    client: &'a Client,
    subject: Option<&'a str>,
    scope: &'a str,
    audience: Option<&'a str>,
}

impl EmbeddedIssuer {
    pub(super) fn new(entry: &config::Issuer, keys: &KeyRing, common: Arc<Common>) -> Self {
        let mut algorithms = entry.entry.algorithms.clone();
        // The sort is stable: RS256, which Cognito and most providers use, becomes the default if
        // it is configured.
        algorithms.sort_by_key(|algorithm| *algorithm != Algorithm::RS256);
        let client_ids = &entry.rules.client_ids;
        Self {
            name: Arc::clone(&entry.name),
            issuer: Arc::clone(&entry.entry.issuer),
            rules: entry.rules.clone(),
            keys: algorithms
                .into_iter()
                .map(|algorithm| keys.key(algorithm))
                .collect(),
            clients: Client::all(&common.clients, client_ids, &common.scopes),
            scopes: common.scopes.clone(),
            common,
        }
    }

    /// Returns the JWK Set (RFC 7517 §5).
    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().map(|key| key.jwk()).collect();
        json!({ "keys": keys })
    }

    /// Returns the names of the algorithms of the published keys.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.algorithm.name()).collect()
    }

    /// Returns the client of this id, which is configured or has registered itself.
    pub(super) fn client(&self, id: &str, memory: &Memory) -> Option<Client> {
        if let Some(client) = self.clients.iter().find(|client| *client.id == *id) {
            return Some(client.clone());
        }
        let registration = memory.registrations.get(id)?;
        Some(Client {
            id: id.into(),
            secret: registration.secret.clone(),
            is_public: registration.secret.is_none(),
            scopes: self.scopes.clone(),
            redirect_uris: Some(registration.redirect_uris.clone()),
        })
    }

    /// Returns the `aud` of a token for a resource (RFC 8707 §2), and without one the first of the
    /// configured audiences; `None` if the entry asks for no audience.
    ///
    /// # Errors
    /// [`GrantError::Resource`] if nothing here is the resource.
    pub(super) fn audience<'a>(
        &'a self,
        resource: Option<&'a str>,
    ) -> Result<Option<&'a str>, GrantError> {
        let configured = match &self.rules.audience {
            Audience::OneOf(audiences) => audiences.as_slice(),
            Audience::Any => &[],
        };
        let first = configured.first().map(|audience| &**audience);
        let Some(asked) = resource else {
            return Ok(first);
        };
        let mut resources = self.common.resources.iter();
        let found = resources.find(|resource| resource.is_at(asked));
        let wanted = found.map_or(asked, |resource| &*resource.configured);
        let mut audiences = configured.iter();
        let audience = audiences.find(|audience| DevResource::is_same(audience, wanted));
        match (audience, found) {
            (Some(audience), _) => Ok(Some(audience)),
            (None, Some(_)) => Ok(first.or(Some(wanted))),
            (None, None) => Err(GrantError::Resource),
        }
    }

    /// Authenticates the client and issues a token with the scopes that it may have.
    pub(super) fn grant(
        &self,
        request: &TokenRequest,
        memory: &mut Memory,
        now: UnixTime,
    ) -> Result<TokenAnswer, GrantError> {
        let client = self.authenticate(request, memory)?;
        match &request.grant {
            Grant::ClientCredentials { scopes } => {
                self.own_token(&client, scopes.as_deref(), request, now)
            }
            Grant::Code(grant) => self.token_for_code(&client, grant, request, memory, now),
        }
    }

    fn authenticate(&self, request: &TokenRequest, memory: &Memory) -> Result<Client, GrantError> {
        let credentials = &request.credentials;
        let purpose = request.grant.purpose();
        match self.client(&credentials.id, memory) {
            Some(client) if client.owns(credentials, purpose) => Ok(client),
            _ => Err(GrantError::Authentication),
        }
    }

    fn own_token(
        &self,
        client: &Client,
        asked: Option<&[Scope]>,
        request: &TokenRequest,
        now: UnixTime,
    ) -> Result<TokenAnswer, GrantError> {
        let scopes = asked.unwrap_or(match self.issues_id_tokens() {
            true => &[],
            false => &client.scopes,
        });
        for scope in scopes {
            if !client.scopes.contains(scope) {
                return Err(GrantError::Scope(scope.clone()));
            }
        }
        let scope = join(scopes);
        let holder = Holder {
            client,
            subject: None,
            scope: &scope,
            audience: self.audience(request.resource.as_deref())?,
        };
        let access_token = self.access_token(&holder, &request.changes, now)?;
        let is_told = asked.is_none() && !scope.is_empty();
        Ok(TokenAnswer {
            access_token,
            expires_in: LIFETIME,
            scope: is_told.then_some(scope),
            id_token: None,
        })
    }

    fn token_for_code(
        &self,
        client: &Client,
        grant: &CodeGrant,
        request: &TokenRequest,
        memory: &mut Memory,
        now: UnixTime,
    ) -> Result<TokenAnswer, GrantError> {
        let code = memory.redeem(grant, client, now)?;
        let resource = match (&code.resource, &request.resource) {
            (Some(one), Some(other)) if one != other => return Err(GrantError::Resource),
            (resource, asked) => resource.as_deref().or(asked.as_deref()),
        };
        let scope = join(&code.scopes);
        let holder = Holder {
            client,
            subject: Some(&code.subject),
            scope: &scope,
            audience: self.audience(resource)?,
        };
        let access_token = self.access_token(&holder, &request.changes, now)?;
        Ok(TokenAnswer {
            access_token,
            expires_in: LIFETIME,
            scope: (!scope.is_empty()).then(|| scope.clone()),
            id_token: match code.is_openid {
                true => Some(self.id_token(&code, now)?),
                false => None,
            },
        })
    }

    /// Returns whether the issuer's entry takes ID tokens alone, by the claim of Cognito.
    fn issues_id_tokens(&self) -> bool {
        self.rules.accepted_kind() == AcceptedKind::Id
    }

    /// Issues a token of the kind that the entry takes, with the changes that were asked for.
    fn access_token(
        &self,
        holder: &Holder<'_>,
        changes: &Changes,
        now: UnixTime,
    ) -> Result<String, GrantError> {
        let published = self.keys.first().ok_or(GrantError::Signing)?;
        let default = Signature::Key(published.algorithm);
        let signature = changes.signature.unwrap_or(default);
        let (key, kid) = self.key(signature, changes.is_other_key, published);
        let mut header = Map::new();
        header.insert("kid".into(), (*kid).into());
        header.insert("alg".into(), signature.name().into());
        if self.rules.typ == TypPolicy::AtJwt {
            header.insert("typ".into(), "at+jwt".into());
        }
        let mut claims = self.claims(holder, changes.time, now);
        let audience_claim = self.audience_claim().unwrap_or("aud");
        changes.apply(&mut header, &mut claims, audience_claim);
        sign(&key, signature, header, claims)
    }

    /// Returns the key that signs, and the `kid` in the header: that of the key which the issuer
    /// publishes for the algorithm, if there is one.
    fn key(
        &self,
        signature: Signature,
        is_other: bool,
        default: &Arc<SigningKey>,
    ) -> (Arc<SigningKey>, Box<str>) {
        let Signature::Key(algorithm) = signature else {
            return (Arc::clone(default), default.kid.clone());
        };
        let mut keys = self.keys.iter();
        let published = keys.find(|key| key.algorithm == algorithm);
        let key = match published {
            Some(key) if !is_other => Arc::clone(key),
            _ => self.common.other_keys.key(algorithm),
        };
        let kid = published.unwrap_or(&key).kid.clone();
        (key, kid)
    }

    /// Returns the claims of a Cognito token, adapted to the settings of the issuer.
    fn claims(&self, holder: &Holder<'_>, time: Time, now: UnixTime) -> Map<String, Value> {
        let client = self.client_id(holder.client);
        let token_use = self.rules.token_use.as_deref().unwrap_or("access");
        let times = self.times(time, now);
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.into(), value);
        set("sub", holder.subject.unwrap_or(client).into());
        if self.issues_id_tokens() {
            set("aud", client.into());
            set("email", "dev@example.com".into());
            set("cognito:username", "dev".into());
        } else {
            set("client_id", client.into());
            set("version", 2.into());
        }
        set("token_use", token_use.into());
        set("auth_time", times.issued.into());
        set("iat", times.issued.into());
        set("exp", times.ends.into());
        set("iss", (*self.issuer).into());
        set("jti", new_jti().into());
        if let Some(begins) = times.begins {
            set("nbf", begins.into());
        }
        if !holder.scope.is_empty()
            && let Some(claim) = self.scope_claim()
        {
            set(&claim.path, granting(claim, holder.scope));
        }
        if self.rules.typ == TypPolicy::AtJwt {
            // Such a token has an audience, whatever it is (RFC 9068 §2.2).
            set("aud", "dev".into());
        }
        if let (Some(audience), Some(claim)) = (holder.audience, self.audience_claim())
            && claim != CLIENT_CLAIM
        {
            set(claim, audience.into());
        }
        self.add_required(&mut claims);
        claims
    }

    /// Returns the claim that names the audience of a token here: the first of those that may. A
    /// dotted path becomes the name of a single member, which is tried as well.
    fn audience_claim(&self) -> Option<&str> {
        self.rules.audience_claims.first().map(|claim| &**claim)
    }

    /// Adds the claims that the settings require. A dotted path becomes the name of a single
    /// member, which is tried as well.
    fn add_required(&self, claims: &mut Map<String, Value>) {
        for required in &self.rules.required_claims {
            let name = &*required.claim;
            match &required.demand {
                ClaimDemand::OneOf(values) => {
                    let value = values.first().map_or(Value::Null, json_of);
                    claims.insert(name.into(), value);
                }
                ClaimDemand::Present if !claims.contains_key(name) => {
                    claims.insert(name.into(), "dev".into());
                }
                ClaimDemand::Present => {}
            }
        }
    }

    /// Returns the client that a token names. If the settings list clients, or the client is the
    /// audience, only the tokens of some are accepted, and `dev` is not among them.
    fn client_id<'a>(&'a self, client: &'a Client) -> &'a str {
        let listed = self.rules.client_ids.as_slice();
        let audiences: &[_] = match &self.rules.audience {
            Audience::OneOf(audiences) if self.audience_claim() == Some(CLIENT_CLAIM) => audiences,
            _ => &[],
        };
        let ids = [&client.id].into_iter().chain(listed).chain(audiences);
        let mut ids = ids.map(|id| &**id);
        let accepted = ids.find(|id| accepts(listed, id) && accepts(audiences, id));
        accepted.unwrap_or(&client.id)
    }

    fn times(&self, time: Time, now: UnixTime) -> Times {
        // More than the clocks may differ.
        let away = LIFETIME.saturating_add(self.rules.leeway.as_secs());
        let issued = match time {
            Time::Now | Time::NotYetValid => now.0,
            Time::Expired => now.0.saturating_sub(away.saturating_add(LIFETIME)),
        };
        let begins = match time {
            Time::NotYetValid => Some(now.0.saturating_add(away)),
            Time::Now | Time::Expired => None,
        };
        Times {
            issued,
            begins,
            ends: begins.unwrap_or(issued).saturating_add(LIFETIME),
        }
    }

    /// Issues an ID token (OpenID Connect Core §2). Its `iss` is that of the metadata, by which a
    /// client checks it.
    fn id_token(&self, code: &Code, now: UnixTime) -> Result<String, GrantError> {
        let key = self.keys.first().ok_or(GrantError::Signing)?;
        let mut header = Map::new();
        header.insert("kid".into(), (*key.kid).into());
        header.insert("alg".into(), key.algorithm.name().into());
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.into(), value);
        set("iss", (*code.issuer_url).into());
        set("sub", (*code.subject).into());
        set("aud", (*code.client).into());
        set("iat", now.0.into());
        set("auth_time", now.0.into());
        set("exp", now.0.saturating_add(LIFETIME).into());
        if let Some(nonce) = &code.nonce {
            set("nonce", (**nonce).into());
        }
        sign(key, Signature::Key(key.algorithm), header, claims)
    }

    /// Returns the claim that the settings read scopes from. A dotted path is also tried as the
    /// name of a single member, see [`crate::policy::Claims`].
    fn scope_claim(&self) -> Option<&ScopeClaim> {
        let mut claims = self.rules.scope_claims.iter();
        let usual = claims.find(|claim| &*claim.path == "scope" && !claim.takes_names);
        usual.or(self.rules.scope_claims.first())
    }
}

/// Returns whether a list accepts a value; an empty one accepts all.
fn accepts(list: &[Box<str>], value: &str) -> bool {
    list.is_empty() || list.iter().any(|one| **one == *value)
}

/// Returns the value by which a claim grants scopes.
fn granting(claim: &ScopeClaim, scope: &str) -> Value {
    if !claim.takes_names {
        return scope.into();
    }
    let names = scope.split(' ').map(|name| (name.to_owned(), true.into()));
    Value::Object(names.collect())
}

/// The times in a token, in seconds since 1970.
struct Times {
    issued: u64,
    begins: Option<u64>,
    ends: u64,
}

/// Returns a scalar of the configuration as JSON.
fn json_of(claim: &Claim) -> Value {
    match claim {
        Claim::Bool(is_true) => (*is_true).into(),
        Claim::Number(digits) => serde_json::from_str(digits).unwrap_or_default(),
        Claim::Text(text) => (**text).into(),
        Claim::Null | Claim::List(_) | Claim::Map(_) => Value::Null,
    }
}

fn join(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}
