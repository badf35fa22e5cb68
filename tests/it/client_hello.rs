//! TLS ClientHello messages byte by byte: names in mixed case, messages in pieces, and obsolete
//! versions and ciphers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::{Gateway, PATIENCE, Upstream};

/// ECDHE with ECDSA or RSA and AES-GCM.
const SANE: [u16; 2] = [0xc02b, 0xc02f];

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 13;
const HELLO_DONE: u8 = 14;

/// Two bytes of length, and the bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [
        &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..],
        bytes,
    ]
    .concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(content)].concat()
}

/// A ClientHello (RFC 5246 §7.4.1.2) of TLS 1.2, or of an older version, that asks for `name`.
fn hello(version: u16, suites: &[u16], name: &str) -> Vec<u8> {
    let suites: Vec<u8> = suites
        .iter()
        .flat_map(|suite| suite.to_be_bytes())
        .collect();
    let server_name = [&[0][..], &counted(name.as_bytes())].concat();
    let extensions = [
        extension(0, &counted(&server_name)),
        // Groups X25519 and P-256, uncompressed points, ECDSA and RSA-PSS with SHA-256, and RFC
        // 7627.
        extension(10, &counted(&[0, 29, 0, 23])),
        extension(11, &[1, 0]),
        extension(13, &counted(&[4, 3, 8, 4])),
        extension(23, &[]),
    ]
    .concat();
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &counted(&suites),
        &[1, 0],
        &counted(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

/// A handshake message in records of at most `most` bytes.
fn records(message: &[u8], most: usize) -> Vec<u8> {
    message
        .chunks(most)
        .flat_map(|piece| [&[HANDSHAKE, 3, 1][..], &counted(piece)].concat())
        .collect()
}

/// What a server says to a hello.
#[derive(Default)]
struct Flight {
    /// Kinds of handshake messages and their bodies.
    messages: Vec<(u8, Vec<u8>)>,
    alert: Option<u8>,
}

impl Flight {
    fn of(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(bytes).unwrap();
        let mut flight = Self::default();
        let mut handshake = Vec::new();
        let mut head = [0; 5];
        while flight.alert.is_none()
            && !flight.messages.iter().any(|(kind, _)| *kind == HELLO_DONE)
            && socket.read_exact(&mut head).is_ok()
        {
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            socket.read_exact(&mut body).unwrap();
            match head[0] {
                HANDSHAKE => handshake.extend(body),
                ALERT => flight.alert = Some(body[1]),
                other => panic!("a record of type {other}"),
            }
            while let Some(message) = take(&mut handshake) {
                flight.messages.push(message);
            }
        }
        flight
    }

    fn has(&self, kind: u8) -> bool {
        self.messages.iter().any(|(other, _)| *other == kind)
    }

    /// Whether the certificate that is shown is this one.
    fn shows(&self, der: &[u8]) -> bool {
        let shown = self.messages.iter().find(|(kind, _)| *kind == CERTIFICATE);
        shown.is_some_and(|(_, body)| body.windows(der.len()).any(|window| window == der))
    }
}

fn take(handshake: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head = handshake.get(..4)?;
    let (kind, length) = (
        head[0],
        u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize,
    );
    let body = handshake.get(4..4 + length)?.to_vec();
    handshake.drain(..4 + length);
    Some((kind, body))
}

/// A gateway with a certificate for each of these names, and the certificates; it asks for one of
/// the client's.
fn start(upstream: &Upstream, names: &[&str]) -> (Gateway, Vec<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    let mut certificates = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let made = rcgen::generate_simple_self_signed(vec![(*name).to_owned()]).unwrap();
        let write = |kind: &str, text: String| {
            fs::write(directory.path().join(format!("{number}.{kind}")), text).unwrap();
        };
        write("pem", made.cert.pem());
        write("key", made.signing_key.serialize_pem());
        entries.push(format!(
            "{{ cert_file = \"{number}.pem\", key_file = \"{number}.key\" }}"
        ));
        certificates.push(made.cert.der().to_vec());
    }
    let toml = format!(
        "[server.tls]\ncertificates = [{}]\nclient_auth = \"required\"\n\
         client_ca_file = \"0.pem\"\n{}\n\
         [[routes]]\npath = \"/**\"\nupstream = \"orders\"\npublic = true\n",
        entries.join(", "),
        upstream.toml("orders")
    );
    let file = directory.path().join("gateway.toml");
    fs::write(&file, toml).unwrap();
    (Gateway::start_in(directory, file), certificates)
}

// However a name is spelt and a hello is
// cut, it is the same name, and a certificate is asked for.
#[test]
fn no_spelling_of_a_name_and_no_piecemeal_hello_passes_the_request_for_a_certificate() {
    let upstream = Upstream::start();
    let (gateway, certificates) = start(&upstream, &["first.test", "second.test", "*.third.test"]);
    for (name, shown) in [
        ("second.test", 1),
        ("SECOND.TEST", 1),
        ("Second.Test", 1),
        ("a.third.test", 2),
        ("A.ThIrD.test", 2),
        ("first.test", 0),
        ("unknown.test", 0),
        ("a.b.third.test", 0),
        ("third.test", 0),
    ] {
        let hello = hello(0x0303, &SANE, name);
        for most in [usize::from(u16::MAX) / 4, 100, 7, 1] {
            let flight = Flight::of(gateway.address(), &records(&hello, most));
            assert!(
                flight.shows(&certificates[shown]),
                "{name} in records of {most}: {:?}",
                flight.alert
            );
            assert!(
                flight.has(CERTIFICATE_REQUEST),
                "{name} in records of {most}"
            );
        }
    }
    assert!(upstream.arrivals().is_empty());
}

// Nothing below TLS 1.2, no CBC, no static RSA, no export ciphers.
#[test]
fn what_is_old_gets_an_alert() {
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    let upstream = Upstream::start();
    let (gateway, _) = start(&upstream, &["first.test"]);
    for version in [0x0300, 0x0301, 0x0302] {
        let flight = Flight::of(
            gateway.address(),
            &records(&hello(version, &SANE, "first.test"), 1000),
        );
        assert_eq!(flight.alert, Some(PROTOCOL_VERSION), "{version:x}");
    }
    // AES-CBC with ECDHE and without, 3DES, RC4, AES-GCM with static RSA, export, NULL, anonymous.
    for suite in [
        0xc009, 0xc013, 0xc023, 0x002f, 0x0035, 0x000a, 0x0005, 0x009c, 0x0003, 0x0002, 0x0034,
        0xc018,
    ] {
        let flight = Flight::of(
            gateway.address(),
            &records(&hello(0x0303, &[suite], "first.test"), 1000),
        );
        assert_eq!(flight.alert, Some(HANDSHAKE_FAILURE), "{suite:x}");
        assert!(flight.messages.is_empty(), "{suite:x}");
    }
    let flight = Flight::of(
        gateway.address(),
        &records(&hello(0x0303, &[0x002f, SANE[0]], "first.test"), 1000),
    );
    assert!(flight.has(HELLO_DONE), "{:?}", flight.alert);
}
