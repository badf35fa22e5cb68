//! The control socket, by which `scopegate reload` asks the running gateway for a reload and hears
//! how it ended.
//!
//! The client sends `reload` and a newline. The gateway answers with a line that is the outcome,
//! then the text for the operator, and closes.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::reload::Reloaded;
use crate::telemetry::Label as _;

/// The one command, with its end.
const RELOAD: &[u8] = b"reload\n";

/// The most requests at a time. Further clients wait until they are accepted.
const MAX_REQUESTS: usize = 8;

/// The time that a client has for its command, and for taking the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for which a client waits for the outcome: less than the 90 s after which systemd gives
/// up on a reload.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(80);

/// The pause after an error of `accept`, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// The limit on the bytes of the text of an answer.
const MAX_TEXT: usize = 64 << 10;

/// The limit on the bytes of an answer: the outcome, and the text.
const MAX_ANSWER: u64 = MAX_TEXT as u64 + 64;

/// The end of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The outcome.
    pub outcome: Reloaded,
    /// What an operator should know: the problems of a refused configuration, one per line.
    pub text: String,
}

/// The receiver of the report of one reload.
pub(super) type Reply = oneshot::Sender<Report>;

/// The reason for which a gateway did not report a reload.
#[derive(Debug)]
pub enum ControlError {
    /// No gateway listens on the path, or it belongs to another user.
    Connect(io::Error),
    /// The gateway did not answer.
    Answer(io::Error),
}

/// A control socket that is registered with no event loop yet.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: StdListener,
    pub(super) path: PathBuf,
}

impl ControlSocket {
    /// Serves the socket on the event loop of this thread, until the requests are dropped.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be registered with the event loop.
    pub(super) fn serve(self) -> io::Result<ControlRequests> {
        let listener = UnixListener::from_std(self.listener)?;
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        spawn_local(accept(listener, sender));
        Ok(ControlRequests {
            requests,
            path: self.path,
        })
    }
}

/// The requests of the control socket.
pub(super) struct ControlRequests {
    requests: mpsc::Receiver<Reply>,
    pub(super) path: PathBuf,
}

impl ControlRequests {
    /// Waits for the next request. Without a control socket the future never completes.
    pub(super) async fn next(this: &mut Option<Self>) -> Reply {
        if let Some(this) = this
            && let Some(reply) = this.requests.recv().await
        {
            return reply;
        }
        std::future::pending().await
    }
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Reply>) {
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            () = requests.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let requests = requests.clone();
                spawn_local(async move {
                    let _place = place;
                    // An error means that the client left or is too slow.
                    let _ = answer(stream, requests).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot accept");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one client.
async fn answer(mut stream: UnixStream, requests: mpsc::Sender<Reply>) -> io::Result<()> {
    let mut command = [0; RELOAD.len()];
    within(stream.read_exact(&mut command)).await?;
    if command != RELOAD {
        return within(stream.write_all(b"unknown command\n")).await;
    }
    let (reply, report) = oneshot::channel();
    // An error means that the gateway drains. The reply is then dropped, and so is the report.
    let _ = requests.send(reply).await;
    let Ok(report) = report.await else {
        return Ok(());
    };
    let text = shortened(&report.text);
    let answer = format!("{}\n{text}", report.outcome.name());
    within(stream.write_all(answer.as_bytes())).await
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CLIENT_TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Returns the lines of a text that fit into an answer.
fn shortened(text: &str) -> &str {
    let Some(part) = text.as_bytes().get(..MAX_TEXT) else {
        return text;
    };
    // A line break is a byte of its own in UTF-8, and so a boundary of characters.
    let end = part.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Asks the gateway that listens on a control socket for a reload, and waits for its end.
///
/// # Errors
/// Returns a [`ControlError`] if there is no such gateway, or it does not answer in time.
pub fn request_reload(path: &Path) -> Result<Report, ControlError> {
    let stream = StdStream::connect(path).map_err(ControlError::Connect)?;
    let answer = ask(stream).map_err(ControlError::Answer)?;
    let (word, text) = answer.split_once('\n').unwrap_or((&answer, ""));
    let mut outcomes = Reloaded::ALL.iter();
    match outcomes.find(|outcome| outcome.name() == word) {
        Some(outcome) => Ok(Report {
            outcome: *outcome,
            text: text.to_owned(),
        }),
        None => {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it ended before the reload");
            Err(ControlError::Answer(error))
        }
    }
}

fn ask(mut stream: StdStream) -> io::Result<String> {
    stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    stream.set_read_timeout(Some(OUTCOME_TIMEOUT))?;
    stream.write_all(RELOAD)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_ends_with_a_whole_line() {
        assert_eq!(shortened("a\nb"), "a\nb");
        let text = "ä".repeat(30) + "\n";
        let shown = text.repeat(MAX_TEXT / text.len() + 2);
        let part = shortened(&shown);
        assert!(part.len() <= MAX_TEXT && part.ends_with('ä'));
        assert!(shown.get(part.len()..).unwrap().starts_with('\n'));
    }
}
