//! Configurations of thousands of routes: their long operations block nothing else.

use crate::support::{Gateway, Upstream};
#[cfg(unix)]
use crate::support::{Process, Request};

const SUCCESS: &str = "scopegate_reloads_total{result=\"success\"}";

/// One route of some name, and so many others.
fn text(upstream: &Upstream, name: &str, others: usize) -> String {
    let route = |path: &str| {
        format!("[[routes]]\npath = \"{path}\"\nupstream = \"orders\"\npublic = true\n")
    };
    let others: String = (0..others)
        .map(|number| route(&format!("/{name}/{number}")))
        .collect();
    format!(
        "[reload]\nwatch = false\n{}{}{others}",
        upstream.toml("orders"),
        route(&format!("/{name}"))
    )
}

#[test]
fn health_is_told_while_a_long_configuration_is_read() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&text(&upstream, "before", 0));
    gateway.rewrite(&text(&upstream, "after", 3000));
    gateway.reload();
    let mut meanwhile = 0;
    loop {
        assert_eq!(gateway.ask_admin("/livez"), (200, "live\n".to_owned()));
        assert_eq!(gateway.ask_admin("/readyz").0, 200);
        if gateway.metric(SUCCESS) > 0.0 {
            break;
        }
        meanwhile += 1;
    }
    // One may come before the reload has begun.
    assert!(
        meanwhile > 2,
        "it was asked {meanwhile} times before the reload was over"
    );
    let (_, exposition) = gateway.ask_admin("/metrics");
    assert!(
        exposition.contains("route=\"/after/2999\"") && !exposition.contains("route=\"/before\"")
    );
    assert_eq!(
        gateway.ask_admin("/policy").1.matches("/after/").count(),
        3000
    );
}

// What was being read is never in force, and nobody waits for it.
#[cfg(unix)]
#[test]
fn a_gateway_that_reads_a_long_configuration_ends_when_it_is_told_to() {
    let upstream = Upstream::start();
    let mut process = Process::run(&text(&upstream, "before", 0));
    assert_eq!(process.send(&Request::get("/before")).status, 200);
    std::fs::write(process.file(), text(&upstream, "after", 10_000)).unwrap();
    process.signal("HUP");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(
        !process.errors().contains("is in force"),
        "{}",
        process.errors()
    );
}
