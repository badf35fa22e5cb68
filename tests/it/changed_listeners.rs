//! Reloads that add and remove listeners: every accepted connection is answered, under a
//! configuration that has its listener.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{
    Client, Gateway, KeptPort, Request, Secured, Upstream, wait_until, wait_until_closed,
};

const SUCCESS: &str = "scopegate_reloads_total{result=\"success\"}";
const CONNECTIONS: &str = "scopegate_connections_open";

fn public(path: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\nupstream = \"orders\"\npublic = true\n")
}

/// A gateway of one upstream, which listens on some ports of this machine and has these routes
/// besides `/x`.
fn text(upstream: &Upstream, ports: &[&KeptPort], more: &str) -> String {
    let listen: Vec<_> = ports
        .iter()
        .map(|port| port.at("127.0.0.1").to_string())
        .collect();
    format!(
        "[server]\nlisten = {listen:?}\n[reload]\nwatch = false\n{}{}{more}",
        upstream.toml("orders"),
        public("/x")
    )
}

/// Reloads, and waits until that is counted.
fn reload(gateway: &Gateway, toml: &str) {
    let before = gateway.metric(SUCCESS);
    gateway.rewrite(toml);
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, before + 1.0);
}

/// The statuses that a client gets until it is stopped, each on a new connection; 0 for one that
/// was not answered.
fn hammer(port: &KeptPort, request: &Request, stop: &AtomicBool) -> Vec<u16> {
    let (address, mut statuses) = (port.at("127.0.0.1").to_string(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let Some(mut client) = Client::try_connect(&address) else {
            continue;
        };
        client.write_request(request);
        statuses.push(client.read("GET").map_or(0, |answer| answer.status));
    }
    statuses
}

// `/new` comes with the listener: not before it, and not after it.
#[test]
fn a_listener_that_is_added_answers_from_its_first_connection() {
    const ROUNDS: usize = 2;
    let (upstream, first, second) = (Upstream::start(), KeptPort::new(), KeptPort::new());
    // The more there are the longer a reload takes.
    let many: String = (0..200)
        .map(|number| public(&format!("/r{number}")))
        .collect();
    let before = text(&upstream, &[&first], &many);
    let after = text(&upstream, &[&first, &second], &(public("/new") + &many));
    let gateway = Gateway::start_on_its_own_addresses(&before);
    for _ in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| hammer(&second, &Request::get("/new"), &stop)))
                .collect();
            reload(&gateway, &after);
            wait_until("the listener answers", || {
                Client::try_connect(&second.at("127.0.0.1").to_string()).is_some()
            });
            stop.store(true, Ordering::Relaxed);
            clients
                .into_iter()
                .flat_map(|client| client.join().unwrap())
                .collect()
        });
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        reload(&gateway, &before);
        wait_until_closed(second.at("127.0.0.1"));
    }
}

/// A gateway with two listeners and room for one connection, which is taken.
fn full(upstream: &Upstream, ports: [&KeptPort; 2], more: &str) -> (Gateway, Client) {
    let toml = text(upstream, &ports, more) + "[server.limits]\nconnections = 1\n";
    let gateway = Gateway::start_on_its_own_addresses(&toml);
    let mut held = Client::connect(ports[0].at("127.0.0.1"));
    assert_eq!(held.send(&Request::get("/x")).status, 200);
    (gateway, held)
}

#[test]
fn who_waits_on_a_listener_that_is_removed_is_answered() {
    let (upstream, first, second) = (Upstream::start(), KeptPort::new(), KeptPort::new());
    let (gateway, _held) = full(&upstream, [&first, &second], "");
    let mut waiting: Vec<_> = (0..20)
        .map(|_| Client::connect(second.at("127.0.0.1")))
        .collect();
    for client in &mut waiting {
        client.write_request(&Request::get("/x"));
    }
    // One more may be let in than there is room for, by a listener that had seen some.
    assert!(gateway.metric(CONNECTIONS) <= 2.0, "most of them wait");
    reload(
        &gateway,
        &(text(&upstream, &[&first], "") + "[server.limits]\nconnections = 1\n"),
    );
    for client in &mut waiting {
        assert_eq!(client.read("GET").map(|answer| answer.status), Some(200));
    }
    wait_until_closed(second.at("127.0.0.1"));
    assert_eq!(
        waiting[0].send(&Request::get("/x")).status,
        200,
        "what was accepted there goes on"
    );
}

