//! Tests of whole configurations.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::*;
use crate::issuer::{self, ProxyChoice};
use crate::lambda::{EventFormat, MediaRange};
use crate::net::Proxy;
use crate::telemetry::{AccessFormat, Reason};
use crate::token::{Audience, LoggedClaim, LoggedClaims, Source};

const TEN_LINES: &str = "\
[issuers.idp]
issuer   = \"https://idp.example.com/\"
audience = \"https://api.example.com\"

[upstreams.orders]
url = \"http://orders:8080\"

[[routes]]
path     = \"/orders\"
upstream = \"orders\"
methods  = { GET = \"orders.read\", POST = \"orders.write\" }
";

fn every_key() -> Config {
    Config::load(
        Path::new("tests/vectors/config/good-every-key.toml"),
        &Overrides::default(),
    )
    .unwrap()
}

#[test]
fn ten_lines_are_a_configuration() {
    let config = Config::parse(TEN_LINES, "gateway.toml").unwrap();
    assert_eq!(
        config.server.listeners[0].address.to_string(),
        "127.0.0.1:8080"
    );
    assert_eq!(config.server.admin, Some("127.0.0.1:9090".parse().unwrap()));
    assert!(config.server.workers >= 1);
    assert_eq!(config.server.ready, Ready::Tried);
    assert_eq!(
        config.issuers[0].rules.scope_claims,
        ["scope".into(), "scp".into()]
    );
    assert_eq!(
        config.issuers[0].rules.audience,
        Audience::OneOf(vec!["https://api.example.com".into()])
    );
    assert_eq!(config.issuers[0].entry.algorithms, issuer::Algorithm::ALL);
    let route = &config.routes[0];
    assert_eq!(
        (
            route.methods.len(),
            &**route.upstream().unwrap(),
            &*route.issuers[0]
        ),
        (2, "orders", "idp")
    );
    assert_eq!(route.token_from, [Source::Bearer]);
    assert_eq!(route.response_timeout, Some(Duration::from_secs(30)));
    assert!(config.notes.is_empty() && config.files.is_empty());
}

#[test]
fn of_the_methods_of_a_route_the_closest_answers() {
    let answering = |keys: &str, method: &str| {
        let toml = format!(
            "[upstreams.u]\nurl = \"http://u\"\n[[routes]]\npath = \"/\"\nupstream = \"u\"\n\
             public = true\n{keys}"
        );
        let config = Config::parse(&toml, "gateway.toml").unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = config.routes[0].answering(&method);
        found.map(ToString::to_string)
    };
    let both = "methods = [\"GET\", \"ANY\"]";
    let without_head = "methods = [\"GET\", \"ANY\"]\nhead = false";
    for (keys, method, expected) in [
        (both, "GET", Some("GET")),
        (both, "HEAD", Some("GET")),
        (both, "PUT", Some("ANY")),
        (both, "BREW", None),
        (without_head, "GET", Some("GET")),
        (without_head, "HEAD", Some("ANY")),
        ("methods = [\"GET\"]\nhead = false", "HEAD", None),
        ("methods = [\"HEAD\", \"GET\"]", "HEAD", Some("HEAD")),
        ("methods = [\"GET\"]", "PUT", None),
    ] {
        assert_eq!(
            answering(keys, method).as_deref(),
            expected,
            "{keys} {method}"
        );
    }
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let config = every_key();
    let seconds = Duration::from_secs;
    assert_eq!(
        (
            config.server.workers,
            config.server.drain,
            config.server.admin
        ),
        (2, seconds(0), None)
    );
    assert_eq!(config.server.admin_hosts, ["metrics.internal".into()]);
    let expected = Timeouts {
        request_head: seconds(5),
        idle: seconds(120),
        idle_body: Duration::from_millis(1500),
        request: Some(seconds(3600)),
        tunnel: seconds(1800),
        connection_age: Some(seconds(1800)),
    };
    assert_eq!(
        (config.server.ready, config.server.timeouts),
        (Ready::Keys, expected)
    );
    let expected = Limits {
        head_bytes: 64 << 10,
        head_fields: 50,
        target_bytes: 4 << 10,
        body_bytes: Some(10_000_000),
        token_bytes: 8192,
        connections: 20,
        connection_requests: 1000,
        requests: 500,
        write_buffer: 32 << 10,
    };
    assert_eq!(config.server.limits, expected);
    assert_eq!(
        config.token_cache,
        TokenCache {
            bytes: 0,
            per_worker: 0
        }
    );
    assert_eq!(
        config.reload,
        Reload {
            watch: false,
            settle: seconds(1)
        }
    );
    let found = (config.errors.detail, config.errors.profile);
    assert_eq!(found, (ErrorDetail::Minimal, ErrorProfile::AwsHttp));
    assert!(config.errors.response(Reason::NoRoute, true).is_some());
    assert_eq!(
        config.log,
        Log {
            level: tracing::Level::DEBUG,
            access: AccessLog::All,
            claims: LoggedClaims::of([LoggedClaim::Issuer, LoggedClaim::Subject]),
            format: AccessFormat::parse("$context.requestId").ok().map(Arc::new),
        }
    );
    let secrets: Vec<_> = config
        .dev
        .clients
        .iter()
        .map(|client| client.secret.expose())
        .collect();
    assert_eq!(
        secrets,
        ["not for production"],
        "what only dev needs is not looked up"
    );
    let fetch = &config.issuers[0].entry.fetch;
    assert_eq!(
        (fetch.timeout, fetch.cooldown, fetch.wait),
        (seconds(1), seconds(20), seconds(0))
    );
    assert_eq!(
        (fetch.refresh, fetch.refresh_min, fetch.refresh_max),
        (seconds(600), seconds(300), seconds(3600))
    );
    assert_eq!(
        (fetch.keep_stale, fetch.max_bytes, fetch.max_keys),
        (seconds(0), 64 << 10, 8)
    );
    let access = &config.issuers[0].entry.access;
    let token_file = Path::new("tests/vectors/config/parts/keys.token");
    assert!(access.roots.is_some() && access.token_file.as_deref() == Some(token_file));
    let proxy = Proxy::parse("http://user:not-for-logs@proxy.example.com:3128").unwrap();
    assert_eq!(access.proxy, ProxyChoice::Through(proxy));
    let local = &config.issuers[2].entry.fetch;
    assert_eq!(
        (fetch.keep_file.as_deref(), local.keep_file.as_deref()),
        (
            None,
            Some(Path::new("tests/vectors/config/parts/local.keys"))
        )
    );
    let orders = &config.upstreams[2];
    assert_eq!(
        (orders.dial_timeouts.connect, orders.response_timeout),
        (seconds(1), seconds(10))
    );
    assert_eq!(
        (
            orders.idle_timeout,
            orders.max_idle,
            orders.terms.roots.is_some()
        ),
        (seconds(4), 0, true)
    );
}

#[test]
fn every_key_of_a_function_arrives() {
    let config = every_key();
    let upstream = &config.upstreams[0];
    let function = upstream.lambda.as_deref().unwrap();
    let name = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live";
    assert_eq!(function.name.as_str(), name);
    assert_eq!(function.event, EventFormat::Http);
    let binary: Vec<_> = function.binary.iter().map(MediaRange::to_string).collect();
    assert_eq!(binary, ["image/*", "application/octet-stream"]);
    assert_eq!(function.event_bytes, 1 << 20);
    assert_eq!(function.timeout, Duration::from_secs(60));
    assert_eq!(&*function.account_id, "123456789012");
    assert_eq!(&*function.api_id, "a1b2c3d4e5");
    assert_eq!(function.stage.as_deref(), Some("prod"));
    let variables = [("table", "orders"), ("zone", "a")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    assert_eq!(function.stage_variables, variables);
    assert_eq!(upstream.max_requests, Some(64));
    assert_eq!(upstream.queue_timeout, upstream.response_timeout);
}

#[test]
fn only_dev_looks_up_the_secrets_of_its_clients() {
    let dev = Overrides {
        stand_ins: true,
        ..Overrides::default()
    };
    let config = Config::load(Path::new("tests/vectors/config/good-every-key.toml"), &dev).unwrap();
    let secrets: Vec<_> = config
        .dev
        .clients
        .iter()
        .map(|client| client.secret.expose())
        .collect();
    assert_eq!(
        secrets,
        [
            env!("CARGO_MANIFEST_DIR"),
            "from a file",
            "not for production"
        ]
    );
    let problems = Config::load(Path::new("tests/vectors/config/secrets.toml"), &dev)
        .unwrap_err()
        .to_string();
    for what in ["SCOPEGATE_TEST_VARIABLE_THAT_IS_NOT_SET", "no-such-secret"] {
        assert!(problems.contains(what), "{problems}");
    }
}

#[test]
fn names_come_in_order_and_routes_as_in_the_file() {
    let config = every_key();
    let issuers: Vec<_> = config.issuers.iter().map(|issuer| &*issuer.name).collect();
    assert_eq!(
        issuers,
        ["fetched", "inline", "local", "static", "trusted-network"]
    );
    let paths: Vec<_> = config
        .routes
        .iter()
        .map(|route| route.pattern.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/",
            "/files/{rest+}",
            "/mixed",
            "/prod/a",
            "/prod/b",
            "/static/**",
            "/**"
        ]
    );
}

#[test]
fn every_path_that_was_looked_at_is_listed_once() {
    let config = every_key();
    let files: Vec<_> = config
        .files
        .iter()
        .map(|file| file.path().file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "good-every-key.toml",
            "more-*.toml",
            "more-a.toml",
            "more-b.toml",
            "server.pem",
            "server.key",
            "ca.pem",
            "keys.json",
            "client.pem",
            "client.key"
        ]
    );
}

