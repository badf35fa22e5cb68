//! Finds the `jwks_uri` of an issuer: OpenID Connect Discovery §4, then RFC 8414 §3.
//!
//! The issuer chooses the `jwks_uri`, and so an address that this gateway connects to. It must
//! therefore be https unless the configuration allows http, and its address may be no nearer to
//! this machine than the address of the metadata ([`Nearness`]): an issuer on the Internet cannot
//! point the gateway into a private network or at this machine, while an issuer in a private
//! network, or on this machine, may name addresses of its own kind.

use std::fmt;

use serde::Deserialize;

use super::IssuerSettings;
use crate::net::{Nearness, Url, UrlError};
use crate::web::{Bounds, Client, FetchError};

/// The longest part of a peer's text that an error quotes, in characters.
const SHOWN: usize = 120;

/// The members of the metadata that are used; all others are ignored.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// An error that leaves an issuer's key set without an address.
#[derive(Debug)]
pub(super) enum DiscoveryError {
    /// Neither document can be fetched.
    Fetch {
        /// The document that was asked for last.
        url: Box<str>,
        /// The cause of its failure.
        error: FetchError,
    },
    /// The document is not a JSON object with the strings `issuer` and `jwks_uri`.
    Shape {
        /// The document's URL.
        url: Box<str>,
    },
    /// The document is the metadata of another issuer (RFC 8414 §3.3, the mix-up attack).
    Issuer {
        /// The issuer in the configuration.
        configured: Box<str>,
        /// The issuer in the document.
        stated: Box<str>,
    },
    /// The `jwks_uri` is not a URL.
    JwksUri {
        /// The `jwks_uri`.
        stated: Box<str>,
        /// The error of parsing it.
        error: UrlError,
    },
    /// The `jwks_uri` is plain http, which is allowed on this machine only, and the issuer is
    /// elsewhere.
    PlainHttp {
        /// The `jwks_uri`.
        stated: Box<str>,
    },
}

/// The address of an issuer's keys, as its metadata states it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Discovered {
    pub(super) jwks_uri: Url,
    /// The nearness of the address that the metadata came from: no nearer address is dialled for
    /// the keys.
    pub(super) nearness: Nearness,
}

/// Returns the address of the keys of the issuer whose metadata is below `base`.
///
/// # Errors
/// [`DiscoveryError`]
pub(super) async fn discover(
    client: &Client,
    entry: &IssuerSettings,
    base: &Url,
    bounds: Bounds,
) -> Result<Discovered, DiscoveryError> {
    let oidc = openid_configuration(base);
    let (url, fetched) = match client.get(&oidc, bounds).await {
        // The server answers, but has no such document, so the other one is worth a request. A
        // server that cannot be reached is not asked twice.
        Err(FetchError::Status(_)) => {
            let oauth = authorization_server(base);
            let fetched = client.get(&oauth, bounds).await;
            (oauth, fetched)
        }
        fetched => (oidc, fetched),
    };
    let fetched = fetched.map_err(|error| DiscoveryError::Fetch {
        url: url.to_string().into(),
        error,
    })?;
    let metadata: Metadata =
        serde_json::from_slice(&fetched.body).map_err(|_| DiscoveryError::Shape {
            url: url.to_string().into(),
        })?;
    let jwks_uri = jwks_uri(&metadata, entry, fetched.nearness)?;
    Ok(Discovered {
        jwks_uri,
        nearness: fetched.nearness,
    })
}

