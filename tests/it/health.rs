//! How an upstream does: how much it has to do at a time.

use crate::cast::{Gateway, Request, Script, Upstream};

fn pieces(pieces: &[&[u8]]) -> Script {
    Script::Pieces(pieces.iter().map(|piece| piece.to_vec()).collect())
}

// L08: a request is under way until the last byte of its response, and then makes room for another.
#[test]
fn beyond_max_requests_the_answer_is_503_at_once() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "max_requests = 1\n");
    upstream.play([pieces(&[b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", b"k"])]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    let refused = |when: &str| {
        let answer = gateway.send(&Request::get("/next"));
        assert_eq!((answer.status, answer.code().as_str()), (503, "upstream_overloaded"), "{when}");
        assert_eq!(answer.field("retry-after"), Some("1"));
    };
    refused("before the head");
    upstream.go_on();
    first.read_head_only();
    refused("before the end of the body");
    upstream.go_on();
    first.read_exact(2);
    crate::cast::wait_until("there is room again", || gateway.send(&Request::get("/next")).status == 200);
    for _ in 0..4 {
        assert_eq!(gateway.connect().send(&Request::get("/one-by-one")).status, 200);
    }
}

#[test]
fn within_max_requests_nobody_is_refused() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "max_requests = 2\n");
    upstream.play([Script::Hang]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    assert_eq!(gateway.send(&Request::get("/next")).status, 200);
}

// What is under way stays under way when the configuration changes.
#[test]
fn a_reload_does_not_forget_the_requests_under_way() {
    let upstream = Upstream::start();
    let toml = |more: &str| {
        let route = "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
        format!("{}max_requests = 1\n{more}{route}", upstream.toml("orders"))
    };
    let gateway = Gateway::start(&toml(""));
    upstream.play([Script::Hang]);
    let mut first = gateway.connect();
    first.write_request(&Request::get("/held"));
    upstream.wait_for(1);
    gateway.rewrite(&toml("retries = 2\n"));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!(gateway.send(&Request::get("/next")).status, 503);
}
