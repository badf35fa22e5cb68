//! Fuzz targets: the bytes of a client, as frames of HTTP/2 and as requests of HTTP/1.1, on a
//! connection in memory.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::connections::Registry;
use super::super::stream::ClientStream;
use super::Connection;
use crate::config::Config;
use crate::decision::Reason;
use crate::fuzz::check;
use crate::net::Peer;
use crate::proxy::{SharedState, Worker};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{AccessLog, Label as _, Metrics};
use crate::token::SharedCache;

/// Routes that the gateway answers itself, refuses, and forwards to an upstream that is down.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[log]
access = "off"
[issuers.main]
issuer = "https://idp.example.com/"
audience = "api"
[upstreams.down]
url = "unix:/nonexistent/upstream"
[[routes]]
path = "/own"
public = true
respond = { status = 200, body = "hello" }
[[routes]]
path = "/closed"
scopes = "read"
upstream = "down"
[[routes]]
path = "/**"
public = true
upstream = "down"
"#;

/// The preface of a client (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most bytes that the server may send for an input: more than any answer to it is.
const MAX_SENT: usize = 4 << 20;

/// A worker and the runtime of its thread.
struct Server {
    runtime: LocalRuntime,
    worker: Rc<Worker>,
}

impl Server {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        let metrics = Arc::new(Metrics::new(Reason::NAMES).unwrap());
        let config =
            Config::parse(CONFIG, "gateway.toml").unwrap_or_else(|problems| panic!("{problems}"));
        let snapshot = Snapshot::compile(config, &metrics, None).unwrap();
        let worker = Worker::new(SharedState {
            live: Arc::new(Live::new(snapshot)),
            tokens: Arc::new(SharedCache::new(1 << 16)),
            metrics: metrics.clone(),
            access_log: AccessLog::start(metrics).unwrap().0,
        });
        let wheel = worker.timer_wheel().clone();
        runtime.spawn_local(wheel.run());
        Self { runtime, worker }
    }

    /// Returns what the server sends to a client that sends these bytes and then nothing more.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let served = async {
            let (near, far) = UnixStream::pair().unwrap();
            let registry = Rc::new(Registry::new(self.worker.timer_wheel().clone()));
            let mut connection = Connection::new(
                ClientStream::unix(near),
                Peer::unix(),
                self.worker.clone(),
                registry.join(),
            );
            let serve = async move {
                if connection.serve().await {
                    Box::pin(connection.serve_http2()).await;
                }
            };
            let client = spawn_local(exchange(far, bytes.to_vec()));
            serve.await;
            client.await.unwrap()
        };
        let served = async { timeout(Duration::from_secs(20), served).await };
        self.runtime.block_on(served).expect("the connection ends")
    }
}

/// Sends bytes, and reads until the server closes the connection.
async fn exchange(mut far: UnixStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = far.split();
    let send = async {
        // The server may have closed the connection before it has read everything.
        let _ = writer.write_all(&bytes).await;
        let _ = writer.shutdown().await;
    };
    let mut sent = Vec::new();
    let receive = async {
        let mut buffer = [0; 4096];
        while let Ok(1..) = reader
            .read(&mut buffer)
            .await
            .inspect(|count| sent.extend(&buffer[..*count]))
        {
            assert!(sent.len() < MAX_SENT);
        }
    };
    tokio::join!(send, receive);
    sent
}

thread_local! {
    static SERVER: Server = Server::new();
}

#[test]
fn http2_frames() {
    check("http2_frames", |input| {
        let bytes = [PREFACE, input].concat();
        let sent = SERVER.with(|server| server.answer(&bytes));
        is_frames(&sent, input);
    });
}

/// The answer is whole frames that begin with the settings; and answers come on streams that the
/// client may have opened.
fn is_frames(sent: &[u8], input: &[u8]) {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let mut rest = sent;
    let mut is_first = true;
    while !rest.is_empty() {
        let Some((head, after)) = rest.split_at_checked(9) else {
            panic!("a part of a frame: {}", rest.escape_ascii());
        };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        assert!(!is_first || head[3] == SETTINGS, "{}", sent.escape_ascii());
        if head[3] == HEADERS {
            let id = &head[5..9];
            assert!(id[3] % 2 == 1 && input.windows(4).any(|four| four[1..] == id[1..]));
        }
        is_first = false;
        rest = after.get(length..).expect("a whole frame");
    }
}

#[test]
fn http1_requests() {
    check("http1_requests", |input| {
        let sent = SERVER.with(|server| server.answer(input));
        if !input.starts_with(b"PRI ") {
            is_responses(&sent, input);
        }
    });
}

/// The answer is responses, no more than there are lines in the input that may begin a request.
fn is_responses(sent: &[u8], input: &[u8]) {
    let heads = sent
        .windows(9)
        .filter(|part| part.starts_with(b"HTTP/1."))
        .count();
    let lines = input
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .count();
    assert!(heads <= lines.max(1), "{}", sent.escape_ascii());
    if !sent.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let status = response.parse(sent).expect("a response");
        assert!(status.is_complete() && response.code.is_some_and(|code| code >= 200));
    }
}