#[test]
fn a_flag_goes_before_the_file() {
    let overrides = Overrides {
        listen: vec!["0.0.0.0:80".parse().unwrap()],
        admin: Some(Some("127.0.0.1:81".parse().unwrap())),
        workers: std::num::NonZeroUsize::new(7),
        drain: Some(Duration::from_secs(3)),
        watch: Some(true),
        log_level: Some(tracing::Level::WARN),
        access_log: Some(AccessLog::Off),
        ..Overrides::default()
    };
    let config = Config::load(
        Path::new("tests/vectors/config/good-every-key.toml"),
        &overrides,
    )
    .unwrap();
    let listeners: Vec<_> = config
        .server
        .listeners
        .iter()
        .map(|one| one.address.clone())
        .collect();
    assert_eq!(listeners, overrides.listen);
    assert_eq!(
        (config.server.admin, config.server.workers),
        (overrides.admin.unwrap(), 7)
    );
    assert_eq!(
        (config.server.drain, config.reload.watch),
        (Duration::from_secs(3), true)
    );
    assert_eq!(
        config.log,
        Log {
            level: tracing::Level::WARN,
            access: AccessLog::Off,
            claims: config.log.claims,
            format: config.log.format.clone(),
        }
    );
}

#[test]
fn a_flag_is_held_against_the_file_as_well() {
    let listen = vec!["127.0.0.1:9090".parse().unwrap()];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    fs::write(&path, TEN_LINES).unwrap();
    let problems = Config::load(
        &path,
        &Overrides {
            listen,
            ..Overrides::default()
        },
    )
    .unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("where \"listen\" takes requests"),
        "{problems}"
    );
    let admin_off = Overrides {
        admin: Some(None),
        ..Overrides::default()
    };
    assert_eq!(Config::load(&path, &admin_off).unwrap().server.admin, None);
}

