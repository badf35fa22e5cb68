//! An upstream that speaks HTTP/2, by prior knowledge or over TLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::wait_until;

/// The upstream's action for a stream.
#[derive(Clone, Debug, Default)]
pub(crate) enum Play {
    /// Reads the request and answers 200 with its body and its trailers, and one trailer more.
    #[default]
    Echo,
    /// Refuses the stream as not processed.
    Refuse,
    /// Refuses the stream as not processed, after its whole body has arrived.
    RefuseLate,
    /// Answers at once with the start of a body, and resets the stream after
    /// [`Multiplexed::go_on`].
    Reset(&'static str, Reason),
    /// Answers at once, and sends each of these pieces after a [`Multiplexed::go_on`].
    Pieces(&'static [&'static str]),
    /// Answers 413 at once, without reading the body.
    Early,
    /// Sends nothing until the test releases all such streams, then acts like `Echo`.
    Hold,
    /// Answers, announces the end of the connection, and finishes the requests in progress.
    Leave,
    /// Sends fewer bytes than the answer's length states.
    Short,
}

/// The request of a stream, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) head: Arc<Request<()>>,
    /// The connection of the stream, counted from 0.
    pub(crate) connection: usize,
}

/// An upstream that speaks HTTP/2.
pub(crate) struct Multiplexed {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Play>>,
    opened: Mutex<Vec<Opened>>,
    /// The reasons of the gateway's resets.
    resets: Mutex<Vec<Reason>>,
    connections: Mutex<usize>,
    held: Mutex<bool>,
    steps: Mutex<usize>,
    violations: Mutex<Vec<String>>,
}

impl Multiplexed {
    /// Starts an upstream that allows this many streams on a connection.
    pub(crate) fn start(max_streams: u32) -> Self {
        Self::start_with(max_streams, None)
    }

    /// Starts an upstream over TLS.
    pub(crate) fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::start_with(100, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(max_streams: u32, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        *state.held.lock().unwrap() = true;
        let shared = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((tcp, _)) = listener.accept().await {
                    let (state, tls) = (shared.clone(), tls.clone());
                    let number = {
                        let mut connections = state.connections.lock().unwrap();
                        *connections += 1;
                        *connections - 1
                    };
                    tokio::spawn(async move {
                        match tls {
                            None => serve(state, tcp, number, max_streams).await,
                            Some(tls) => {
                                let Ok(stream) = tls.accept(tcp).await else {
                                    return;
                                };
                                serve(state, stream, number, max_streams).await;
                            }
                        }
                    });
                }
            });
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its entry in a configuration, without TLS.
    pub(crate) fn toml(&self, name: &str) -> String {
        format!(
            "[upstreams.{name}]\nurl = \"http://{}\"\nprotocol = \"http2\"\n",
            self.address
        )
    }

    /// Sets the actions for the next streams; after that it echoes.
    pub(crate) fn play(&self, script: impl IntoIterator<Item = Play>) {
        self.state.script.lock().unwrap().extend(script);
    }

    pub(crate) fn opened(&self) -> Vec<Opened> {
        self.state.opened.lock().unwrap().clone()
    }

    pub(crate) fn resets(&self) -> Vec<Reason> {
        self.state.resets.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Lets the next [`Play::Reset`] reset its stream, or the next piece of [`Play::Pieces`] be
    /// sent.
    pub(crate) fn go_on(&self) {
        *self.state.steps.lock().unwrap() += 1;
    }

    /// Releases the streams of [`Play::Hold`].
    pub(crate) fn let_go(&self) {
        *self.state.held.lock().unwrap() = false;
    }

    /// Waits until `count` streams were opened.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until("streams are opened at the upstream", || {
            self.opened().len() >= count
        });
    }
}

impl State {
    /// Waits until the test allows the next step.
    async fn step(&self) {
        while !self.may_go_on() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn may_go_on(&self) -> bool {
        let mut steps = self.steps.lock().unwrap();
        let may = *steps > 0;
        *steps -= usize::from(may);
        may
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        let violations = self.state.violations.lock().unwrap();
        if !thread::panicking() {
            assert!(
                violations.is_empty(),
                "what arrived broke an invariant: {violations:#?}"
            );
        }
    }
}

async fn serve<T>(state: Arc<State>, io: T, number: usize, max_streams: u32)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(max_streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return;
    };
    while let Some(Ok((request, response))) = connection.accept().await {
        let play = state.script.lock().unwrap().pop_front().unwrap_or_default();
        let (head, body) = request.into_parts();
        let head = Arc::new(Request::from_parts(head, ()));
        check(&state, &head);
        state.opened.lock().unwrap().push(Opened {
            head: head.clone(),
            connection: number,
        });
        if matches!(play, Play::Leave) {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(state.clone(), play, body, response));
    }
}

