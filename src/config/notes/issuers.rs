//! Notes on issuers whose settings no token is likely to meet: they are valid, and every request
//! would be refused.

use crate::config::language::{AnyKey, Reader, Text};
use crate::net::Url;

/// The keys of an issuer that the notes are about.
pub(crate) struct IssuerKeys {
    pub(crate) issuer: &'static dyn AnyKey,
    pub(crate) jwks_uri: &'static dyn AnyKey,
    pub(crate) tenants: &'static dyn AnyKey,
    pub(crate) audience: &'static dyn AnyKey,
    pub(crate) audience_claims: &'static dyn AnyKey,
    pub(crate) client_ids: &'static dyn AnyKey,
    pub(crate) token_use: &'static dyn AnyKey,
    /// Keys whose texts are compared byte by byte with a token, besides those above.
    pub(crate) exact: &'static [&'static dyn AnyKey],
}

/// The directory of metadata (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/";

/// The names of metadata documents below [`WELL_KNOWN`].
const METADATA: [&str; 3] = [
    "openid-configuration",
    "oauth-authorization-server",
    "oauth-protected-resource",
];

/// The last segments of addresses at which authorization servers serve something else than their
/// metadata.
const ENDPOINTS: [&str; 8] = [
    "authorize",
    "certs",
    "introspect",
    "jwks",
    "jwks.json",
    "revoke",
    "token",
    "userinfo",
];

/// The endpoints among them that hold a key set.
const KEY_SETS: [&str; 3] = ["certs", "jwks", "jwks.json"];

/// The hosts of Microsoft Entra ID, in its clouds. `sts.windows.net` issues version 1.
const ENTRA_HOSTS: [&str; 4] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
];

/// The host of version 1 of Entra's tokens.
const ENTRA_V1_HOST: &str = "sts.windows.net";

/// Entra's addresses for signing in that stand for many tenants.
const ENTRA_ALIASES: [&str; 3] = ["common", "consumers", "organizations"];

/// The words that people write for "every value".
const WILDCARDS: [&str; 7] = ["*", "**", "%", "all", "Any", "ANY", ".*"];

/// Adds the notes on one entry of `[issuers]`.
pub(crate) fn note(reader: &Reader<'_>, keys: &IssuerKeys) {
    let issuer = reader.peek(keys.issuer);
    if let Some(issuer) = &issuer {
        note_metadata_address(reader, issuer);
        note_entra(reader, issuer);
        note_cognito(reader, issuer, keys);
    }
    if let Some(uri) = reader.peek(keys.jwks_uri) {
        note_key_address(reader, &uri, issuer.as_ref());
    }
    for tenant in reader.peek_all(keys.tenants) {
        if ENTRA_ALIASES.contains(&tenant.text.as_str()) {
            note_alias(reader, &tenant, &tenant.text);
        }
    }
    note_wildcards(reader, keys);
    note_blanks(reader, keys);
}

/// Returns whether an issuer is a user pool of Amazon Cognito, whose access tokens have no `aud`.
pub(crate) fn is_cognito(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else {
        return false;
    };
    let host = url.host();
    let is_amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    host.starts_with("cognito-idp.") && is_amazon
}

/// The advice for an issuer that is a user pool of Amazon Cognito, whose access tokens are taken.
pub(crate) const COGNITO_ADVICE: &str = "write audience = \"any\" and client_ids = [\"..\"] with \
                                         the ids of its app clients";

/// The advice for an issuer whose ID tokens are taken: their `aud` is the client (OpenID Connect
/// Core section 2), and those of Amazon Cognito name it nowhere else.
pub(crate) const ID_TOKEN_ADVICE: &str = "name the app clients in \"audience\"";

/// Notes an `issuer` that is the address of a document or an endpoint.
fn note_metadata_address(reader: &Reader<'_>, issuer: &Text) {
    let Text { text, span } = issuer;
    if let Some((origin, document)) = text.split_once(WELL_KNOWN) {
        // The path of an issuer follows the name of the document (RFC 8414 section 3.1).
        let base = match document.trim_end_matches('/').split_once('/') {
            Some((_, path)) => format!("{origin}/{path}"),
            None => origin.to_owned(),
        };
        let message = format!(
            "\"issuer\" is the address of a metadata document, and no token has it as its \
             \"iss\": write the \"issuer\" of that document, probably \"{base}\" or \"{base}/\""
        );
        return reader.note(*span, message);
    }
    if let Some(endpoint) = endpoint_of(text) {
        let message = format!(
            "\"issuer\" ends with \"{endpoint}\" like the address of an endpoint: it is compared \
             with the \"iss\" of tokens, byte by byte"
        );
        reader.note(*span, message);
    }
}