#[test]
fn a_file_that_is_no_text_is_one_clear_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    let problem = |path: &Path| Config::load(path, &Overrides::default()).unwrap_err();
    assert!(problem(&path).to_string().contains("there is no such file"));
    for (content, expected) in [
        (&b""[..], "is empty"),
        (b" \n", "is empty"),
        (b"a\xff", "is not UTF-8"),
    ] {
        fs::write(&path, content).unwrap();
        let problems = problem(&path);
        assert_eq!(problems.iter().count(), 1);
        assert!(problems.to_string().contains(expected), "{problems}");
        assert!(problems.render(false).starts_with("error: "), "{problems}");
        assert!(
            problems
                .files()
                .iter()
                .map(ReadFile::path)
                .eq([path.as_path()])
        );
    }
}

#[test]
fn the_hash_follows_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let (main, part) = (
        directory.path().join("gateway.toml"),
        directory.path().join("part.toml"),
    );
    fs::write(&main, format!("include = \"part.toml\"\n{TEN_LINES}")).unwrap();
    let hash = |text: &str| {
        fs::write(&part, text).unwrap();
        Config::load(&main, &Overrides::default()).unwrap().hash
    };
    let first = hash("[upstreams.a]\nurl = \"http://a\"\n");
    assert_eq!(first.len(), 64);
    assert_ne!(first, hash("[upstreams.a]\nurl = \"http://b\"\n"));
    assert_eq!(first, hash("[upstreams.a]\nurl = \"http://a\"\n"));
}

