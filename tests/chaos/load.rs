//! Clients under constant load: each sends one request after the other and checks every answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::latency::Windows;

/// The time after which an answer counts as lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// A kind of request, and its expected result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// With the scope: always 200.
    Get,
    /// With the scope: 200, or a fault of the upstream.
    Post,
    /// Without a token: 401.
    Anonymous,
    /// With another scope: 403.
    Denied,
    /// With a token that another key has signed: 401.
    Forged,
}

/// The status, the echo and the body of an answer, or what went wrong.
type Outcome = Result<(StatusCode, String, String), String>;

const KINDS: [Kind; 6] = [
    Kind::Get,
    Kind::Post,
    Kind::Get,
    Kind::Anonymous,
    Kind::Denied,
    Kind::Forged,
];

/// The tokens of the clients.
pub(crate) struct Tokens {
    pub(crate) good: String,
    pub(crate) denied: String,
    pub(crate) forged: String,
}

/// The results of all clients.
#[derive(Default)]
pub(crate) struct Seen {
    /// The prefix of the ids of this run.
    pub(crate) run: &'static str,
    pub(crate) answers: Mutex<BTreeMap<(Kind, String), usize>>,
    /// The number of GETs without their own answer.
    pub(crate) lost: AtomicUsize,
    /// The number of wrong verdicts.
    pub(crate) wrong: AtomicUsize,
    /// The number of answers to another request.
    pub(crate) mixed: AtomicUsize,
    pub(crate) examples: Mutex<Vec<String>>,
    pub(crate) stop: AtomicBool,
}

impl Seen {
    pub(crate) fn total(&self) -> usize {
        self.answers.lock().unwrap().values().sum()
    }

    pub(crate) fn print(&self) {
        for ((kind, answer), count) in &*self.answers.lock().unwrap() {
            println!("  {kind:?} -> {answer}: {count}");
        }
        for example in &*self.examples.lock().unwrap() {
            println!("  e.g. {example}");
        }
    }

    fn note(&self, kind: Kind, id: &str, outcome: Outcome) {
        let text = match &outcome {
            Ok((status, ..)) => status.as_u16().to_string(),
            Err(error) => error.clone(),
        };
        *self
            .answers
            .lock()
            .unwrap()
            .entry((kind, text))
            .or_default() += 1;
        let status = outcome
            .as_ref()
            .map(|(status, ..)| status.as_u16())
            .unwrap_or_default();
        let counter = match (kind, status) {
            (Kind::Get | Kind::Post, 200)
                if outcome.as_ref().is_ok_and(|(_, echo, _)| echo != id) =>
            {
                &self.mixed
            }
            (Kind::Get | Kind::Post, 200) => return,
            (Kind::Post, 0 | 502..=504) => return,
            (Kind::Anonymous | Kind::Forged, 401) | (Kind::Denied, 403) => return,
            (_, 0) | (Kind::Get, 500..) => &self.lost,
            _ => &self.wrong,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut examples = self.examples.lock().unwrap();
        if examples.len() < 20 {
            examples.push(format!("{kind:?} {id}: {outcome:?}"));
        }
    }
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

#[derive(Clone)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A client that sends one request after the other, over one connection at a time.
pub(crate) struct Client {
    pub(crate) number: usize,
    /// The HTTP version that it speaks.
    pub(crate) version: Version,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    /// The tokens of the moment.
    pub(crate) tokens: Arc<Mutex<Arc<Tokens>>>,
    pub(crate) seen: Arc<Seen>,
    /// The time from the start of one request to that of the next.
    pub(crate) interval: Duration,
    /// Where the times of answers are noted.
    pub(crate) windows: Option<Arc<Windows>>,
}

impl Client {
    /// Starts the client on a thread of its own.
    pub(crate) fn start(self) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, self.work());
        })
    }

    async fn work(self) {
        let mut sender = None;
        for count in 0.. {
            if self.seen.stop.load(Ordering::Relaxed) {
                return;
            }
            let kind = KINDS[count % KINDS.len()];
            let id = format!("{}-{}-{count}", self.seen.run, self.number);
            let start = Instant::now();
            let outcome = self.send(&mut sender, kind, &id).await;
            self.note_time(kind, &outcome, start.elapsed());
            self.seen.note(kind, &id, outcome);
            tokio::time::sleep_until((start + self.interval).into()).await;
        }
    }

    async fn send(&self, sender: &mut Option<Sender>, kind: Kind, id: &str) -> Outcome {
        let tokens = self.tokens.lock().unwrap().clone();
        let mut outcome = Err("not sent".to_owned());
        // If the gateway ended the connection between two requests, nothing was lost.
        for _ in 0..2 {
            if sender.is_none() {
                match connect(self.version, self.address, &self.tls).await {
                    Ok(open) => *sender = Some(open),
                    Err(error) => outcome = Err(error),
                }
            }
            let Some(open) = sender else { continue };
            match exchange(open, self.version, kind, id, &tokens).await {
                Exchange::Answered(answer) => return Ok(answer),
                Exchange::Unsent => *sender = None,
                Exchange::Failed(error) => {
                    *sender = None;
                    return Err(error);
                }
            }
        }
        outcome
    }

    fn note_time(&self, kind: Kind, outcome: &Outcome, time: Duration) {
        let (Some(windows), Ok((status, ..))) = (&self.windows, outcome) else {
            return;
        };
        let is_own = matches!(kind, Kind::Anonymous | Kind::Denied | Kind::Forged);
        if is_own || *status == StatusCode::OK {
            windows.add(is_own, time);
        }
    }
}

