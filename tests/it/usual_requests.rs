//! A typical day: traffic of every kind in turn, with the right answer to each request.
//!
//! `deploy/dist.sh` also uses it as the training run of an optimizing build:
//! `SCOPEGATE_TEST_ROUNDS` sets its length and `SCOPEGATE_TEST_PROGRAM` the program.
#![cfg(unix)]

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Signal, kill_process};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::support::{Answer, Client, Issuer, Key, Process, Request, Script, Secured, Upstream};

const ROUNDS: usize = 2;

/// An answer as common servers make it.
const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: example\r\nDate: Wed, 25 Nov 2026 15:00:00 GMT\r\n\
                    Content-Type: application/json\r\n\
                    Content-Length: 120\r\nConnection: keep-alive\r\nETag: \"6745e1a0-78\"\r\n\r\n";
const BODY: [u8; 120] = [b'o'; 120];

/// Bytes of a long answer.
const LONG: usize = 64 * 1024;

fn asking(method: &str, token: &str) -> Request {
    let request = Request::new(method, "/orders/17?page=2")
        .bearer(token)
        .field("User-Agent", "example/1.0");
    request
        .field("Accept", "application/json")
        .field("Accept-Encoding", "gzip")
}

#[track_caller]
fn expect(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
}

#[test]
fn traffic_of_every_kind_is_answered_as_it_should() {
    let rounds =
        std::env::var("SCOPEGATE_TEST_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let (issuer, upstream, secured) = (Issuer::start(), Upstream::start(), Secured::new());
    upstream.always(Script::Raw([HEAD.as_bytes(), &BODY].concat(), true));
    let routes = "[[routes]]\npath = \"/orders/**\"\nupstream = \"orders\"\n\
                  methods = { GET = \"read\", POST = \"write\" }\n\
                  [[routes]]\npath = \"/x\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
                  public = true\n";
    let toml = |more: &str| format!("{more}{}{}{routes}", issuer.toml(), upstream.toml("orders"));
    let mut plain = Process::run_alone(&toml(""));
    let mut over_tls = Process::run_alone(&toml(&secured.server_toml()));
    let mut clients = secured.clients(over_tls.address());
    let mut day = Day::new(plain.address(), issuer);
    for round in 0..rounds {
        day.known_caller();
        day.new_callers(round);
        day.refused();
        day.uploads();
        day.http2();
        upstream.play([Script::Raw(long(), true)]);
        expect(&day.client.send(&asking("GET", &day.token)), 200);
        for client in &mut clients {
            client().unwrap();
        }
    }
    drop((day, clients));
    for process in [&mut plain, &mut over_tls] {
        kill_process(process.id(), Signal::TERM).unwrap();
        assert!(process.wait().success(), "{}", process.errors());
    }
}

fn long() -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {LONG}\r\n\r\n");
    [head.into_bytes(), vec![b'l'; LONG]].concat()
}

struct Day {
    address: SocketAddr,
    issuer: Issuer,
    /// A caller that stays.
    client: Client,
    token: String,
    runtime: Runtime,
    stream: http2::SendRequest<Full<Bytes>>,
}

impl Day {
    fn new(address: SocketAddr, issuer: Issuer) -> Self {
        let token = issuer.token("read write");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stream = runtime.block_on(async {
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (stream, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            stream
        });
        Self {
            address,
            issuer,
            client: Client::connect(address),
            token,
            runtime,
            stream,
        }
    }

    /// Most of it: the same caller on the same connection.
    fn known_caller(&mut self) {
        for _ in 0..60 {
            expect(&self.client.send(&asking("GET", &self.token)), 200);
        }
    }

    /// Connections of one request, some with tokens that were not seen before.
    fn new_callers(&self, round: usize) {
        let fresh = self
            .issuer
            .claims("read")
            .with("jti", round)
            .signed(&self.issuer.key);
        for token in [&fresh, &fresh, &self.token] {
            expect(
                &Client::connect(self.address).send(&asking("GET", token)),
                200,
            );
        }
    }

    fn refused(&mut self) {
        let forged = self.issuer.claims("read").signed(&Key::rsa("key-1", 1));
        let narrow = self.issuer.token("other");
        let old = self
            .issuer
            .claims("read")
            .with("exp", 1)
            .signed(&self.issuer.key);
        for (request, status) in [
            (Request::get("/orders/1"), 401),
            (asking("GET", &forged), 401),
            (asking("GET", &old), 401),
            (asking("GET", &narrow), 403),
            (asking("DELETE", &self.token), 405),
            (Request::get("/nowhere"), 404),
            (Request::get("/orders/1"), 401),
        ] {
            expect(&self.client.send(&request), status);
        }
    }

    fn uploads(&mut self) {
        let chunked = asking("POST", &self.token).field("Transfer-Encoding", "chunked");
        for request in [
            asking("POST", &self.token).body("{\"item\":\"a book\",\"quantity\":2}"),
            asking("POST", &self.token).body(vec![b'u'; 20_000]),
            chunked.body("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        ] {
            expect(&self.client.send(&request), 200);
        }
    }

    /// Streams beside one another.
    fn http2(&mut self) {
        let bearer = format!("Bearer {}", self.token);
        let request = |method: &str, body: &'static str| {
            let request = http::Request::builder()
                .method(method)
                .uri("http://api.test/orders/17?page=2");
            request
                .header("authorization", &bearer)
                .body(Full::new(Bytes::from(body)))
                .unwrap()
        };
        self.runtime.block_on(async {
            for _ in 0..4 {
                let (first, second) = tokio::join!(
                    self.stream.clone().send_request(request("GET", "")),
                    self.stream
                        .send_request(request("POST", "{\"item\":\"a pen\"}")),
                );
                for response in [first.unwrap(), second.unwrap()] {
                    assert_eq!(response.status(), 200);
                    assert_eq!(
                        response.into_body().collect().await.unwrap().to_bytes(),
                        BODY[..]
                    );
                }
            }
        });
    }
}
