//! `[server.tls]`, and the same table of one listener.

use crate::config::language::{
    Choice, DefaultKey, Key, Reader, Str, Subtable, Subtables, Table, Text, Time, collect,
};
use crate::tls::{Acceptor, AcceptorError, AcceptorSettings, Certificate, ClientAuth};

pub(super) static TABLE: Table = Table {
    path: "server.tls",
    doc: "Serves all addresses of `listen` over HTTPS. The files are watched: new connections get \
          new certificates, and a certificate that does not match its key leaves the old pair in \
          use.",
    keys: &[
        &CERTIFICATES,
        &CLIENT_AUTH,
        &CLIENT_CA_FILE,
        &MIN_VERSION,
        &HANDSHAKE_TIMEOUT,
    ],
    refused: &[],
};

pub(super) static CERTIFICATE: Table = Table {
    path: "server.tls.certificates[]",
    doc: "A certificate with its key.",
    keys: &[&CERT_FILE, &KEY_FILE],
    refused: &[],
};

pub(super) static OWN_TABLE: Table = Table {
    path: "server.listeners[].tls",
    doc: "TLS of one listener, with the keys of `[server.tls]`.",
    keys: &[
        &OWN_CERTIFICATES,
        &CLIENT_AUTH,
        &CLIENT_CA_FILE,
        &MIN_VERSION,
        &HANDSHAKE_TIMEOUT,
    ],
    refused: &[],
};

pub(super) static OWN_CERTIFICATE: Table = Table {
    path: "server.listeners[].tls.certificates[]",
    doc: "A certificate of one listener, with the keys of `[[server.tls.certificates]]`.",
    keys: &[&CERT_FILE, &KEY_FILE],
    refused: &[],
};

