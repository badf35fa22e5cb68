//! Changes under load: reloads, and gateways behind a gateway that are restarted in turn.
#![cfg(unix)]

use std::net::SocketAddr;

use crate::support::{
    Gateway, Load, Process, Request, Secured, Upstream, free_address, wait_until,
};

const ROUTE: &str =
    "[[routes]]\npath = \"/x\"\nupstream = \"orders\"\nmethods = [\"GET\"]\npublic = true\n";

/// Reloads that the test asks for.
const RELOADS: usize = 50;

#[track_caller]
fn reload_fifty_times(
    tls: &str,
    probe: impl Fn(&Gateway, &str) -> bool,
    load: impl FnOnce(SocketAddr) -> Load,
) {
    let upstream = Upstream::start();
    let text = |number: usize| {
        let more =
            format!("[[routes]]\npath = \"/n{number}\"\nupstream = \"orders\"\npublic = true\n");
        format!(
            "{tls}[reload]\nwatch = false\n{}{ROUTE}{more}methods = [\"GET\"]\n",
            upstream.toml("orders")
        )
    };
    let gateway = Gateway::start(&text(0));
    let load = load(gateway.address());
    for number in 1..=RELOADS {
        gateway.rewrite(&text(number));
        gateway.reload();
        wait_until("the reload is done", || {
            probe(&gateway, &format!("/n{number}"))
        });
    }
    load.must_not_have_failed();
}

// A reload is a swap that no request sees.
#[test]
fn fifty_reloads_under_load_fail_no_request() {
    let is_there = |gateway: &Gateway, path: &str| gateway.send(&Request::get(path)).status == 200;
    reload_fifty_times("", is_there, |address| {
        Load::start(address, &Request::get("/x"), 4)
    });
}

// Nor do those see it that keep their connections, whatever they speak.
#[test]
fn fifty_reloads_under_load_over_tls_fail_no_request() {
    let secured = Secured::new();
    let is_there =
        |gateway: &Gateway, path: &str| secured.client(gateway.address(), true).ask(path).is_ok();
    reload_fifty_times(&secured.server_toml(), is_there, |address| {
        Load::of(secured.clients(address))
    });
}

/// Two gateways that are restarted in turn behind a third, which a load is put on. Each gets
/// requests again.
#[track_caller]
fn restart_in_turn(
    balancer: &str,
    upstream: &str,
    behind: &str,
    load: impl FnOnce(SocketAddr) -> Load,
) {
    let answering = Upstream::start();
    let toml = |address| {
        let server = format!("[server]\nlisten = \"{address}\"\nadmin = \"off\"\nworkers = 1\n");
        format!(
            "{server}{behind}[log]\naccess = \"all\"\n{}{ROUTE}",
            answering.toml("orders")
        )
    };
    let run = |address| {
        let process = Process::start(&["run"], &toml(address));
        process.wait_for_log("listening address=");
        process
    };
    let addresses = [free_address(), free_address()];
    let mut gateways = addresses.map(run);
    let scheme = if upstream.is_empty() { "http" } else { "https" };
    let [one, two] = addresses.map(|address| format!("\"{scheme}://{address}\""));
    let balancer = Gateway::start(&format!(
        "{balancer}[upstreams.orders]\nendpoints = [{one}, {two}]\nretries = 1\n\
         retry_percent = 100\nconnect_timeout = \"15s\"\n{upstream}\
         [upstreams.orders.ejection]\ntime = \"50ms\"\n{ROUTE}"
    ));
    let load = load(balancer.address());
    let gets_requests = |process: &Process| {
        wait_until("the balancer asks it", || {
            process.out().contains("\"path\":\"/x\"")
        });
    };
    gateways.iter().for_each(gets_requests);
    for (process, address) in gateways.iter_mut().zip(addresses) {
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        load.goes_on();
        *process = run(address);
        gets_requests(process);
    }
    load.must_not_have_failed();
}

// Each restart is seen by the balancer alone.
#[test]
fn gateways_behind_a_gateway_restart_in_turn_without_a_failed_request() {
    restart_in_turn("", "", "", |address| {
        Load::start(address, &Request::get("/x"), 4)
    });
}

// The same over TLS on both sides, for clients that keep their connections and for those that
// do not.
#[test]
fn gateways_restart_in_turn_over_tls_without_a_failed_request() {
    let secured = Secured::new();
    for protocol in ["http1", "http2"] {
        let upstream = format!(
            "protocol = \"{protocol}\"\ntls_timeout = \"15s\"\nca_file = \"{}\"\n",
            secured.root().display()
        );
        let tls = secured.server_toml();
        restart_in_turn(&tls, &upstream, &tls, |address| {
            Load::of(secured.clients(address))
        });
    }
}
