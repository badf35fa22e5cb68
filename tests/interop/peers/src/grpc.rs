//! A real gRPC server and client: the health service of tonic.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;

use super::{Stage, passed};

pub(crate) struct Grpc {
    pub(crate) address: SocketAddr,
    reporter: HealthReporter,
}

pub(crate) async fn serve() -> Grpc {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("orders", ServingStatus::Serving).await;
    let serving =
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(async move { serving.await.unwrap() });
    Grpc { address, reporter }
}

const ORIGIN: &str = "http://api.test";

type Client<F> = HealthClient<InterceptedService<Channel, F>>;

/// A client of the gateway that names this origin, and sends this token, if there is one, with
/// every call.
async fn client(
    stage: &Stage,
    origin: &'static str,
    token: Option<String>,
) -> Client<impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone> {
    let channel = Endpoint::from_shared(format!("http://{}", stage.address)).unwrap();
    let channel = channel.origin(origin.parse().unwrap()).connect().await.unwrap();
    HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
        if let Some(token) = &token {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    })
}

fn orders() -> HealthCheckRequest {
    HealthCheckRequest { service: "orders".to_owned() }
}

pub(crate) async fn check(stage: &Stage, server: &Grpc) {
    let mut client_with = client(stage, ORIGIN, Some(stage.token("health.check"))).await;
    let answer = client_with.check(orders()).await.expect("a call with the scope");
    assert_eq!(answer.into_inner().status, 1);
    passed("a unary call with the scope");

    let unknown = HealthCheckRequest { service: "unknown".to_owned() };
    assert_eq!(client_with.check(unknown).await.unwrap_err().code(), Code::NotFound);
    passed("the server's own status, in its trailers");

    let denied = client_with.watch(orders()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    passed("a call without the scope is PERMISSION_DENIED");

    let mut anonymous = client(stage, ORIGIN, None).await;
    let refused = anonymous.check(orders()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(refused.metadata().contains_key("www-authenticate"), "{refused:?}");
    passed("a call without a token is UNAUTHENTICATED, with its challenge");

    let mut elsewhere = client(stage, "http://gone.test", Some(stage.token("health.check"))).await;
    let gone = elsewhere.check(orders()).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "{gone:?}");
    passed("an upstream that is not there is UNAVAILABLE");

    let mut watcher = client(stage, ORIGIN, Some(stage.token("health.watch"))).await;
    let mut updates = watcher.watch(orders()).await.expect("a stream with the scope").into_inner();
    assert_eq!(updates.message().await.unwrap().unwrap().status, 1);
    server.reporter.set_service_status("orders", ServingStatus::NotServing).await;
    assert_eq!(updates.message().await.unwrap().unwrap().status, 2);
    passed("a server's stream, message by message");
}
