//! Certificates, and clients and gateways that present them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::{Gateway, Upstream};

/// A root certificate and its key, which signs the others.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A connection over TLS.
pub(crate) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    /// Signs a certificate whose parameters were changed first.
    pub(crate) fn sign_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        change(&mut params);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: made.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Returns the configuration of a client that trusts this root and presents `own`.
    pub(crate) fn client(&self, own: Option<&Identity>) -> ClientConfig {
        self.client_of(own, rustls::DEFAULT_VERSIONS)
    }

    /// Returns the configuration of such a client that speaks these versions of TLS.
    pub(crate) fn client_of(
        &self,
        own: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        match own {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![identity.leaf()], key)
                    .unwrap()
            }
        }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        roots
    }

    /// Connects as a client that trusts this root and offers these protocols (ALPN).
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&[u8]],
    ) -> TlsClient {
        connect(address, name, offering(self.client(None), protocols))
    }
}

impl Identity {
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        fs::write(directory.join(format!("{name}.pem")), &self.chain).unwrap();
        fs::write(directory.join(format!("{name}.key")), &self.key).unwrap();
    }

    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// Adds protocols that the client offers.
pub(crate) fn offering(mut config: ClientConfig, protocols: &[&[u8]]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

pub(crate) fn connect(address: SocketAddr, name: &str, config: ClientConfig) -> TlsClient {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        socket,
    )
}

impl Gateway {
    /// Starts a gateway with public routes, over TLS with these certificates. `tls` continues the
    /// table and may add others; `files` are written beside the configuration.
    #[track_caller]
    pub(crate) fn secured(
        upstream: &Upstream,
        identities: &[(&str, &Identity)],
        tls: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        identities
            .iter()
            .for_each(|(name, identity)| identity.write(directory.path(), name));
        files
            .iter()
            .for_each(|(name, text)| fs::write(directory.path().join(name), text).unwrap());
        let certificates: Vec<_> = identities
            .iter()
            .map(|(name, _)| format!("{{ cert_file = \"{name}.pem\", key_file = \"{name}.key\" }}"))
            .collect();
        let toml = format!(
            "[server.tls]\ncertificates = [{}]\n{tls}\n{}\n[[routes]]\npath = \"/**\"\n\
             upstream = \"orders\"\n\
             methods = \"ANY\"\npublic = true\n",
            certificates.join(", "),
            upstream.toml("orders")
        );
        let file = directory.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        Self::start_in(directory, file)
    }
}
