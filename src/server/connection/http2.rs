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

use super::deadline::Deadline;
use super::flood_guard::{GuardedStream, Leftover};
use super::tracked_body::TrackedBody;
use super::write_timeout::{Executor, Pieces, StreamStep};
use super::{
    ClientStream, ConnectionContext, End, Registration, Registry, Served, drive, lingering_close,
};
use crate::config::Server;
use crate::net::Layered;
use crate::proxy::{self, Tunnel, Upgrades};

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
    mut deadline: Deadline,
) {
    let context = Rc::new(context);
    let view = context.worker.view();
    let server = &view.snapshot.config.server;
    let activity = &context.activity;
    activity.multiplex();
    let step = StreamStep::default();
    let registry = deadline.registration.registry();
    let service = service_fn(|request: Request<Incoming>| {
        answer(request, context.clone(), step.clone(), registry.clone())
    });
    let stalled = context.worker.metrics().stalled_streams.clone();
    let executor = Executor {
        step: step.clone(),
        idle: server.timeouts.idle_body,
        stalled,
    };
    let leftover = Rc::new(Leftover::default());
    let refused = {
        let context = context.clone();
        move || context.refused_stream()
    };
    let io = GuardedStream::new(stream, activity.clone(), leftover.clone(), refused);
    let io = TokioIo::new(Layered(io));
    let mut connection = Box::pin(builder(server, executor).serve_connection(io, service));
    drop(view);
    let end = drive(connection.as_mut(), activity, &mut deadline).await;
    drop(connection);
    let end = if leftover.was_flooded() {
        Some(End::Flood)
    } else {
        end
    };
    context.ended(end);
    let Some(mut stream) = leftover.take() else {
        return;
    };
    match end {
        // A close with unread bytes would reset the connection, and the client might lose the
        // GOAWAY frame.
        Some(End::Parse | End::TooLarge | End::TargetTooLong | End::Flood | End::Other) => {
            lingering_close::close(&mut stream).await;
        }
        Some(End::Aborted | End::Timeout | End::Tls | End::ProxyProtocol) => {
            lingering_close::reset(&stream);
        }
        None => {}
    }
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
