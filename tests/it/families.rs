//! Listeners for IPv4 and IPv6 on one port: each takes the addresses that the file states, in any
//! order.

use std::fmt::Debug;
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Client, Gateway, KeptPort, Load, Process, Request, Upstream, has_ipv6};

const SUCCESS: &str = "scopegate_reloads_total{result=\"success\"}";

/// A gateway that lets everything through, and listens there.
fn text(upstream: &Upstream, listen: &[SocketAddr], more: &str) -> String {
    let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
    format!(
        "[server]\nlisten = {listen:?}\nworkers = 2\n{more}\n[reload]\nwatch = false\n\
         {}[[routes]]\npath = \"/**\"\n\
         upstream = \"orders\"\npublic = true\n",
        upstream.toml("orders")
    )
}

fn status(address: SocketAddr) -> Option<u16> {
    let mut client = Client::try_connect(&address.to_string())?;
    client.write_request(&Request::get("/x"));
    Some(
        client
            .read("GET")
            .expect("what is accepted is answered")
            .status,
    )
}

#[track_caller]
fn assert_serves(port: &KeptPort, served: &[&str], refused: &[&str], what: &impl Debug) {
    for ip in served {
        assert_eq!(status(port.at(ip)), Some(200), "{what:?}: {ip}");
    }
    for ip in refused {
        assert_eq!(status(port.at(ip)), None, "{what:?}: {ip}");
    }
}

#[test]
fn listeners_of_both_families_share_a_port() {
    if !has_ipv6() {
        return;
    }
    let upstream = Upstream::start();
    let cases: [(&[&str], &[&str], &[&str]); 8] = [
        (&["0.0.0.0", "[::]"], &["127.0.0.1", "[::1]"], &[]),
        (&["[::]", "0.0.0.0"], &["127.0.0.1", "[::1]"], &[]),
        (
            &["[::]", "127.0.0.1"],
            &["127.0.0.1", "[::1]"],
            &["127.0.0.2"],
        ),
        (
            &["127.0.0.1", "[::]"],
            &["127.0.0.1", "[::1]"],
            &["127.0.0.2"],
        ),
        (
            &["127.0.0.2", "[::]", "127.0.0.1"],
            &["127.0.0.1", "127.0.0.2", "[::1]"],
            &["127.0.0.3"],
        ),
        (&["0.0.0.0", "[::1]"], &["127.0.0.1", "[::1]"], &[]),
        // An IPv4 address, written as one of IPv6.
        (
            &["[::ffff:127.0.0.1]", "[::]"],
            &["127.0.0.1", "[::1]"],
            &["127.0.0.2"],
        ),
        // By itself it is for both.
        (&["[::]"], &["127.0.0.1", "127.0.0.2", "[::1]"], &[]),
    ];
    for (listen, served, refused) in cases {
        let port = KeptPort::new();
        let listen: Vec<_> = listen.iter().map(|ip| port.at(ip)).collect();
        let gateway = Gateway::start_on_its_own_addresses(&text(&upstream, &listen, ""));
        // What only Linux has: all of 127.0.0.0/8.
        let refused = if cfg!(target_os = "linux") {
            refused
        } else {
            &[]
        };
        let served = served
            .iter()
            .copied()
            .filter(|ip| cfg!(target_os = "linux") || *ip != "127.0.0.2");
        assert_serves(&port, &served.collect::<Vec<_>>(), refused, &listen);
        gateway.shutdown();
    }
}

#[test]
fn a_client_of_ipv4_is_one_of_ipv4_whatever_it_connects_to() {
    if !has_ipv6() {
        return;
    }
    let upstream = Upstream::start();
    for listen in [&["[::]"][..], &["[::]", "0.0.0.0"]] {
        let port = KeptPort::new();
        let listen: Vec<_> = listen.iter().map(|ip| port.at(ip)).collect();
        let _gateway = Gateway::start_on_its_own_addresses(&text(&upstream, &listen, ""));
        for (ip, client) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            assert_eq!(status(port.at(ip)), Some(200));
            assert_eq!(
                upstream.last().field("x-forwarded-for"),
                Some(client),
                "{listen:?}"
            );
        }
    }
}

// The same holds for the admin listener: `[::]` leaves it its port.
#[test]
fn the_admin_listener_is_of_another_family_on_the_same_port() {
    if !has_ipv6() {
        return;
    }
    let upstream = Upstream::start();
    for (public, admin) in [("[::]", "127.0.0.1"), ("127.0.0.1", "[::]")] {
        let port = KeptPort::new();
        let toml = text(
            &upstream,
            &[port.at(public)],
            &format!("admin = \"{}\"\n", port.at(admin)),
        );
        let process = Process::start(&["run"], &toml);
        process.wait_for_log("listening for the admin address=");
        let local = |ip: &'static str| if ip == "[::]" { "[::1]" } else { ip };
        assert_eq!(status(port.at(local(public))), Some(200));
        let livez = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = crate::support::raw(port.at(local(admin)), livez);
        assert!(answer.ends_with("live\n"), "{answer}");
    }
}

