//! Hot reload: a change takes effect at once and as a whole, a broken one changes nothing, and
//! clients notice nothing else.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Client, Gateway, Issuer, Key, Request, Script, Token, Upstream, free_address, wait_until,
    wait_until_closed,
};

const SUCCESS: &str = "scopegate_reloads_total{result=\"success\"}";
const FAILURE: &str = "scopegate_reloads_total{result=\"failure\"}";
const UNCHANGED: &str = "scopegate_reloads_total{result=\"unchanged\"}";
const IN_FORCE: &str = "scopegate_config_last_reload_successful";

/// Files are looked at soon after a change, so that no test waits for the default.
const SOON: &str = "[reload]\nsettle = \"20ms\"\n";
/// Files are looked at when a signal says so.
const BY_SIGNAL: &str = "[reload]\nwatch = false\n";

fn route(path: &str, methods: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\nupstream = \"orders\"\nmethods = {{ {methods} }}\n")
}

fn public(path: &str) -> String {
    format!(
        "[[routes]]\npath = \"{path}\"\nupstream = \"orders\"\nmethods = [\"GET\"]\npublic = true\n"
    )
}

/// One issuer and one upstream; a configuration is these and some routes.
struct Stage {
    issuer: Issuer,
    upstream: Upstream,
}

impl Stage {
    fn new() -> Self {
        Self {
            issuer: Issuer::start(),
            upstream: Upstream::start(),
        }
    }

    fn toml(&self, reload: &str, routes: &[String]) -> String {
        [
            reload,
            &self.issuer.toml(),
            &self.upstream.toml("orders"),
            &routes.concat(),
        ]
        .concat()
    }

    /// `/orders` needs `orders.read`.
    fn before(&self, reload: &str) -> String {
        self.toml(
            reload,
            &[route("/orders", "GET = \"orders.read\""), public("/old")],
        )
    }

    /// `/orders` needs `orders.admin`; `/old` is gone and `/new` is there.
    fn after(&self, reload: &str) -> String {
        self.toml(
            reload,
            &[route("/orders", "GET = \"orders.admin\""), public("/new")],
        )
    }

    fn is_before(&self, gateway: &Gateway) -> bool {
        self.answers(gateway) == [200, 200, 404]
    }

    fn is_after(&self, gateway: &Gateway) -> bool {
        self.answers(gateway) == [403, 404, 200]
    }

    fn answers(&self, gateway: &Gateway) -> [u16; 3] {
        let token = self.issuer.token("orders.read");
        ["/orders", "/old", "/new"]
            .map(|path| gateway.send(&Request::get(path).bearer(&token)).status)
    }
}

/// Replaces a file as editors and deployment tools do: no reader ever sees a part of it.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn a_file_edited_in_place_takes_effect() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    assert!(stage.is_before(&gateway));
    gateway.rewrite(&stage.after(SOON));
    wait_until("the edit is in force", || stage.is_after(&gateway));
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert!((gateway.metric(IN_FORCE) - 1.0).abs() < f64::EPSILON);
}

// docs/design/requirements.md#o03, with the default of `reload.settle`.
#[test]
fn a_file_replaced_by_rename_takes_effect_time_and_again() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(""));
    replace(&gateway.file(), &stage.after(""));
    wait_until("the new file is in force", || stage.is_after(&gateway));
    replace(&gateway.file(), &stage.before(""));
    wait_until("the next file is in force", || stage.is_before(&gateway));
    gateway.wait_for_metric(SUCCESS, 2.0);
}

// docs/design/requirements.md#o03, with the default of `reload.settle`. The time itself is
// promised, so the best of several measurements counts: the machine may be busy.
#[test]
fn a_change_is_served_within_2_s() {
    const PROMISE: Duration = Duration::from_secs(2);
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(""));
    let texts = [stage.after(""), stage.before("")];
    let ways: [fn(&Path, &str); 2] = [replace, |file, text| fs::write(file, text).unwrap()];
    for change in ways {
        let mut best = Duration::MAX;
        for number in 0..6 {
            let begun = Instant::now();
            change(&gateway.file(), &texts[number % 2]);
            let is_served = || {
                if number % 2 == 0 {
                    stage.is_after(&gateway)
                } else {
                    stage.is_before(&gateway)
                }
            };
            wait_until("the change is served", is_served);
            best = best.min(begun.elapsed());
            // An even number of changes, so that the next way begins where this one did.
            if best < PROMISE && number % 2 == 1 {
                break;
            }
        }
        assert!(
            best < PROMISE,
            "a change was served after {best:?}, and {PROMISE:?} are promised"
        );
    }
}

