//! The listeners: the addresses of `listen` with their common settings, and `[[server.listeners]]`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;

use ipnet::IpNet;

use super::super::document::Table;
use super::super::load::Context;
use super::super::reader::{Reader, Text};
use super::super::schema::{
    self as language, LISTENER, LISTENER_CERTIFICATE, LISTENER_TLS, TLS, TLS_CERTIFICATE,
};
use super::super::source::Span;
use super::super::{Listener, Overrides};
use super::exposure;
use crate::net::{Acceptor, AcceptorError, AcceptorSettings, Address, Certificate, ClientAuth};

/// The prefix of the path of a Unix-domain socket.
const UNIX: &str = "unix:";

/// The longest path of a socket, in bytes, that every system can bind.
const MAX_UNIX_PATH: usize = 100;

/// Returns every listener with its position; never empty in a valid file.
pub(super) fn listeners(reader: &mut Reader<'_>, overrides: &Overrides) -> Vec<(Listener, Span)> {
    let context = reader.context;
    let common = Common::read(reader, &TLS, &TLS_CERTIFICATE, "server.tls");
    let span = reader.value_place("listen");
    let tables = reader.tables("listeners");
    let texts = reader.texts("listen").unwrap_or_default();
    let is_default = !reader.has("listen");
    let mut all: Vec<(Listener, Span)> = match overrides.listen.as_slice() {
        [] if is_default && !tables.is_empty() => Vec::new(),
        [] => texts
            .iter()
            .filter_map(|text| Some((common.at(address(reader, "listen", text)?), text.span)))
            .collect(),
        given => given
            .iter()
            .map(|address| (common.at(Address::Ip(*address)), span))
            .collect(),
    };
    let own: Vec<_> = tables
        .iter()
        .filter_map(|table| listener(context, table))
        .collect();
    if overrides.listen.is_empty() {
        all.extend(own);
    }
    refuse_overlaps(reader, &all);
    all
}

fn refuse_overlaps(reader: &Reader<'_>, all: &[(Listener, Span)]) {
    for (index, (Listener { address, .. }, span)) in all.iter().enumerate() {
        let before = all.iter().take(index);
        let Some((Listener { address: first, .. }, at)) = before
            .into_iter()
            .find(|(first, _)| first.address.overlaps(address))
        else {
            continue;
        };
        let message = match first == address {
            true => format!("\"{address}\" is in \"listen\" twice"),
            false => format!("\"{address}\" and \"{first}\" in \"listen\" overlap: keep one"),
        };
        let problem = reader.problem_at(*span, message);
        reader.context.problem(if at == span {
            problem
        } else {
            problem.related(*at, "first here")
        });
    }
}

fn listener(context: &Context, table: &Table) -> Option<(Listener, Span)> {
    let mut reader = Reader::new(context, &LISTENER, table, "listener");
    let text = reader.text("address");
    if let Some(text) = &text {
        reader.subject = format!("listener \"{}\"", text.text);
    }
    let common = Common::read(
        &mut reader,
        &LISTENER_TLS,
        &LISTENER_CERTIFICATE,
        "server.listeners.tls",
    );
    let address = text
        .as_ref()
        .and_then(|text| address(&reader, "address", text));
    reader.finish();
    Some((common.at(address?), text?.span))
}

/// The settings of a listener except for its address.
struct Common {
    tls: Option<Acceptor>,
    proxy_protocol_from: Vec<IpNet>,
    unix_mode: u32,
}

impl Common {
    fn read(
        reader: &mut Reader<'_>,
        tls: &'static language::Table,
        certificate: &'static language::Table,
        subject: &str,
    ) -> Self {
        let has_tls = reader.has("tls");
        let table = reader.table("tls");
        let tls = has_tls
            .then(|| acceptor(reader.context, &table, tls, certificate, subject))
            .flatten();
        Self {
            tls,
            proxy_protocol_from: networks(reader),
            unix_mode: unix_mode(reader),
        }
    }

    fn at(&self, address: Address) -> Listener {
        Listener {
            address,
            tls: self.tls.clone(),
            proxy_protocol_from: self.proxy_protocol_from.clone(),
            unix_mode: self.unix_mode,
        }
    }
}

fn networks(reader: &mut Reader<'_>) -> Vec<IpNet> {
    let texts = reader.texts("proxy_protocol_from").unwrap_or_default();
    let network = |text: &Text| {
        let parsed = text
            .text
            .parse::<IpNet>()
            .or_else(|_| text.text.parse::<IpAddr>().map(IpNet::from));
        if parsed.is_err() {
            let problem = reader.problem_at(
                text.span,
                format!(
                    "\"proxy_protocol_from\" has \"{}\", which is not a network",
                    text.text
                ),
            );
            reader
                .context
                .problem(problem.hint("write, for example, \"10.0.0.0/8\" or \"192.0.2.1\""));
        }
        parsed.ok()
    };
    let networks: Vec<_> = texts.iter().filter_map(network).collect();
    exposure::note_proxy_protocol(reader, &networks);
    networks
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
        let problem = reader.problem_at(text.span, message);
        reader
            .context
            .problem(problem.hint("write octal digits, for example unix_mode = \"0660\""));
    }
    mode.unwrap_or_default()
}