/// Notes a `jwks_uri` at which there is no key set.
fn note_key_address(reader: &Reader<'_>, uri: &Text, issuer: Option<&Text>) {
    let Text { text, span } = uri;
    if is_metadata(text) {
        let message = "\"jwks_uri\" is the address of a metadata document, which holds no keys: \
                       leave it out, so that the keys are discovered, or write the \"jwks_uri\" of \
                       that document";
        return reader.note(*span, message);
    }
    let is_issuer = |other: &Text| other.text.trim_end_matches('/') == text.trim_end_matches('/');
    if issuer.is_some_and(is_issuer) {
        let message = "\"jwks_uri\" is the address of the issuer itself, where there is no key \
                       set: leave it out, so that the keys are discovered";
        return reader.note(*span, message);
    }
    let endpoint = endpoint_of(text).filter(|name| !KEY_SETS.contains(name));
    if let Some(endpoint) = endpoint {
        let message =
            format!("\"jwks_uri\" ends with \"{endpoint}\", an endpoint that serves no key set");
        reader.note(*span, message);
    }
}

fn is_metadata(address: &str) -> bool {
    let Some((_, document)) = address.split_once(WELL_KNOWN) else {
        return false;
    };
    METADATA.iter().any(|name| document.starts_with(name))
}

/// Returns the last segment of an address if it is the name of an endpoint.
fn endpoint_of(address: &str) -> Option<&'static str> {
    let (_, last) = address.trim_end_matches('/').rsplit_once('/')?;
    ENDPOINTS.into_iter().find(|name| *name == last)
}

/// Notes an `issuer` of Microsoft Entra ID that is no tenant's `iss`.
fn note_entra(reader: &Reader<'_>, issuer: &Text) {
    let Ok(url) = Url::parse(&issuer.text.replace(['{', '}'], "")) else {
        return;
    };
    let is_first_version = url.host() == ENTRA_V1_HOST;
    if !is_first_version && !ENTRA_HOSTS.contains(&url.host()) {
        return;
    }
    let Some((_, path)) = issuer.text.split_once(url.host()) else {
        return;
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    let (tenant, rest) = path.split_once('/').unwrap_or((path, ""));
    if tenant.is_empty() || tenant.contains('{') || path.contains(WELL_KNOWN.trim_matches('/')) {
        return;
    }
    if ENTRA_ALIASES.contains(&tenant) {
        return note_alias(reader, issuer, tenant);
    }
    if !is_guid(tenant) {
        let message = format!(
            "\"issuer\" has the name \"{tenant}\" of a tenant, and tokens have the tenant's id in \
             their \"iss\": write the id, such as 8f3c1d52-6f0e-4b7a-9d7e-2a51c0e8b964"
        );
        return reader.note(issuer.span, message);
    }
    let is_exact = match is_first_version {
        true => rest.is_empty() && path.ends_with('/'),
        false => rest == "v2.0",
    };
    if !is_exact {
        let message = format!(
            "\"issuer\" is no \"iss\" of Entra ID: tokens of version 2 have \
             \"https://login.microsoftonline.com/{tenant}/v2.0\", those of version 1 \
             \"https://{ENTRA_V1_HOST}/{tenant}/\""
        );
        reader.note(issuer.span, message);
    }
}

fn note_alias(reader: &Reader<'_>, text: &Text, alias: &str) {
    let message = format!(
        "\"{alias}\" is an address for signing in, and never in an \"iss\" of Entra ID: write the \
         id of the tenant, or \"{{tenant}}\" and the list \"tenants\""
    );
    reader.note(text.span, message);
}

/// Returns whether a text is an identifier like 8f3c1d52-6f0e-4b7a-9d7e-2a51c0e8b964.
fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<_> = text.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == lengths.len()
        && parts.iter().all(is_hex)
        && parts.iter().map(|part| part.len()).eq(lengths)
}