// `gateway.toml -> ..data/gateway.toml`, `..data -> ..2026_1`, and `..data` is what is
// replaced.
#[cfg(unix)]
#[test]
fn a_symlink_swapped_as_in_a_config_map_takes_effect_time_and_again() {
    use std::os::unix::fs::symlink;
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let publish = |version: &str, text: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("gateway.toml"), text).unwrap();
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish("..2026_1", &stage.before(SOON));
    let file = root.join("gateway.toml");
    symlink("..data/gateway.toml", &file).unwrap();
    let gateway = Gateway::start_in(directory, file);
    assert!(stage.is_before(&gateway));
    publish("..2026_2", &stage.after(SOON));
    fs::remove_dir_all(root.join("..2026_1")).unwrap();
    wait_until("the second version is in force", || {
        stage.is_after(&gateway)
    });
    publish("..2026_3", &stage.before(SOON));
    fs::remove_dir_all(root.join("..2026_2")).unwrap();
    wait_until("the third version is in force", || {
        stage.is_before(&gateway)
    });
}

// A release is a directory, and `current` leads to the one that is out.
#[cfg(unix)]
#[test]
fn a_directory_swapped_by_its_link_takes_effect_time_and_again() {
    use std::os::unix::fs::symlink;
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let publish = |version: &str, text: &str| {
        fs::create_dir_all(root.join(version)).unwrap();
        fs::write(root.join(version).join("gateway.toml"), text).unwrap();
        symlink(version, root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
    };
    publish("releases/1", &stage.before(SOON));
    let gateway = Gateway::start_in(directory, root.join("current/gateway.toml"));
    assert!(stage.is_before(&gateway));
    publish("releases/2", &stage.after(SOON));
    wait_until("the second release is in force", || {
        stage.is_after(&gateway)
    });
    publish("releases/3", &stage.before(SOON));
    wait_until("the third release is in force", || {
        stage.is_before(&gateway)
    });
}

// What is written through another name of the file tells the directory nothing, as a file that is
// mounted by itself does: a look every few seconds finds it, and one edit is one reload.
#[cfg(unix)]
#[test]
fn an_edit_that_the_system_does_not_tell_of_takes_effect() {
    let stage = Stage::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&stage.before(SOON));
    let alias = elsewhere.path().join("alias.toml");
    fs::hard_link(gateway.file(), &alias).unwrap();
    fs::write(&alias, stage.after(SOON)).unwrap();
    wait_until("the edit is in force", || stage.is_after(&gateway));
    fs::write(&alias, stage.before(SOON)).unwrap();
    wait_until("the next edit is in force", || stage.is_before(&gateway));
    gateway.wait_for_metric(SUCCESS, 2.0);
    fs::write(&alias, "broken").unwrap();
    gateway.wait_for_metric(FAILURE, 1.0);
    assert!(gateway.metric(IN_FORCE).abs() < f64::EPSILON);
    fs::write(&alias, stage.before(SOON)).unwrap();
    gateway.wait_for_metric(IN_FORCE, 1.0);
    assert!(stage.is_before(&gateway));
    let counts = [SUCCESS, FAILURE].map(|series| gateway.metric(series).round());
    assert_eq!(counts, [2.0, 1.0].map(f64::round), "one edit is one reload");
}

