//! The clients of the embedded issuer and their authentication (RFC 6749 §2.3.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::form;
use super::grant_error::GrantError;
use super::redirect::is_registered;
use crate::config::{DevClient, Secret};
use crate::policy::Scope;

/// The `client_id` of the built-in client.
pub const CLIENT_ID: &str = "dev";
/// The secret of the built-in client. It is public: its tokens lead to the echo only.
pub const CLIENT_SECRET: &str = "dev-secret";

/// A client and what it may do.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: Box<str>,
    pub(super) secret: Option<Secret>,
    /// Set if the client may exchange a code without its secret, as pages and native applications
    /// do (RFC 6749 §2.1). PKCE protects the code.
    pub(super) is_public: bool,
    pub(super) scopes: Vec<Scope>,
    /// The redirect URIs of a client that registered itself; `None` for all that the rules allow.
    pub(super) redirect_uris: Option<Vec<Box<str>>>,
}

/// The purpose for which a client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its own token, which a public client cannot have (RFC 6749 §4.4).
    OwnToken,
    /// The exchange of a code.
    Code,
}

impl Client {
    /// Returns the built-in client `dev`, which may have every scope, the clients of
    /// `[dev.clients]`, and the clients whose tokens the issuer's entry accepts. `dev` is a public
    /// client, too: its secret is known to everybody.
    pub(super) fn all(
        configured: &[DevClient],
        client_ids: &[Box<str>],
        every_scope: &[Scope],
    ) -> Vec<Self> {
        let mut clients = vec![Self {
            secret: Some(Secret::new(CLIENT_SECRET)),
            ..Self::public(CLIENT_ID, every_scope)
        }];
        for client in configured {
            let scopes = client.scopes.as_deref().unwrap_or(every_scope);
            clients.push(Self {
                secret: Some(client.secret.clone()),
                is_public: false,
                ..Self::public(&client.id, scopes)
            });
        }
        for id in client_ids {
            if clients.iter().all(|client| client.id != *id) {
                clients.push(Self::public(id, every_scope));
            }
        }
        clients
    }

    fn public(id: &str, scopes: &[Scope]) -> Self {
        Self {
            id: id.into(),
            secret: None,
            is_public: true,
            scopes: scopes.to_vec(),
            redirect_uris: None,
        }
    }

    /// Returns whether the client may use this redirect URI, which the rules for all clients allow.
    pub(super) fn has_redirect_uri(&self, uri: &str) -> bool {
        match &self.redirect_uris {
            None => true,
            Some(registered) => registered.iter().any(|one| is_registered(one, uri)),
        }
    }

    /// Returns whether the credentials are those of this client.
    pub(super) fn owns(&self, credentials: &Credentials, purpose: Purpose) -> bool {
        if *self.id != *credentials.id {
            return false;
        }
        match (&self.secret, &credentials.secret) {
            (Some(secret), Some(presented)) => is_same(secret.expose(), presented),
            (_, None) => self.is_public && purpose == Purpose::Code,
            (None, Some(_)) => false,
        }
    }
}

/// Compares digests, which have the same length, so that the time of the comparison does not depend
/// on the length of the secret.
fn is_same(secret: &str, presented: &str) -> bool {
    let ours = digest(&SHA256, secret.as_bytes());
    let theirs = digest(&SHA256, presented.as_bytes());
    verify_slices_are_equal(ours.as_ref(), theirs.as_ref()).is_ok()
}

/// The credentials that a client presents.
pub(super) struct Credentials {
    pub(super) id: String,
    /// The secret; `None` if the client states its id alone.
    secret: Option<String>,
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
            (None, Some(id), secret) => Ok(Self {
                id: id.into(),
                secret: secret.map(str::to_owned),
            }),
            (None, None, _) => Err(GrantError::NoAuthentication),
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
            secret: Some(decode(secret)?),
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
            secret: Some(Secret::new(secret)),
            ..Client::public(id, &[])
        }
    }

    fn owns(client: &Client, pair: &str) -> bool {
        client.owns(&basic(pair).unwrap(), Purpose::OwnToken)
    }

    #[test]
    fn basic_credentials_are_form_encoded() {
        let odd = client("a:b", "p+%");
        assert!(owns(&odd, "a%3Ab:p%2B%25"));
        assert!(!owns(&odd, "a%3Ab:p%2B"));
        assert!(owns(&client("dev", "a:b"), "dev:a:b"));
    }

    #[test]
    fn a_secret_opens_its_own_client_only() {
        let dev = client("dev", "dev-secret");
        assert!(owns(&dev, "dev:dev-secret"));
        for wrong in [
            "dev:",
            "dev:dev-secre",
            "dev:dev-secret ",
            "Dev:dev-secret",
            ":dev-secret",
        ] {
            assert!(!owns(&dev, wrong), "{wrong}");
        }
    }

    #[test]
    fn only_a_public_client_exchanges_a_code_without_a_secret() {
        let by_id = |id: &str| {
            let mut body = form::Form::default();
            body.add(format!("client_id={id}").as_bytes()).unwrap();
            Credentials::of(None, &body).unwrap()
        };
        let public = Client::public("page", &[]);
        assert!(public.owns(&by_id("page"), Purpose::Code));
        assert!(!public.owns(&by_id("page"), Purpose::OwnToken));
        assert!(!public.owns(&by_id("other"), Purpose::Code));
        assert!(!public.owns(&basic("page:").unwrap(), Purpose::Code));
        let confidential = Client {
            is_public: false,
            ..client("server", "s")
        };
        assert!(!confidential.owns(&by_id("server"), Purpose::Code));
        assert!(confidential.owns(&basic("server:s").unwrap(), Purpose::Code));
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
        let ids = ["reader".into(), "page".into()];
        let clients = Client::all(&[other, free], &ids, std::slice::from_ref(&scope));
        assert_eq!(
            clients.len(),
            4,
            "a client of both lists is the configured one"
        );
        let owner = |pair: &str| {
            clients
                .iter()
                .find(|client| owns(client, pair))
                .map(|client| client.scopes.clone())
        };
        assert_eq!(owner("dev:dev-secret"), Some(vec![scope.clone()]));
        assert_eq!(owner("reader:r"), Some(vec![]));
        assert_eq!(owner("free:f"), Some(vec![scope]));
        assert_eq!(owner("reader:f"), None);
    }
}
