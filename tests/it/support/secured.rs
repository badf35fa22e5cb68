//! TLS for the actors: a root certificate, and clients that trust it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::{PATIENCE, TlsClient};

/// The number of times that a client may find its connection ended before it could send.
const MOVES: usize = 10;

/// A self-signed certificate for this machine, on disk.
pub(crate) struct Secured {
    directory: tempfile::TempDir,
    roots: RootCertStore,
}

impl Secured {
    pub(crate) fn new() -> Self {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("own.pem"), made.cert.pem()).unwrap();
        std::fs::write(
            directory.path().join("own.key"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        Self { directory, roots }
    }

    /// Returns the table of the configuration that makes a gateway present it.
    pub(crate) fn server_toml(&self) -> String {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        format!(
            "[server.tls]\ncertificates = [{{ cert_file = \"{}\", key_file = \"{}\" }}]\n",
            file("own.pem"),
            file("own.key")
        )
    }

    /// Returns the file for an upstream's `ca_file`.
    pub(crate) fn root(&self) -> PathBuf {
        Path::new(self.directory.path()).join("own.pem")
    }

    /// Returns clients for a load of GETs of `/x`: over both protocols, with and without
    /// keep-alive.
    pub(crate) fn clients(
        &self,
        address: SocketAddr,
    ) -> [impl FnMut() -> Result<(), String> + Send + 'static; 4] {
        [(false, true), (false, false), (true, true), (true, false)].map(|(is_http2, keeps)| {
            let mut client = self.client(address, is_http2);
            move || {
                let answer = client.ask("/x");
                if !keeps {
                    client.connection = None;
                }
                answer
            }
        })
    }

    /// Returns a client of HTTP/2 or HTTP/1.1 that keeps its connection as long as possible.
    pub(crate) fn client(&self, address: SocketAddr, is_http2: bool) -> Keeper {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Keeper {
            runtime,
            config: self.config(is_http2),
            address,
            is_http2,
            connection: None,
            made: 0,
        }
    }

    /// Returns a TLS client on a connected socket, whose handshake comes with its first request. It
    /// names an address, not a host, so that its requests may name any host.
    pub(crate) fn over(&self, socket: std::net::TcpStream, is_http2: bool) -> TlsClient {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        StreamOwned::new(
            ClientConnection::new(self.config(is_http2), name).unwrap(),
            socket,
        )
    }

    fn config(&self, is_http2: bool) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![if is_http2 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        Arc::new(config)
    }
}

/// A client that uses one connection until it ends. A request that was never sent is sent on
/// another connection; no other request is.
pub(crate) struct Keeper {
    runtime: Runtime,
    config: Arc<ClientConfig>,
    address: SocketAddr,
    is_http2: bool,
    connection: Option<Connection>,
    /// The number of connections so far.
    pub(crate) made: usize,
}

enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// The result of sending a request.
enum Sent {
    Answered(Box<Response<hyper::body::Incoming>>),
    /// The connection ended before anything was sent.
    Not,
}

impl Keeper {
    /// Sends a GET. Returns an error unless the answer is a complete 200.
    pub(crate) fn ask(&mut self, path: &str) -> Result<(), String> {
        let connector = TlsConnector::from(self.config.clone());
        let (address, is_http2) = (self.address, self.is_http2);
        let (kept, made) = (&mut self.connection, &mut self.made);
        let asking = async {
            for _ in 0..MOVES {
                let connection = match kept {
                    Some(connection) => connection,
                    None => {
                        *made += 1;
                        let tcp = TcpStream::connect(address)
                            .await
                            .map_err(|error| error.to_string())?;
                        kept.insert(connect(&connector, tcp, is_http2).await?)
                    }
                };
                let Sent::Answered(response) = connection.send(path).await? else {
                    *kept = None;
                    continue;
                };
                let status = response.status();
                response
                    .into_body()
                    .collect()
                    .await
                    .map_err(|error| format!("cut: {error}"))?;
                return if status == 200 {
                    Ok(())
                } else {
                    Err(status.to_string())
                };
            }
            Err("every connection ended before a request".to_owned())
        };
        let within = async { tokio::time::timeout(PATIENCE, asking).await };
        self.runtime
            .block_on(within)
            .map_err(|_| "no answer in time".to_owned())?
    }

    /// Opens a connection that the server has accepted, and calls `pause` before the handshake
    /// continues.
    pub(crate) fn connect_slowly(&mut self, pause: impl FnOnce()) -> Result<(), String> {
        let connector = TlsConnector::from(self.config.clone());
        let (address, is_http2) = (self.address, self.is_http2);
        self.made += 1;
        self.connection = Some(self.runtime.block_on(async {
            let tcp = TcpStream::connect(address)
                .await
                .map_err(|error| error.to_string())?;
            pause();
            connect(&connector, tcp, is_http2).await
        })?);
        Ok(())
    }
}

async fn connect(
    connector: &TlsConnector,
    tcp: TcpStream,
    is_http2: bool,
) -> Result<Connection, String> {
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector
        .connect(name, tcp)
        .await
        .map_err(|error| format!("handshake: {error}"))?;
    let io = TokioIo::new(stream);
    let text = |error: hyper::Error| format!("connection: {error}");
    Ok(if is_http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(text)?;
        tokio::spawn(connection);
        Connection::Http2(sender)
    } else {
        let (sender, connection) = http1::handshake(io).await.map_err(text)?;
        tokio::spawn(connection);
        Connection::Http1(sender)
    })
}

impl Connection {
    async fn send(&mut self, path: &str) -> Result<Sent, String> {
        let is_ready = match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        if is_ready.is_err() {
            return Ok(Sent::Not);
        }
        let request = match self {
            Self::Http1(_) => Request::get(path).header("host", "localhost"),
            Self::Http2(_) => Request::get(format!("https://localhost{path}")),
        };
        let request = request.body(Empty::new()).unwrap();
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        match sent {
            Ok(response) => Ok(Sent::Answered(Box::new(response))),
            Err(mut error) => match error.take_message() {
                Some(_) => Ok(Sent::Not),
                None => Err(format!("no answer: {:?}", error.into_error())),
            },
        }
    }
}