// Where nothing is watched, an edit is in force when a signal says so, and until then the metric
// does not claim it.
#[test]
fn the_metric_is_1_only_while_the_files_are_what_serves() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    gateway.wait_for_metric(IN_FORCE, 1.0);
    gateway.rewrite(&stage.after(BY_SIGNAL));
    gateway.wait_for_metric(IN_FORCE, 0.0);
    assert!(stage.is_before(&gateway));
    replace(&gateway.file(), &stage.before(BY_SIGNAL));
    gateway.wait_for_metric(IN_FORCE, 1.0);
    fs::remove_file(gateway.file()).unwrap();
    gateway.wait_for_metric(IN_FORCE, 0.0);
    gateway.rewrite(&stage.after(BY_SIGNAL));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    gateway.wait_for_metric(IN_FORCE, 1.0);
    assert!(stage.is_after(&gateway));
    let others = [FAILURE, UNCHANGED].map(|series| gateway.metric(series));
    assert!(
        others.iter().all(|count| count.abs() < f64::EPSILON),
        "nothing was read but for the signal"
    );
}

#[test]
fn an_included_directory_that_comes_and_is_replaced_takes_effect() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let file = root.join("gateway.toml");
    let include = "include = [\"routes/*.toml\"]\n".to_owned();
    fs::write(&file, include + &stage.toml(SOON, &[public("/old")])).unwrap();
    let gateway = Gateway::start_in(directory, file);
    let status = |path: &str| gateway.send(&Request::get(path)).status;
    assert_eq!((status("/old"), status("/new")), (200, 404));
    let arrive = |path: &str| {
        fs::create_dir(root.join("coming")).unwrap();
        fs::write(root.join("coming/a.toml"), public(path)).unwrap();
        fs::rename(root.join("coming"), root.join("routes")).unwrap();
    };
    arrive("/new");
    wait_until("the directory that came is in force", || {
        status("/new") == 200
    });
    fs::rename(root.join("routes"), root.join("gone")).unwrap();
    arrive("/newer");
    wait_until("the one in its place is in force", || {
        (status("/new"), status("/newer")) == (404, 200)
    });
    fs::write(root.join("routes/b.toml"), public("/newest")).unwrap();
    wait_until("and it is watched", || status("/newest") == 200);
}

#[test]
fn an_included_file_that_comes_changes_and_goes_takes_effect() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let routes = directory.path().join("routes");
    fs::create_dir(&routes).unwrap();
    let file = directory.path().join("gateway.toml");
    let include = "include = [\"routes/*.toml\"]\n".to_owned();
    fs::write(&file, include + &stage.toml(SOON, &[public("/old")])).unwrap();
    let gateway = Gateway::start_in(directory, file);
    let status = |path: &str| gateway.send(&Request::get(path)).status;
    assert_eq!((status("/old"), status("/new")), (200, 404));
    fs::write(routes.join("new.toml"), public("/new")).unwrap();
    wait_until("the file that came is in force", || status("/new") == 200);
    replace(&routes.join("new.toml"), &public("/newer"));
    wait_until("its change is in force", || {
        (status("/new"), status("/newer")) == (404, 200)
    });
    fs::remove_file(routes.join("new.toml")).unwrap();
    wait_until("the file that went is out of force", || {
        status("/newer") == 404
    });
    assert_eq!(status("/old"), 200);
}

