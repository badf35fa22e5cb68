//! The clients of a simulation. Whatever the gateway answers has to be the answer of the request
//! that asked, and a connection that was accepted has to be answered.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use turmoil::net::TcpStream;

use super::http::{Connection, Message};
use super::trace::{count, note, now, promise};

/// The host of the gateway, and the port on which it listens.
pub(super) const GATEWAY: &str = "gateway";
pub(super) const PORT: u16 = 8080;

/// The longest that a client waits: longer than every deadline of the gateway.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) token: Option<String>,
    /// The length of the body, and the pause before its last byte.
    pub(super) body: Option<(usize, Duration)>,
    pub(super) port: u16,
}

impl Ask {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            token: None,
            body: None,
            port: PORT,
        }
    }

    pub(super) fn post(path: &str, length: usize, pause: Duration) -> Self {
        Self {
            method: "POST",
            body: Some((length, pause)),
            ..Self::get(path)
        }
    }

    pub(super) fn bearer(self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    pub(super) fn at(self, port: u16) -> Self {
        Self { port, ..self }
    }
}

/// The end of a request.
pub(super) enum End {
    Answered(Message),
    /// No connection was accepted.
    Refused,
    /// The connection was accepted, and ended without an answer.
    Lost(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => write!(f, "{}", answer.status()),
            Self::Refused => f.write_str("refused"),
            Self::Lost(why) => write!(f, "lost: {why}"),
        }
    }
}

/// A request that has ended.
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) begun: Duration,
    /// Set if the request was the first of its connection.
    pub(super) is_first: bool,
    pub(super) end: End,
}

impl Ended {
    /// Returns the status of the answer; 0 if there was none.
    pub(super) fn status(&self) -> u16 {
        match &self.end {
            End::Answered(answer) => answer.status(),
            End::Refused | End::Lost(_) => 0,
        }
    }

    pub(super) fn answer(&self) -> Option<&Message> {
        match &self.end {
            End::Answered(answer) => Some(answer),
            End::Refused | End::Lost(_) => None,
        }
    }
}

/// A client, which keeps its connection where it may.
pub(super) struct Client {
    name: String,
    sent: usize,
    kept: Option<(u16, Connection)>,
}

impl Client {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            sent: 0,
            kept: None,
        }
    }

    /// Closes the connection.
    pub(super) fn leave(&mut self) {
        self.kept = None;
    }

    /// Sends a request, and waits for its end.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Ended {
        self.sent += 1;
        let id = format!("{}-{}", self.name, self.sent);
        let begun = now();
        let is_first = self.kept.as_ref().is_none_or(|(port, _)| *port != ask.port);
        note(format_args!("{id} {} {}", ask.method, ask.path));
        let end = match timeout(PATIENCE, self.exchange(&id, ask)).await {
            Ok(end) => end,
            Err(_) => {
                promise(false, format_args!("{id} was not answered in {PATIENCE:?}"));
                End::Lost("no answer".to_owned())
            }
        };
        if !matches!(end, End::Answered(_)) {
            self.kept = None;
        }
        let reason = match &end {
            End::Answered(answer) => answer.field("x-served-by").unwrap_or("gateway"),
            End::Refused | End::Lost(_) => "nobody",
        };
        note(format_args!("{id} ended: {end} by {reason}"));
        count("requests");
        Ended {
            id,
            begun,
            is_first,
            end,
        }
    }

    async fn exchange(&mut self, id: &str, ask: &Ask) -> End {
        let mut connection = match self.kept.take() {
            Some((port, kept)) if port == ask.port => kept,
            _ => match TcpStream::connect((GATEWAY, ask.port)).await {
                Ok(stream) => Connection::new(stream),
                Err(_) => return End::Refused,
            },
        };
        // An early answer may come before the request is sent, and makes the rest of it fail.
        let sent = send(&mut connection, id, ask).await;
        match connection.next().await {
            Ok(Some(answer)) => {
                expect_own(id, &answer);
                if sent.is_ok() && !answer.is_last() {
                    self.kept = Some((ask.port, connection));
                }
                End::Answered(answer)
            }
            Ok(None) => End::Lost("closed".to_owned()),
            Err(error) => End::Lost(error.kind().to_string()),
        }
    }
}

/// An answer of an upstream names the request that it is for.
fn expect_own(id: &str, answer: &Message) {
    let own = answer.field("x-answer-to").is_none_or(|to| to == id);
    promise(
        own,
        format_args!("{id} got the answer of another: {}", answer.head),
    );
}

async fn send(connection: &mut Connection, id: &str, ask: &Ask) -> std::io::Result<()> {
    let Ask { method, path, .. } = ask;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: api.test\r\nX-Id: {id}\r\n");
    if let Some(token) = &ask.token {
        text.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    let Some((length, pause)) = ask.body else {
        text.push_str("\r\n");
        return connection.send(&text).await;
    };
    text.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    let Some(most) = length.checked_sub(1) else {
        return connection.send(&text).await;
    };
    text.extend(std::iter::repeat_n('x', most));
    connection.send(&text).await?;
    tokio::time::sleep(pause).await;
    connection.send("x").await
}