#[test]
fn a_secret_shows_in_no_debug_output() {
    let shown = format!("{:?}", every_key());
    assert!(!shown.contains("not for production") && !shown.contains("not-for-logs"));
}

/// Stops the threads of a scope at the end of a test, even if the test fails.
struct AtEnd<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Writes the files of one generation: its route requires the scope of the generation and forwards
/// to its upstream.
fn write_generation(folder: &Path, number: usize) {
    let upstream = format!(
        "[upstreams.up]\nurl = \"http://127.0.0.1:{}\"\n",
        1000 + number
    );
    let issuer = "[issuers.idp]\nissuer = \"https://idp.test/\"\naudience = \"api\"\n";
    let route =
        format!("[[routes]]\npath = \"/a\"\nupstream = \"up\"\nscopes = \"scope-{number}\"\n");
    fs::create_dir(folder).unwrap();
    fs::write(
        folder.join("gateway.toml"),
        format!("include = [\"routes*.toml\"]\n{upstream}{issuer}"),
    )
    .unwrap();
    fs::write(folder.join("routes.toml"), route).unwrap();
}

// The files are swapped while they are read, as in a ConfigMap that is updated. The result must
// never combine the routes of one generation with the upstreams of another.
#[test]
fn a_configuration_is_of_one_generation_whenever_it_is_read() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    const GENERATIONS: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for number in 0..GENERATIONS {
        write_generation(&root.join(format!("..{number}")), number);
    }
    let swap = |number: usize| {
        symlink(format!("..{number}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    swap(0);
    for file in ["gateway.toml", "routes.toml"] {
        symlink(format!("..data/{file}"), root.join(file)).unwrap();
    }
    let stop = AtomicBool::new(false);
    let mut seen = std::collections::BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number = (number + 1) % GENERATIONS;
                swap(number);
            }
        });
        let _end = AtEnd(&stop);
        for _ in 0..300 {
            let config = Config::load(&root.join("gateway.toml"), &Overrides::default()).unwrap();
            let of_upstream = config.upstreams[0].url.port() - 1000;
            let asked = config.routes[0].methods[0].1.to_string();
            assert_eq!(asked, format!("scope-{of_upstream}"), "a mixture");
            seen.insert(of_upstream);
        }
    });
    assert!(seen.len() > 1, "the generations were swapped meanwhile");
}