async fn connect(
    version: Version,
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
) -> Result<Sender, String> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| format!("no connection: {}", error.kind()))?;
    let mut config = ClientConfig::clone(tls);
    config.alpn_protocols = vec![if version == Version::HTTP_2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await;
    let io = TokioIo::new(stream.map_err(|error| format!("no TLS: {error}"))?);
    if version == Version::HTTP_2 {
        let made = http2::Builder::new(OnThisThread)
            .handshake::<_, Full<Bytes>>(io)
            .await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(connection);
        Ok(Sender::Two(sender))
    } else {
        let (sender, connection) = http1::handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        tokio::task::spawn_local(connection);
        Ok(Sender::One(sender))
    }
}

enum Exchange {
    Answered((StatusCode, String, String)),
    Unsent,
    Failed(String),
}

async fn exchange(
    sender: &mut Sender,
    version: Version,
    kind: Kind,
    id: &str,
    tokens: &Tokens,
) -> Exchange {
    let token = match kind {
        Kind::Get | Kind::Post => Some(&tokens.good),
        Kind::Denied => Some(&tokens.denied),
        Kind::Forged => Some(&tokens.forged),
        Kind::Anonymous => None,
    };
    let mut request = Request::builder()
        .method(if kind == Kind::Post { "POST" } else { "GET" })
        .header("x-id", id);
    request = match version {
        Version::HTTP_2 => request.uri("https://localhost/orders"),
        _ => request.uri("/orders").header("host", "localhost"),
    };
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if kind == Kind::Post {
        Bytes::from_static(b"a body")
    } else {
        Bytes::new()
    };
    let request = request.body(Full::new(body)).unwrap();
    let sent = async {
        match sender {
            Sender::One(sender) => {
                if sender.ready().await.is_err() {
                    return Ok(None);
                }
                unless_unsent(sender.try_send_request(request).await)
            }
            Sender::Two(sender) => {
                if sender.ready().await.is_err() {
                    return Ok(None);
                }
                unless_unsent(sender.try_send_request(request).await)
            }
        }
    };
    let response = match timeout(PATIENCE, sent).await {
        Ok(Ok(Some(response))) => response,
        Ok(Ok(None)) => return Exchange::Unsent,
        Ok(Err(error)) => return Exchange::Failed(format!("no answer: {error}")),
        Err(_) => return Exchange::Failed("no answer in time".to_owned()),
    };
    let status = response.status();
    let echo = response
        .headers()
        .get("x-echo")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    match timeout(PATIENCE, response.into_body().collect()).await {
        Ok(Ok(body)) => Exchange::Answered((
            status,
            echo,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        )),
        Ok(Err(error)) => Exchange::Failed(format!("{status}, then cut: {error}")),
        Err(_) => Exchange::Failed(format!("{status}, and no end in time")),
    }
}

type Sent<T> = Result<T, hyper::client::conn::TrySendError<Request<Full<Bytes>>>>;

fn unless_unsent<T>(sent: Sent<T>) -> Result<Option<T>, String> {
    match sent {
        Ok(response) => Ok(Some(response)),
        Err(mut error) => match error.take_message() {
            Some(_) => Ok(None),
            None => Err(error.into_error().to_string()),
        },
    }
}
