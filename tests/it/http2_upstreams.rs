//! Upstreams that speak HTTP/2.

use std::net::TcpListener;
use std::sync::Arc;

use h2::Reason;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;

use crate::support::framed::{Act, Framed, head};
use crate::support::frames::{DATA, END_STREAM, Frames, WINDOW_UPDATE, frame};
use crate::support::{Cable, Client, Gateway, Multiplexed, Play, Process, Request, wait_until};

const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

fn open(upstream: &Multiplexed, more: &str) -> Gateway {
    Gateway::start(&format!("{}{more}\n{ROUTE}", upstream.toml("orders")))
}

/// Client connections, each with a request under way.
fn send_all(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| gateway.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.write_request(&Request::get("/held")));
    clients
}

// docs/design/requirements.md#p08, and what gRPC needs of a proxy: bodies and trailers in both
// directions on one connection.
#[test]
fn requests_share_a_connection_with_bodies_and_trailers_both_ways() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    let mut client = gateway.connect();
    for _ in 0..3 {
        let request = Request::new("POST", "/orders?x=1")
            .field("TE", "trailers")
            .field("Trailer", "x-sum")
            .field("Transfer-Encoding", "chunked")
            .body("5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n");
        let answer = client.send(&request);
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.complete),
            (200, "hello", true)
        );
        assert!(
            answer
                .trailers
                .contains(&("grpc-status".to_owned(), "0".to_owned())),
            "{answer:?}"
        );
    }
    let opened = upstream.opened();
    let head = &opened[0].head;
    assert_eq!(
        head.uri().to_string(),
        format!("http://{}/orders?x=1", upstream.address())
    );
    assert_eq!(head.headers()["te"], "trailers");
    assert_eq!((opened.len(), upstream.connections()), (3, 1));
}

// RFC 9113 section 5.1.2: no stream beyond what the peer takes.
#[test]
fn a_full_connection_gets_another_beside_it() {
    let upstream = Multiplexed::start(2);
    let gateway = open(&upstream, "");
    upstream.play(vec![Play::Hold; 12]);
    let mut clients = send_all(&gateway, 12);
    upstream.wait_for(12);
    let opened = upstream.opened();
    for connection in 0..upstream.connections() {
        let streams = opened
            .iter()
            .filter(|stream| stream.connection == connection)
            .count();
        assert!(streams <= 2, "{streams} on connection {connection}");
    }
    upstream.let_go();
    for client in &mut clients {
        assert_eq!(client.read("GET").unwrap().status, 200);
    }
}

