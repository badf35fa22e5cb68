//! Upstreams with several endpoints: the endpoint that gets a request, and the answer to the client
//! when one fails.

use std::net::TcpListener;

use crate::support::{Gateway, Request, Script, Upstream, wait_until};

const RETRIES: &str = "scopegate_upstream_retries_total{upstream=\"orders\"}";
const EJECTIONS: &str = "scopegate_upstream_ejections_total{upstream=\"orders\"}";
const ROUTE: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

/// The URL of a port where nobody listens.
fn nowhere() -> String {
    format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    )
}

fn toml(endpoints: &[String], more: &str) -> String {
    format!(
        "[upstreams.orders]\nendpoints = [{}]\n{more}\n{ROUTE}",
        endpoints.join(", ")
    )
}

fn plain(url: &str) -> String {
    format!("\"{url}\"")
}

fn start(urls: &[&str], more: &str) -> Gateway {
    Gateway::start(&toml(
        &urls.iter().map(|url| plain(url)).collect::<Vec<_>>(),
        more,
    ))
}

// Each worker goes by the weights for itself, and a client connection has one worker.
#[test]
fn weights_are_shares_of_the_requests() {
    let (many, few) = (Upstream::start(), Upstream::start());
    let heavy = format!("{{ url = \"{}\", weight = 9 }}", many.url());
    let gateway = Gateway::start(&toml(&[heavy, plain(&few.url())], ""));
    let mut client = gateway.connect();
    for _ in 0..40 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
    }
    assert_eq!((many.arrivals().len(), few.arrivals().len()), (36, 4));
    assert_eq!(many.last().field("host"), Some(&*many.authority()));
    assert_eq!(
        few.last().field("host"),
        Some(&*few.authority()),
        "an endpoint gets its own name"
    );
}

#[test]
fn the_less_busy_endpoint_gets_the_request() {
    let (slow, quick) = (Upstream::start(), Upstream::start());
    slow.always(Script::Hang);
    quick.always(Script::Hang);
    let gateway = start(&[&slow.url(), &quick.url()], "balance = \"least_requests\"");
    let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for (sent, client) in clients.iter_mut().enumerate() {
        client.write_request(&Request::get("/x"));
        wait_until("it arrives", || {
            slow.arrivals().len() + quick.arrivals().len() > sent
        });
    }
    // Each of the two workers keeps its own requests even.
    assert!(slow.arrivals().len().abs_diff(quick.arrivals().len()) <= 2);
}

// Nobody sees that an endpoint is gone, whatever the method: nothing was sent to it.
#[test]
fn what_could_not_be_sent_goes_to_another_endpoint() {
    let here = Upstream::start();
    let gateway = start(
        &[&nowhere(), &here.url()],
        "retry_percent = 100\nejection = { failures = 0 }",
    );
    let mut client = gateway.connect();
    for _ in 0..5 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
        let posted = client.send(&Request::new("POST", "/x").body("once"));
        assert_eq!(posted.status, 200);
        assert_eq!(here.last().body, b"once");
    }
    assert_eq!(here.arrivals().len(), 10);
    assert!(gateway.metric(RETRIES) > 0.0);
}

#[test]
fn without_retries_the_first_failure_is_the_answer() {
    let here = Upstream::start();
    let gateway = start(&[&nowhere(), &here.url()], "retries = 0");
    let mut client = gateway.connect();
    let statuses = [(); 2].map(|()| client.send(&Request::get("/x")).status);
    assert_eq!(statuses, [502, 200]);
    assert_eq!(gateway.metric(RETRIES), 0.0);
}

// A GET that may have been seen is repeated elsewhere, a POST never.
#[test]
fn what_may_have_arrived_is_repeated_only_if_it_may_be() {
    let (broken, here) = (Upstream::start(), Upstream::start());
    broken.always(Script::Close);
    let gateway = start(&[&broken.url(), &here.url()], "ejection = { failures = 0 }");
    assert_eq!(gateway.connect().send(&Request::get("/x")).status, 200);
    assert_eq!((broken.arrivals().len(), here.arrivals().len()), (1, 1));

    let (broken, here) = (Upstream::start(), Upstream::start());
    broken.always(Script::Close);
    let gateway = start(&[&broken.url(), &here.url()], "ejection = { failures = 0 }");
    let answer = gateway
        .connect()
        .send(&Request::new("POST", "/x").body("once"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_failed")
    );
    assert_eq!((broken.arrivals().len(), here.arrivals().len()), (1, 0));
}

// An upstream that fails altogether does not get a multiple of the requests.
#[test]
fn retries_are_within_a_budget() {
    let both = [Upstream::start(), Upstream::start()];
    both.iter()
        .for_each(|upstream| upstream.always(Script::Close));
    let settings = "retry_percent = 20\nretry_min = 0\nejection = { failures = 0 }";
    let gateway = start(&[&both[0].url(), &both[1].url()], settings);
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.send(&Request::get("/x")).status, 502);
    }
    assert_eq!(gateway.metric(RETRIES), 10.0);
    assert_eq!(
        both.iter()
            .map(|upstream| upstream.arrivals().len())
            .sum::<usize>(),
        60
    );
}

