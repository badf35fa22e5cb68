//! HTTP/2 (RFC 9113): many requests at a time on one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2::{self, Builder};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;

use super::alarm::Alarm;
use super::answer::Answer;
use super::meter::{Metered, Remains};
use super::patience::{Executor, Pieces, Turn};
use super::{End, Member, Party, Served, Stream, drive, farewell};
use crate::config::Server;
use crate::proxy::{self, Tunnel, Upgrades};

/// How often a client that says nothing is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

type Body = Pieces<Answer>;

impl<S> Served for http2::Connection<TokioIo<Metered>, S, Executor>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    S::Future: 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

pub(super) async fn serve(stream: Stream, party: Party, mut alarm: Alarm) {
    let party = Rc::new(party);
    let view = party.worker.view();
    let server = &view.snapshot.config.server;
    let activity = &party.activity;
    activity.multiplex();
    let turn = Turn::default();
    let seat = alarm.member.seat();
    let service = service_fn(|mut request: Request<Incoming>| {
        let open = party.activity.begin(!request.body().is_end_stream());
        let (party, turn, seat) = (party.clone(), turn.clone(), seat.clone());
        async move {
            let upgrades = Upgrades::default();
            let upgraded = (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
            let mut answer = pin!(proxy::serve(&party.worker, &party.peer, &upgrades, request));
            let mut response = poll_fn(|cx| turn.watch(answer.as_mut().poll(cx))).await;
            if let (Some(tunnel), Some(upgraded)) = (upgrades.take(), upgraded) {
                turn.tunnels();
                spawn_local(carry(tunnel, upgraded, seat.join()));
            }
            // They are about connections of HTTP/1.1 (RFC 9113 §8.2.2).
            response.headers_mut().remove(CONNECTION);
            response.headers_mut().remove(UPGRADE);
            Ok::<_, Infallible>(response.map(|body| Pieces::new(Answer { body, open }, turn)))
        }
    });
    let stalled = party.worker.metrics().stalled_streams.clone();
    let executor = Executor { turn: turn.clone(), idle: server.timeouts.idle_body, stalled };
    let remains = Rc::new(Remains::default());
    let refused = {
        let party = party.clone();
        move || party.refused_stream()
    };
    let io = Metered::new(stream, activity.clone(), remains.clone(), refused);
    let mut connection = Box::pin(builder(server, executor).serve_connection(TokioIo::new(io), service));
    drop(view);
    let end = drive(connection.as_mut(), activity, &mut alarm).await;
    drop(connection);
    let end = if remains.was_flooded() { Some(End::Flood) } else { end };
    party.ended(end);
    let Some(mut stream) = remains.take() else { return };
    match end {
        // What is unread would take the last word away from the client.
        Some(End::Parse | End::TooLarge | End::TargetTooLong | End::Flood | End::Other) => {
            farewell::close(&mut stream).await;
        }
        Some(End::Aborted | End::Timeout | End::Tls | End::ProxyProtocol) => farewell::reset(&stream),
        None => {}
    }
}

/// Carries a WebSocket on a stream of its own (RFC 8441).
async fn carry(tunnel: Tunnel, upgraded: OnUpgrade, member: Member) {
    // A client that has left in between is none to carry for.
    if let Ok(client) = upgraded.await {
        tunnel.run(TokioIo::new(client), member.closing()).await;
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