// Requests wait for a stream where there may be no other connection, and not without end.
#[test]
fn a_request_waits_for_a_stream_and_not_too_many_do() {
    let upstream = Multiplexed::start(1);
    let gateway = open(
        &upstream,
        "max_connections = 1\nmax_pending = 1\nconnect_timeout = \"15s\"\n",
    );
    upstream.play([Play::Hold]);
    let mut held = send_all(&gateway, 1);
    upstream.wait_for(1);
    let mut waiting = send_all(&gateway, 2);
    wait_until("one is refused", || gateway.metric(OVERLOADED) > 0.0);
    upstream.let_go();
    assert_eq!(held[0].read("GET").unwrap().status, 200);
    let mut statuses: Vec<_> = waiting
        .iter_mut()
        .map(|client| client.read("GET").unwrap().status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

const OVERLOADED: &str =
    "scopegate_upstream_faults_total{fault=\"overloaded\",upstream=\"orders\"}";

// What was refused unprocessed may be sent again; what may have been processed is not.
#[test]
fn a_refused_stream_is_told_from_one_that_failed() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/warm")).status, 200);
    upstream.play([Play::Refuse]);
    assert_eq!(client.send(&Request::get("/again")).status, 200);
    assert_eq!(upstream.connections(), 2, "it goes over another connection");
    upstream.play([Play::Refuse, Play::Refuse, Play::Refuse]);
    let answer = client.send(&Request::new("POST", "/thrice").body("x"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed")
    );
    assert_eq!(
        gateway.metric("scopegate_refusals_total{reason=\"upstream_refused\",route=\"/**\"}"),
        1.0
    );
    // The connections are as good as before.
    assert_eq!(
        client.send(&Request::new("POST", "/twin").body("x")).status,
        200
    );
    assert_eq!(upstream.connections(), 3);
}

// An answer that was cut is never a complete one, whatever reason the upstream gives.
#[test]
fn an_answer_that_is_reset_is_cut() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        upstream.play([Play::Reset("half", reason)]);
        let mut client = gateway.connect();
        client.write_request(&Request::get("/cut"));
        assert_eq!(client.read_head_only().status, 200);
        assert_eq!(client.read_exact(9), b"4\r\nhalf\r\n");
        upstream.go_on();
        assert!(
            client.is_closed(),
            "{reason:?}: an end, or more, or nothing"
        );
    }
    upstream.play([Play::Short]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/short"));
    let short = client.read("GET");
    assert!(
        short
            .as_ref()
            .is_none_or(|answer| answer.status == 502 || !answer.complete),
        "{short:?}"
    );
    assert!(gateway.send(&Request::get("/twin")).complete);
}

// RFC 9113 section 6.8: what is under way is finished, and what comes next goes over another
// connection.
#[test]
fn a_connection_that_goes_away_is_left() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    let mut client = gateway.connect();
    for round in 1..=3 {
        upstream.play([Play::Leave]);
        assert_eq!(
            client
                .send(&Request::new("PUT", "/leaves").body("x"))
                .text(),
            "x"
        );
        wait_until("the connection has gone", || {
            gateway.metric("scopegate_upstream_connections_open{upstream=\"orders\"}") == 0.0
        });
        assert_eq!(upstream.connections(), round);
    }
}

// The same age for both protocols: what is under way is finished, and what comes next goes over
// another connection.
#[test]
fn a_connection_that_is_old_gets_no_more_streams() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "connection_age = \"1ms\"\n");
    let mut client = gateway.connect();
    upstream.play([Play::Hold]);
    let mut held = send_all(&gateway, 1);
    upstream.wait_for(1);
    for round in 2..=4 {
        wait_until("the connections are old", || {
            assert_eq!(client.send(&Request::get("/next")).status, 200);
            upstream.connections() >= round
        });
    }
    upstream.let_go();
    assert_eq!(held[0].read("GET").unwrap().status, 200);
    // One for each worker at most: the others were closed when they were passed over.
    wait_until("the old ones are closed", || {
        assert_eq!(client.send(&Request::get("/next")).status, 200);
        gateway.metric("scopegate_upstream_connections_open{upstream=\"orders\"}") <= 2.0
    });
    // The twin.
    let young = open(&upstream, "");
    let mut client = young.connect();
    let before = upstream.connections();
    (0..3).for_each(|_| assert_eq!(client.send(&Request::get("/next")).status, 200));
    assert_eq!(upstream.connections(), before + 1);
}

// A peer that is gone without a word, and a response_timeout that is shorter than the
// silence that shows it.
#[test]
fn a_dead_connection_is_left() {
    let upstream = Multiplexed::start(100);
    let (cable, address) = Cable::start(upstream.address());
    let gateway = Gateway::start(&format!(
        "[upstreams.orders]\nurl = \"http://{address}\"\nprotocol = \"http2\"\n\
         response_timeout = \"1s\"\n{ROUTE}"
    ));
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/warm")).status, 200);
    cable.go_dead();
    let mut late = 0;
    wait_until("another connection is made", || {
        let status = client.send(&Request::get("/next")).status;
        assert!(matches!(status, 200 | 504), "{status}");
        late += usize::from(status == 504);
        status == 200
    });
    // Five seconds of silence, and what was under way then.
    assert!((1..=7).contains(&late), "{late} requests were lost");
    assert_eq!(cable.connections(), 2);
}

// A client that leaves is no work for the upstream any more.
#[test]
fn a_client_that_leaves_cancels_its_stream_alone() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    upstream.play([Play::Hold]);
    let client = send_all(&gateway, 1);
    upstream.wait_for(1);
    client.into_iter().for_each(Client::abort);
    wait_until("the stream is reset", || {
        upstream.resets() == [Reason::CANCEL]
    });
    for _ in 0..4 {
        assert_eq!(gateway.send(&Request::get("/twin")).status, 200);
    }
    assert!(upstream.connections() <= 2, "one for each worker");
}

