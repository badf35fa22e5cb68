//! Connections for unit tests.

use std::time::Duration;

use http::request::{Builder, Parts};

use crate::net::{Peer, Session};
use crate::tls::{Acceptor, AcceptorSettings, Certificate, ClientAuth};

/// Returns a peer that asked for `server_name` in the handshake with a listener whose only
/// certificate has these names.
pub(crate) fn tls_peer(names: &[&str], server_name: &str) -> Peer {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = made.signing_key.serialize_pem();
    let certificate = Certificate::parse(&made.cert.pem(), &key).unwrap();
    let settings = AcceptorSettings {
        client_auth: ClientAuth::Off,
        only_tls13: false,
        handshake_timeout: Duration::from_secs(1),
    };
    let acceptor = Acceptor::new(vec![certificate], settings).unwrap();
    let session = Session {
        server_name: Some(server_name.into()),
        client_certificate: None,
        certificates: acceptor.certificates(),
    };
    Peer {
        tls: Some(session),
        ..Peer::unix()
    }
}

/// Returns the head of a request.
pub(crate) fn head(builder: Builder) -> Parts {
    builder.body(()).unwrap().into_parts().0
}