fn jwks_uri(
    metadata: &Metadata,
    entry: &IssuerSettings,
    nearness: Nearness,
) -> Result<Url, DiscoveryError> {
    if metadata.issuer != *entry.issuer {
        let (configured, stated) = (Box::from(&*entry.issuer), shown(&metadata.issuer));
        return Err(DiscoveryError::Issuer { configured, stated });
    }
    let stated = shown(&metadata.jwks_uri);
    let url = match Url::parse(&metadata.jwks_uri) {
        Ok(url) => url,
        Err(error) => return Err(DiscoveryError::JwksUri { stated, error }),
    };
    // `net::Client` checks the nearness of the addresses when it dials them.
    let is_allowed = url.is_tls() || entry.fetch.allow_http || nearness == Nearness::Machine;
    if is_allowed {
        Ok(url)
    } else {
        Err(DiscoveryError::PlainHttp { stated })
    }
}

/// The well-known suffix comes after the path, without the path's last slash (OpenID Connect
/// Discovery §4).
fn openid_configuration(base: &Url) -> Url {
    base.with_path(&format!("{}/.well-known/openid-configuration", path(base)))
}

/// The well-known path stands between the host and the path (RFC 8414 §3.1).
fn authorization_server(base: &Url) -> Url {
    base.with_path(&format!(
        "/.well-known/oauth-authorization-server{}",
        path(base)
    ))
}

fn path(base: &Url) -> &str {
    base.path_and_query()
        .split('?')
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
}

fn shown(text: &str) -> Box<str> {
    text.chars().take(SHOWN).collect::<String>().into()
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch { url, error } => write!(f, "metadata at {url}: {error}"),
            Self::Shape { url } => {
                write!(
                    f,
                    "metadata at {url}: not a JSON object with the strings \"issuer\" and \
                     \"jwks_uri\""
                )
            }
            Self::Issuer { configured, stated } => write!(
                f,
                "the metadata is refused: it is for issuer {stated:?}, and the configuration says \
                 {configured:?}"
            ),
            Self::JwksUri { stated, error } => {
                write!(f, "the metadata's \"jwks_uri\" {stated:?}: {error}")
            }
            Self::PlainHttp { stated } => write!(
                f,
                "the metadata's \"jwks_uri\" {stated:?} is plain http; if that is meant, set \
                 \"jwks_uri\" and \"allow_http\" in the configuration"
            ),
        }
    }
}

