//! The clients of the embedded issuer and their authentication (RFC 6749 §2.3.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::form;
use super::grant_error::GrantError;
use crate::config::{DevClient, Secret};
use crate::policy::Scope;

/// The `client_id` of the built-in client.
pub const CLIENT_ID: &str = "dev";
/// The secret of the built-in client. It is public: its tokens lead to the echo only.
pub const CLIENT_SECRET: &str = "dev-secret";

/// A client and the scopes that it may have.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: Box<str>,
    secret: Secret,
    pub(super) scopes: Vec<Scope>,
}

impl Client {
    /// Returns the built-in client `dev`, which may have every scope, and the clients of
    /// `[dev.clients]`.
    pub(super) fn all(configured: &[DevClient], every_scope: &[Scope]) -> Vec<Self> {
        let mut clients = vec![Self {
            id: CLIENT_ID.into(),
            secret: Secret::new(CLIENT_SECRET),
            scopes: every_scope.to_vec(),
        }];
        for client in configured {
            let scopes = client.scopes.as_deref().unwrap_or(every_scope);
            clients.push(Self {
                id: client.id.clone(),
                secret: client.secret.clone(),
                scopes: scopes.to_vec(),
            });
        }
        clients
    }

    /// Returns whether the credentials are those of this client.
    pub(super) fn owns(&self, credentials: &Credentials) -> bool {
        // Digests have the same length, so that the time of the comparison does not depend on the
        // length of the secret.
        let ours = digest(&SHA256, self.secret.expose().as_bytes());
        let theirs = digest(&SHA256, credentials.secret.as_bytes());
        let is_secret = verify_slices_are_equal(ours.as_ref(), theirs.as_ref()).is_ok();
        *self.id == *credentials.id && is_secret
    }
}

/// The credentials that a client presents.
pub(super) struct Credentials {
    pub(super) id: String,
    secret: String,
}

impl Credentials {
    /// Reads the credentials from the header or from the body; a client may use only one of them.
    pub(super) fn of(authorization: Option<&[u8]>, body: &form::Form) -> Result<Self, GrantError> {
        match (
            authorization,
            body.value("client_id"),
            body.value("client_secret"),
        ) {
            (Some(_), _, Some(_)) => Err(GrantError::TwoAuthentications),
            (Some(header), id, None) => {
                let basic = Self::basic(header)?;
                // A `client_id` beside the header is redundant; it is an error if it differs.
                if id.is_some_and(|id| id != basic.id) {
                    return Err(GrantError::TwoAuthentications);
                }
                Ok(basic)
            }
            (None, Some(id), Some(secret)) => Ok(Self {
                id: id.into(),
                secret: secret.into(),
            }),
            (None, _, _) => Err(GrantError::NoAuthentication),
        }
    }

    /// Decodes a `Basic` header, whose two parts are form-encoded before they are joined (RFC 6749
    /// §2.3.1).
    fn basic(header: &[u8]) -> Result<Self, GrantError> {
        let text = std::str::from_utf8(header).map_err(|_| GrantError::Authentication)?;
        let (scheme, encoded) = text.split_once(' ').ok_or(GrantError::Authentication)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(GrantError::Authentication);
        }
        let pair = STANDARD
            .decode(encoded.trim_start_matches(' '))
            .map_err(|_| GrantError::Authentication)?;
        let colon = pair
            .iter()
            .position(|b| *b == b':')
            .ok_or(GrantError::Authentication)?;
        let (id, secret) = pair.split_at(colon);
        let secret = secret.strip_prefix(b":").unwrap_or(secret);
        let decode = |half| form::decode(half).map_err(|_| GrantError::Authentication);
        Ok(Self {
            id: decode(id)?,
            secret: decode(secret)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(pair: &str) -> Result<Credentials, GrantError> {
        let header = format!("bAsIc {}", STANDARD.encode(pair));
        Credentials::of(Some(header.as_bytes()), &form::Form::default())
    }

    fn client(id: &str, secret: &str) -> Client {
        Client {
            id: id.into(),
            secret: Secret::new(secret),
            scopes: vec![],
        }
    }

    #[test]
    fn basic_credentials_are_form_encoded() {
        let odd = client("a:b", "p+%");
        assert!(odd.owns(&basic("a%3Ab:p%2B%25").unwrap()));
        assert!(!odd.owns(&basic("a%3Ab:p%2B").unwrap()));
        assert!(client("dev", "a:b").owns(&basic("dev:a:b").unwrap()));
    }

    #[test]
    fn a_secret_opens_its_own_client_only() {
        let dev = client("dev", "dev-secret");
        assert!(dev.owns(&basic("dev:dev-secret").unwrap()));
        for wrong in [
            "dev:",
            "dev:dev-secre",
            "dev:dev-secret ",
            "Dev:dev-secret",
            ":dev-secret",
        ] {
            assert!(!dev.owns(&basic(wrong).unwrap()), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_basic_credential_is_no_client() {
        let of = |header: &[u8]| Credentials::of(Some(header), &form::Form::default()).err();
        for header in [
            "Basic",
            "Basic !!",
            "Bearer eyJ",
            "Basic ZGV2",
            "",
            "Basic ZGV2OmRldi1zZWNyZXQ= x",
        ] {
            assert_eq!(
                of(header.as_bytes()),
                Some(GrantError::Authentication),
                "{header}"
            );
        }
        assert_eq!(of(b"Basic \xff"), Some(GrantError::Authentication));
    }

    #[test]
    fn configured_clients_stand_beside_dev() {
        let other = DevClient {
            id: "reader".into(),
            secret: Secret::new("r"),
            scopes: Some(vec![]),
        };
        let free = DevClient {
            id: "free".into(),
            secret: Secret::new("f"),
            scopes: None,
        };
        let scope = Scope::parse("orders.read").unwrap();
        let clients = Client::all(&[other, free], std::slice::from_ref(&scope));
        let owner = |pair: &str| {
            let credentials = basic(pair).unwrap();
            clients
                .iter()
                .find(|client| client.owns(&credentials))
                .map(|client| client.scopes.clone())
        };
        assert_eq!(owner("dev:dev-secret"), Some(vec![scope.clone()]));
        assert_eq!(owner("reader:r"), Some(vec![]));
        assert_eq!(owner("free:f"), Some(vec![scope]));
        assert_eq!(owner("reader:f"), None);
    }
}
