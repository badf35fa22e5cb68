//! gRPC by tonic and WebSockets by tokio-tungstenite, through a gateway: `peers SCOPEGATE`.

#[path = "../../../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;

mod grpc;
mod websocket;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use keys::{Key, Token};

const ISSUER: &str = "https://idp.test/";

/// A gateway in front of both servers, and a key that its issuer has.
struct Stage {
    address: SocketAddr,
    key: Key,
    _gateway: Child,
    _directory: tempfile::TempDir,
}

impl Stage {
    async fn new(scopegate: &Path, grpc: SocketAddr, websocket: SocketAddr) -> Self {
        let (key, address, gone) = (Key::p256("key-1"), free_address(), free_address());
        let jwks = serde_json::json!({ "keys": [key.jwk()] });
        let text = format!(
            "[server]\nlisten = \"{address}\"\nadmin = \"off\"\n\
             [issuers.idp]\nissuer = \"{ISSUER}\"\naudience = \"api\"\njwks = '{jwks}'\n\
             [upstreams.grpc]\nurl = \"http://{grpc}\"\nprotocol = \"http2\"\n\
             [upstreams.gone]\nurl = \"http://{gone}\"\nprotocol = \"http2\"\n\
             [upstreams.sockets]\nurl = \"http://{websocket}\"\n\
             [[routes]]\npath = \"/grpc.health.v1.Health/Check\"\nupstream = \"grpc\"\nmethods = {{ POST = \"health.check\" }}\n\
             [[routes]]\npath = \"/grpc.health.v1.Health/Watch\"\nupstream = \"grpc\"\nmethods = {{ POST = \"health.watch\" }}\n\
             [[routes]]\nhost = \"gone.test\"\npath = \"/grpc.health.v1.Health/Check\"\nupstream = \"gone\"\nmethods = {{ POST = \"health.check\" }}\n\
             [[routes]]\npath = \"/socket\"\nupstream = \"sockets\"\nmethods = {{ GET = \"chat\" }}\nwebsocket = true\n"
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(scopegate);
        command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
        let gateway = command.spawn().expect("scopegate starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "the gateway does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { address, key, _gateway: gateway, _directory: directory }
    }

    fn token(&self, scope: &str) -> String {
        Token::of(ISSUER, scope).signed(&self.key)
    }
}

#[tokio::main]
async fn main() {
    let scopegate = std::env::args_os().nth(1).expect("usage: peers SCOPEGATE");
    let (grpc, websocket) = (grpc::serve().await, websocket::serve().await);
    let stage = Stage::new(Path::new(&scopegate), grpc.address, websocket).await;
    grpc::check(&stage, &grpc).await;
    websocket::check(&stage).await;
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn passed(what: &str) {
    println!("ok: {what}");
}
