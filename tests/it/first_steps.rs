//! The main purpose: a request with the scopes is forwarded, and any other is answered with the
//! reason.

use crate::support::{Gateway, Issuer, Request, Upstream};

fn orders(issuer: &Issuer, upstream: &Upstream) -> Gateway {
    Gateway::start(&format!(
        "{}{}\n[[routes]]\npath = \"/orders\"\nupstream = \"orders\"\n\
         methods = {{ GET = \"orders.read\", POST = \"orders.write\" }}\n",
        issuer.toml(),
        upstream.toml("orders")
    ))
}

#[test]
fn a_token_with_the_scope_is_forwarded() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = orders(&issuer, &upstream);
    let answer = gateway.send(&Request::get("/orders?a=b").bearer(&issuer.token("orders.read")));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let arrival = upstream.last();
    assert_eq!(
        (arrival.method.as_str(), arrival.target.as_str()),
        ("GET", "/orders?a=b")
    );
    assert_eq!(arrival.field("host"), Some(upstream.authority().as_str()));
    assert_eq!(arrival.field("x-forwarded-host"), Some("api.test"));
}

#[test]
fn a_token_without_the_scope_is_refused() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = orders(&issuer, &upstream);
    let answer = gateway.send(
        &Request::new("POST", "/orders")
            .bearer(&issuer.token("orders.read"))
            .body("x"),
    );
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "insufficient_scope")
    );
    assert_eq!(answer.challenge("scope").as_deref(), Some("orders.write"));
    assert!(upstream.arrivals().is_empty());
}
