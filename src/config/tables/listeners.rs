//! The listeners: the addresses of `listen` with their common settings, and `[[server.listeners]]`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;

use ipnet::IpNet;

use crate::config::context::Context;
use crate::config::language::document::Table;
use crate::config::language::reader::{Reader, Text, collect};
use crate::config::language::source::Span;
use crate::config::notes::exposure;
use crate::config::schema::{
    self as language, LISTENER, LISTENER_CERTIFICATE, LISTENER_TLS, TLS, TLS_CERTIFICATE,
};
use crate::config::{Listener, Overrides};
use crate::net::Address;
use crate::tls::{Acceptor, AcceptorError, AcceptorSettings, Certificate, ClientAuth};

/// The prefix of the path of a Unix-domain socket.
const UNIX: &str = "unix:";

/// The longest path of a socket, in bytes, that every system can bind.
const MAX_UNIX_PATH: usize = 100;

/// The schema tables of TLS, for the common listeners or for a listener of its own kind.
struct TlsTables {
    tls: &'static language::Table,
    certificate: &'static language::Table,
    /// The beginning of messages.
    subject: &'static str,
}

static COMMON_TLS: TlsTables = TlsTables {
    tls: &TLS,
    certificate: &TLS_CERTIFICATE,
    subject: "server.tls",
};

static OWN_TLS: TlsTables = TlsTables {
    tls: &LISTENER_TLS,
    certificate: &LISTENER_CERTIFICATE,
    subject: "server.listeners.tls",
};

/// A listener with the position of its address.
pub(super) struct LocatedListener {
    pub(super) listener: Listener,
    pub(super) span: Span,
}

/// Returns every listener; never empty in a valid file.
pub(super) fn listeners(reader: &mut Reader<'_>, overrides: &Overrides) -> Vec<LocatedListener> {
    let common = Common::read(reader, &COMMON_TLS);
    let tables = reader.tables("listeners");
    let texts = reader.texts("listen").unwrap_or_default();
    let mut all = Vec::new();
    // The default of `listen` does not apply beside `listeners`.
    let is_listen_used = reader.has("listen") || tables.is_empty();
    if overrides.listen.is_empty() && is_listen_used {
        for text in &texts {
            if let Some(address) = address(reader, "listen", text) {
                all.push(common.at(address, text.span));
            }
        }
    }
    for address in &overrides.listen {
        let span = reader.value_span("listen");
        all.push(common.at(Address::Ip(*address), span));
    }
    for table in &tables {
        let own = listener(reader.context, table);
        all.extend(own.filter(|_| overrides.listen.is_empty()));
    }
    refuse_overlaps(reader, &all);
    all
}

fn refuse_overlaps(reader: &Reader<'_>, all: &[LocatedListener]) {
    for (index, LocatedListener { listener, span }) in all.iter().enumerate() {
        let address = &listener.address;
        let mut before = all.iter().take(index);
        let Some(first) = before.find(|first| first.listener.address.overlaps(address)) else {
            continue;
        };
        let first_address = &first.listener.address;
        let message = match first_address == address {
            true => format!("\"{address}\" is in \"listen\" twice"),
            false => {
                format!("\"{address}\" and \"{first_address}\" in \"listen\" overlap: keep one")
            }
        };
        match first.span == *span {
            true => reader.problem(*span, message),
            false => reader.problem_with_related(*span, message, first.span, "first here"),
        }
    }
}

fn listener(context: &Context, table: &Table) -> Option<LocatedListener> {
    let mut reader = Reader::new(context, &LISTENER, table, "listener");
    let text = reader.text("address");
    if let Some(text) = &text {
        reader.subject = format!("listener \"{}\"", text.text);
    }
    let common = Common::read(&mut reader, &OWN_TLS);
    let address = match &text {
        Some(text) => address(&reader, "address", text),
        None => None,
    };
    reader.finish();
    Some(common.at(address?, text?.span))
}

/// The settings of a listener except for its address.
struct Common {
    tls: Option<Acceptor>,
    proxy_protocol_from: Vec<IpNet>,
    unix_mode: u32,
}

impl Common {
    fn read(reader: &mut Reader<'_>, tables: &TlsTables) -> Self {
        let has_tls = reader.has("tls");
        let table = reader.table("tls");
        let tls = match has_tls {
            true => acceptor(reader.context, &table, tables),
            false => None,
        };
        Self {
            tls,
            proxy_protocol_from: networks(reader),
            unix_mode: unix_mode(reader),
        }
    }

    fn at(&self, address: Address, span: Span) -> LocatedListener {
        let listener = Listener {
            address,
            tls: self.tls.clone(),
            proxy_protocol_from: self.proxy_protocol_from.clone(),
            unix_mode: self.unix_mode,
        };
        LocatedListener { listener, span }
    }
}

fn networks(reader: &mut Reader<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in reader.texts("proxy_protocol_from").unwrap_or_default() {
        match network(&text.text) {
            Some(network) => networks.push(network),
            None => reader.problem_with_hint(
                text.span,
                format!(
                    "\"proxy_protocol_from\" has \"{}\", which is not a network",
                    text.text
                ),
                "write, for example, \"10.0.0.0/8\" or \"192.0.2.1\"",
            ),
        }
    }
    exposure::note_proxy_protocol(reader, &networks);
    networks
}

