//! `[server.timeouts]`: the deadlines of client connections.

use std::time::Duration;

use crate::config::language::{DefaultKey, Key, Reader, Table, Time};
use crate::config::notes::limits::{Set, note_beyond_request};

/// Deadlines of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request head, from its first byte.
    pub request_head: Duration,
    /// For a connection between requests.
    pub idle: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle_body: Duration,
    /// For a whole request, from its head to the end of its response; `None` for no limit, the
    /// default.
    pub request: Option<Duration>,
    /// For a WebSocket on which neither side sends anything.
    pub tunnel: Duration,
    /// For a connection as a whole, plus or minus a tenth; `None` for no limit, the default.
    pub connection_age: Option<Duration>,
}

pub(super) static TABLE: Table = Table {
    path: "server.timeouts",
    doc: "Deadlines of client connections. Deadlines of upstream connections are keys of the \
          upstreams.",
    keys: &[
        &REQUEST_HEAD,
        &IDLE,
        &IDLE_BODY,
        &REQUEST,
        &TUNNEL,
        &CONNECTION_AGE,
    ],
    refused: &[],
};

const REQUEST_HEAD: DefaultKey<Time> = Key::new("request_head", Time::POSITIVE)
    .doc(
        "The time for a request head, from its first byte to its last. It ends connections of \
         clients that send a head byte by byte.",
    )
    .or("10s");

const IDLE: DefaultKey<Time> = Key::new("idle", Time::POSITIVE)
    .doc("The time for which a connection may stay idle between two requests.")
    .not(&["keep_alive"])
    .or("60s");

const IDLE_BODY: DefaultKey<Time> = Key::new("idle_body", Time::POSITIVE)
    .doc(
        "The time limit between two pieces of a body, in either direction. A stream that pauses \
         for longer, such as server-sent events, needs a heartbeat or a route with its own \
         `idle_body`.",
    )
    .example(r#""2m""#)
    .or("60s");

const REQUEST: Key<Time> = Key::new("request", Time::POSITIVE)
    .absent("no limit")
    .doc(
        "The time limit of a whole request, from its head to the end of its response. It also \
         ends long downloads and streams.",
    )
    .example(r#""5m""#);

const TUNNEL: DefaultKey<Time> = Key::new("tunnel", Time::POSITIVE)
    .doc("The time for which a WebSocket may stay idle in both directions. Pings count as data.")
    .not(&["websocket"])
    .example(r#""1h""#)
    .or("10m");

const CONNECTION_AGE: Key<Time> = Key::new("connection_age", Time::POSITIVE)
    .absent("no limit")
    .doc(
        "The greatest age of a connection, plus or minus a tenth, so that connections do not all \
         end at once. Requests in progress are finished; then the client opens another \
         connection, perhaps to another gateway.",
    )
    .not(&["max_connection_age"])
    .example(r#""1h""#);

pub(super) fn timeouts(mut reader: Reader<'_>) -> Timeouts {
    let timeouts = Timeouts {
        request_head: reader.get(&REQUEST_HEAD),
        idle: reader.get(&IDLE),
        idle_body: reader.get(&IDLE_BODY),
        request: reader.find(&REQUEST),
        tunnel: reader.get(&TUNNEL),
        connection_age: reader.find(&CONNECTION_AGE),
    };
    let request = Set::new(&REQUEST, timeouts.request);
    let idle_body = Set::new(&IDLE_BODY, Some(timeouts.idle_body));
    note_beyond_request(&reader, &idle_body, &request);
    reader.finish();
    timeouts
}