// A withdrawn key takes its tokens along, cached or not.
#[test]
fn a_changed_key_set_file_brings_its_keys_and_takes_the_others() {
    let upstream = Upstream::start();
    let (old, new) = (Key::rsa("old", 0), Key::rsa("new", 1));
    let set = |keys: &[&Key]| {
        serde_json::json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
            .to_string()
    };
    let directory = tempfile::tempdir().unwrap();
    let (file, keys) = (
        directory.path().join("gateway.toml"),
        directory.path().join("keys.json"),
    );
    let issuer = "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\n\
                  jwks_file = \"keys.json\"\n";
    let routes = route("/orders", "GET = \"orders.read\"");
    fs::write(
        &file,
        [SOON, issuer, &upstream.toml("orders"), &routes].concat(),
    )
    .unwrap();
    fs::write(&keys, set(&[&old])).unwrap();
    let gateway = Gateway::start_in(directory, file);
    let [by_old, by_new] = [&old, &new].map(|key| {
        let token = Token::of("https://idp.test", "orders.read").signed(key);
        Request::get("/orders").bearer(&token)
    });
    let mut client = gateway.connect();
    // Twice, so that it is known to be cached.
    for request in [&by_old, &by_old] {
        assert_eq!(client.send(request).status, 200);
    }
    let hits = |gateway: &Gateway| {
        gateway.metric("scopegate_token_cache_lookups_total{result=\"worker_hit\"}")
    };
    assert!(hits(&gateway) >= 1.0);
    assert_eq!(client.send(&by_new).status, 401);

    replace(&keys, &set(&[&old, &new]));
    wait_until("the new key is taken", || {
        gateway.send(&by_new).status == 200
    });
    assert_eq!(client.send(&by_old).status, 200);

    replace(&keys, &set(&[&new]));
    wait_until("the old key is refused", || {
        gateway.send(&by_old).status == 401
    });
    assert_eq!(client.send(&by_old).code(), "invalid_token");
    assert_eq!(client.send(&by_new).status, 200);

    // Without any key: no verdict. A file whose keys cannot be used is a mistake, and changes
    // nothing.
    replace(&keys, r#"{"keys":[{}]}"#);
    gateway.wait_for_metric(FAILURE, 1.0);
    assert_eq!(client.send(&by_new).status, 200);
    replace(&keys, &set(&[]));
    wait_until("the last key is withdrawn", || {
        gateway.send(&by_new).status != 200
    });
    assert_eq!(client.send(&by_new).code(), "keys_unavailable");
    replace(&keys, &set(&[&new]));
    wait_until("the key is back", || gateway.send(&by_new).status == 200);
}

#[test]
fn without_watching_a_signal_reloads_and_nothing_else_does() {
    let (stage, other) = (Stage::new(), Upstream::start());
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    let changed = [
        BY_SIGNAL,
        &stage.issuer.toml(),
        &other.toml("orders"),
        &route("/orders", "GET = \"orders.admin\""),
        &public("/new"),
    ];
    replace(&gateway.file(), &changed.concat());
    assert!(stage.is_before(&gateway));
    gateway.reload();
    wait_until("the change is in force", || stage.is_after(&gateway));
    assert_eq!(
        other.last().target,
        "/new",
        "the new upstream is where requests go now"
    );
}

// Another signal while nothing has changed is the twin: it is counted, and no snapshot is made.
#[test]
fn a_file_that_has_not_changed_is_no_reload() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    gateway.reload();
    gateway.wait_for_metric(UNCHANGED, 1.0);
    gateway.rewrite(&stage.before(SOON));
    wait_until("the rewriting is noticed", || {
        gateway.metric(UNCHANGED) >= 2.0
    });
    assert_eq!(
        (
            gateway.metric(SUCCESS),
            gateway.metric(FAILURE),
            gateway.metric(IN_FORCE)
        ),
        (0.0, 0.0, 1.0)
    );
    gateway.rewrite(&stage.after(SOON));
    gateway.wait_for_metric(SUCCESS, 1.0);
}

#[test]
fn an_open_connection_stays_and_its_next_request_meets_the_new_configuration() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    let request = Request::get("/orders").bearer(&stage.issuer.token("orders.read"));
    let mut client = gateway.connect();
    assert_eq!(client.send(&request).status, 200);
    gateway.rewrite(&stage.after(BY_SIGNAL));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    let answer = client.send(&request);
    assert_eq!(
        (answer.status, answer.challenge("scope").as_deref()),
        (403, Some("orders.admin"))
    );
    assert_eq!(client.send(&Request::get("/new")).status, 200);
}

#[test]
fn a_request_in_flight_ends_normally_though_its_route_is_gone() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    let pieces: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        b"first",
        b"-last",
    ];
    stage
        .upstream
        .play([Script::Pieces(pieces.map(<[u8]>::to_vec).to_vec())]);
    let mut client = gateway.connect();
    client.write_request(&Request::get("/old"));
    stage.upstream.wait_for(1);
    stage.upstream.go_on();
    assert_eq!(client.read_head_only().status, 200);
    gateway.rewrite(&stage.after(BY_SIGNAL));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert_eq!(gateway.send(&Request::get("/old")).status, 404);
    stage.upstream.go_on();
    stage.upstream.go_on();
    assert_eq!(client.read_exact(10), b"first-last");
    // The connection is still good, and the end of that request brings the route's metrics not
    // back.
    assert_eq!(client.send(&Request::get("/new")).status, 200);
    let (_, exposition) = gateway.ask_admin("/metrics");
    assert!(!exposition.contains("route=\"/old\""), "{exposition}");
}

