//! Serving HTTP/2 connections (RFC 9113): many requests at a time on one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2::{self, Builder};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;

use super::super::connections::{Registration, Registry};
use super::super::stream::ClientStream;
use super::activity::Activity;
use super::context::ConnectionContext;
use super::drive::{Driven, Served, drive};
use super::flood_guard::{Beginning, GuardedStream, Leftover};
use super::hyper_order::StreamStep;
use super::lingering_close;
use super::tracked_body::TrackedBody;
use super::write_timeout::{Executor, Pieces};
use crate::config::Server;
use crate::net::Layered;
use crate::proxy::{self, Tunnel, Upgrades};
use crate::telemetry::ConnectionError;

/// The interval of PING frames to a silent client, and the time that the client has to answer one.
const PING: Duration = Duration::from_secs(20);

type Body = Pieces<TrackedBody>;

impl<S> Served for http2::Connection<TokioIo<Layered<GuardedStream>>, S, Executor>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    S::Future: 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Serves an HTTP/2 connection to its end.
pub(super) async fn serve(
    stream: ClientStream,
    context: ConnectionContext,
    mut registration: Registration,
) {
    let context = Rc::new(context);
    let activity = &context.activity;
    activity.state().http2_begun();
    let leftover = Rc::new(Leftover::default());
    let mut connection = begin(stream, &context, &leftover, registration.registry());
    let end = match drive(connection.as_mut(), activity, &mut registration).await {
        Driven::Ended(end) => refined(end, &leftover, activity),
        Driven::Parked => None,
    };
    context.ended(end);
    drop(connection);
    let close = activity.state().close(end);
    if let Some(mut stream) = leftover.take() {
        lingering_close::apply(close, &mut stream).await;
    }
}

/// Returns the reason why a connection ended, of which the library knows only a part.
fn refined(
    end: Option<ConnectionError>,
    leftover: &Leftover,
    activity: &Activity,
) -> Option<ConnectionError> {
    if leftover.was_flooded() {
        return Some(ConnectionError::Http2Flood);
    }
    match (end, leftover.beginning()) {
        // Checks of the handshake of TLS connect and leave, or stay and say nothing.
        (Some(ConnectionError::LeftInRequest), Beginning::Silent) => None,
        (Some(ConnectionError::HeadTimeout), Beginning::Silent) => {
            Some(ConnectionError::IdleTimeout)
        }
        (Some(ConnectionError::Http2Protocol), Beginning::Begun) if leftover.is_closed() => {
            Some(ConnectionError::LeftInRequest)
        }
        (Some(ConnectionError::Http2Protocol), Beginning::Begun) => {
            Some(ConnectionError::Http2Preface)
        }
        // The library takes an end in the middle of a head for a good one.
        (None, Beginning::Begun | Beginning::Whole) if activity.state().has_open_block() => {
            Some(ConnectionError::LeftInRequest)
        }
        (end, _) => end,
    }
}

/// Begins HTTP/2 on a connection. The library's state is large, and boxed.
fn begin(
    stream: ClientStream,
    context: &Rc<ConnectionContext>,
    leftover: &Rc<Leftover>,
    registry: Rc<Registry>,
) -> Pin<Box<impl Served + use<>>> {
    let view = context.worker.view();
    let server = &view.snapshot.config.server;
    let step = StreamStep::default();
    let executor = Executor {
        step: step.clone(),
        timer_wheel: context.worker.timer_wheel().clone(),
        idle: server.timeouts.idle_body,
        stalled: context.worker.metrics().stalled_streams.clone(),
    };
    let io = Layered(GuardedStream::new(
        stream,
        context.clone(),
        leftover.clone(),
    ));
    let context = context.clone();
    let service =
        service_fn(move |request| answer(request, context.clone(), step.clone(), registry.clone()));
    Box::pin(builder(server, executor).serve_connection(TokioIo::new(io), service))
}

/// Answers one request. This is not an `async fn`, because that would store its arguments twice.
fn answer(
    mut request: Request<Incoming>,
    context: Rc<ConnectionContext>,
    step: StreamStep,
    registry: Rc<Registry>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let open = context.activity.begin(!request.body().is_end_stream());
    async move {
        let upgrades = Upgrades::default();
        let upgraded =
            (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        let mut walk = pin!(proxy::serve(
            &context.worker,
            &context.peer,
            &upgrades,
            request
        ));
        let mut response = poll_fn(|cx| step.watch(walk.as_mut().poll(cx))).await;
        if let (Some(tunnel), Some(upgraded)) = (upgrades.take(), upgraded) {
            step.begin_tunnel();
            spawn_local(carry(tunnel, upgraded, registry.join()));
        }
        // These fields are not allowed in HTTP/2 (RFC 9113 §8.2.2).
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(UPGRADE);
        Ok(response.map(|body| Pieces::new(TrackedBody { body, open }, step)))
    }
}

/// Runs the tunnel of a WebSocket on its HTTP/2 stream (RFC 8441).
async fn carry(tunnel: Tunnel, upgraded: OnUpgrade, registration: Registration) {
    // An error means that the client has left meanwhile.
    if let Ok(client) = upgraded.await {
        tunnel
            .run(TokioIo::new(client), registration.closing())
            .await;
    }
}

fn builder(server: &Server, executor: Executor) -> Builder<Executor> {
    let settings = &server.http2;
    let mut builder = Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(settings.streams)
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_header_list_size(u32::try_from(server.limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(settings.pending_resets)
        .max_local_error_reset_streams(settings.error_resets)
        .max_send_buf_size(server.limits.write_buffer);
    builder
}
