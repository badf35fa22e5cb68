//! Many clients at once that send nothing or demand too much: the other clients are served all the
//! while.
#![cfg(unix)]

use std::time::{Duration, Instant};

use crate::support::{Client, Issuer, Process, Request, Script, Upstream, encode, raw, wait_until};

const OPEN: &str =
    "[[routes]]\npath = \"/**\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";

/// A sample of the metrics.
fn metric(process: &Process, series: &str) -> f64 {
    let text = raw(
        process.admin(),
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {series}: {text}"))
        .parse()
        .unwrap()
}

// Half a head each.
#[test]
fn six_hundred_half_heads_are_let_go_and_starve_nobody() {
    const CROWD: usize = 600;
    let upstream = Upstream::start();
    let timeouts = "[server.timeouts]\nrequest_head = \"3s\"\n";
    let process = Process::run(&format!("{timeouts}{}{OPEN}", upstream.toml("orders")));
    let mut client = Client::connect(process.address());
    let begin = |_| {
        let mut client = Client::connect(process.address());
        client.write(b"GET /never HTTP/1.1\r\nHost: api.test\r\nX-A: ");
        client
    };
    let mut crowd: Vec<_> = (0..CROWD).map(begin).collect();
    for number in 0..100 {
        assert_eq!(client.send(&Request::get("/old")).status, 200, "{number}");
        assert_eq!(process.send(&Request::get("/new")).status, 200, "{number}");
    }
    wait_until("all of them are let go", || {
        metric(&process, "scopegate_connections_open") <= 1.0
    });
    assert!(crowd.iter_mut().all(Client::is_closed));
    let timeouts = metric(
        &process,
        "scopegate_connection_errors_total{reason=\"head_timeout\"}",
    );
    assert!(
        (timeouts - 600.0).abs() < 0.5,
        "{timeouts} ran into their time"
    );
    assert_eq!(client.send(&Request::get("/old")).status, 200);
    assert_eq!(upstream.arrivals().len(), 201);
}

// Idle clients that take all there is leave some for upstreams and for the admin listener, and cost
// no processor.
#[test]
fn clients_leave_descriptors_for_upstreams_and_the_admin_listener() {
    let upstream = Upstream::start();
    let process = Process::limited(80, &format!("{}{OPEN}", upstream.toml("orders")));
    process.wait_for_log("the limit of open files (RLIMIT_NOFILE) is below");
    let mut crowd: Vec<_> = (0..120)
        .map(|_| Client::connect(process.address()))
        .collect();
    wait_until("some are let in", || {
        metric(&process, "scopegate_connections_open") >= 10.0
    });
    // All who are in ask at once: each has an upstream's connection of its own.
    upstream.play((0..10).map(|_| Script::Hang));
    for (number, client) in crowd.iter_mut().take(10).enumerate() {
        client.write_request(&Request::get("/a"));
        upstream.wait_for(number + 1);
    }
    let live = raw(
        process.admin(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    assert!(
        metric(&process, "scopegate_connections_open") < 40.0,
        "the others wait"
    );
    assert!(
        !process.errors().contains("accepting a connection failed"),
        "{}",
        process.errors()
    );
    drop(crowd);
    assert_eq!(process.send(&Request::get("/b")).status, 200);
}

/// The error of a gateway that does not start with so few descriptors.
fn too_few(descriptors: u64, toml: &str) -> String {
    let mut process = Process::try_with_ulimit(&format!("-n {descriptors}"), toml);
    assert_eq!(
        process.wait().code(),
        Some(3),
        "{descriptors}: {}",
        process.errors()
    );
    let errors = process.errors();
    assert!(
        errors.contains(&format!(
            "error: the limit of open files is {descriptors}, "
        )),
        "{errors}"
    );
    errors
}

/// The limit that an error asks for.
fn least(error: &str) -> u64 {
    let (_, rest) = error.split_once("needs ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

// However few there are: a client that is let in is answered, and a gateway that could answer none
// does not start.
#[test]
fn a_client_that_is_let_in_has_a_descriptor_for_its_upstream() {
    const CLIENTS: usize = 24;
    let upstream = Upstream::start();
    let toml = format!("{}{OPEN}", upstream.toml("orders"));
    let least = least(&too_few(20, &toml));
    // The rest of a start fails in other words, or panics.
    for descriptors in [6, 7, 9, 15, 30, least - 1] {
        assert!(
            too_few(descriptors, &toml).contains(&format!("needs {least} ")),
            "{descriptors}"
        );
    }
    for descriptors in [
        least,
        least + 1,
        least + 2,
        least + 5,
        least + 9,
        least + 20,
    ] {
        let process = Process::limited(u32::try_from(descriptors).unwrap(), &toml);
        let ask = || {
            for _ in 0..3 {
                let mut client = Client::connect(process.address());
                for path in ["/a", "/b"] {
                    let answer = client.send(&Request::get(path));
                    assert_eq!(answer.status, 200, "{descriptors}: {}", answer.text());
                }
            }
        };
        std::thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(ask))));
        let live = raw(
            process.admin(),
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        assert!(live.starts_with("HTTP/1.1 200 "), "{descriptors}: {live}");
        assert!(
            !process.errors().contains("Too many open files"),
            "{descriptors}: {}",
            process.errors()
        );
    }
}

// A kubelet restarts what does not answer.
#[cfg(target_os = "linux")]
#[test]
fn without_any_descriptor_the_admin_listener_answers() {
    let upstream = Upstream::start();
    let process = Process::run(&format!("{}{OPEN}", upstream.toml("orders")));
    let mut inside = Client::connect(process.address());
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    process.leave_descriptors(0);
    for _ in 0..20 {
        let live = raw(
            process.admin(),
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    }
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
}

// More connections than the process may have descriptors.
#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_nobody_spins_and_all_heals() {
    /// After a failure nothing is accepted for so long.
    const PAUSE: Duration = Duration::from_millis(50);
    let upstream = Upstream::start();
    let began = Instant::now();
    let mut process = Process::run(&format!("{}{OPEN}", upstream.toml("orders")));
    let mut inside = Client::connect(process.address());
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    process.leave_descriptors(20);
    let crowd: Vec<_> = (0..120)
        .map(|_| Client::connect(process.address()))
        .collect();
    wait_until("there is no descriptor left", || {
        failures(&process.errors()) > 0
    });
    // Who is in is served, and its connection to the upstream is kept.
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    drop(crowd);
    assert_eq!(process.send(&Request::get("/b")).status, 200);
    assert_eq!(inside.send(&Request::get("/a")).status, 200);
    wait_until("the crowd has gone", || {
        metric(&process, "scopegate_connections_open") <= 1.0
    });
    // The last lines tell of all failures, most of which are folded into one.
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let most = began.elapsed().as_millis() / PAUSE.as_millis() + 1;
    let failures = failures(&process.errors());
    assert!(
        failures as u128 <= most,
        "{failures} failures in {:?}",
        began.elapsed()
    );
}

/// How often accepting failed, as the log tells it.
#[cfg(target_os = "linux")]
fn failures(errors: &str) -> usize {
    let lines = errors
        .lines()
        .filter(|line| line.contains("accepting a connection failed"));
    lines
        .map(|line| {
            line.rsplit_once(" repeated=")
                .map_or(1, |(_, count)| count.parse().unwrap())
        })
        .sum()
}

/// The time of a processor that a process has used so far, in ticks.
#[cfg(target_os = "linux")]
fn ticks(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.number())).unwrap();
    // The name, which is second, is in parentheses; user and system time are the 14th and 15th.
    let after = stat.rsplit_once(") ").unwrap().1;
    after
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// What many requests of a kind cost the process: ticks, and bytes that its peak of memory grew by.
#[cfg(target_os = "linux")]
fn cost(process: &Process, (request, status): &(Request, u16)) -> (u64, usize) {
    const TIMES: usize = 100;
    let mut client = Client::connect(process.address());
    let before = (ticks(process), process.peak_memory());
    for _ in 0..TIMES {
        assert_eq!(client.send(request).status, *status, "{request:.200?}");
    }
    // The kernel counts memory on each processor by itself, so that the sum may go back by a few
    // pages.
    (
        ticks(process) - before.0,
        process.peak_memory().saturating_sub(before.1),
    )
}

/// What is too dear about a request, beside another of its size that asks for nothing odd.
#[cfg(target_os = "linux")]
fn complaint(process: &Process, plain: &(Request, u16), one: &(Request, u16)) -> Option<String> {
    let (usual, _) = cost(process, plain);
    let (ticks, grown) = cost(process, one);
    let bytes = one.0.bytes().len();
    let too_dear = grown > 100 * bytes || ticks > 10 * usual.max(2);
    too_dear.then(|| {
        let what: String = format!("{:?}", one.0).chars().take(200).collect();
        format!("{ticks} ticks, usually {usual}; {grown} bytes more for {bytes}: {what}")
    })
}

// No request costs a hundred times its bytes in memory, or ten times what another of its
// size costs.
#[cfg(target_os = "linux")]
#[test]
fn a_dear_request_costs_no_more_than_its_bytes_allow() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let scoped = "[[routes]]\npath = \"/scoped\"\nupstream = \"orders\"\nscopes = \"read\"\n";
    let toml = format!("{}{}{OPEN}{scoped}", issuer.toml(), upstream.toml("orders"));
    let token = |header: &str, claims: &str| {
        let request =
            Request::get("/scoped").bearer(&format!("{}.{}.AA", encode(header), encode(claims)));
        (request, 401)
    };
    let nested = |open: &str, depth: usize| open.repeat(depth);
    let plain = (Request::get("/a").field("X-A", &"a".repeat(14_000)), 200);
    let dear = [
        (Request::get("/scoped").bearer(&".".repeat(14_000)), 401),
        (Request::get("/scoped").bearer(&"a.".repeat(7000)), 401),
        token(
            &format!("{{\"alg\":\"RS256\",\"kid\":{}", nested("[", 10_000)),
            "{}",
        ),
        token(
            &format!("{{\"alg\":\"RS256\",\"a\":{}", nested("{\"a\":", 2000)),
            "{}",
        ),
        token(
            &format!(
                "{{\"alg\":\"RS256\",\"kid\":\"{}\"}}",
                nested("\\u0000", 1700)
            ),
            "{}",
        ),
        token(
            "{\"alg\":\"RS256\",\"kid\":\"key-1\"}",
            &nested("[", 10_000),
        ),
        token(
            "{\"alg\":\"RS256\",\"kid\":\"key-1\"}",
            &format!("{{\"exp\":1{}}}", "0".repeat(10_000)),
        ),
        (
            Request::get("/scoped").field("Authorization", &"Bearer ".repeat(2000)),
            401,
        ),
        (
            Request::get("/scoped").field("Cookie", &"a=b;".repeat(3500)),
            401,
        ),
        (
            Request::get("/a").field("Connection", &"x-a,".repeat(3500)),
            200,
        ),
        (
            Request::get("/a")
                .field("X-A", "a")
                .field("Connection", &"x-a,".repeat(3500)),
            200,
        ),
        (
            Request::get("/a").field("X-Forwarded-For", &"10.0.0.1,".repeat(1500)),
            200,
        ),
        (
            Request::get("/a").field("Cookie", &"a=b;".repeat(3500)),
            200,
        ),
        (
            Request::get("/a").field("TE", &"trailers,".repeat(1500)),
            200,
        ),
        (Request::get(&"/a".repeat(4000)), 200),
        (Request::get(&format!("/a?{}", "a&".repeat(4000))), 200),
        (Request::get(&"/%2e".repeat(2000)), 400),
        (Request::get(&format!("/{}", "%25".repeat(2500))), 200),
        // Paths with more readings than are made.
        (Request::get(&"/%20".repeat(2000)), 404),
        (Request::get(&"/a.".repeat(2700)), 404),
        (Request::get(&format!("/{}", ".%20".repeat(2000))), 400),
        (Request::get(&format!("/x{}", ".%20".repeat(2000))), 404),
        (Request::get(&"/A".repeat(4000)), 200),
        // As many as are made.
        (
            Request::get(&format!("{}/{}", "/a.".repeat(25), "b".repeat(7000))),
            200,
        ),
        (
            (0..95).fold(Request::get("/a"), |request, n| {
                request.field(&format!("X_{n}"), &"a_".repeat(70))
            }),
            200,
        ),
    ];
    check_costs(&toml, &plain, &dear);
}

// A pattern that ends in a slash is compared with every path, but not beyond its own length.
#[cfg(target_os = "linux")]
#[test]
fn a_path_of_many_segments_costs_no_more_beside_a_short_pattern() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let scoped = "[[routes]]\npath = \"/{a}/{b}/\"\nupstream = \"orders\"\nscopes = \"read\"\n";
    let toml = format!("{}{}{OPEN}{scoped}", issuer.toml(), upstream.toml("orders"));
    let plain = (Request::get("/a").field("X-A", &"a".repeat(14_000)), 200);
    let dear = [(Request::get(&"/a".repeat(4000)), 200)];
    check_costs(&toml, &plain, &dear);
}

/// Checks that no request of a list costs ten times what `plain` costs, or a hundred times its
/// bytes in memory.
#[cfg(target_os = "linux")]
fn check_costs(toml: &str, plain: &(Request, u16), dear: &[(Request, u16)]) {
    let start = || {
        let process = Process::run(toml);
        // The first answers warm what is kept.
        cost(&process, plain);
        process
    };
    let process = start();
    for one in dear {
        // Others use the machine as well, and a peak is reached once: what is dear is so in each
        // new process.
        let again = |_| complaint(&start(), plain, one);
        let complaint = complaint(&process, plain, one)
            .and_then(again)
            .and_then(again);
        assert_eq!(complaint, None);
    }
}
