//! `scopegate explain`: shows the decision for a request, step by step, with the same
//! [`decide`](crate::decision::decide) that serves traffic.
//!
//! Nothing is forwarded. Keys are fetched unless the configuration contains them.

mod account;
mod arguments;
mod checks;
mod claims;
mod examination;
mod found_token;
mod head;
mod input;
mod near;
mod reading;
mod report;
mod request_file;
mod shown;
mod spelling;
mod token_file;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::task::LocalSet;

use self::account::Given;
use self::arguments::PeerAddress;
use self::examination::{Question, examine};
use self::head::Head;
use self::reading::Asked;
use self::report::Report;
use self::request_file::RequestFile;
use self::token_file::TokenFile;
use super::failure::{self, Failure};
use super::logging;
use super::output::print;
use super::settings::Settings;
use crate::clock;
use crate::config::Config;
use crate::decision::Reason;
use crate::issuer::{KeyAccess, KeySource};
use crate::net::{Peer, Session, Url};
use crate::snapshot::Snapshot;
use crate::telemetry::{Label as _, Metrics};
use crate::tls::{Acceptor, Fingerprint};
use crate::token::RequestContext;

pub(super) use arguments::Arguments;
pub(super) use token_file::TokenFileError;

/// The name of standard input as a file.
const STANDARD_INPUT: &str = "-";

/// A note about a certificate that no client can have shown.
const NO_CERTIFICATES: &str = "the certificate is presumed: no listener asks clients for one \
                               (client_auth), so that a request has none";

/// Prints the explanation, and returns the exit code of its verdict.
pub(super) fn explain(settings: &Settings, arguments: &Arguments) -> Result<u8, Failure> {
    let level = settings.log_level.unwrap_or(tracing::Level::WARN);
    let _log = logging::start(level).map_err(Failure::Runtime)?;
    if settings.config == Path::new(STANDARD_INPUT)
        && let Some(file) = arguments.file_of_standard_input()
    {
        let error = io::Error::other("standard input already has the configuration");
        return Err(Failure::InputFile(file.to_owned(), error));
    }
    let mut config = settings.load()?;
    if let Some(dev) = &arguments.dev {
        take_keys_of(dev, &mut config);
    }
    // The file with kept keys belongs to a gateway: this command does not write it, and an error of
    // a fetch should be visible.
    for issuer in &mut config.issuers {
        issuer.entry.fetch.keep_file = None;
    }
    let report = explained(config, arguments)?;
    let text = match arguments.json {
        true => report.json(),
        false => report.text(),
    };
    print(&text)?;
    Ok(match report.result.is_good() {
        true => 0,
        false => failure::REFUSED,
    })
}

/// Replaces the key source of each issuer by the running dev issuer. The other settings stay,
/// because its tokens satisfy them.
fn take_keys_of(dev: &Url, config: &mut Config) {
    for issuer in &mut config.issuers {
        let name =
            percent_encoding::utf8_percent_encode(&issuer.name, percent_encoding::NON_ALPHANUMERIC);
        issuer.entry.keys =
            KeySource::Uri(dev.with_path(&format!("/{name}/.well-known/jwks.json")));
        // The issuer's own proxy and credential are not for this machine.
        issuer.entry.access = KeyAccess::default();
    }
}

/// Reads the files of the command line, and explains the request.
fn explained(config: Config, arguments: &Arguments) -> Result<Report, Failure> {
    let token = match &arguments.token_file {
        Some(file) => Some(read_token(file)?),
        None => None,
    };
    let request = match &arguments.request_file {
        Some(file) => Some(RequestFile::of(&input::read(file)?)),
        None => None,
    };
    let certificate = match &arguments.client_cert_file {
        Some(file) => Some(input::read_certificate(file)?),
        None => None,
    };
    let head = arguments.head();
    let asked = match (&request, &head) {
        (Some(file), _) => Asked::File(file),
        (None, head) => {
            let head = head.as_ref();
            let head = head.expect("the parser requires a method and a target, or --request-file");
            Asked::Head(head, token.as_ref())
        }
    };
    let peer = peer(&config, arguments, certificate.as_ref());
    let is_certificate_asked_for = asks_for_certificates(&config);
    let metrics = Metrics::new(Reason::NAMES).expect("no metric is defined twice");
    let snapshot = Snapshot::compile(config, &metrics, None).map_err(Failure::Compile)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let question = Question {
        request: asked,
        peer: &peer,
        context: RequestContext {
            now: clock::now().unix,
            certificate: certificate.as_ref(),
        },
        given: Given {
            dev: arguments.dev.is_some(),
            certificate: certificate.is_some(),
            peer: arguments.peer.is_some(),
        },
    };
    let examination = examine(&snapshot, question);
    let mut report = LocalSet::new().block_on(&runtime, examination);
    if certificate.is_some() && !is_certificate_asked_for {
        report.note(NO_CERTIFICATES);
    }
    Ok(report)
}

fn read_token(file: &Path) -> Result<TokenFile, Failure> {
    let bytes = input::read(file)?;
    TokenFile::parse(&bytes).map_err(|error| Failure::TokenFile(file.to_owned(), error))
}

/// Returns the connection that the request is presumed on: from the given address, or else from one
/// that is in no network but the whole Internet, and over TLS if all listeners speak it.
fn peer(config: &Config, arguments: &Arguments, certificate: Option<&Fingerprint>) -> Peer {
    let mut peer = match arguments.peer {
        Some(PeerAddress(Some(address))) => Peer::new(SocketAddr::new(address, 0)),
        Some(PeerAddress(None)) => Peer::unix(),
        None => Peer::new(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
    };
    let mut listeners = config.server.listeners.iter();
    let first = listeners.next().and_then(|listener| listener.tls.as_ref());
    if let Some(tls) = first
        && listeners.all(|listener| listener.tls.is_some())
    {
        peer.tls = Some(Session {
            // A client that sends no name may ask for every host.
            server_name: None,
            client_certificate: certificate.copied(),
            certificates: tls.certificates(),
        });
    }
    peer
}

/// Returns whether any listener asks its clients for a certificate.
fn asks_for_certificates(config: &Config) -> bool {
    let listeners = config.server.listeners.iter();
    let mut acceptors = listeners.filter_map(|listener| listener.tls.as_ref());
    acceptors.any(Acceptor::asks_for_certificates)
}

impl Arguments {
    /// Returns the file that is standard input, if one is.
    fn file_of_standard_input(&self) -> Option<&Path> {
        let files = [&self.token_file, &self.request_file];
        let mut files = files.into_iter().flatten();
        let file = files.find(|file| file.as_os_str() == STANDARD_INPUT)?;
        Some(file)
    }

    /// Returns the request of the command line; `None` if it is in a file.
    fn head(&self) -> Option<Head<'_>> {
        Some(Head {
            method: self.method.as_ref()?,
            target: self.target.as_deref()?,
            host: self.host.as_ref(),
            origin: self.origin.as_ref(),
        })
    }
}