/// Parses a network, or an address as the network of one address.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn unix_mode(reader: &mut Reader<'_>) -> u32 {
    let Some(text) = reader.text("unix_mode") else {
        return 0;
    };
    let mode = u32::from_str_radix(&text.text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        let message = format!(
            "\"unix_mode\" is \"{}\", which is not a file mode",
            text.text
        );
        reader.problem_with_hint(
            text.span,
            message,
            "write octal digits, for example unix_mode = \"0660\"",
        );
    }
    mode.unwrap_or_default()
}

fn acceptor(context: &Context, table: &Table, tables: &TlsTables) -> Option<Acceptor> {
    let mut reader = Reader::new(context, tables.tls, table, tables.subject);
    let certificates = certificates(&mut reader, tables);
    let only_tls13 = reader.choice("min_version") == Some("1.3");
    let handshake_timeout = reader.duration("handshake_timeout").unwrap_or_default();
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
            let span = match reader.has("client_ca_file") {
                true => reader.value_span("client_ca_file"),
                false => reader.span(),
            };
            reader.problem(span, error.to_string());
            None
        }
    }
}

/// Returns the certificates of a table; `None` if there is none, or one of them is invalid.
fn certificates(reader: &mut Reader<'_>, tables: &TlsTables) -> Option<Vec<Certificate>> {
    let found = reader.tables("certificates");
    if found.is_empty() {
        if reader.has("certificates") {
            reader.problem(
                reader.value_span("certificates"),
                "\"certificates\" is empty: name at least one",
            );
        }
        return None;
    }
    let mut certificates = Some(Vec::new());
    for table in &found {
        let pair = Reader::new(reader.context, tables.certificate, table, tables.subject);
        collect(&mut certificates, certificate(pair));
    }
    certificates
}

/// Returns a certificate with its key. Returns `None` after reporting a problem, and also if
/// stand-ins make it needless to read the files.
fn certificate(mut reader: Reader<'_>) -> Option<Certificate> {
    let (chain, key) = (reader.text("cert_file"), reader.text("key_file"));
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
    let chain_pem = reader.content("cert_file", chain);
    let key_pem = reader.content("key_file", key);
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
    let choice = reader.choice("client_auth").unwrap_or("off");
    let path = reader.text("client_ca_file");
    match (choice, path) {
        ("off", None) => Some(ClientAuth::Off),
        ("off", Some(_)) => {
            let message = "\"client_ca_file\" has no effect with client_auth = \"off\"";
            reader.problem(reader.key_span("client_ca_file"), message);
            None
        }
        (_, None) => {
            let message = format!(
                "client_auth = \"{choice}\" needs \"client_ca_file\", the roots of the client \
                 certificates"
            );
            reader.problem(reader.value_span("client_auth"), message);
            None
        }
        (_, Some(_)) if reader.context.has_stand_ins() => None,
        (_, Some(path)) => {
            let roots = reader.content("client_ca_file", &path)?;
            Some(match choice {
                "required" => ClientAuth::Required(roots),
                _ => ClientAuth::Optional(roots),
            })
        }
    }
}

fn address(reader: &Reader<'_>, name: &str, text: &Text) -> Option<Address> {
    let Some(path) = text.text.strip_prefix(UNIX) else {
        return ip_address(reader, name, text).map(Address::Ip);
    };
    if path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_UNIX_PATH {
        return Some(Address::Unix(path.into()));
    }
    reader.problem_with_hint(
        text.span,
        format!("\"{}\" is not the path of a socket", text.text),
        format!(
            "write an absolute path of at most {MAX_UNIX_PATH} bytes, for example \
             \"unix:/run/scopegate/api.sock\""
        ),
    );
    None
}

pub(super) fn ip_address(reader: &Reader<'_>, name: &str, text: &Text) -> Option<SocketAddr> {
    let parsed = SocketAddr::from_str(&text.text);
    if parsed.is_err() {
        let message = format!("\"{}\" is not an IP address with a port", text.text);
        let meant = suggestion(&text.text);
        reader.problem_with_hint(
            text.span,
            message,
            format!("write, for example, {name} = \"{meant}\""),
        );
    }
    parsed.ok()
}

/// Returns the address that was probably meant by `:8080`, `8080` or `localhost:8080`.
fn suggestion(text: &str) -> String {
    let (host, port) = text.rsplit_once(':').unwrap_or(if text.contains('.') {
        (text, "")
    } else {
        ("", text)
    });
    let port: u16 = port.parse().unwrap_or(8080);
    match host {
        "localhost" => format!("127.0.0.1:{port}"),
        "" | "*" => format!("0.0.0.0:{port}"),
        host => match host.parse() {
            Ok(ip) => SocketAddr::new(ip, port).to_string(),
            Err(_) => format!("0.0.0.0:{port}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_by_half_an_address_is_suggested() {
        assert_eq!(suggestion(":80"), "0.0.0.0:80");
        assert_eq!(suggestion("8081"), "0.0.0.0:8081");
        assert_eq!(suggestion("localhost:80"), "127.0.0.1:80");
        assert_eq!(suggestion("10.0.0.1"), "10.0.0.1:8080");
        assert_eq!(suggestion("example.com:99999"), "0.0.0.0:8080");
    }
}
