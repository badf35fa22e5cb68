//! The keys of an upstream about TLS.

use std::sync::Arc;

use crate::config::language::{AnyKey, DefaultKey, Flag, Key, Reader, Span, Str};
use crate::net::Url;
use crate::tls::{Alpn, Tls, TlsSettings};

pub(super) const CA_FILE: Key<Str> = Key::new("ca_file", Str)
    .absent("the roots of the system")
    .doc(
        "PEM certificates that are trusted instead of the roots of the system, relative to the \
         file that names them. Only for `https`. The file is watched for changes.",
    )
    .example(r#""certs/internal-ca.pem""#);

pub(super) const CLIENT_CERT_FILE: Key<Str> = Key::new("client_cert_file", Str)
    .absent("the gateway presents no certificate")
    .doc(
        "The PEM certificate that the gateway presents, with its chain (mutual TLS). Only for \
         `https`. The file is watched for changes.",
    )
    .example(r#""certs/gateway.pem""#);

pub(super) const CLIENT_KEY_FILE: Key<Str> = Key::new("client_key_file", Str)
    .absent("the gateway presents no certificate")
    .doc("The PEM private key of `client_cert_file`. The file is watched for changes.")
    .example(r#""certs/gateway.key""#);

pub(super) const SERVER_NAME: Key<Str> = Key::new("server_name", Str)
    .absent("the host of `url`")
    .doc("The name for the TLS handshake (SNI), which its certificate must have. Only for `https`.")
    .not(&["sni"])
    .example(r#""orders.internal""#);

pub(super) const VERIFY: DefaultKey<Flag> = Key::new("verify", Flag)
    .doc(
        "If false, any certificate is accepted: an attacker between the gateway and the upstream \
         can read and change all traffic. For trials only; the log warns of it at each start, and \
         `scopegate check` reports it. Only for `https`.",
    )
    .example("false")
    .or(true);

/// The keys of this file.
const TLS_KEYS: [&dyn AnyKey; 5] = [
    &CA_FILE,
    &CLIENT_CERT_FILE,
    &CLIENT_KEY_FILE,
    &SERVER_NAME,
    &VERIFY,
];

pub(super) fn tls_settings(reader: &mut Reader<'_>, url: Option<&Url>) -> TlsSettings {
    if url.is_some_and(|url| !url.is_tls()) {
        refuse_tls_keys(reader);
    }
    let roots = roots(reader);
    let server_name = server_name(reader);
    let accepts_any_certificate = !reader.get(&VERIFY);
    if accepts_any_certificate {
        note_unverified(reader);
    }
    TlsSettings {
        roots,
        identity: identity(reader),
        server_name,
        accepts_any_certificate,
    }
}

fn refuse_tls_keys(reader: &Reader<'_>) {
    for key in TLS_KEYS.into_iter().filter(|key| reader.has(*key)) {
        let name = key.name();
        let message = format!("\"{name}\" has no effect: the \"url\" is not https");
        reader.problem(reader.key_span(key), message);
    }
}

/// Returns the trusted roots in PEM, if they are not those of the system.
fn roots(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let file = pem_file(reader, &CA_FILE)?;
    if let Err(error) = Tls::with_roots(&file.pem) {
        reader.problem(
            file.span,
            format!("\"ca_file\" is \"{}\": {error}", file.path),
        );
    }
    Some(file.pem)
}

/// Notes that any certificate of the upstream is accepted.
fn note_unverified(reader: &Reader<'_>) {
    let message = "\"verify\" is false: an attacker between the gateway and this upstream can read \
                   and change all traffic";
    reader.note(reader.value_span(&VERIFY), message);
    if reader.has(&CA_FILE) {
        reader.problem(
            reader.key_span(&CA_FILE),
            "\"ca_file\" has no effect beside verify = false",
        );
    }
}

/// Returns the client certificate of the gateway and its key. Each needs the other.
fn identity(reader: &mut Reader<'_>) -> Option<(Arc<str>, Arc<str>)> {
    refuse_alone(reader, &CLIENT_CERT_FILE, &CLIENT_KEY_FILE);
    refuse_alone(reader, &CLIENT_KEY_FILE, &CLIENT_CERT_FILE);
    let certificate = pem_file(reader, &CLIENT_CERT_FILE);
    let key = pem_file(reader, &CLIENT_KEY_FILE);
    let (certificate, key) = (certificate?, key?);
    let identity = Some((certificate.pem, key.pem));
    let alone = TlsSettings {
        identity: identity.clone(),
        accepts_any_certificate: true,
        ..TlsSettings::default()
    };
    let subject = format_args!("\"client_cert_file\" is \"{}\"", certificate.path);
    reader.accept(certificate.span, subject, Tls::new(&alone, Alpn::Http1));
    identity
}

/// Reports a key that needs another key beside it.
fn refuse_alone(reader: &Reader<'_>, key: &dyn AnyKey, other: &dyn AnyKey) {
    if reader.has(key) && !reader.has(other) {
        let (name, other) = (key.name(), other.name());
        let message = format!("\"{name}\" needs \"{other}\" beside it");
        reader.problem(reader.key_span(key), message);
    }
}

fn server_name(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = reader.find(&SERVER_NAME)?;
    let server_name = Some(Arc::from(text.text.as_str()));
    let alone = TlsSettings {
        server_name: server_name.clone(),
        accepts_any_certificate: true,
        ..TlsSettings::default()
    };
    let subject = format_args!("\"server_name\" is \"{}\"", text.text);
    reader.accept(text.span, subject, Tls::new(&alone, Alpn::Http1));
    server_name
}

/// The content of a file that a key names.
pub(super) struct PemFile {
    /// The position of the value.
    pub(super) span: Span,
    pub(super) path: String,
    pub(super) pem: Arc<str>,
}

/// Reads the file that a key names. The file is watched.
pub(super) fn pem_file(reader: &mut Reader<'_>, key: &Key<Str>) -> Option<PemFile> {
    let path = reader.find(key)?;
    if reader.context.has_stand_ins() {
        return None;
    }
    let pem = reader.content(key, &path)?;
    Some(PemFile {
        span: path.span,
        path: path.text,
        pem: pem.into(),
    })
}