type Deed = Box<dyn Fn()>;

/// What can be done to a file that was good before.
fn broken(gateway: &Gateway, good: &str) -> Vec<(&'static str, Deed)> {
    let file = gateway.file();
    let write = |text: String| {
        let file = file.clone();
        Box::new(move || fs::write(&file, &text).unwrap()) as Deed
    };
    let half = good[..good.len() / 2].to_owned();
    let gone = file.clone();
    let directory = file.clone();
    let no_text = file.clone();
    vec![
        ("no TOML", write("[[[".into())),
        ("empty", write(String::new())),
        ("half-written", write(half)),
        ("an unknown key", write(format!("{good}\nscops = \"a\"\n"))),
        (
            "no routes",
            write(good.split("[[routes]]").next().unwrap().to_owned()),
        ),
        ("a route without authorization", {
            write(format!(
                "{good}[[routes]]\npath = \"/x\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n"
            ))
        }),
        (
            "no UTF-8",
            Box::new(move || fs::write(&no_text, [0xff, 0xfe, b'a']).unwrap()),
        ),
        ("deleted", Box::new(move || fs::remove_file(&gone).unwrap())),
        (
            "unreadable: a directory",
            Box::new(move || {
                let _ = fs::remove_file(&directory);
                fs::create_dir(&directory).unwrap();
            }),
        ),
    ]
}

#[test]
fn a_broken_file_changes_nothing_and_a_good_one_heals() {
    let stage = Stage::new();
    let good = stage.before(SOON);
    let gateway = Gateway::start(&good);
    let hash = |gateway: &Gateway| {
        let (_, text) = gateway.ask_admin("/metrics");
        text.lines()
            .find(|line| line.starts_with("scopegate_config_info{"))
            .unwrap()
            .to_owned()
    };
    let before = hash(&gateway);
    for (what, break_it) in broken(&gateway, &good) {
        let failures = gateway.metric(FAILURE);
        break_it();
        wait_until(&format!("{what}: the failure is counted"), || {
            gateway.metric(FAILURE) > failures
        });
        assert!(gateway.metric(IN_FORCE).abs() < f64::EPSILON, "{what}");
        assert!(
            stage.is_before(&gateway),
            "{what}: another configuration is in force"
        );
        assert_eq!(hash(&gateway), before, "{what}");
        let _ = fs::remove_dir(gateway.file());
        replace(&gateway.file(), &good);
        gateway.wait_for_metric(IN_FORCE, 1.0);
    }
    assert!(
        gateway.metric(SUCCESS).abs() < f64::EPSILON,
        "nothing else was ever in force"
    );
    gateway.rewrite(&stage.after(SOON));
    wait_until("a good file is in force", || stage.is_after(&gateway));
    assert_ne!(hash(&gateway), before);
}

// Permissions stop everybody but the superuser.
#[cfg(unix)]
#[test]
fn a_file_without_permission_changes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    gateway.rewrite(&stage.after(BY_SIGNAL));
    fs::set_permissions(gateway.file(), fs::Permissions::from_mode(0o000)).unwrap();
    let superuser = fs::read(gateway.file()).is_ok();
    gateway.reload();
    let (result, before) = if superuser {
        (SUCCESS, false)
    } else {
        (FAILURE, true)
    };
    gateway.wait_for_metric(result, 1.0);
    assert_eq!(stage.is_before(&gateway), before);
    fs::set_permissions(gateway.file(), fs::Permissions::from_mode(0o600)).unwrap();
    gateway.reload();
    gateway.wait_for_metric(IN_FORCE, 1.0);
    wait_until("the readable file is in force", || stage.is_after(&gateway));
}

