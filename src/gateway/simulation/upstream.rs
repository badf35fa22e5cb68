//! The upstreams of a simulation: they answer with what they read, or fail as they are told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;
use turmoil::net::TcpListener;

use super::http::{Connection, Message, response};
use super::trace::{note, now};

/// The behaviour of an upstream when a request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers after a time.
    Answers(Duration),
    /// It answers with 503.
    Overloaded,
    /// It reads the head, and closes the connection.
    HangsUp,
    /// It reads, and never answers.
    Silent,
}

/// A request that arrived at an upstream.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) upstream: String,
    pub(super) at: Duration,
}

/// The behaviour of each upstream, and the requests that arrived, by their ids.
#[derive(Default)]
pub(super) struct Upstreams {
    moods: RefCell<BTreeMap<String, Mood>>,
    pub(super) arrivals: RefCell<BTreeMap<String, Vec<Arrival>>>,
}

impl Upstreams {
    pub(super) fn set(&self, name: &str, mood: Mood) {
        self.moods.borrow_mut().insert(name.to_owned(), mood);
    }

    fn mood(&self, name: &str) -> Mood {
        let moods = self.moods.borrow();
        moods
            .get(name)
            .copied()
            .unwrap_or(Mood::Answers(Duration::ZERO))
    }

    fn arrived(&self, name: &str, request: &Message) {
        let id = request.field("x-id").unwrap_or_default().to_owned();
        note(format_args!("{name} got {id}"));
        self.arrivals
            .borrow_mut()
            .entry(id)
            .or_default()
            .push(Arrival {
                upstream: name.to_owned(),
                at: now(),
            });
    }
}

/// Serves port 80 of a host.
pub(super) async fn serve(name: String, upstreams: Rc<Upstreams>) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (name, upstreams) = (name.clone(), upstreams.clone());
        spawn_local(async move {
            let mut connection = Connection::new(stream);
            // An error means that the gateway has closed the connection.
            while answer(&name, &upstreams, &mut connection).await.is_some() {}
        });
    }
}

/// Answers one request; `None` at the end of the connection.
async fn answer(name: &str, upstreams: &Upstreams, connection: &mut Connection) -> Option<()> {
    let head = connection.head().await.ok()??;
    upstreams.arrived(name, &head);
    let mood = upstreams.mood(name);
    if mood == Mood::HangsUp {
        return None;
    }
    let request = connection.with_body(head).await.ok()?;
    let id = request.field("x-id").unwrap_or_default();
    let judged = request.field("x-judged-by").unwrap_or("none");
    let fields = format!("X-Answer-To: {id}\r\nX-Served-By: {name}\r\nX-Judged-By: {judged}\r\n");
    let status = match mood {
        Mood::Answers(pause) => {
            sleep(pause + pause_of(&request)).await;
            200
        }
        Mood::Overloaded => 503,
        Mood::HangsUp => return None,
        Mood::Silent => std::future::pending().await,
    };
    connection.send(&response(status, &fields, id)).await.ok()
}

/// Returns the time that a request takes, which the last segment of its path tells.
fn pause_of(request: &Message) -> Duration {
    let last = request.word(1).rsplit('/').next();
    Duration::from_millis(last.and_then(|text| text.parse().ok()).unwrap_or_default())
}