fn acceptor(
    context: &Context,
    table: &Table,
    tls: &'static language::Table,
    certificate: &'static language::Table,
    subject: &str,
) -> Option<Acceptor> {
    let mut reader = Reader::new(context, tls, table, subject);
    let tables = reader.tables("certificates");
    let found: Vec<_> = tables
        .iter()
        .map(|table| pair(context, table, certificate, subject))
        .collect();
    if reader.has("certificates") && tables.is_empty() {
        reader.problem(
            reader.value_place("certificates"),
            "\"certificates\" is empty: name at least one",
        );
    }
    let only_tls13 = reader.choice("min_version") == Some("1.3");
    let handshake_timeout = reader.duration("handshake_timeout").unwrap_or_default();
    let client_auth = client_auth(&mut reader);
    let span = reader.span();
    let acceptor = found
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .filter(|found| !found.is_empty());
    let settings = client_auth.map(|client_auth| AcceptorSettings {
        client_auth,
        only_tls13,
        handshake_timeout,
    });
    let acceptor = acceptor
        .zip(settings)
        .map(|(found, settings)| Acceptor::new(found, settings));
    let acceptor = acceptor.and_then(|acceptor| {
        let span = if reader.has("client_ca_file") {
            reader.value_place("client_ca_file")
        } else {
            span
        };
        acceptor
            .map_err(|error| reader.problem(span, error.to_string()))
            .ok()
    });
    reader.finish();
    acceptor
}

/// Returns a certificate with its key. Returns `None` after reporting a problem, and also if
/// stand-ins make it needless to read the files.
fn pair(
    context: &Context,
    table: &Table,
    certificate: &'static language::Table,
    subject: &str,
) -> Option<Certificate> {
    let mut reader = Reader::new(context, certificate, table, subject);
    let (chain, key) = (reader.text("cert_file"), reader.text("key_file"));
    let read = |name: &str, path: &Text| {
        let text = context.read_named(path.span, &path.text);
        text.map_err(|error| reader.problem(path.span, format!("\"{name}\": {error}")))
            .ok()
    };
    let found = match (&chain, &key) {
        (Some(chain), Some(key)) if !context.has_stand_ins() => read("cert_file", chain)
            .zip(read("key_file", key))
            .and_then(|texts| {
                let parsed = Certificate::parse(&texts.0, &texts.1);
                let is_key = |error| matches!(error, AcceptorError::Key | AcceptorError::Mismatch);
                let complain = |error: AcceptorError| {
                    let (name, path) = if is_key(error) {
                        ("key_file", key)
                    } else {
                        ("cert_file", chain)
                    };
                    reader.problem(
                        path.span,
                        format!("\"{name}\" is \"{}\": {error}", path.text),
                    );
                };
                parsed
                    .map_err(complain)
                    .ok()
                    .map(|parsed| parsed.in_file(&chain.text))
            }),
        _ => None,
    };
    reader.finish();
    found
}

fn client_auth(reader: &mut Reader<'_>) -> Option<ClientAuth> {
    let choice = reader.choice("client_auth").unwrap_or("off");
    let path = reader.text("client_ca_file");
    let Some(path) = path else {
        if choice == "off" {
            return Some(ClientAuth::Off);
        }
        let message = format!(
            "client_auth = \"{choice}\" needs \"client_ca_file\", the roots of the client \
                     certificates"
        );
        reader.problem(reader.value_place("client_auth"), message);
        return None;
    };
    if choice == "off" {
        let message = "\"client_ca_file\" has no effect with client_auth = \"off\"";
        reader.problem(reader.key_span("client_ca_file"), message);
        return None;
    }
    if reader.context.has_stand_ins() {
        return None;
    }
    let text = reader.context.read_named(path.span, &path.text);
    let text = text
        .map_err(|error| reader.problem(path.span, format!("\"client_ca_file\": {error}")))
        .ok()?;
    Some(if choice == "required" {
        ClientAuth::Required(text)
    } else {
        ClientAuth::Optional(text)
    })
}

fn address(reader: &Reader<'_>, name: &str, text: &Text) -> Option<Address> {
    let Some(path) = text.text.strip_prefix(UNIX) else {
        return ip_address(reader, name, text).map(Address::Ip);
    };
    if !path.starts_with('/') || path.ends_with('/') || path.len() > MAX_UNIX_PATH {
        let problem = reader.problem_at(
            text.span,
            format!("\"{}\" is not the path of a socket", text.text),
        );
        let hint = format!(
            "write an absolute path of at most {MAX_UNIX_PATH} bytes, for example \
             \"unix:/run/scopegate/api.sock\""
        );
        reader.context.problem(problem.hint(hint));
        return None;
    }
    Some(Address::Unix(path.into()))
}

pub(super) fn ip_address(reader: &Reader<'_>, name: &str, text: &Text) -> Option<SocketAddr> {
    let parsed = SocketAddr::from_str(&text.text);
    if parsed.is_err() {
        let message = format!("\"{}\" is not an IP address with a port", text.text);
        let meant = suggestion(&text.text);
        let problem = reader.problem_at(text.span, message);
        reader
            .context
            .problem(problem.hint(format!("write, for example, {name} = \"{meant}\"")));
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