#[test]
fn of_a_hundred_rapid_changes_the_last_wins() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    let number = |n: usize| stage.toml(SOON, &[public(&format!("/{n}"))]);
    for n in 0..100 {
        // In place and by rename in turn.
        if n % 2 == 0 {
            gateway.rewrite(&number(n));
        } else {
            replace(&gateway.file(), &number(n));
        }
    }
    wait_until("the last is in force", || {
        gateway.send(&Request::get("/99")).status == 200
    });
    assert_eq!(gateway.send(&Request::get("/98")).status, 404);
    gateway.wait_for_metric(IN_FORCE, 1.0);
    // The metric may be that of an earlier reload, so the end of the last one is waited for.
    wait_until("there is no trace of the others", || {
        let (_, exposition) = gateway.ask_admin("/metrics");
        let routes = exposition
            .lines()
            .filter(|line| line.starts_with("scopegate_request_duration_seconds_count{"));
        let labels: Vec<_> = routes.map(|line| line.split('"').nth(1).unwrap()).collect();
        labels == ["/99", "none"]
    });
}

#[test]
fn a_file_that_never_rests_takes_effect_all_the_same() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                replace(&gateway.file(), &stage.after(SOON));
            }
        });
        let _end = AtEnd(&stop);
        wait_until("the change is in force", || stage.is_after(&gateway));
    });
}

#[test]
fn other_files_of_the_directory_are_no_change() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    for n in 0..10 {
        fs::write(gateway.directory().join("some.log"), n.to_string()).unwrap();
    }
    gateway.rewrite(&stage.after(SOON));
    wait_until("the change is in force", || stage.is_after(&gateway));
    assert!(
        gateway.metric(UNCHANGED).abs() < f64::EPSILON,
        "the files were read for nothing"
    );
}

/// Stops the threads of a scope at its end, a failed one included.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// Each request meets one configuration whole, and none fails.
#[test]
fn under_load_no_request_fails_and_each_meets_one_configuration_whole() {
    const RELOADS: usize = 50;
    let (issuer, upstreams) = (Issuer::start(), [Upstream::start(), Upstream::start()]);
    let names = ["one", "two"];
    let toml = |which: usize| {
        let name = names[which];
        format!(
            "{BY_SIGNAL}{}{}[[routes]]\npath = \"/a\"\nupstream = \"{name}\"\n\
             methods = {{ GET = \"{name}\" }}\n\
             forward = {{ \"x-{name}\" = \"sub\" }}\n",
            issuer.toml(),
            upstreams[which].toml(name)
        )
    };
    let gateway = Gateway::start(&toml(0));
    gateway.wait_until_ready();
    let [both, one] = ["one two", "one"].map(|scope| {
        let token = issuer
            .claims(scope)
            .with("sub", scope.replace(' ', "-"))
            .signed(&issuer.key);
        Request::get("/a").bearer(&token)
    });
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.send(&both).status, 200);
                    let answer = client.send(&one);
                    if answer.status != 200 {
                        assert_eq!(answer.status, 403);
                        assert_eq!(answer.challenge("scope").as_deref(), Some("two"));
                    }
                    sent.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let _end = AtEnd(&stop);
        for reload in 1..=RELOADS {
            let before = sent.load(Ordering::Relaxed);
            gateway.rewrite(&toml(reload % 2));
            gateway.reload();
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            gateway.wait_for_metric(SUCCESS, reload as f64);
            // Some requests come under each of them.
            wait_until("requests go on", || {
                sent.load(Ordering::Relaxed) > before + 6
            });
        }
    });
    for (which, upstream) in upstreams.iter().enumerate() {
        let arrivals = upstream.arrivals();
        assert!(
            arrivals.len() > RELOADS,
            "{} requests went to {}",
            arrivals.len(),
            names[which]
        );
        for arrival in arrivals {
            let own = arrival.field(&format!("x-{}", names[which]));
            assert!(
                own.is_some(),
                "the claims of another configuration: {arrival:?}"
            );
            assert_eq!(arrival.field(&format!("x-{}", names[1 - which])), None);
            assert!(
                which == 0 || own == Some("one-two"),
                "forwarded without the scope: {arrival:?}"
            );
        }
    }
}

/// Whether a request is answered there.
fn serves(address: &str) -> bool {
    Client::try_connect(address).is_some_and(|mut client| {
        client.write_request(&Request::get("/old"));
        client
            .read("GET")
            .is_some_and(|answer| answer.status == 200)
    })
}