// Whether a socket is for one family or for both cannot be changed, so that one replaces the other.
#[test]
#[cfg(target_os = "linux")]
fn a_reload_adds_and_removes_the_other_family() {
    if !has_ipv6() {
        return;
    }
    let (upstream, port) = (Upstream::start(), KeptPort::new());
    let of = |ips: &[&str]| {
        text(
            &upstream,
            &ips.iter().map(|ip| port.at(ip)).collect::<Vec<_>>(),
            "",
        )
    };
    let gateway = Gateway::start_on_its_own_addresses(&of(&["[::]"]));
    let steps: [(&[&str], &[&str], &[&str]); 7] = [
        (
            &["[::]", "0.0.0.0"],
            &["127.0.0.1", "127.0.0.2", "[::1]"],
            &[],
        ),
        (&["[::]"], &["127.0.0.1", "127.0.0.2", "[::1]"], &[]),
        (
            &["127.0.0.1", "[::]"],
            &["127.0.0.1", "[::1]"],
            &["127.0.0.2"],
        ),
        (
            &["0.0.0.0", "[::]"],
            &["127.0.0.1", "127.0.0.2", "[::1]"],
            &[],
        ),
        (&["0.0.0.0"], &["127.0.0.1", "127.0.0.2"], &["[::1]"]),
        (
            &["127.0.0.2", "[::1]"],
            &["127.0.0.2", "[::1]"],
            &["127.0.0.1"],
        ),
        (&["[::]"], &["127.0.0.1", "127.0.0.2", "[::1]"], &[]),
    ];
    for (number, (listen, served, refused)) in (1_u32..).zip(steps) {
        gateway.rewrite(&of(listen));
        gateway.reload();
        gateway.wait_for_metric(SUCCESS, number.into());
        assert_serves(&port, served, refused, &listen);
    }
    let mut second = Process::start(
        &["run"],
        &(of(&["[::]"]).replace("[reload]", "admin = \"off\"\n[reload]")),
    );
    assert_ne!(
        second.wait().code(),
        Some(0),
        "a port that was shared is the gateway's alone"
    );
    assert!(
        second.errors().contains("another process does already"),
        "{}",
        second.errors()
    );
}

// IPv4 goes to the socket that is for IPv4 alone as soon as there is one: nothing is lost in
// between.
#[test]
#[cfg(target_os = "linux")]
fn no_request_fails_while_a_family_gets_a_socket_of_its_own() {
    if !has_ipv6() {
        return;
    }
    let (upstream, port) = (Upstream::start(), KeptPort::new());
    let of = |ips: &[&str]| {
        text(
            &upstream,
            &ips.iter().map(|ip| port.at(ip)).collect::<Vec<_>>(),
            "",
        )
    };
    let gateway = Gateway::start_on_its_own_addresses(&of(&["[::]"]));
    let load = Load::start(port.at("127.0.0.1"), &Request::get("/x"), 3);
    gateway.rewrite(&of(&["[::]", "0.0.0.0"]));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    load.goes_on();
    load.must_not_have_failed();
    assert_serves(&port, &["127.0.0.1", "[::1]"], &[], &"afterwards");
}

/// A listening socket on `[::]`, for one family or for both.
#[cfg(unix)]
fn wildcard(port: &KeptPort, only_ipv6: bool) -> OwnedFd {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_only_v6(only_ipv6).unwrap();
    socket.bind(&port.at("[::]").into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

// What a supervisor opened stays as it opened it.
#[test]
#[cfg(target_os = "linux")]
fn an_inherited_socket_keeps_its_families() {
    if !has_ipv6() {
        return;
    }
    let upstream = Upstream::start();
    for (only_ipv6, listen, served, refused) in [
        (true, &["[::]"][..], &["[::1]"][..], &["127.0.0.1"][..]),
        (false, &["[::]"], &["[::1]", "127.0.0.1"], &[]),
        (true, &["0.0.0.0", "[::]"], &["[::1]", "127.0.0.1"], &[]),
        // It has the port for IPv4, too, and another is bound beside it.
        (false, &["0.0.0.0", "[::]"], &["[::1]", "127.0.0.1"], &[]),
        (
            false,
            &["[::]", "127.0.0.1"],
            &["[::1]", "127.0.0.1", "127.0.0.2"],
            &[],
        ),
    ] {
        let port = KeptPort::new();
        let toml = text(
            &upstream,
            &listen.iter().map(|ip| port.at(ip)).collect::<Vec<_>>(),
            "admin = \"off\"\n",
        );
        let process = Process::activated(wildcard(&port, only_ipv6), &toml);
        process.wait_for_log("listening address=");
        assert_serves(&port, served, refused, &(only_ipv6, listen));
    }
}

// So does what the gateway before hands over.
#[test]
#[cfg(target_os = "linux")]
fn a_gateway_that_follows_adds_the_other_family() {
    if !has_ipv6() {
        return;
    }
    let (upstream, port, directory) = (
        Upstream::start(),
        KeptPort::new(),
        tempfile::tempdir().unwrap(),
    );
    let path = directory.path().join("handover.sock");
    let of = |ips: &[&str]| {
        let listen: Vec<_> = ips.iter().map(|ip| port.at(ip)).collect();
        text(
            &upstream,
            &listen,
            &format!("admin = \"off\"\nhandover = \"{}\"\n", path.display()),
        )
    };
    let mut old = Process::start(&["run"], &of(&["[::]"]));
    old.wait_for_log("listening address=");
    let new = Process::start(&["run"], &of(&["[::]", "0.0.0.0"]));
    assert_eq!(old.wait().code(), Some(0));
    new.wait_for_log("listening address=");
    assert_serves(&port, &["127.0.0.1", "[::1]"], &[], &"the successor");
}

// A port that is not ours is said to be another's.
#[test]
fn an_address_that_another_process_has_is_said_to_be() {
    let upstream = Upstream::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut process = Process::start(&["run"], &text(&upstream, &[address], "admin = \"off\"\n"));
    assert_ne!(process.wait().code(), Some(0));
    let told = format!(
        "cannot listen on {address}: another process does already; \
         stop it, or choose another address in server.listen"
    );
    assert!(process.errors().contains(&told), "{}", process.errors());
    TcpStream::connect(address).expect("it is still the other's");
}