// As its last configuration says: these speak the wrong protocol, and are told so by TLS.
#[test]
fn who_waits_on_a_listener_that_is_removed_is_served_as_the_listener_was_configured() {
    let (upstream, secured) = (Upstream::start(), Secured::new());
    let (first, second) = (KeptPort::new(), KeptPort::new());
    let own = format!(
        "[[server.listeners]]\naddress = \"{}\"\n",
        second.at("127.0.0.1")
    );
    let own = own
        + &secured
            .server_toml()
            .replace("[server.tls]", "[server.listeners.tls]");
    let limits = "[server.limits]\nconnections = 1\n";
    let gateway = Gateway::start_on_its_own_addresses(&(text(&upstream, &[&first], &own) + limits));
    let mut held = Client::connect(first.at("127.0.0.1"));
    assert_eq!(held.send(&Request::get("/x")).status, 200);
    let waiting: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(second.at("127.0.0.1")).unwrap())
        .collect();
    reload(&gateway, &(text(&upstream, &[&first], "") + limits));
    wait_until_closed(second.at("127.0.0.1"));
    for mut stream in waiting {
        use std::io::{Read as _, Write as _};
        stream
            .set_read_timeout(Some(crate::support::PATIENCE))
            .unwrap();
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.contains("This port speaks HTTPS only."),
            "{answer:?}"
        );
    }
}

// The address is free as soon as the reload is counted.
#[test]
fn a_listener_that_was_removed_can_come_back_at_once() {
    let (upstream, first, second) = (Upstream::start(), KeptPort::new(), KeptPort::new());
    let (one, both) = (
        text(&upstream, &[&first], ""),
        text(&upstream, &[&first, &second], ""),
    );
    let gateway = Gateway::start_on_its_own_addresses(&one);
    for _ in 0..20 {
        reload(&gateway, &both);
        let mut client = Client::connect(second.at("127.0.0.1"));
        assert_eq!(client.send(&Request::get("/x")).status, 200);
        reload(&gateway, &one);
    }
}

// Its twin: one that stays is neither closed nor bound anew, whatever comes and goes beside it.
#[test]
fn what_waits_on_a_listener_that_stays_goes_on_waiting() {
    let (upstream, first, second) = (Upstream::start(), KeptPort::new(), KeptPort::new());
    let third = KeptPort::new();
    let (gateway, held) = full(&upstream, [&first, &second], "");
    let mut waiting: Vec<_> = (0..5)
        .map(|_| Client::connect(first.at("127.0.0.1")))
        .collect();
    for client in &mut waiting {
        client.write_request(&Request::get("/x").field("connection", "close"));
    }
    let limits = "[server.limits]\nconnections = 1\n";
    reload(&gateway, &(text(&upstream, &[&first, &third], "") + limits));
    drop(held);
    while let Some(mut client) = waiting.pop() {
        assert_eq!(client.read("GET").map(|answer| answer.status), Some(200));
    }
}

// It is refused while the file names an address that another process has: nothing listens there for
// a moment, either.
#[test]
fn a_reload_that_fails_has_let_in_no_client() {
    let (upstream, first, second) = (Upstream::start(), KeptPort::new(), KeptPort::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start_on_its_own_addresses(&text(&upstream, &[&first], ""));
    let listen = [
        first.at("127.0.0.1"),
        second.at("127.0.0.1"),
        taken.local_addr().unwrap(),
    ];
    let listen = listen.map(|address| address.to_string());
    let own = format!("[server]\nlisten = {listen:?}\n[reload]\nwatch = false\n");
    let broken = own + &upstream.toml("orders") + &public("/x");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| hammer(&second, &Request::get("/x"), &stop));
        for number in 1..10_u32 {
            gateway.rewrite(&format!("{broken}# {number}\n"));
            gateway.reload();
            gateway.wait_for_metric("scopegate_reloads_total{result=\"failure\"}", number.into());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(client.join().unwrap().is_empty(), "no client could connect");
    });
}
