use std::future::Future;

use http::{Method, StatusCode};
use tokio::net::UnixStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::super::counted_stream::OpenConnection;
use super::super::http1::tests::{self, Script, upstream};
use super::*;
use crate::net;

type Server = h2::server::Connection<UnixStream, Bytes>;

/// A connection and its other end.
async fn connected() -> (Rc<Http2<Script>>, Server) {
    let upstream = upstream();
    let (near, far) = UnixStream::pair().unwrap();
    let near = net::Stream::Unix(near);
    let long = clock::monotonic() + Duration::from_secs(1000);
    let reuse_limit = ReuseLimit::new(&upstream.endpoints[0], &near, long);
    let stream = CountedStream::new(
        near,
        OpenConnection::new(
            upstream.clone(),
            upstream.connection_limit.try_acquire().unwrap(),
        ),
    );
    let begun = Http2::begin(upstream, stream, Rc::default(), reuse_limit, long);
    let (begun, server) = tokio::join!(begun, h2::server::handshake(far));
    (begun.unwrap().unwrap(), server.unwrap())
}

fn get(method: Method) -> Outgoing<Script> {
    let mut request = tests::get(method);
    request
        .head
        .headers
        .insert(HOST, http::HeaderValue::from_static("orders"));
    request
}

fn in_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let test = async {
        timeout(Duration::from_secs(20), test)
            .await
            .expect("it comes to an end");
    };
    runtime.block_on(LocalSet::new().run_until(test));
}

// RFC 9113 §8.7: a request that was not sent was not processed.
#[test]
fn a_connection_that_ends_before_anything_was_written_has_processed_nothing() {
    in_time(async {
        for method in [Method::GET, Method::POST] {
            let (connection, server) = connected().await;
            let mut streams: Vec<_> = (0..3).map(|_| connection.open().unwrap()).collect();
            drop(server);
            for stream in &mut streams {
                let mut request = get(method.clone());
                let failed = stream.send(&mut request, false).await.unwrap_err();
                let refusal = Refusal {
                    connection: connection.id(),
                    is_ending: true,
                };
                assert_eq!(
                    (failed.is_unsent, failed.refusal),
                    (true, Some(refusal)),
                    "{failed:?}"
                );
                assert!(request.is_sent_again(&failed));
            }
            assert!(!connection.is_good(clock::monotonic()));
        }
    });
}

// The twin: the request was written, and may have been processed.
#[test]
fn a_connection_that_ends_after_a_request_was_written_may_have_processed_it() {
    in_time(async {
        let (connection, mut server) = connected().await;
        let mut stream = connection.open().unwrap();
        let mut request = get(Method::POST);
        let serve = async {
            let taken = server.accept().await.unwrap().unwrap();
            assert_eq!(taken.0.method(), Method::POST);
            drop(server);
        };
        let (result, ()) = tokio::join!(stream.send(&mut request, false), serve);
        let failed = result.unwrap_err();
        assert_eq!(
            (failed.is_unsent, failed.refusal),
            (false, None),
            "{failed:?}"
        );
        assert!(!request.is_sent_again(&failed) && !request.may_go_again(&failed));
        // For this reason not even an idempotent request is sent again.
        assert!(get(Method::GET).may_go_again(&failed) && !get(Method::GET).is_sent_again(&failed));
    });
}

#[test]
fn a_refused_stream_says_nothing_of_its_connection() {
    in_time(async {
        let (connection, mut server) = connected().await;
        let mut stream = connection.open().unwrap();
        let mut request = get(Method::POST);
        let serve = async {
            let (_, mut refused) = server.accept().await.unwrap().unwrap();
            refused.send_reset(h2::Reason::REFUSED_STREAM);
            let (_, mut taken) = server.accept().await.unwrap().unwrap();
            taken.send_response(Response::new(()), true).unwrap();
            let _ = server.accept().await;
        };
        let client = async {
            let failed = stream.send(&mut request, false).await.unwrap_err();
            let refusal = Refusal {
                connection: connection.id(),
                is_ending: false,
            };
            assert_eq!(
                (failed.is_unsent, failed.refusal),
                (true, Some(refusal)),
                "{failed:?}"
            );
            assert!(connection.is_good(clock::monotonic()));
            let mut next = connection.open().unwrap();
            let response = next.send(&mut get(Method::POST), false).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            drop((response, stream, next, connection));
        };
        tokio::join!(serve, client);
    });
}