// An upload that nobody reads ends with its answer, and the connection
// serves others.
#[test]
fn an_early_answer_ends_the_upload() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "");
    upstream.play([Play::Early]);
    let mut client = gateway.connect();
    client.write(b"POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\n");
    client.write(&[b'x'; 200_000]);
    assert_eq!(client.read("POST").unwrap().status, 413);
    wait_until("the stream is reset", || upstream.resets().len() == 1);
    for _ in 0..4 {
        assert_eq!(gateway.send(&Request::get("/twin")).status, 200);
    }
    assert!(upstream.connections() <= 2, "one for each worker");
}

// An upstream that grants no window bounds what is taken from the client.
#[test]
fn an_upload_waits_for_the_window() {
    let upstream = Multiplexed::start(100);
    let gateway = open(&upstream, "response_timeout = \"2s\"\n");
    upstream.play([Play::Hold]);
    let mut client = gateway.connect();
    client.write(b"POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000000\r\n\r\n");
    let written = client.writer().write_until_closed(100_000_000);
    assert!(written < 32_000_000, "{written} bytes are somewhere");
}

// Clients that take nothing of their answers hold back nobody who shares the upstream's
// connection with them, be the answers large or of tiny messages; and the answers are whole when
// they are taken.
#[test]
fn what_is_not_taken_holds_back_nobody_else() {
    const STALLED: u32 = 20;
    let upstream = Framed::start();
    let gateway = Gateway::start(&format!("{}{ROUTE}", upstream.toml("orders")));
    let answer = |pieces: usize, size: usize| {
        Act::Write(Box::new(move |stream| {
            let begun = head(stream, 0, &[(":status", "200")]);
            let data = frame(DATA, 0, stream, &vec![b'x'; size]).repeat(pieces);
            [begun, data, frame(DATA, END_STREAM, stream, b"")].concat()
        }))
    };
    let sizes = |number: u32| {
        if number.is_multiple_of(2) {
            (6000, 10)
        } else {
            (4, 16_000)
        }
    };
    upstream.play((0..STALLED).map(|number| {
        let (pieces, size) = sizes(number);
        answer(pieces, size)
    }));
    // One connection is one worker's.
    let mut client = Frames::connect_with(gateway.address(), &[(4, 0)]);
    let stream = |number: u32| 2 * number + 1;
    for number in 0..STALLED {
        client.get(stream(number), "/stalled");
        assert_eq!(client.status(stream(number)), 200);
    }
    client.get(stream(STALLED), "/other");
    client.send(WINDOW_UPDATE, 0, stream(STALLED), &100_u32.to_be_bytes());
    assert_eq!(client.status(stream(STALLED)), 200);
    assert_eq!(client.body(stream(STALLED)), b"ok");
    client.send(WINDOW_UPDATE, 0, 0, &(2_u32 << 20).to_be_bytes());
    for number in 0..STALLED {
        let (pieces, size) = sizes(number);
        client.send(WINDOW_UPDATE, 0, stream(number), &65_535_u32.to_be_bytes());
        let mut taken = 0;
        let mut has_ended = false;
        while !has_ended {
            let frame = client
                .wait(|frame| frame.stream == stream(number))
                .expect("the answer goes on");
            assert_eq!(frame.kind, DATA, "answer {number}: {frame:?}");
            taken += frame.payload.len();
            has_ended = frame.flags & END_STREAM != 0;
        }
        assert_eq!(taken, pieces * size, "answer {number}");
    }
}

