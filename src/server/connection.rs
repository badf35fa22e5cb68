//! One client connection: HTTP/1.1 by hyper, its deadlines by us.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::sleep_until;

use super::activity::{Activity, Answer, Watched};
use super::drain::Member;
use super::farewell;
use super::stream::Stream;
use crate::clock;
use crate::net::Peer;
use crate::proxy::{self, Upgrades, Worker};

/// Fields that hyper parses without allocating; only another limit is worth the difference.
const HYPERS_MAX_FIELDS: usize = 100;

/// Hyper reads a head into a buffer of at most so many bytes (8 KiB and 4 KiB for each of 100 fields); a longer head
/// needs a longer buffer.
const HYPERS_MAX_BUFFER: usize = 8 * 1024 + 4 * 1024 * 100;

/// How a connection ended: an index into `GatewayMetrics::CONNECTION_ERRORS`, or well.
#[derive(Clone, Copy)]
enum End {
    Parse = 0,
    TooLarge = 1,
    Timeout = 2,
    Aborted = 3,
    Other = 4,
}

impl End {
    fn of(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::TooLarge
        } else if error.is_parse() {
            Self::Parse
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_incomplete_message() || error.is_closed() || error.is_body_write_aborted() {
            Self::Aborted
        } else {
            Self::Other
        }
    }
}

/// Serves a connection until it ends, runs out of time, or is drained.
pub(super) async fn serve(stream: Stream, peer: Peer, worker: Rc<Worker>, mut member: Member) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.socket().set_tcp_nodelay(true);
    let view = worker.view();
    let server = &view.snapshot.config.server;
    let activity = Activity::new(server.timeouts.clone());
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(server.limits.head_bytes).half_close(false);
    if server.limits.head_fields != HYPERS_MAX_FIELDS {
        builder.max_headers(server.limits.head_fields);
    }
    if server.limits.head_bytes > HYPERS_MAX_BUFFER {
        builder.max_buf_size(server.limits.head_bytes);
    }
    drop(view);

    let upgrades = Rc::new(Upgrades::default());
    let service = service_fn({
        let (worker, activity, peer) = (worker.clone(), activity.clone(), Rc::new(peer));
        let upgrades = upgrades.clone();
        move |request: Request<Incoming>| {
            activity.busy(!request.body().is_end_stream());
            let (worker, activity, peer) = (worker.clone(), activity.clone(), peer.clone());
            let upgrades = upgrades.clone();
            async move {
                let response = proxy::serve(&worker, &peer, &upgrades, request).await;
                Ok::<_, Infallible>(response.map(|body| Answer { body, activity }))
            }
        }
    });
    let io = TokioIo::new(Watched { stream, activity: activity.clone() });
    let mut connection = builder.serve_connection(io, service);
    let mut alarm = activity.deadline().unwrap_or_else(clock::monotonic);
    let mut sleep = pin!(sleep_until(alarm.into()));

    let end = poll_fn(|cx| {
        if member.poll_begun(cx) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(result.err().map(|error| End::of(&error)));
        }
        loop {
            // A deadline that comes nearer moves the alarm; one that moves away is looked at when the alarm rings.
            if let Some(deadline) = activity.deadline().filter(|deadline| *deadline < alarm) {
                alarm = deadline;
                sleep.as_mut().reset(alarm.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = clock::monotonic();
            if activity.deadline().is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Some(End::Timeout));
            }
            alarm = activity.deadline().unwrap_or(now + activity.patience());
            sleep.as_mut().reset(alarm.into());
        }
    })
    .await;
    if let Some(end) = end {
        worker.metrics().connection_errors.increment(end as usize);
    }
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().stream;
    if let Some(tunnel) = upgrades.take() {
        // What the client sent behind its request waited for the answer (attacks.md, "Advisories" 15).
        stream.unread(parts.read_buf);
        return tunnel.run(stream, member.closing()).await;
    }
    match end {
        Some(End::Parse | End::TooLarge) => farewell::close(stream).await,
        None if activity.had_body() => farewell::close(stream).await,
        Some(End::Aborted | End::Other) => farewell::reset(&stream),
        Some(End::Timeout) if activity.is_busy() => farewell::reset(&stream),
        None | Some(End::Timeout) => {}
    }
}