const CERTIFICATES: Key<Subtables> = Key::new("certificates", Subtables(&CERTIFICATE))
    .doc(
        "Certificates with their keys. A client gets the one with the name that it asks for \
         (SNI), exact or by a wildcard, or else the first.",
    )
    .not(&["certificate"])
    .example(r#"[{ cert_file = "tls/api.pem", key_file = "tls/api.key" }]"#);

const OWN_CERTIFICATES: Key<Subtables> = Key::new("certificates", Subtables(&OWN_CERTIFICATE))
    .doc("Certificates with their keys.")
    .not(&["certificate"])
    .example(r#"[{ cert_file = "tls/api.pem", key_file = "tls/api.key" }]"#);

const CLIENT_AUTH: DefaultKey<Choice<ClientCertificate>> = Key::new(
    "client_auth",
    Choice(&[
        ("off", ClientCertificate::Off),
        ("optional", ClientCertificate::Optional),
        ("required", ClientCertificate::Required),
    ]),
)
.doc(
    "`optional` asks clients for a certificate, `required` also refuses clients without one. \
     A certificate that a client presents is verified in both cases.",
)
.example(r#""required""#)
.or(ClientCertificate::Off);

const CLIENT_CA_FILE: Key<Str> = Key::new("client_ca_file", Str)
    .absent("none; required unless `client_auth` is `off`")
    .doc("The roots of client certificates, in PEM.")
    .example(r#""tls/clients.pem""#);

/// `true` for TLS 1.3 alone.
const MIN_VERSION: DefaultKey<Choice<bool>> =
    Key::new("min_version", Choice(&[("1.2", false), ("1.3", true)]))
        .doc("The lowest version of TLS.")
        .example(r#""1.3""#)
        .or(false);

const HANDSHAKE_TIMEOUT: DefaultKey<Time> = Key::new("handshake_timeout", Time::POSITIVE)
    .doc("The time limit of a handshake.")
    .example(r#""5s""#)
    .or("10s");

const CERT_FILE: Key<Str> = Key::new("cert_file", Str)
    .doc(
        "The certificate and its intermediate certificates, in PEM. Its names (SAN) decide for \
         which hosts it is used.",
    )
    .not(&["certificate", "cert"])
    .example(r#""tls/api.pem""#);

const KEY_FILE: Key<Str> = Key::new("key_file", Str)
    .doc("The private key of the certificate, in PEM.")
    .not(&["key", "private_key"])
    .example(r#""tls/api.key""#);

/// The TLS table of the common listeners, or of a listener of its own.
pub(super) struct Kind {
    certificates: Key<Subtables>,
    /// The beginning of messages.
    subject: &'static str,
}

pub(super) static COMMON: Kind = Kind {
    certificates: CERTIFICATES,
    subject: "server.tls",
};

pub(super) static OWN: Kind = Kind {
    certificates: OWN_CERTIFICATES,
    subject: "server.listeners.tls",
};

/// The treatment of client certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientCertificate {
    Off,
    Optional,
    Required,
}

/// Returns the TLS settings of a listener; `None` for a listener without TLS.
pub(super) fn tls(
    reader: &mut Reader<'_>,
    key: &Key<Subtable>,
    kind: &'static Kind,
) -> Option<Acceptor> {
    let mut reader = reader.table_if_present(key, kind.subject)?;
    let certificates = certificates(&mut reader, kind);
    let only_tls13 = reader.get(&MIN_VERSION);
    let handshake_timeout = reader.get(&HANDSHAKE_TIMEOUT);
    let acceptor = match (certificates, client_auth(&mut reader)) {
        (Some(certificates), Some(client_auth)) => {
            let settings = AcceptorSettings {
                client_auth,
                only_tls13,
                handshake_timeout,
            };
            created(&reader, certificates, settings)
        }
        _ => None,
    };
    reader.finish();
    acceptor
}

/// Creates an acceptor, or reports why that is not possible.
fn created(
    reader: &Reader<'_>,
    certificates: Vec<Certificate>,
    settings: AcceptorSettings,
) -> Option<Acceptor> {
    match Acceptor::new(certificates, settings) {
        Ok(acceptor) => Some(acceptor),
        Err(error) => {
            let span = match reader.has(&CLIENT_CA_FILE) {
                true => reader.value_span(&CLIENT_CA_FILE),
                false => reader.span(),
            };
            reader.problem(span, error.to_string());
            None
        }
    }
}

/// Returns the certificates of a table; `None` if there is none, or one of them is invalid.
fn certificates(reader: &mut Reader<'_>, kind: &Kind) -> Option<Vec<Certificate>> {
    let found = reader.tables(&kind.certificates, kind.subject);
    if found.is_empty() {
        if reader.has(&kind.certificates) {
            reader.problem(
                reader.value_span(&kind.certificates),
                "\"certificates\" is empty: name at least one",
            );
        }
        return None;
    }
    let mut certificates = Some(Vec::new());
    for reader in found {
        collect(&mut certificates, certificate(reader));
    }
    certificates
}

/// Returns a certificate with its key. Returns `None` after reporting a problem, and also if
/// stand-ins make it needless to read the files.
fn certificate(mut reader: Reader<'_>) -> Option<Certificate> {
    let (chain, key) = (reader.find(&CERT_FILE), reader.find(&KEY_FILE));
    let certificate = match (chain, key) {
        (Some(chain), Some(key)) if !reader.context.has_stand_ins() => {
            parsed(&reader, &chain, &key)
        }
        _ => None,
    };
    reader.finish();
    certificate
}

/// Reads and parses the files of a certificate and its key.
fn parsed(reader: &Reader<'_>, chain: &Text, key: &Text) -> Option<Certificate> {
    let chain_pem = reader.content(&CERT_FILE, chain);
    let key_pem = reader.content(&KEY_FILE, key);
    let error = match Certificate::parse(&chain_pem?, &key_pem?) {
        Ok(certificate) => return Some(certificate.in_file(&chain.text)),
        Err(error) => error,
    };
    let (name, path) = match error {
        AcceptorError::Key | AcceptorError::Mismatch => ("key_file", key),
        _ => ("cert_file", chain),
    };
    let message = format!("\"{name}\" is \"{}\": {error}", path.text);
    reader.problem(path.span, message);
    None
}

fn client_auth(reader: &mut Reader<'_>) -> Option<ClientAuth> {
    let wanted = reader.get(&CLIENT_AUTH);
    let path = reader.find(&CLIENT_CA_FILE);
    if wanted == ClientCertificate::Off {
        if path.is_none() {
            return Some(ClientAuth::Off);
        }
        let message = "\"client_ca_file\" has no effect with client_auth = \"off\"";
        reader.problem(reader.key_span(&CLIENT_CA_FILE), message);
        return None;
    }
    let Some(path) = path else {
        let written = reader.peek(&CLIENT_AUTH);
        let message = format!(
            "client_auth = \"{}\" needs \"client_ca_file\", the roots of the client certificates",
            written.map(|text| text.text).unwrap_or_default()
        );
        reader.problem(reader.value_span(&CLIENT_AUTH), message);
        return None;
    };
    if reader.context.has_stand_ins() {
        return None;
    }
    let roots = reader.content(&CLIENT_CA_FILE, &path)?;
    Some(match wanted {
        ClientCertificate::Off => ClientAuth::Off,
        ClientCertificate::Optional => ClientAuth::Optional(roots),
        ClientCertificate::Required => ClientAuth::Required(roots),
    })
}