// A server of HTTP/1.1 is no upstream for HTTP/2.
#[test]
fn what_does_not_speak_http2_is_502() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = format!(
        "[upstreams.orders]\nurl = \"http://{}\"\nprotocol = \"http2\"\n{ROUTE}",
        other.local_addr().unwrap()
    );
    let gateway = Gateway::start(&toml);
    std::thread::spawn(move || {
        use std::io::Write;
        for mut stream in other.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let answer = gateway.send(&Request::get("/"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed")
    );
}

/// A certificate for a name, and its PEM and that of its key.
pub(super) struct Identity {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Identity {
    pub(super) fn new(name: &str) -> Self {
        Self {
            made: rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap(),
        }
    }

    pub(super) fn server(&self, alpn: &[&str], clients: Option<&Identity>) -> rustls::ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.made.cert.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.made.signing_key.serialize_der()).unwrap();
        let mut config = builder
            .with_single_cert(vec![self.made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A gateway beside whose configuration `ca.pem`, `client.pem` and `client.key` are.
pub(super) fn over_tls(
    upstream: &Multiplexed,
    server: &Identity,
    client: &Identity,
    more: &str,
) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("ca.pem", &server.made.cert.pem());
    write("client.pem", &client.made.cert.pem());
    write("client.key", &client.made.signing_key.serialize_pem());
    let url = format!("https://localhost:{}", upstream.address().port());
    write(
        "gateway.toml",
        &format!("[upstreams.orders]\nurl = \"{url}\"\n{more}\n{ROUTE}"),
    );
    let file = directory.path().join("gateway.toml");
    Gateway::start_in(directory, file)
}

#[test]
fn tls_is_by_the_terms_of_the_upstream() {
    let (named, other, client) = (
        Identity::new("localhost"),
        Identity::new("orders.test"),
        Identity::new("gateway"),
    );
    let plain = Multiplexed::start_tls(named.server(&["h2"], None));
    let mutual = Multiplexed::start_tls(named.server(&["h2"], Some(&client)));
    let renamed = Multiplexed::start_tls(other.server(&["h2"], None));
    let silent = Multiplexed::start_tls(named.server(&[], None));
    let shown = "client_cert_file = \"client.pem\"\nclient_key_file = \"client.key\"\n";
    for (what, upstream, server, more, status) in [
        (
            "ALPN h2",
            &plain,
            &named,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\n".to_owned(),
            200,
        ),
        (
            "auto",
            &plain,
            &named,
            "protocol = \"auto\"\nca_file = \"ca.pem\"\n".to_owned(),
            200,
        ),
        (
            "no ALPN",
            &silent,
            &named,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\n".to_owned(),
            502,
        ),
        (
            "another root",
            &plain,
            &other,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\n".to_owned(),
            502,
        ),
        (
            "no verification",
            &plain,
            &other,
            "protocol = \"http2\"\nverify = false\n".to_owned(),
            200,
        ),
        (
            "no certificate",
            &mutual,
            &named,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\n".to_owned(),
            502,
        ),
        (
            "ours",
            &mutual,
            &named,
            format!("protocol = \"http2\"\nca_file = \"ca.pem\"\n{shown}"),
            200,
        ),
        (
            "another name",
            &renamed,
            &other,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\n".to_owned(),
            502,
        ),
        (
            "the name that is asked for",
            &renamed,
            &other,
            "protocol = \"http2\"\nca_file = \"ca.pem\"\nserver_name = \"orders.test\"\n"
                .to_owned(),
            200,
        ),
    ] {
        let gateway = over_tls(upstream, server, &client, &more);
        assert_eq!(gateway.send(&Request::get("/")).status, status, "{what}");
    }
}

// Whom the system trusts, an upstream is trusted by without a word in the configuration; and
// by nobody else.
#[test]
fn without_roots_of_its_own_an_upstream_is_verified_by_the_systems() {
    let (trusted, other) = (Identity::new("localhost"), Identity::new("localhost"));
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, trusted.made.cert.pem()).unwrap();
    for (what, identity, status) in [("trusted", &trusted, 200), ("not", &other, 502)] {
        let upstream = Multiplexed::start_tls(identity.server(&["h2"], None));
        let url = format!("https://localhost:{}", upstream.address().port());
        let toml = format!("[upstreams.orders]\nurl = \"{url}\"\nprotocol = \"http2\"\n{ROUTE}");
        let process = Process::run_with("SSL_CERT_FILE", &roots, &toml);
        assert_eq!(process.send(&Request::get("/")).status, status, "{what}");
    }
}