impl std::error::Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fetch { error, .. } => Some(error),
            Self::JwksUri { error, .. } => Some(error),
            Self::Shape { .. } | Self::Issuer { .. } | Self::PlainHttp { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::entry;
    use super::*;
    use crate::issuer::KeySource;
    use crate::tls::Tls;
    use crate::web::fake::{Fake, json};

    const OIDC: &str = "/tenant/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server/tenant";

    fn entry_of(fake: &Fake) -> (IssuerSettings, Url) {
        let base = fake.url("/tenant/");
        let entry = IssuerSettings {
            issuer: base.to_string().into(),
            ..entry(KeySource::Discovery(base.clone()))
        };
        (entry, base)
    }

    async fn discover_at(fake: &Fake) -> Result<Url, DiscoveryError> {
        let (entry, base) = entry_of(fake);
        let fetch = &entry.fetch;
        let bounds = Bounds {
            timeout: fetch.timeout,
            max_bytes: fetch.max_bytes,
            allow_http: fetch.allow_http,
            nearest: Nearness::Machine,
        };
        let found = discover(&Client::new(Tls::system()), &entry, &base, bounds).await?;
        assert_eq!(found.nearness, Nearness::Machine);
        Ok(found.jwks_uri)
    }

    fn metadata(issuer: &str, jwks_uri: &str) -> crate::web::fake::FakeAnswer {
        json(&serde_json::json!({ "issuer": issuer, "jwks_uri": jwks_uri, "other": 1 }).to_string())
    }

    #[tokio::test]
    async fn openid_metadata_is_asked_before_oauth_metadata() {
        let fake = Fake::start();
        let issuer = fake.url("/tenant/").to_string();
        fake.answer(OAUTH, metadata(&issuer, &fake.url("/b").to_string()));
        assert_eq!(discover_at(&fake).await.unwrap(), fake.url("/b"));
        fake.answer(OIDC, metadata(&issuer, &fake.url("/a").to_string()));
        assert_eq!(discover_at(&fake).await.unwrap(), fake.url("/a"));
        assert_eq!((fake.hits(OIDC), fake.hits(OAUTH)), (2, 1));
    }

    #[tokio::test]
    async fn metadata_of_another_issuer_is_refused() {
        let fake = Fake::start();
        let issuer = fake.url("/tenant/").to_string();
        for stated in [
            "https://evil.example.com/",
            issuer.trim_end_matches('/'),
            &issuer.to_uppercase(),
        ] {
            fake.answer(OIDC, metadata(stated, &fake.url("/a").to_string()));
            let error = discover_at(&fake).await.unwrap_err();
            assert!(matches!(error, DiscoveryError::Issuer { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&issuer) && text.contains(stated), "{text}");
        }
    }

    #[tokio::test]
    async fn metadata_that_is_not_metadata_is_refused() {
        let fake = Fake::start();
        for body in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"a"}"#,
            r#"{"issuer":1,"jwks_uri":2}"#,
        ] {
            fake.answer(OIDC, json(body));
            let error = discover_at(&fake).await.unwrap_err();
            assert!(
                matches!(error, DiscoveryError::Shape { .. }),
                "{body}: {error:?}"
            );
        }
        fake.answer(OIDC, json("<html>"));
        let error = discover_at(&fake).await.unwrap_err();
        assert!(
            matches!(
                error,
                DiscoveryError::Fetch {
                    error: FetchError::Html,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    // docs/design/requirements.md#k08. The addresses themselves are checked in `net::Client` and
    // its tests.
    #[test]
    fn keys_are_fetched_over_https_unless_the_issuer_is_on_this_machine() {
        let entry = entry(KeySource::Discovery(
            Url::parse("https://idp.example.com/").unwrap(),
        ));
        let mut lax = entry.clone();
        lax.fetch.allow_http = true;
        let place = |entry: &IssuerSettings, nearness, stated: &str| {
            let metadata = Metadata {
                issuer: entry.issuer.to_string(),
                jwks_uri: stated.to_owned(),
            };
            match jwks_uri(&metadata, entry, nearness) {
                Ok(_) => Ok(()),
                Err(DiscoveryError::PlainHttp { .. }) => Err("place"),
                Err(DiscoveryError::JwksUri { .. }) => Err("url"),
                Err(error) => panic!("{error}"),
            }
        };
        let (far, near) = (Nearness::Public, Nearness::Machine);
        assert_eq!(place(&entry, far, "https://keys.example.com/k"), Ok(()));
        assert_eq!(place(&entry, near, "http://127.0.0.1:2/k"), Ok(()));
        assert_eq!(place(&lax, far, "http://keys.example.com/k"), Ok(()));
        for nearness in [far, Nearness::Private, Nearness::Link] {
            for jwks_uri in [
                "http://keys.example.com/k",
                "http://127.0.0.1/k",
                "http://localhost/k",
            ] {
                assert_eq!(
                    place(&entry, nearness, jwks_uri),
                    Err("place"),
                    "{jwks_uri}"
                );
            }
        }
        for jwks_uri in [
            "file:///etc/passwd",
            "gopher://a/",
            "/keys",
            "https://u:p@a/",
            "",
        ] {
            assert_eq!(place(&lax, near, jwks_uri), Err("url"), "{jwks_uri}");
        }
    }

    #[test]
    fn the_two_documents_stand_where_their_standards_say() {
        for (base, oidc, oauth) in [
            (
                "https://a",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
            ),
            (
                "https://a/",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
            ),
            (
                "https://a/t/u",
                "/t/u/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/t/u",
            ),
            (
                "https://a/t/",
                "/t/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/t",
            ),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(openid_configuration(&base).path_and_query(), oidc);
            assert_eq!(authorization_server(&base).path_and_query(), oauth);
        }
    }
}
