//! Serving HTTP/1.1 connections.

use std::convert::Infallible;
use std::pin::Pin;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::{self, Builder};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;

use super::super::connections::Registration;
use super::super::request_line::refusal_of;
use super::super::stream::ClientStream;
use super::bare::Bare;
use super::context::ConnectionContext;
use super::drive::{Driven, Served, drive};
use super::head::Asked;
use super::hyper_order::{Watched, discard_unread_body};
use super::lingering_close;
use super::parked::park;
use super::position::Position;
use super::state::Close;
use super::tracked_body::TrackedBody;
use crate::config::Server;
use crate::net::Layered;
use crate::proxy::{self, Tunnel, Upgrades};

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

/// Returns the parser of a connection.
pub(super) fn builder(server: &Server) -> Builder {
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
pub(super) async fn serve(
    stream: &mut ClientStream,
    context: &ConnectionContext,
    registration: &mut Registration,
) {
    loop {
        if let Err(end) = park(stream, context, registration).await {
            return context.ended(end);
        }
        // Boxed: the memory is freed while the connection is parked.
        if !Box::pin(serve_active(stream, context, registration)).await {
            return;
        }
    }
}

/// Serves a connection until it ends or may be parked, and returns whether it is to be parked.
async fn serve_active(
    stream: &mut ClientStream,
    context: &ConnectionContext,
    registration: &mut Registration,
) -> bool {
    let activity = &*context.activity;
    let upgrades = activity.upgrades();
    // The beginning of a head that was read before is read again.
    activity.position.set(Position::default());
    let service = service_fn(|request| answer(context, &upgrades, request));
    let io = TokioIo::new(Layered(Watched {
        stream: &mut *stream,
        activity,
        bare: Bare::default(),
    }));
    // The limits of the current configuration: a parked connection may be older than a reload.
    let mut served =
        builder(&context.worker.view().snapshot.config.server).serve_connection(io, service);
    let end = match drive(Pin::new(&mut served), activity, registration).await {
        Driven::Ended(end) => end,
        Driven::Parked => {
            activity.state().parked();
            // The buffer is empty, or has the beginning of a pipelined head.
            let unread = served.into_parts().read_buf;
            stream.unread(unread);
            return true;
        }
    };
    if let Some(tunnel) = upgrades.take() {
        context.ended(end);
        // Bytes behind the request were not read before the answer; they belong to the tunnel
        // (docs/design/attacks.md#advisory-15).
        let unread = served.into_parts().read_buf;
        stream.unread(unread);
        // Boxed: few connections become tunnels, and the futures of all others stay small.
        Box::pin(run_tunnel(tunnel, stream, registration)).await;
        return false;
    }
    let close = activity.state().close(end);
    if close == Close::Plain {
        // The usual end. To take the connection apart first costs a connection with one request
        // 1.3 % more instructions.
        context.ended(end);
        return false;
    }
    let reason = context.reason(end);
    let head = served.into_parts().read_buf;
    context.record(reason.map(|error| refusal_of(&head, error)));
    let is_written = end.is_none() && !activity.state().owes_answer();
    close_stream(stream, close, &upgrades, is_written).await;
    false
}

/// Closes a connection that has ended, and confirms the refusal of its last request, if there was
/// one and it `is_written`.
async fn close_stream(
    stream: &mut ClientStream,
    close: Close,
    upgrades: &Upgrades,
    is_written: bool,
) {
    lingering_close::apply(close, stream).await;
    // The refusal counts as received only if the client does not reset the connection. A write of
    // `close_notify` may have caused the reset already.
    if let Some(refusal) = upgrades.take_unconfirmed()
        && is_written
        && !lingering_close::is_reset(stream).await
    {
        refusal.received();
    }
}

/// Answers one request. This is not an `async fn`, because that would store its arguments twice.
fn answer<'a>(
    context: &'a ConnectionContext,
    upgrades: &'a Upgrades,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<TrackedBody>, Infallible>> + use<'a> {
    let activity = &context.activity;
    let asked = Asked::of(&request);
    if asked.has_body {
        let length = request.body().size_hint().exact();
        activity.position.set(Position::body(length));
    }
    let open = activity.begin(asked.has_body);
    async move {
        let mut response = proxy::serve(&context.worker, &context.peer, upgrades, request).await;
        if asked.has_body && activity.state().reads_no_body() {
            discard_unread_body().await;
        }
        asked.complete(&mut response, open.is_last());
        activity.state().answer_begun();
        Ok(response.map(|body| TrackedBody { body, open }))
    }
}

/// Runs the tunnel that a connection has become.
async fn run_tunnel(tunnel: Tunnel, stream: &mut ClientStream, registration: &Registration) {
    stream.bound_tls(TUNNEL_TLS_BUFFER);
    tunnel.run(stream, registration.closing()).await;
}