/// Notes an audience of a user pool of Amazon Cognito, whose access tokens have none as a rule, and
/// clients for its ID tokens, which have no claim for them.
fn note_cognito(reader: &Reader<'_>, issuer: &Text, keys: &IssuerKeys) {
    let token_use = reader.peek(keys.token_use);
    if token_use.is_some_and(|token_use| token_use.text == "id") {
        if let Some(first) = reader.peek_all(keys.client_ids).first()
            && is_cognito(&issuer.text)
        {
            let message = format!(
                "ID tokens of a Cognito user pool have no \"client_id\", so that none is accepted: \
                 leave \"client_ids\" out, and {ID_TOKEN_ADVICE}"
            );
            reader.note(first.span, message);
        }
        return;
    }
    // Claims beside `aud` are written for tokens that have none.
    if reader.has(keys.audience_claims) {
        return;
    }
    let audiences = reader.peek_all(keys.audience);
    let Some(first) = audiences.first() else {
        return;
    };
    if is_cognito(&issuer.text) && audiences.iter().all(|audience| audience.text != "any") {
        let message = format!(
            "access tokens of a Cognito user pool have an \"aud\" only if the client asked for a \
             \"resource\"; if yours do not, {COGNITO_ADVICE}"
        );
        reader.note(first.span, message);
    }
}

fn note_wildcards(reader: &Reader<'_>, keys: &IssuerKeys) {
    for text in reader.peek_all(keys.audience) {
        if WILDCARDS.contains(&text.text.as_str()) {
            let message = format!(
                "\"audience\" is \"{}\", which only a token with this very \"aud\" has: name the \
                 API (every audience would be \"any\")",
                text.text
            );
            reader.note(text.span, message);
        }
    }
    for text in reader.peek_all(keys.client_ids) {
        if text.text == "any" || WILDCARDS.contains(&text.text.as_str()) {
            let message = format!(
                "\"client_ids\" has \"{}\", which is compared like any other id: leave the key \
                 out to accept every client",
                text.text
            );
            reader.note(text.span, message);
        }
    }
}

/// Notes values with blanks, which no token repeats.
fn note_blanks(reader: &Reader<'_>, keys: &IssuerKeys) {
    note_invisible(reader, keys.issuer);
    for key in [keys.audience, keys.client_ids] {
        note_invisible(reader, key);
        note_joined(reader, key);
    }
    for key in keys.exact {
        note_invisible(reader, *key);
    }
}

/// Notes texts that begin or end with a blank, or hold a character that shows as nothing.
fn note_invisible(reader: &Reader<'_>, key: &dyn AnyKey) {
    for text in reader.peek_all(key) {
        let inner = text.text.trim_matches(is_blank);
        if inner == text.text && !inner.chars().any(is_hidden) {
            continue;
        }
        let message = format!(
            "\"{}\" has \"{}\", with a blank or an invisible character: it is compared byte by \
             byte",
            key.name(),
            text.text.escape_debug(),
        );
        reader.note(text.span, message);
    }
}

/// Notes a text that was probably meant as several: `"a, b"`.
fn note_joined(reader: &Reader<'_>, key: &dyn AnyKey) {
    for text in reader.peek_all(key) {
        let inner = text.text.trim_matches(is_blank);
        if !inner.contains([' ', ',']) {
            continue;
        }
        let (name, written) = (key.name(), text.text.escape_debug());
        let message =
            format!("\"{name}\" has \"{written}\", which is one value: write several as a list");
        reader.note(text.span, message);
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_hidden(c)
}

/// Returns whether a character shows as nothing. A copy from a page or a document brings them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_has_five_groups_of_digits() {
        assert!(is_guid("8f3c1d52-6f0e-4b7a-9d7e-2a51c0e8b964"));
        for other in [
            "",
            "common",
            "contoso.onmicrosoft.com",
            "8f3c1d52-6f0e-4b7a-9d7e-2a51c0e8b96g",
        ] {
            assert!(!is_guid(other), "{other}");
        }
    }

    #[test]
    fn user_pools_are_known_by_their_host() {
        for (issuer, expected) in [
            (
                "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_a",
                true,
            ),
            (
                "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_a",
                true,
            ),
            ("https://cognito-idp.example.com/a", false),
            ("https://idp.amazonaws.com/a", false),
        ] {
            assert_eq!(is_cognito(issuer), expected, "{issuer}");
        }
    }
}