#[test]
fn a_new_address_is_served_and_a_removed_one_is_closed() {
    let stage = Stage::new();
    let (first, second) = (free_address().to_string(), free_address().to_string());
    let toml = |listen: &[&str]| {
        format!(
            "[server]\nlisten = {listen:?}\n{}",
            stage.toml(BY_SIGNAL, &[public("/old")])
        )
    };
    let gateway = Gateway::start_on_its_own_addresses(&toml(&[&first]));
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/old")).status, 200);
    assert!(serves(&first) && !serves(&second));

    gateway.rewrite(&toml(&[&first, &second]));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert!(
        serves(&first) && serves(&second),
        "both are served once the reload is counted"
    );

    gateway.rewrite(&toml(&[&second]));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 2.0);
    wait_until("the removed address is closed", || !serves(&first));
    assert!(serves(&second));
    assert_eq!(
        client.send(&Request::get("/old")).status,
        200,
        "what was accepted there goes on"
    );
}

#[test]
fn an_address_in_use_fails_the_reload_as_a_whole() {
    let stage = Stage::new();
    let (first, second) = (free_address().to_string(), free_address().to_string());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    let before = format!("[server]\nlisten = {first:?}\n{}", stage.before(BY_SIGNAL));
    let after = format!(
        "[server]\nlisten = {:?}\n{}",
        [&second, &in_use],
        stage.after(BY_SIGNAL)
    );
    let gateway = Gateway::start_on_its_own_addresses(&before);
    gateway.rewrite(&after);
    gateway.reload();
    gateway.wait_for_metric(FAILURE, 1.0);
    assert!(gateway.metric(IN_FORCE).abs() < f64::EPSILON);
    assert!(stage.is_before(&gateway), "the routes are those of before");
    assert!(
        serves(&first) && !serves(&second),
        "the addresses are those of before"
    );
    let (_, exposition) = gateway.ask_admin("/metrics");
    assert!(
        !exposition.contains("route=\"/new\""),
        "a route that never was in force: {exposition}"
    );

    drop(taken);
    wait_until_closed(in_use.parse().unwrap());
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    wait_until_closed(first.parse().unwrap());
    let mut client =
        Client::try_connect(&in_use).expect("the address is served now that it is free");
    assert_eq!(client.send(&Request::get("/new")).status, 200);
}

#[test]
fn connections_to_an_unchanged_upstream_survive_a_reload_and_others_do_not() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(BY_SIGNAL));
    // One connection, so that all comes from one worker and its pool.
    let mut client = gateway.connect();
    assert_eq!(client.send(&Request::get("/old")).status, 200);
    let more = stage.before(BY_SIGNAL) + &public("/more");
    gateway.rewrite(&more);
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert_eq!(client.send(&Request::get("/more")).status, 200);
    assert_eq!(
        (
            stage.upstream.last().connection,
            stage.upstream.connections()
        ),
        (0, 1)
    );

    let entry = stage.upstream.toml("orders");
    gateway.rewrite(&more.replace(&entry, &format!("{entry}connect_timeout = \"1s\"\n")));
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 2.0);
    assert_eq!(client.send(&Request::get("/more")).status, 200);
    assert_eq!(
        (
            stage.upstream.last().connection,
            stage.upstream.connections()
        ),
        (1, 2)
    );
}

