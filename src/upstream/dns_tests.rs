use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use super::super::addresses::Addresses;
use super::super::reuse_limit::ReuseLimit;
use super::*;
use crate::net::timer_wheel::TimerWheel;
use crate::net::{Stream, Url};
use crate::upstream::fixture::{self, wait_until};
use crate::upstream::{Outgoing, Settings, UpstreamClient};

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|one| one.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_failure_keeps_the_last_addresses_and_an_answer_replaces_them() {
    let endpoint = Endpoint::new(Url::parse("http://orders.internal:80/").unwrap());
    let [old, new] = ["10.0.0.1:80", "10.0.0.2:80"].map(|one| one.parse::<SocketAddr>().unwrap());
    assert!(
        endpoint.addresses.rotated(0).is_none() && endpoint.addresses.contains(old),
        "nothing is known"
    );
    let answers = RefCell::new(vec![Some(vec![new]), None, Some(vec![old])]);
    let resolve = async |host: &str, _: u16| {
        let failed = || DialError::Resolve {
            host: host.into(),
            error: std::io::ErrorKind::NotFound.into(),
        };
        answers.borrow_mut().pop().unwrap().ok_or_else(failed)
    };
    let mut fails = false;
    refresh(&endpoint, &resolve, &mut fails).await;
    assert!(endpoint.addresses.contains(old) && !endpoint.addresses.contains(new));
    refresh(&endpoint, &resolve, &mut fails).await;
    assert!(fails && endpoint.addresses.contains(old));
    refresh(&endpoint, &resolve, &mut fails).await;
    assert!(!fails && endpoint.addresses.contains(new) && !endpoint.addresses.contains(old));
}

#[test]
fn each_address_of_the_preferred_family_has_its_turn() {
    let all = Addresses::default();
    all.publish(addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1"]));
    let turns = [0, 1, 2].map(|turn| all.rotated(turn).unwrap());
    assert_eq!(turns[0], addresses(&["[::1]:1", "[::2]:1", "10.0.0.1:1"]));
    assert_eq!(turns[1], addresses(&["[::2]:1", "[::1]:1", "10.0.0.1:1"]));
    assert_eq!(turns[2], turns[0]);
}

// A connection to an address that was removed is not used again, and one to an address that stayed
// is.
#[tokio::test]
async fn the_term_of_a_connection_ends_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let stream = Stream::Tcp(tokio::net::TcpStream::connect(peer).await.unwrap());
    let now = crate::clock::monotonic();
    let term = |url: &str| {
        let endpoint = Arc::new(Endpoint::new(Url::parse(url).unwrap()));
        let limit = ReuseLimit::new(&endpoint, &stream, now + Duration::from_secs(60));
        (endpoint, limit)
    };
    let (endpoint, term_of_name) = term("http://orders.internal:80/");
    endpoint.addresses.publish(vec![peer]);
    assert!(term_of_name.holds(now));
    assert!(
        !term_of_name.holds(now + Duration::from_secs(60)),
        "it is old"
    );
    endpoint.addresses.publish(addresses(&["10.0.0.1:80"]));
    assert!(!term_of_name.holds(now));
    assert!(
        term("http://127.0.0.1:80/").1.holds(now),
        "an address is no name"
    );
}

/// An upstream at a name that the resolver of the system does not know.
fn upstream(port: u16) -> Arc<Upstream> {
    let settings = fixture::settings(&format!("http://orders.internal:{port}/"));
    fixture::upstream(Settings {
        dns_refresh: Duration::from_millis(1),
        ..settings
    })
}

/// A server on one of the addresses.
#[derive(Default)]
struct Server {
    made: Cell<usize>,
    ended: Cell<usize>,
}

impl Server {
    fn start(listener: TcpListener) -> Rc<Self> {
        let server = Rc::<Self>::default();
        let this = server.clone();
        spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                this.made.set(this.made.get() + 1);
                let this = this.clone();
                spawn_local(async move {
                    // Each request arrives in one read.
                    while stream
                        .read(&mut [0; 4096])
                        .await
                        .is_ok_and(|count| count > 0)
                    {
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                            .await
                            .unwrap();
                    }
                    this.ended.set(this.ended.get() + 1);
                });
            }
        });
        server
    }
}

async fn send(balance: &UpstreamClient<Empty<Bytes>>) {
    let request = Request::get("/")
        .header("host", "orders.internal")
        .body(Empty::new())
        .unwrap();
    let (head, body) = request.into_parts();
    let (mut outgoing, limit) = (
        Outgoing::new(head, Vec::new(), body),
        Duration::from_secs(20),
    );
    assert_eq!(
        balance
            .send(&mut outgoing, limit, None, None)
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_connection_to_an_address_that_is_gone_is_closed_and_the_new_one_is_asked() {
    let body = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let old_address = listener.local_addr().unwrap();
        let new_address = SocketAddr::new("127.0.0.2".parse().unwrap(), old_address.port());
        let new = Server::start(TcpListener::bind(new_address).await.unwrap());
        let old = Server::start(listener);
        let upstream = upstream(old_address.port());
        let answer = Rc::new(Cell::new(old_address));
        let asked = answer.clone();
        let resolve = async move |_: &str, _: u16| Ok(vec![asked.get()]);
        spawn_local(refresh_addresses(Arc::downgrade(&upstream), resolve));
        let addresses = &upstream.endpoints[0].addresses;
        wait_until("the name resolves", || addresses.rotated(0).is_some()).await;

        let balance = UpstreamClient::new(upstream.clone(), None, TimerWheel::new());
        for _ in 0..2 {
            send(&balance).await;
            balance.sweep();
        }
        assert_eq!(
            (old.made.get(), old.ended.get()),
            (1, 0),
            "it is kept while its address is there"
        );
        answer.set(new_address);
        wait_until("the name has another address", || {
            !addresses.contains(old_address)
        })
        .await;
        wait_until("the connection is closed", || old.ended.get() == 1).await;
        for _ in 0..2 {
            send(&balance).await;
            balance.sweep();
        }
        assert_eq!((old.made.get(), new.made.get(), new.ended.get()), (1, 1, 0));
    };
    LocalSet::new().run_until(body).await;
}
