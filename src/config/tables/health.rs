//! `[upstreams.<name>.health]`: the health probes of the endpoints.

use http::StatusCode;
use http::uri::PathAndQuery;

use crate::config::language::{Count, DefaultKey, Key, Reader, Str, Subtable, Table, Time};
use crate::upstream::Health;

pub(super) static TABLE: Table = Table {
    path: "upstreams.*.health",
    doc: "Probes each endpoint with a GET, on a connection of its own, in the same way as \
          requests: over TLS or the Unix socket, with the `protocol`. An unhealthy endpoint gets \
          no requests while another is healthy and not excluded; if there is none, all are tried. \
          Endpoints are healthy at first.",
    keys: &[
        &PATH,
        &INTERVAL,
        &TIMEOUT,
        &HEALTHY_AFTER,
        &UNHEALTHY_AFTER,
        &STATUS,
    ],
    refused: &[],
};

const PATH: Key<Str> = Key::new("path", Str)
    .doc("The path of the probe, with a query if one is needed.")
    .example(r#""/healthz""#);

const INTERVAL: DefaultKey<Time> = Key::new("interval", Time::POSITIVE)
    .doc("The time from a response to the next probe.")
    .example(r#""1s""#)
    .or("5s");

const TIMEOUT: DefaultKey<Time> = Key::new("timeout", Time::POSITIVE)
    .doc("The time limit of a probe, with its connection.")
    .example(r#""500ms""#)
    .or("2s");

const HEALTHY_AFTER: DefaultKey<Count<usize>> = Key::new("healthy_after", Count::new(1, 1000))
    .doc("Consecutive good responses after which an unhealthy endpoint is healthy.")
    .example("1")
    .or(2);

const UNHEALTHY_AFTER: DefaultKey<Count<usize>> = Key::new("unhealthy_after", Count::new(1, 1000))
    .doc("Consecutive bad or missing responses after which a healthy endpoint is unhealthy.")
    .example("1")
    .or(3);

const STATUS: Key<Count<u16>> = Key::new("status", Count::new(200, 599))
    .absent("any status below 400")
    .doc("The status of a good response.")
    .example("204");

pub(super) fn health(upstream: &mut Reader<'_>, key: &Key<Subtable>) -> Option<Health> {
    let subject = format!("{}, health", upstream.subject);
    let mut reader = upstream.table_if_present(key, subject)?;
    let path = path(&mut reader);
    let interval = reader.get(&INTERVAL);
    let timeout = reader.get(&TIMEOUT);
    let healthy_after = reader.get(&HEALTHY_AFTER);
    let unhealthy_after = reader.get(&UNHEALTHY_AFTER);
    let status = reader.find(&STATUS);
    reader.finish();
    Some(Health {
        path: path?,
        interval,
        timeout,
        healthy_after,
        unhealthy_after,
        status: status.and_then(|status| StatusCode::from_u16(status).ok()),
    })
}

fn path(reader: &mut Reader<'_>) -> Option<PathAndQuery> {
    let text = reader.find(&PATH)?;
    match PathAndQuery::try_from(text.text.as_str()) {
        Ok(path) if text.text.starts_with('/') => Some(path),
        _ => {
            let message = format!(
                "\"path\" is \"{}\": write a path such as \"/healthz\"",
                text.text
            );
            reader.problem(text.span, message);
            None
        }
    }
}
