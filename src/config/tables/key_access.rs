//! The keys of `[issuers.<name>]` about the way to the servers of the issuer.

use std::path::PathBuf;
use std::sync::Arc;

use super::upstream_tls::pem_file;
use crate::config::language::{Key, Reader, Str};
use crate::issuer::{KeyAccess, KeySource, ProxyChoice};
use crate::net::Proxy;
use crate::tls::Tls;

pub(super) const CA_FILE: Key<Str> = Key::new("ca_file", Str)
    .absent("the roots of the system")
    .doc(
        "PEM certificates that are trusted for the issuer's metadata and keys instead of the roots \
         of the system, relative to the file that names them. Only for `https`. The file is \
         watched for changes.",
    )
    .not(&["ca", "ca_cert", "cacert"])
    .example(r#""certs/internal-ca.pem""#);

pub(super) const PROXY: Key<Str> = Key::new("proxy", Str)
    .absent(
        "`HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` of the environment, but for hosts in \
             `NO_PROXY`",
    )
    .doc(
        "The forward proxy through which metadata and keys are fetched: \
         `http://[user:password@]host[:port]`. `https` goes through a tunnel (CONNECT). \"off\" \
         means none, whatever the environment names.",
    )
    .not(&["http_proxy", "https_proxy", "proxy_url"])
    .example(r#""http://proxy.example.com:3128""#);

pub(super) const JWKS_TOKEN_FILE: Key<Str> = Key::new("jwks_token_file", Str)
    .absent("the key set is fetched without a credential")
    .doc(
        "A file with a bearer token that the key set asks for, such as that of a Kubernetes \
         service \
         account. It is read for each fetch, and sent to the origin of `jwks_uri` alone, over \
         `https` or to this machine.",
    )
    .not(&["token_file", "bearer_token_file", "jwks_token"])
    .example(r#""/var/run/secrets/kubernetes.io/serviceaccount/token""#);

/// The value of `proxy` for no proxy.
const OFF: &str = "off";

pub(super) fn key_access(reader: &mut Reader<'_>) -> KeyAccess {
    KeyAccess {
        roots: roots(reader),
        proxy: proxy(reader).unwrap_or_default(),
        token_file: token_file(reader),
    }
}

/// Checks the access against the source of the keys.
pub(super) fn check_access(reader: &Reader<'_>, access: &KeyAccess, keys: &KeySource) {
    let uri = match keys {
        KeySource::Uri(uri) => Some(uri),
        KeySource::Discovery(_) => None,
        // All keys about fetching are reported together.
        KeySource::Static(_) => return,
    };
    if access.roots.is_some() && uri.is_some_and(|uri| !uri.is_tls()) {
        reader.problem(
            reader.key_span(&CA_FILE),
            "\"ca_file\" has no effect: \"jwks_uri\" is not https",
        );
    }
    if access.token_file.is_none() {
        return;
    }
    let span = reader.key_span(&JWKS_TOKEN_FILE);
    match uri {
        None => {
            reader.problem_with_hint(
                span,
                "\"jwks_token_file\" needs \"jwks_uri\" beside it",
                "the token is sent to an origin that you name, and never to one that the issuer's \
                 metadata names",
            );
        }
        Some(uri) if !uri.is_tls() && !uri.is_loopback() => {
            let message = "\"jwks_token_file\" beside a \"jwks_uri\" that is http: anyone on the \
                           network could read the token";
            reader.problem_with_hint(span, message, "write https");
        }
        Some(_) => {}
    }
}

/// Returns the trusted roots in PEM, if they are not those of the system.
fn roots(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let file = pem_file(reader, &CA_FILE)?;
    let subject = format_args!("\"ca_file\" is \"{}\"", file.path);
    reader.accept(file.span, subject, Tls::with_roots(&file.pem))?;
    Some(file.pem)
}

fn proxy(reader: &mut Reader<'_>) -> Option<ProxyChoice> {
    let text = reader.find(&PROXY)?;
    if text.text == OFF {
        return Some(ProxyChoice::Off);
    }
    // The text may hold a password, and messages are logged.
    let proxy = reader.accept(text.span, "\"proxy\"", Proxy::parse(&text.text))?;
    Some(ProxyChoice::Through(proxy))
}

/// Returns the path of the file with the token. The file may come later than the gateway.
fn token_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let text = reader.find(&JWKS_TOKEN_FILE)?;
    let path = reader.context.path_named(text.span, &text.text);
    if path.is_dir() {
        let message = format!(
            "\"jwks_token_file\" is \"{}\", which is a directory",
            text.text
        );
        reader.problem(text.span, message);
    }
    Some(path)
}
