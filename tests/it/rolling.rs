//! Changes under load: reloads, and gateways behind a gateway that are restarted in turn.
#![cfg(unix)]

use crate::cast::{Gateway, Load, Process, Request, Upstream, free_address, wait_until};

const ROUTE: &str = "[[routes]]\npath = \"/x\"\nupstream = \"orders\"\nmethods = [\"GET\"]\npublic = true\n";

/// Reloads that the test asks for.
const RELOADS: usize = 50;

// O04: a reload is a swap that no request sees.
#[test]
fn fifty_reloads_under_load_fail_no_request() {
    let upstream = Upstream::start();
    let text = |number: usize| {
        let more = format!("[[routes]]\npath = \"/n{number}\"\nupstream = \"orders\"\npublic = true\n");
        format!("[reload]\nwatch = false\n{}{ROUTE}{more}methods = [\"GET\"]\n", upstream.toml("orders"))
    };
    let gateway = Gateway::start(&text(0));
    let load = Load::start(gateway.address(), &Request::get("/x"), 4);
    for number in 1..=RELOADS {
        gateway.rewrite(&text(number));
        gateway.reload();
        let path = Request::get(&format!("/n{number}"));
        wait_until("the reload is done", || gateway.send(&path).status == 200);
    }
    load.must_not_have_failed();
}

// O05: each restart is seen by the balancer alone.
#[test]
fn gateways_behind_a_gateway_restart_in_turn_without_a_failed_request() {
    let upstream = Upstream::start();
    let toml = |address| {
        let server = format!("[server]\nlisten = \"{address}\"\nadmin = \"off\"\nworkers = 1\n");
        format!("{server}{}{ROUTE}", upstream.toml("orders"))
    };
    let run = |address| {
        let process = Process::start(&["run"], &toml(address));
        process.wait_for_log("listening address=");
        process
    };
    let addresses = [free_address(), free_address()];
    let mut behind = addresses.map(run);
    let [one, two] = addresses;
    let balancer = Gateway::start(&format!(
        "[upstreams.orders]\nendpoints = [\"http://{one}\", \"http://{two}\"]\nretries = 1\nretry_percent = 100\n{ROUTE}"
    ));
    let load = Load::start(balancer.address(), &Request::get("/x"), 4);
    for (process, address) in behind.iter_mut().zip(addresses) {
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        load.goes_on();
        *process = run(address);
        wait_until("it is asked again", || {
            load.goes_on();
            process.send(&Request::get("/x")).status == 200
        });
    }
    load.must_not_have_failed();
}
