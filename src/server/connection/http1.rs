//! HTTP/1.1.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Builder};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::task::yield_now;

use super::bare::Bare;
use super::deadline::Deadline;
use super::head::Asked;
use super::parked::park;
use super::tracked_body::TrackedBody;
use super::watched::Watched;
use super::{ClientStream, Connection, ConnectionContext, End, Served, drive, lingering_close};
use crate::config::Server;
use crate::proxy::{self, Upgrades};

/// Fields that hyper parses without allocating; only another limit is worth the difference.
const HYPERS_MAX_FIELDS: usize = 100;

/// Hyper reads a head into a buffer of at most so many bytes (8 KiB and 4 KiB for each of 100
/// fields); a longer head needs a longer buffer.
const HYPERS_MAX_BUFFER: usize = 8 * 1024 + 4 * 1024 * 100;

/// The most that TLS keeps of what a tunnel carries to a client that does not take it.
const TUNNEL_TLS_BUFFER: usize = 64 * 1024;

impl<S> Served for http1::Connection<TokioIo<Watched<'_>>, S>
where
    S: HttpService<Incoming, ResBody = TrackedBody, Error = Infallible>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The walk of the request that is being answered, which the library polls, and drops when its
/// client has gone.
struct Walking<'a, 'p, W>(&'a RefCell<Pin<&'p mut Option<W>>>);

impl<W: Future> Future for Walking<'_, '_, W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        self.0
            .borrow_mut()
            .as_mut()
            .as_pin_mut()
            .map_or(Poll::Pending, |walk| walk.poll(cx))
    }
}

impl<W> Drop for Walking<'_, '_, W> {
    fn drop(&mut self) {
        self.0.borrow_mut().set(None);
    }
}

fn builder(server: &Server) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(server.limits.head_bytes)
        .half_close(true);
    if server.limits.head_fields != HYPERS_MAX_FIELDS {
        builder.max_headers(server.limits.head_fields);
    }
    if server.limits.head_bytes > HYPERS_MAX_BUFFER {
        builder.max_buf_size(server.limits.head_bytes);
    }
    builder
}

/// Serves a connection of HTTP/1.1 to its end. What serves it is there from the first byte of a
/// request until nothing has come for a while: a connection that is kept and says nothing costs
/// little more than its stream.
pub(super) async fn serve(connection: &mut Connection) {
    let Connection {
        stream,
        context,
        deadline,
        ..
    } = connection;
    loop {
        if let Err(end) = park(stream, context, deadline).await {
            return context.ended(end);
        }
        // Boxed: it is given back while the connection rests.
        if !Box::pin(serve_awake(stream, context, deadline)).await {
            return;
        }
    }
}

/// Serves it until it ends, or may rest: whether it does.
async fn serve_awake(
    stream: &mut ClientStream,
    context: &ConnectionContext,
    deadline: &mut Deadline,
) -> bool {
    let upgrades = Upgrades::counting(
        context.activity.bodies(),
        context.activity.response_timeout(),
    );
    let upgrades = &upgrades;
    // The library would keep it in a place of its own, and carry it there.
    let walk = pin!(None);
    let walk = RefCell::new(walk);
    let service = service_fn(|request: Request<Incoming>| {
        let asked = Asked::of(&request);
        let open = context.activity.begin(asked.has_body);
        walk.borrow_mut().set(Some(async move {
            let mut response =
                proxy::serve(&context.worker, &context.peer, upgrades, request).await;
            if asked.has_body && context.activity.reads_no_body() {
                // Of a body that was not wanted the library now takes what is there. If that is not
                // all, the connection ends with this answer, whose head says so only if the library
                // knows (RFC 9112 §9.6).
                yield_now().await;
            }
            asked.complete(&mut response, open.is_last());
            context.activity.answering();
            Ok::<_, Infallible>(response.map(|body| TrackedBody { body, open }))
        }));
        Walking(&walk)
    });
    let activity = &context.activity;
    let io = TokioIo::new(Watched {
        stream: &mut *stream,
        activity,
        bare: Bare::default(),
    });
    // As they are configured now: a connection that rested may be older than its limits.
    let mut served =
        builder(&context.worker.view().snapshot.config.server).serve_connection(io, service);
    let end = drive(Pin::new(&mut served), activity, deadline).await;
    let tunnel = upgrades.take();
    let unconfirmed = upgrades.take_unconfirmed();
    let is_cut = activity.is_busy();
    if end.is_none() && tunnel.is_none() && !activity.is_resting() && !activity.had_body() {
        // Most end like this, and what is dropped where it is need not be taken apart.
        return false;
    }
    let unread = served.into_parts().read_buf;
    if activity.is_resting() {
        // Nothing, or the beginning of a head that was pipelined.
        stream.unread(unread);
        return true;
    }
    context.ended(end);
    if let Some(tunnel) = tunnel {
        // What the client sent behind its request waited for the answer (attacks.md, "Advisories"
        // 15).
        stream.unread(unread);
        stream.bound_tls(TUNNEL_TLS_BUFFER);
        // Boxed: few become one, and all others would be as large.
        Box::pin(tunnel.run(stream, deadline.registration.closing())).await;
        return false;
    }
    match end {
        Some(End::Parse | End::TooLarge | End::TargetTooLong) | None => {
            lingering_close::close(stream).await;
        }
        // The client left, but not before it had its answers.
        Some(End::Aborted) if !is_cut => lingering_close::close(stream).await,
        Some(End::Aborted | End::Other | End::Tls | End::ProxyProtocol | End::Flood) => {
            lingering_close::reset(stream);
        }
        Some(End::Timeout) if is_cut => lingering_close::reset(stream),
        Some(End::Timeout) => {}
    }
    // `close_notify` can have met with the reset already.
    let is_written = end.is_none() && !activity.owes_answer();
    if let Some(refusal) = unconfirmed
        && is_written
        && !lingering_close::is_reset(stream).await
    {
        refusal.received();
    }
    false
}