/// Checks the invariants of every arrival (RFC 9113 §8.2.2, §8.3.1).
fn check(state: &State, head: &Request<()>) {
    let headers = head.headers();
    for name in [
        "host",
        "connection",
        "transfer-encoding",
        "upgrade",
        "keep-alive",
        "proxy-connection",
    ] {
        if headers.contains_key(name) {
            state
                .violations
                .lock()
                .unwrap()
                .push(format!("{name} went further: {head:?}"));
        }
    }
    // A probe is the gateway's own request and has no forwarding fields.
    let is_probe = head.uri().path().starts_with("/healthz")
        && headers
            .get("user-agent")
            .is_some_and(|agent| agent == concat!("scopegate/", env!("CARGO_PKG_VERSION")));
    if head.uri().authority().is_none() || is_probe == headers.contains_key("x-request-id") {
        state
            .violations
            .lock()
            .unwrap()
            .push(format!("no authority or request id: {head:?}"));
    }
}

async fn answer(
    state: Arc<State>,
    play: Play,
    body: RecvStream,
    mut response: SendResponse<Bytes>,
) {
    let ok = || Response::new(());
    match play {
        Play::Refuse => response.send_reset(Reason::REFUSED_STREAM),
        Play::RefuseLate => {
            receive(body).await;
            response.send_reset(Reason::REFUSED_STREAM);
        }
        Play::Reset(text, reason) => {
            let mut stream = response.send_response(ok(), false).unwrap();
            let _ = stream.send_data(Bytes::from_static(text.as_bytes()), false);
            // A reset discards data that was not sent yet, so the test says when it has seen the
            // data.
            state.step().await;
            stream.send_reset(reason);
        }
        Play::Pieces(pieces) => {
            let head = Response::builder()
                .header("content-type", "text/event-stream")
                .body(())
                .unwrap();
            let mut stream = response.send_response(head, false).unwrap();
            for (number, piece) in pieces.iter().enumerate() {
                state.step().await;
                let _ = stream.send_data(
                    Bytes::from_static(piece.as_bytes()),
                    number + 1 == pieces.len(),
                );
            }
        }
        Play::Early => {
            let mut head = ok();
            *head.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            let _ = response.send_response(head, true);
            let reason = std::future::poll_fn(|cx| response.poll_reset(cx)).await;
            state.resets.lock().unwrap().extend(reason.ok());
            drop(body);
        }
        Play::Short => {
            let head = Response::builder()
                .header("content-length", "10")
                .body(())
                .unwrap();
            let mut stream = response.send_response(head, false).unwrap();
            let _ = stream.send_data(Bytes::from_static(b"short"), true);
        }
        Play::Hold => {
            loop {
                let held = *state.held.lock().unwrap();
                if !held {
                    break;
                }
                let reset = std::future::poll_fn(|cx| response.poll_reset(cx));
                if let Ok(reason) = tokio::time::timeout(Duration::from_millis(5), reset).await {
                    state.resets.lock().unwrap().extend(reason.ok());
                    return;
                }
            }
            echo(body, response).await;
        }
        Play::Echo | Play::Leave => echo(body, response).await,
    }
}

/// Returns a whole body and its trailers.
async fn receive(mut body: RecvStream) -> (Vec<u8>, HeaderMap) {
    let mut received = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        received.extend_from_slice(&piece);
    }
    let trailers = body
        .trailers()
        .await
        .ok()
        .flatten()
        .unwrap_or_else(HeaderMap::new);
    (received, trailers)
}

async fn echo(body: RecvStream, mut response: SendResponse<Bytes>) {
    let (received, mut trailers) = receive(body).await;
    trailers.insert(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    );
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    let head = Response::builder()
        .header("trailer", names.join(", "))
        .body(())
        .unwrap();
    let Ok(mut stream) = response.send_response(head, false) else {
        return;
    };
    let _ = stream.send_data(received.into(), false);
    let _ = stream.send_trailers(trailers);
}
