//! `[[server.listeners]]`, and the settings that all listeners have in common.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;

use ipnet::IpNet;

use super::tls::{self, tls};
use crate::config::language::{
    AnyKey, DefaultKey, Key, Reader, Span, Str, StrList, Subtable, Table, Text,
};
use crate::config::notes::exposure;
use crate::net::{Address, AddressError};
use crate::tls::Acceptor;

/// A listener: an address, and how connections to it begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// The TLS settings; `None` for a listener without TLS.
    pub tls: Option<Acceptor>,
    /// The networks whose connections begin with a PROXY header. Connections from elsewhere have
    /// none.
    pub proxy_protocol_from: Vec<IpNet>,
    /// The file mode of a Unix-domain socket.
    pub unix_mode: u32,
}

pub(super) static TABLE: Table = Table {
    path: "server.listeners[]",
    doc: "A listener with its own settings, for listeners that are not all alike.",
    keys: &[&ADDRESS, &TLS, &PROXY_PROTOCOL_FROM, &UNIX_MODE],
    refused: &[],
};

const ADDRESS: Key<Str> = Key::new("address", Str)
    .doc("An IP address with a port, or `unix:` and the path of a socket.")
    .not(&["listen", "bind"])
    .example(r#""unix:/run/scopegate/api.sock""#);

const TLS: Key<Subtable> = Key::new("tls", Subtable(&tls::OWN_TABLE))
    .absent("no TLS; `[server.tls]` does not apply")
    .doc("Serves HTTPS on this listener.")
    .example("[server.listeners.tls]");

pub(super) const PROXY_PROTOCOL_FROM: Key<StrList> = Key::new("proxy_protocol_from", StrList)
    .absent("no connection begins with a PROXY header")
    .doc(
        "Networks of load balancers whose connections begin with a PROXY header (version 1 or 2), \
         which names the client. From these networks the header is required, from others it is \
         not read.",
    )
    .not(&["proxy_protocol"])
    .example(r#"["10.0.0.0/8"]"#);

pub(super) const UNIX_MODE: DefaultKey<Str> = Key::new("unix_mode", Str)
    .doc("The file mode of Unix-domain sockets, in octal.")
    .example(r#""0666""#)
    .or("0660");

/// A listener with the position of its address.
pub(super) struct LocatedListener {
    pub(super) listener: Listener,
    pub(super) span: Span,
}

pub(super) fn listener(mut reader: Reader<'_>) -> Option<LocatedListener> {
    let text = reader.find(&ADDRESS);
    if let Some(text) = &text {
        reader.subject = format!("listener \"{}\"", text.text);
    }
    let common = Common::read(&mut reader, &TLS, &tls::OWN);
    let address = match &text {
        Some(text) => address(&reader, &ADDRESS, text),
        None => None,
    };
    reader.finish();
    Some(common.at(address?, text?.span))
}

/// The settings of a listener except for its address.
pub(super) struct Common {
    tls: Option<Acceptor>,
    proxy_protocol_from: Vec<IpNet>,
    unix_mode: u32,
}

impl Common {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        key: &Key<Subtable>,
        kind: &'static tls::Kind,
    ) -> Self {
        Self {
            tls: tls(reader, key, kind),
            proxy_protocol_from: networks(reader),
            unix_mode: unix_mode(reader),
        }
    }

    pub(super) fn at(&self, address: Address, span: Span) -> LocatedListener {
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
    for text in reader.find(&PROXY_PROTOCOL_FROM).unwrap_or_default() {
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
    exposure::note_proxy_protocol(reader, &PROXY_PROTOCOL_FROM, &networks);
    networks
}

/// Parses a network, or an address as the network of one address.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn unix_mode(reader: &mut Reader<'_>) -> u32 {
    let text = reader.get(&UNIX_MODE);
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

pub(super) fn address(reader: &Reader<'_>, key: &dyn AnyKey, text: &Text) -> Option<Address> {
    match text.text.parse() {
        Ok(address) => Some(address),
        Err(AddressError::Ip) => ip_address(reader, key, text).map(Address::Ip),
        Err(AddressError::Socket) => {
            reader.problem_with_hint(
                text.span,
                format!("\"{}\" is not the path of a socket", text.text),
                format!(
                    "write an absolute path of at most {} bytes, for example \
                     \"unix:/run/scopegate/api.sock\"",
                    Address::MAX_PATH
                ),
            );
            None
        }
    }
}

/// Returns whether the value of a key is a number, which is then reported: a port lacks its
/// address.
pub(super) fn is_port(reader: &mut Reader<'_>, key: &dyn AnyKey) -> bool {
    let Some(port) = reader.peek_number(key) else {
        return false;
    };
    reader.value(key);
    let name = key.name();
    let meant = match u16::try_from(port) {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => key.example().trim_matches('"').to_owned(),
    };
    reader.problem_with_hint(
        reader.value_span(key),
        format!("\"{name}\" is a number: a port needs an address before it"),
        format!("write, for example, {name} = \"{meant}\""),
    );
    true
}

pub(super) fn ip_address(reader: &Reader<'_>, key: &dyn AnyKey, text: &Text) -> Option<SocketAddr> {
    let parsed = SocketAddr::from_str(&text.text);
    if parsed.is_err() {
        let message = format!("\"{}\" is not an IP address with a port", text.text);
        let (name, meant) = (key.name(), suggestion(&text.text));
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
