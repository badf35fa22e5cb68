//! Tokens that are bound to a client certificate (RFC 8705 §3): valid only on connections that
//! present it.

use std::io::{Read as _, Write as _};

use aws_lc_rs::digest;
use serde_json::json;

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, literal};
use crate::support::{
    Authority, Gateway, ISS, Identity, Key, Token, Upstream, connect, encode, offering,
};

/// A listener that asks for certificates, and what three clients show: two have one, the third
/// none.
struct Scene {
    root: Authority,
    gateway: Gateway,
    upstream: Upstream,
    key: Key,
    alice: Identity,
    mallory: Identity,
}

/// What a request is answered with.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

fn thumbprint(identity: &Identity) -> String {
    encode(digest::digest(&digest::SHA256, &identity.leaf()))
}

fn bound_to(identity: &Identity) -> Token {
    Token::of(ISS, "read").with("cnf", json!({ "x5t#S256": thumbprint(identity) }))
}

impl Scene {
    fn set() -> Self {
        let (root, upstream, key) = (Authority::new(), Upstream::start(), Key::p256("key"));
        let server = root.sign(&["a.test"]);
        let keys = json!({ "keys": [key.jwk()] });
        let tls = format!(
            "client_auth = \"optional\"\nclient_ca_file = \"clients.pem\"\n\
             [issuers.idp]\nissuer = \"{ISS}\"\naudience = \"api\"\njwks = '{keys}'\n\
             [[groups]]\npublic_url = \"https://a.test\"\n[[groups.routes]]\npath = \"/x\"\n\
             upstream = \"orders\"\nmethods = {{ GET = \"read\" }}\n"
        );
        let gateway = Gateway::secured(
            &upstream,
            &[("a", &server)],
            &tls,
            &[("clients.pem", &root.pem)],
        );
        let (alice, mallory) = (root.sign(&["alice"]), root.sign(&["mallory"]));
        Self {
            root,
            gateway,
            upstream,
            key,
            alice,
            mallory,
        }
    }

    /// Asks on a connection of its own.
    fn ask(&self, shown: Option<&Identity>, token: &str, more: &str) -> Answer {
        self.ask_for(
            "/x",
            shown,
            &format!("Authorization: Bearer {token}\r\n{more}"),
        )
    }

    fn ask_for(&self, path: &str, shown: Option<&Identity>, fields: &str) -> Answer {
        let mut stream = connect(self.gateway.address(), "a.test", self.root.client(shown));
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Answer {
            status: text.split(' ').nth(1).unwrap().parse().unwrap(),
            text,
        }
    }

    /// The same over HTTP/2, twice on one connection.
    fn ask_over_http_2(&self, shown: Option<&Identity>, token: &str) -> [u16; 2] {
        let config = offering(self.root.client(shown), &[b"h2"]);
        let mut client = Frames::over(connect(self.gateway.address(), "a.test", config));
        let bearer = format!("Bearer {token}");
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/x"),
            (":authority", "a.test"),
            ("authorization", &bearer),
        ];
        let head: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect();
        [1, 3].map(|stream| {
            client.send(HEADERS, END_STREAM | END_HEADERS, stream, &head);
            client.status(stream)
        })
    }
}

// Whether the token was seen before or not, and by whomever it is sent first.
#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_on_its_owners_connections_alone() {
    let scene = Scene::set();
    let (alice, mallory) = (Some(&scene.alice), Some(&scene.mallory));
    for first in [alice, mallory, None] {
        let token = bound_to(&scene.alice)
            .with("jti", format!("{}", first.is_some()))
            .signed(&scene.key);
        for shown in [first, alice, mallory, None, alice] {
            let is_owner = shown.is_some_and(|shown| std::ptr::eq(shown, &scene.alice));
            let arrived = scene.upstream.arrivals().len();
            let answer = scene.ask(shown, &token, "");
            assert_eq!(
                answer.status,
                if is_owner { 200 } else { 401 },
                "{answer:?}"
            );
            assert_eq!(scene.ask_over_http_2(shown, &token), [answer.status; 2]);
            let forwarded = scene.upstream.arrivals().len() - arrived;
            assert_eq!(forwarded, if is_owner { 3 } else { 0 });
            if !is_owner {
                assert!(
                    answer.text.contains("\r\nwww-authenticate: Bearer "),
                    "{answer:?}"
                );
                assert!(
                    answer.text.contains("error=\"invalid_token\""),
                    "{answer:?}"
                );
                assert!(
                    answer
                        .text
                        .contains("\"code\":\"wrong_client_certificate\""),
                    "{answer:?}"
                );
            }
        }
    }
    // What is said of certificates by whoever asks is no certificate.
    let token = bound_to(&scene.alice).signed(&scene.key);
    let pem = scene.alice.chain.replace('\n', "%0A");
    for name in [
        "Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-SSL-Client-Cert",
        "X-Client-Cert",
    ] {
        assert_eq!(
            scene
                .ask(None, &token, &format!("{name}: {pem}\r\n"))
                .status,
            401,
            "{name}"
        );
    }
    let series = "scopegate_refusals_total{reason=\"wrong_client_certificate\",route=\"/x\"}";
    scene
        .gateway
        .wait_for_metric(series, f64::from((2 + 3 + 3) * 3 + 4));
}

// The twins of the test above: who is not asked for a proof needs none, and one that cannot be
// given here is given by nobody.
#[test]
fn a_certificate_proves_nothing_but_itself() {
    let scene = Scene::set();
    let bearer = Token::of(ISS, "read").signed(&scene.key);
    let both = json!({ "x5t#S256": thumbprint(&scene.alice), "jkt": thumbprint(&scene.alice) });
    let both = Token::of(ISS, "read").with("cnf", both).signed(&scene.key);
    // The certificate says who holds the token, not what it grants.
    let less = bound_to(&scene.alice)
        .with("scope", "write")
        .signed(&scene.key);
    for shown in [Some(&scene.alice), Some(&scene.mallory), None] {
        assert_eq!(scene.ask(shown, &bearer, "").status, 200);
        let answer = scene.ask(shown, &both, "");
        assert!(
            answer.text.contains("sender_constrained_token"),
            "{answer:?}"
        );
    }
    assert_eq!(scene.ask(Some(&scene.alice), &less, "").status, 403);
    assert_eq!(scene.ask(None, &less, "").status, 401);
}

// RFC 9728 §2. The twin, without certificates, is with the other metadata.
#[test]
fn clients_are_told_that_tokens_may_be_bound_to_their_certificates() {
    let scene = Scene::set();
    let answer = scene.ask_for("/.well-known/oauth-protected-resource", None, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .text
            .contains("\"tls_client_certificate_bound_access_tokens\":true"),
        "{answer:?}"
    );
}