// The cache holds authentication alone.
#[test]
fn what_is_asked_of_a_cached_token_changes_with_the_configuration() {
    let stage = Stage::new();
    let text = stage.toml(BY_SIGNAL, &[route("/orders", "GET = \"orders.read\"")]);
    let gateway = Gateway::start(&text);
    let claims = stage
        .issuer
        .claims("orders.read")
        .with("perm", "orders.perm")
        .with("token_use", "access");
    let request = Request::get("/orders").bearer(&claims.signed(&stage.issuer.key));
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.send(&request).status, 200);
    }
    let issuer = |line: &str| text.replace("audience = \"api\"\n", line);
    let changes = [
        ("audience", issuer("audience = \"other\"\n"), 401),
        (
            "audience back",
            issuer("audience = [\"other\", \"api\"]\n"),
            200,
        ),
        (
            "clients",
            issuer("audience = \"api\"\nclient_ids = [\"else\"]\n"),
            401,
        ),
        (
            "clients back",
            issuer("audience = \"api\"\nclient_ids = [\"app\"]\n"),
            200,
        ),
        (
            "token_use",
            issuer("audience = \"api\"\ntoken_use = \"id\"\n"),
            401,
        ),
        (
            "token_use back",
            issuer("audience = \"api\"\ntoken_use = \"access\"\n"),
            200,
        ),
        (
            "scope claims",
            issuer("audience = \"api\"\nscope_claims = [\"perm\"]\n"),
            403,
        ),
        (
            "algorithms",
            issuer("audience = \"api\"\nalgorithms = [\"ES256\"]\n"),
            401,
        ),
        (
            "algorithms back",
            issuer("audience = \"api\"\nalgorithms = [\"RS256\"]\n"),
            200,
        ),
        ("scopes", text.replace("orders.read", "orders.admin"), 403),
        ("scopes back", text.clone(), 200),
    ];
    for (number, (what, toml, status)) in (1_u32..).zip(changes) {
        gateway.rewrite(&toml);
        gateway.reload();
        gateway.wait_for_metric(SUCCESS, number.into());
        // Asked twice: once it may come from the cache, once it surely would.
        for _ in 0..2 {
            assert_eq!(client.send(&request).status, status, "{what}");
        }
    }
}

// A thousand reloads do not grow the exposition.
#[test]
fn the_metrics_of_what_is_removed_leave_the_exposition() {
    let (stage, other) = (Stage::new(), Upstream::start());
    let second = [
        "[issuers.second]\nissuer = \"https://second.test\"\naudience = \"api\"\n",
        &format!(
            "jwks = '''{}'''\n",
            serde_json::json!({ "keys": [stage.issuer.key.jwk()] })
        ),
        &other.toml("second"),
        "[[routes]]\npath = \"/second\"\nupstream = \"second\"\nissuer = \"second\"\n",
        "methods = { GET = \"a\" }\n",
    ];
    let shared = stage.toml(BY_SIGNAL, &[public("/old")]);
    let gateway = Gateway::start(&[&shared, second.concat().as_str()].concat());
    let token = Token::of("https://second.test", "a").signed(&stage.issuer.key);
    assert_eq!(
        gateway.send(&Request::get("/second").bearer(&token)).status,
        200
    );
    assert_eq!(gateway.send(&Request::get("/second")).status, 401);
    assert_eq!(gateway.send(&Request::get("/old")).status, 200);
    let holds = |label: &str| gateway.ask_admin("/metrics").1.contains(label);
    let labels = [
        "route=\"/second\"",
        "issuer=\"second\"",
        "upstream=\"second\"",
    ];
    assert_eq!(labels.map(holds), [true; 3]);

    gateway.rewrite(&shared);
    gateway.reload();
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert_eq!(labels.map(holds), [false; 3]);
    let kept = "scopegate_requests_total{method=\"GET\",route=\"/old\",status=\"2xx\"}";
    assert!(
        (gateway.metric(kept) - 1.0).abs() < f64::EPSILON,
        "what stays keeps its count"
    );
}

// Keys outlive a reload that does not change their issuer, and one that does fetches
// anew.
#[test]
fn keys_are_fetched_again_for_a_changed_issuer_alone() {
    let stage = Stage::new();
    let gateway = Gateway::start(&stage.before(SOON));
    gateway.wait_until_ready();
    assert_eq!(stage.issuer.fetches(), 1);
    gateway.rewrite(&stage.after(SOON));
    gateway.wait_for_metric(SUCCESS, 1.0);
    assert!(stage.is_after(&gateway));
    assert_eq!(
        stage.issuer.fetches(),
        1,
        "the keys of before are the keys of now"
    );
    let changed = stage.after(SOON).replace(
        "audience = \"api\"\n",
        "audience = \"api\"\nalgorithms = [\"RS256\"]\n",
    );
    gateway.rewrite(&changed);
    gateway.wait_for_metric(SUCCESS, 2.0);
    wait_until("the changed issuer's keys are fetched", || {
        stage.issuer.fetches() == 2
    });
    assert!(stage.is_after(&gateway));
}
