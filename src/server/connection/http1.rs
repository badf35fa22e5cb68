//! Serving HTTP/1.1 connections.

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
use crate::net::Layered;
use crate::proxy::{self, Upgrades};

/// Hyper's default limit of header fields. Up to it, hyper parses a head without an allocation;
/// setting a limit, even the same one, costs an allocation for each head.
const HYPERS_MAX_FIELDS: usize = 100;

/// Hyper's default limit of its read buffer, in bytes: 8 KiB, and 4 KiB for each of 100 fields. A
/// longer head needs a larger buffer.
const HYPERS_MAX_BUFFER: usize = 8 * 1024 + 4 * 1024 * 100;

/// The limit of the TLS buffer for the bytes of a tunnel that the client does not read yet.
const TUNNEL_TLS_BUFFER: usize = 64 * 1024;

impl<S> Served for http1::Connection<TokioIo<Layered<Watched<'_>>>, S>
where
    S: HttpService<Incoming, ResBody = TrackedBody, Error = Infallible>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The walk of the request that is being answered. Hyper polls it, and drops it when the client has
/// left. The walk itself stays pinned in the task; this only refers to it.
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

/// Serves an HTTP/1.1 connection to its end. Between requests the connection is parked after a
/// while: the state that parses and answers is freed, so that an idle connection costs little more
/// than its stream.
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
        // Boxed: the memory is freed while the connection is parked.
        if !Box::pin(serve_active(stream, context, deadline)).await {
            return;
        }
    }
}

/// Serves a connection until it ends or may be parked, and returns whether it is to be parked.
async fn serve_active(
    stream: &mut ClientStream,
    context: &ConnectionContext,
    deadline: &mut Deadline,
) -> bool {
    let upgrades = Upgrades::counting(
        context.activity.bodies(),
        context.activity.response_timeout(),
    );
    let upgrades = &upgrades;
    // Pinned here: inside hyper's state the walk would be moved and stored a second time.
    let walk = pin!(None);
    let walk = RefCell::new(walk);
    let service = service_fn(|request: Request<Incoming>| {
        let asked = Asked::of(&request);
        let open = context.activity.begin(asked.has_body);
        walk.borrow_mut().set(Some(async move {
            let mut response =
                proxy::serve(&context.worker, &context.peer, upgrades, request).await;
            if asked.has_body && context.activity.reads_no_body() {
                // Hyper now discards the part of an unread body that has arrived. If the body goes
                // on, the connection has to end after this answer. The head says so only if hyper
                // knows it before the answer (RFC 9112 §9.6).
                yield_now().await;
            }
            asked.complete(&mut response, open.is_last());
            context.activity.answer_begun();
            Ok::<_, Infallible>(response.map(|body| TrackedBody { body, open }))
        }));
        Walking(&walk)
    });
    let activity = &context.activity;
    let io = TokioIo::new(Layered(Watched {
        stream: &mut *stream,
        activity,
        bare: Bare::default(),
    }));
    // The limits of the current configuration: a parked connection may be older than a reload.
    let mut served =
        builder(&context.worker.view().snapshot.config.server).serve_connection(io, service);
    let end = drive(Pin::new(&mut served), activity, deadline).await;
    let tunnel = upgrades.take();
    let unconfirmed = upgrades.take_unconfirmed();
    let is_cut = activity.is_busy();
    if end.is_none() && tunnel.is_none() && !activity.is_parked() && !activity.had_body() {
        // The usual end. Dropping the connection in place costs less than taking it apart.
        return false;
    }
    let unread = served.into_parts().read_buf;
    if activity.is_parked() {
        // The buffer is empty, or has the beginning of a pipelined head.
        stream.unread(unread);
        return true;
    }
    context.ended(end);
    if let Some(tunnel) = tunnel {
        // Bytes behind the request were not read before the answer; they belong to the tunnel
        // (docs/design/attacks.md#advisory-15).
        stream.unread(unread);
        stream.bound_tls(TUNNEL_TLS_BUFFER);
        // Boxed: few connections become tunnels, and the futures of all others stay small.
        Box::pin(tunnel.run(stream, deadline.registration.closing())).await;
        return false;
    }
    close(stream, end, is_cut).await;
    let is_written = end.is_none() && !activity.owes_answer();
    // The refusal counts as received only if the client does not reset the connection. A write of
    // `close_notify` may have caused the reset already.
    if let Some(refusal) = unconfirmed
        && is_written
        && !lingering_close::is_reset(stream).await
    {
        refusal.received();
    }
    false
}

/// Closes a connection that ended with `end`; `is_cut` tells that an answer was not finished.
async fn close(stream: &mut ClientStream, end: Option<End>, is_cut: bool) {
    match end {
        Some(End::Parse | End::TooLarge | End::TargetTooLong) | None => {
            lingering_close::close(stream).await;
        }
        // The client left after it had all answers.
        Some(End::Aborted) if !is_cut => lingering_close::close(stream).await,
        Some(End::Aborted | End::Other | End::Tls | End::ProxyProtocol | End::Flood) => {
            lingering_close::reset(stream);
        }
        Some(End::Timeout) if is_cut => lingering_close::reset(stream),
        Some(End::Timeout) => {}
    }
}
