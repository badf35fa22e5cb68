//! The authorization endpoint (RFC 6749 §4.1.1): a browser comes with a request of a client, and
//! goes back to it with a code. No person is asked: a program that gets the code could have a token
//! by the secret of `dev`, too.

use aws_lc_rs::digest::SHA256;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client::Client;
use super::embedded::EmbeddedIssuer;
use super::form::Form;
use super::grant::parse_scopes;
use super::grant_error::GrantError;
use super::memory::{Code, Memory};
use super::redirect::{RedirectRules, add_parameter};
use crate::clock::UnixTime;
use crate::policy::Scope;

/// The scope by which a client asks for an ID token (OpenID Connect Core §3.1.2.1).
pub(super) const OPENID: &str = "openid";

/// The `sub` of tokens, unless the request has a `login_hint`.
const SUBJECT: &str = "dev-user";

/// The lifetime of a code in seconds: enough to paste it by hand (RFC 6749 §4.1.2 recommends at
/// most ten minutes).
const CODE_LIFETIME: u64 = 300;

/// The issuer that is asked, and what it decides by.
pub(super) struct Context<'a> {
    pub(super) issuer: &'a EmbeddedIssuer,
    /// The URL under which the issuer was asked.
    pub(super) issuer_url: &'a str,
    pub(super) rules: &'a RedirectRules,
    pub(super) now: UnixTime,
}

/// Returns the URI to send the browser to, with a code or with an error.
///
/// # Errors
/// A [`GrantError`] if it is not certain that the URI belongs to the client: then the browser is
/// sent nowhere (RFC 6749 §4.1.2.1).
pub(super) fn authorize(
    context: &Context<'_>,
    query: &str,
    memory: &mut Memory,
) -> Result<String, GrantError> {
    let mut form = Form::default();
    form.add(query.as_bytes()).map_err(GrantError::Parameters)?;
    let id = form.value("client_id").ok_or(GrantError::NoClient)?;
    let client = context.issuer.client(id, memory);
    let client = client.ok_or(GrantError::NoClient)?;
    let redirect_uri = form.value("redirect_uri");
    let redirect_uri = redirect_uri.ok_or(GrantError::NoRedirectUri)?;
    if !context.rules.allow(redirect_uri) || !client.has_redirect_uri(redirect_uri) {
        return Err(GrantError::RedirectUri);
    }
    let mut location = redirect_uri.to_owned();
    match context.code(&form, &client, redirect_uri) {
        Ok(code) => add_parameter(&mut location, "code", &memory.codes.add(code)),
        Err(error) => {
            add_parameter(&mut location, "error", error.code());
            add_parameter(&mut location, "error_description", &error.to_string());
        }
    }
    if let Some(state) = form.value("state") {
        add_parameter(&mut location, "state", state);
    }
    // Against the mix-up of two issuers (RFC 9207 §2).
    add_parameter(&mut location, "iss", context.issuer_url);
    Ok(location)
}

impl Context<'_> {
    fn code(&self, form: &Form, client: &Client, redirect_uri: &str) -> Result<Code, GrantError> {
        if form.value("response_type") != Some("code") {
            return Err(GrantError::ResponseType);
        }
        if form
            .value("response_mode")
            .is_some_and(|mode| mode != "query")
        {
            return Err(GrantError::ResponseMode);
        }
        let challenge = form.value("code_challenge").unwrap_or_default();
        // Without a method the challenge is the verifier itself (RFC 7636 §4.3), which protects
        // nothing.
        if form.value("code_challenge_method") != Some("S256") || !is_digest(challenge) {
            return Err(GrantError::Challenge);
        }
        let resource = form.value("resource");
        self.issuer.audience(resource)?;
        let asked = form.value("scope").map(parse_scopes).transpose()?;
        Ok(Code {
            issuer_url: self.issuer_url.into(),
            client: client.id.clone(),
            redirect_uri: redirect_uri.into(),
            challenge: challenge.into(),
            is_openid: asked.iter().flatten().any(|scope| scope.as_str() == OPENID),
            scopes: granted(client, asked)?,
            nonce: form.value("nonce").map(Box::from),
            subject: form.value("login_hint").unwrap_or(SUBJECT).into(),
            resource: resource.map(Box::from),
            expires: UnixTime(self.now.0.saturating_add(CODE_LIFETIME)),
        })
    }
}

/// Returns the scopes that the client gets: those that it asked for and may have, or else all that
/// it may have. Libraries ask for `profile` and others besides.
fn granted(client: &Client, asked: Option<Vec<Scope>>) -> Result<Vec<Scope>, GrantError> {
    let Some(mut scopes) = asked else {
        return Ok(client.scopes.clone());
    };
    let is_openid_alone = scopes.iter().all(|scope| scope.as_str() == OPENID);
    scopes.retain(|scope| client.scopes.contains(scope));
    if scopes.is_empty() && !is_openid_alone {
        return Err(GrantError::NoScope);
    }
    Ok(scopes)
}

/// Returns whether a text has the form of a SHA-256 in base64url.
fn is_digest(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|digest| digest.len() == SHA256.output_len())
}
