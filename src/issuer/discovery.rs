//! Finds the `jwks_uri` of an issuer: OpenID Connect Discovery §4, then RFC 8414 §3.
//!
//! The issuer chooses the `jwks_uri`, and so an address that this gateway connects to. It must
//! therefore be https unless the configuration allows http, and its address may be no nearer to
//! this machine than the address of the metadata ([`Nearness`]): an issuer on the Internet cannot
//! point the gateway into a private network or at this machine, while an issuer in a private
//! network, or on this machine, may name addresses of its own kind.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use super::IssuerSettings;
use crate::net::{Nearness, Url, UrlError};
use crate::web::{Bounds, Client, FetchError};

/// The longest part of a peer's text that an error quotes, in characters.
const SHOWN: usize = 120;

/// The statuses of a server that has no such document. Some stores of files answer 403 for a name
/// that does not exist.
const ABSENCES: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::GONE,
];

/// The members of the metadata that are used; all others are ignored.
#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) jwks_uri: String,
}

/// An error that leaves an issuer's key set without an address.
#[derive(Debug)]
pub(super) enum DiscoveryError {
    /// A document cannot be fetched.
    Fetch {
        /// The document's URL.
        url: Box<str>,
        /// The cause of its failure.
        error: FetchError,
    },
    /// Neither document is there.
    Both {
        /// The failure of the first, for which the second was asked for.
        first: Box<DiscoveryError>,
        /// The failure of the second.
        second: Box<DiscoveryError>,
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
    let (metadata, nearness) = match read(client, &openid_configuration(base), bounds).await {
        Ok(read) => read,
        Err(first) if first.is_absence() => {
            let second = read(client, &authorization_server(base), bounds).await;
            second.map_err(|second| DiscoveryError::Both {
                first: first.into(),
                second: second.into(),
            })?
        }
        Err(first) => return Err(first),
    };
    let jwks_uri = jwks_uri(&metadata, entry, nearness)?;
    Ok(Discovered { jwks_uri, nearness })
}

/// Fetches a document, and returns it with the nearness of the address that it came from.
async fn read(
    client: &Client,
    url: &Url,
    bounds: Bounds,
) -> Result<(Metadata, Nearness), DiscoveryError> {
    let shown = || url.to_string().into();
    let fetched = client.get(url, bounds).await;
    let fetched = fetched.map_err(|error| DiscoveryError::Fetch {
        url: shown(),
        error,
    })?;
    match serde_json::from_slice(&fetched.body) {
        Ok(metadata) => Ok((metadata, fetched.nearness)),
        Err(_) => Err(DiscoveryError::Shape { url: shown() }),
    }
}

impl DiscoveryError {
    /// Returns whether the server answers, but has no such document: then the other one is worth a
    /// request. A server that fails or cannot be reached is not asked twice, and its failure is
    /// what the log has to say.
    fn is_absence(&self) -> bool {
        match self {
            Self::Fetch { error, .. } => match error.of_server() {
                FetchError::Status(status) => ABSENCES.contains(status),
                // A page for every path, as of a site with its routes in the browser.
                FetchError::Html => true,
                _ => false,
            },
            Self::Shape { .. } => true,
            _ => false,
        }
    }
}

pub(super) fn jwks_uri(
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
            Self::Both { first, second } => write!(f, "{first}; {second}"),
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
            Self::Both { second, .. } => Some(&**second),
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
    use crate::web::fake::{Fake, FakeAnswer, json, response};

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

    fn metadata(issuer: &str, jwks_uri: &str) -> FakeAnswer {
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
            assert!(says(&fake).await[0].contains("not a JSON object"), "{body}");
        }
        fake.answer(OIDC, json("<html>"));
        assert!(says(&fake).await[0].contains("an HTML or XML page"));
    }

    /// Returns the failures of a discovery, one for each document that was asked for.
    async fn says(fake: &Fake) -> Vec<String> {
        let error = discover_at(fake).await.unwrap_err().to_string();
        let failures = error.split("; metadata at ").map(str::to_owned);
        failures.collect()
    }

    // A failure of the server is never hidden by the absence of the other document.
    #[tokio::test]
    async fn the_second_document_is_asked_for_if_the_first_is_not_there() {
        let fake = Fake::start();
        let status = |status| FakeAnswer::Bytes(response(status, "", "{}"));
        for (first, is_absent) in [
            (status(404), true),
            (status(405), true),
            (status(410), true),
            (status(400), true),
            (status(403), true),
            (json("<html>"), true),
            (json("{\"jwks_uri\":"), true),
            (json(""), true),
            (status(401), false),
            (status(429), false),
            (status(500), false),
            (status(503), false),
            (FakeAnswer::Reset, false),
        ] {
            let hits = fake.hits(OAUTH);
            fake.answer(OIDC, first.clone());
            fake.answer(OAUTH, status(503));
            let failures = says(&fake).await;
            let asked = fake.hits(OAUTH) - hits;
            assert_eq!(
                (asked == 1, failures.len() == 2),
                (is_absent, is_absent),
                "{first:?}"
            );
            assert_eq!(
                failures.last().unwrap().contains("the answer was 503"),
                is_absent
                    || matches!(&first, FakeAnswer::Bytes(bytes) if bytes.starts_with(b"HTTP/1.1 503"))
            );
            let issuer = fake.url("/tenant/").to_string();
            fake.answer(OAUTH, metadata(&issuer, &fake.url("/b").to_string()));
            assert_eq!(discover_at(&fake).await.is_ok(), is_absent, "{first:?}");
        }
        fake.answer(OIDC, status(404));
        fake.answer(OAUTH, status(404));
        let failures = says(&fake).await;
        assert!(
            failures[0].contains(OIDC) && failures[1].contains(OAUTH),
            "{failures:?}"
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
