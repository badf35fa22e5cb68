//! HTTP/1.1.

use std::convert::Infallible;
use std::pin::Pin;

use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;

use super::activity::{Answer, Watched};
use super::alarm::Alarm;
use super::{End, Member, Party, Served, Stream, drive, farewell};
use crate::config::Server;
use crate::proxy::{self, Upgrades};

/// Fields that hyper parses without allocating; only another limit is worth the difference.
const HYPERS_MAX_FIELDS: usize = 100;

/// Hyper reads a head into a buffer of at most so many bytes (8 KiB and 4 KiB for each of 100 fields); a longer head
/// needs a longer buffer.
const HYPERS_MAX_BUFFER: usize = 8 * 1024 + 4 * 1024 * 100;

impl<S> Served for Connection<TokioIo<Watched<Stream>>, S>
where
    S: HttpService<Incoming, ResBody = Answer<proxy::ReplyBody>, Error = Infallible>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

fn builder(server: &Server) -> Builder {
    let mut builder = Builder::new();
    builder.header_read_timeout(None).max_header_size(server.limits.head_bytes).half_close(false);
    if server.limits.head_fields != HYPERS_MAX_FIELDS {
        builder.max_headers(server.limits.head_fields);
    }
    if server.limits.head_bytes > HYPERS_MAX_BUFFER {
        builder.max_buf_size(server.limits.head_bytes);
    }
    builder
}

pub(super) async fn serve(stream: Stream, server: &Server, party: &Party, alarm: Alarm, mut member: Member) {
    let upgrades = Upgrades::default();
    let upgrades = &upgrades;
    let service = service_fn(|request: Request<Incoming>| {
        let open = party.activity.begin(!request.body().is_end_stream());
        let party = party.clone();
        async move {
            let mut response = proxy::serve(&party.worker, &party.peer, upgrades, request).await;
            if open.is_last() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Answer { body, open }))
        }
    });
    let activity = &party.activity;
    let io = TokioIo::new(Watched { stream, activity: activity.clone() });
    let mut connection = builder(server).serve_connection(io, service);
    let end = drive(Pin::new(&mut connection), activity, alarm, &mut member).await;
    party.ended(end);
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
        Some(End::Aborted | End::Other | End::Tls | End::ProxyProtocol | End::Flood) => {
            farewell::reset(&stream);
        }
        Some(End::Timeout) if activity.is_busy() => farewell::reset(&stream),
        None | Some(End::Timeout) => {}
    }
}
