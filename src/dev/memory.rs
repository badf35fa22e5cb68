//! The state that the embedded issuer keeps between the requests of one client.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client::Client;
use super::grant::CodeGrant;
use super::grant_error::GrantError;
use super::recent::Recent;
use crate::clock::UnixTime;
use crate::config::Secret;
use crate::policy::Scope;

/// The codes that were issued and the clients that registered. Both outlive a reload.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) codes: Recent<Code>,
    pub(super) registrations: Recent<Registration>,
}

impl Memory {
    /// Takes the code of a token request. It is gone afterwards, whatever the request has besides
    /// (RFC 6749 §4.1.2).
    ///
    /// # Errors
    /// A [`GrantError`] if it is not the code of this client, or the verifier does not fit.
    pub(super) fn redeem(
        &mut self,
        grant: &CodeGrant,
        client: &Client,
        now: UnixTime,
    ) -> Result<Code, GrantError> {
        let code = self.codes.take(&grant.code).ok_or(GrantError::Code)?;
        let redirect_uri = grant.redirect_uri.as_deref();
        let is_its_own = code.client == client.id
            && redirect_uri.is_none_or(|uri| *uri == *code.redirect_uri)
            && now < code.expires;
        if !is_its_own {
            return Err(GrantError::Code);
        }
        let challenge = digest(&SHA256, grant.verifier.as_bytes());
        if URL_SAFE_NO_PAD.encode(challenge) != *code.challenge {
            return Err(GrantError::Verifier);
        }
        Ok(code)
    }
}

/// An authorization code (RFC 6749 §4.1.2): what the authorization request was for.
pub(super) struct Code {
    /// The URL of the issuer that was asked.
    pub(super) issuer_url: Box<str>,
    pub(super) client: Box<str>,
    pub(super) redirect_uri: Box<str>,
    /// The challenge of PKCE, by `S256`.
    pub(super) challenge: Box<str>,
    pub(super) scopes: Vec<Scope>,
    /// Set if the client asked for an ID token, by the scope `openid`.
    pub(super) is_openid: bool,
    pub(super) nonce: Option<Box<str>>,
    /// The `sub` of the tokens.
    pub(super) subject: Box<str>,
    pub(super) resource: Option<Box<str>>,
    pub(super) expires: UnixTime,
}

/// A client that registered itself (RFC 7591). Its name in [`Memory`] is its `client_id`.
pub(super) struct Registration {
    /// The secret; `None` for a public client.
    pub(super) secret: Option<Secret>,
    pub(super) redirect_uris: Vec<Box<str>>,
}