// And comes back when it answers; no answer of 503 is retried.
#[test]
fn an_endpoint_that_fails_in_a_row_is_left_alone_and_comes_back() {
    let (ill, well) = (Upstream::start(), Upstream::start());
    ill.always(Script::Raw(
        b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".to_vec(),
        true,
    ));
    let gateway = start(
        &[&ill.url(), &well.url()],
        "ejection = { failures = 2, time = \"300ms\" }",
    );
    let mut client = gateway.connect();
    let statuses: Vec<_> = (0..4)
        .map(|_| client.send(&Request::get("/x")).status)
        .collect();
    assert_eq!(statuses, [503, 200, 503, 200]);
    assert_eq!(gateway.metric(EJECTIONS), 1.0);
    ill.always(Script::Ok);
    wait_until("it is asked again", || {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
        ill.arrivals().len() > 2
    });
}

// What has not recovered costs one request, not all that come while it is asked.
#[test]
fn an_endpoint_that_comes_back_gets_one_request_until_it_has_answered() {
    let (ill, well) = (Upstream::start(), Upstream::start());
    ill.play([
        Script::Close,
        Script::Pieces(vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        ]),
    ]);
    let gateway = start(
        &[&ill.url(), &well.url()],
        "ejection = { failures = 1, time = \"100ms\" }",
    );
    let ejected = |upstream: &Upstream| {
        format!(
            "scopegate_upstream_endpoint_ejected{{endpoint=\"{}/\",upstream=\"orders\"}}",
            upstream.url()
        )
    };
    let mut client = gateway.connect();
    assert_eq!(
        client.send(&Request::get("/x")).status,
        200,
        "it is tried elsewhere"
    );
    assert_eq!(
        (
            gateway.metric(&ejected(&ill)),
            gateway.metric(&ejected(&well))
        ),
        (1.0, 0.0)
    );
    // Whoever is sent to it has to wait for the answer.
    let mut trials = Vec::new();
    wait_until("it is tried", || {
        let mut trial = gateway.connect();
        trial.write_request(&Request::get("/trial"));
        trials.push(trial);
        ill.arrivals().len() == 2
    });
    for _ in 0..8 {
        assert_eq!(gateway.send(&Request::get("/x")).status, 200);
    }
    assert_eq!(ill.arrivals().len(), 2, "one is under way");
    assert_eq!(gateway.metric(&ejected(&ill)), 1.0);
    ill.go_on();
    for trial in &mut trials {
        assert_eq!(trial.read("GET").unwrap().status, 200);
    }
    gateway.wait_for_metric(&ejected(&ill), 0.0);
    let before = ill.arrivals().len();
    (0..8).for_each(|_| assert_eq!(client.send(&Request::get("/x")).status, 200));
    assert_eq!(ill.arrivals().len(), before + 4, "it has its share again");
}

// When there is nobody else left, what was left alone is asked.
#[test]
fn the_last_endpoint_is_never_left_alone() {
    let both = [Upstream::start(), Upstream::start()];
    both.iter()
        .for_each(|upstream| upstream.always(Script::Close));
    let settings = "retries = 1\nejection = { failures = 1, time = \"1h\", max_percent = 100 }";
    let gateway = start(&[&both[0].url(), &both[1].url()], settings);
    for _ in 0..3 {
        assert_eq!(gateway.send(&Request::get("/x")).status, 502);
    }
    assert_eq!(gateway.metric(EJECTIONS), 1.0);
    both.iter().for_each(|upstream| upstream.always(Script::Ok));
    assert_eq!(gateway.send(&Request::get("/x")).status, 200);
}

// What a reload leaves as it is keeps its connections.
#[test]
fn a_reload_that_adds_an_endpoint_keeps_the_connections_of_the_other() {
    let (old, new) = (Upstream::start(), Upstream::start());
    let gateway = start(&[&old.url()], "");
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/x")).status, 200);
    gateway.rewrite(&toml(&[plain(&old.url()), plain(&new.url())], ""));
    gateway.reload();
    wait_until("the new endpoint is asked", || {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
        !new.arrivals().is_empty()
    });
    while old.arrivals().len() < 3 {
        assert_eq!(client.send(&Request::get("/x")).status, 200);
    }
    assert_eq!(old.connections(), 1);
}
