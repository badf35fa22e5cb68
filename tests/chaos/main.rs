//! Constant load while everything around the gateway fails: upstreams are killed, paused and reset,
//! the issuer goes away, the configuration is rewritten each second, with errors in between, and
//! certificates are rotated.
//!
//! At the end no request is lost that was safe to send again, no verdict was wrong, no POST arrived
//! twice, and the memory is back to its first size.
//!
//!     cargo test --test chaos              # 60 seconds; CHAOS_SECONDS says otherwise

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout
)]

#[path = "../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;

mod backend;
mod load;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::Version;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};

use backend::{Backend, Mode};
use keys::{Key, Token};
use load::{Seen, Tokens, client};

/// The length of a pause. It is shorter than the response timeout, so that waiting requests are
/// answered.
const PAUSE: Duration = Duration::from_millis(700);
const ISSUER: &str = "https://idp.test/";

fn main() {
    let seconds = std::env::var("CHAOS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::new(directory.path());
    scene.write_certificate();
    scene.write_config(0);
    let mut gateway = start(&directory.path().join("gateway.toml"));
    let (address, pid) = (scene.address, gateway.id());
    wait_for(address);

    let tokens = Arc::new(scene.tokens());
    run(&scene, &tokens, Duration::from_secs(5), false);
    let before = settled_memory(pid);
    let seen = run(&scene, &tokens, Duration::from_secs(seconds), true);
    let after = settled_memory(pid);

    println!("{} requests in {seconds} s:", seen.total());
    seen.print();
    let (posts, mut replayed) = scene.posts();
    replayed += scene.replayed_elsewhere();
    println!("POSTs that arrived: {posts}; more than once: {replayed}");
    println!("resident memory: {before} KiB before, {after} KiB after");
    let status = terminate(&mut gateway);
    println!("exit: {status}");

    assert!(seen.total() > 1000, "too little load to tell anything");
    assert_eq!(
        seen.lost.load(Ordering::Relaxed),
        0,
        "requests that were safe to repeat were lost"
    );
    assert_eq!(seen.wrong.load(Ordering::Relaxed), 0, "verdicts were wrong");
    assert_eq!(
        seen.mixed.load(Ordering::Relaxed),
        0,
        "answers reached another request"
    );
    assert_eq!(replayed, 0, "POSTs were repeated");
    assert!(after <= before * 5 / 4 + 8 * 1024, "memory has grown");
    assert!(status.success());
}

/// Everything around the gateway.
struct Scene {
    directory: std::path::PathBuf,
    address: SocketAddr,
    backends: Vec<Backend>,
    issuer: SocketAddr,
    issuer_is_up: Arc<AtomicBool>,
    key: Key,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Scene {
    fn new(directory: &Path) -> Self {
        let key = Key::p256("key-1");
        let issuer_is_up = Arc::new(AtomicBool::new(true));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            directory: directory.to_owned(),
            address: free_address(),
            backends: (0..3).map(|_| Backend::start()).collect(),
            issuer: issuer(&key, &issuer_is_up),
            issuer_is_up,
            key,
            authority,
        }
    }

    /// Writes a new certificate.
    fn write_certificate(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        replace(&self.directory.join("tls.key"), &key.serialize_pem());
        replace(&self.directory.join("tls.pem"), &certificate.pem());
    }

    /// Writes a configuration with the same verdicts as all others; every third one is invalid.
    fn write_config(&self, number: usize) {
        let endpoints: Vec<_> = self
            .backends
            .iter()
            .map(|backend| format!("\"http://{}\"", backend.address))
            .collect();
        let broken = if number % 3 == 2 {
            "[[routes]]\npath = \"/broken\"\nscops = \"x\"\n"
        } else {
            ""
        };
        let text = format!(
            "[server]\nlisten = \"{}\"\nadmin = \"off\"\nworkers = 2\n\
             [server.tls]\ncertificates = [{{ cert_file = \"tls.pem\", key_file = \"tls.key\" }}]\n\
             [issuers.idp]\nissuer = \"{ISSUER}\"\njwks_uri = \"http://{}/keys\"\naudience = \"api\"\n\
             refresh = \"1s\"\nrefresh_min = \"1s\"\ncooldown = \"1s\"\n\
             [upstreams.orders]\nendpoints = [{}]\nretries = 2\nretry_percent = 100\nresponse_timeout = \"5s\"\n\
             [defaults]\nupstream = \"orders\"\n\
             [[routes]]\npath = \"/orders\"\nmethods = {{ GET = \"orders.read\", POST = \"orders.read\" }}\n\
             [[routes]]\npath = \"/number/{number}\"\npublic = true\n{broken}",
            self.address,
            self.issuer,
            endpoints.join(", "),
        );
        replace(&self.directory.join("gateway.toml"), &text);
    }

    fn tokens(&self) -> Tokens {
        let good = Token::of(ISSUER, "orders.read").signed(&self.key);
        let denied = Token::of(ISSUER, "orders.reads").signed(&self.key);
        let forged = Token::of(ISSUER, "orders.read").signed(&Key::p256("key-1"));
        Tokens {
            good,
            denied,
            forged,
        }
    }

    fn posts(&self) -> (usize, usize) {
        let counts = self.backends.iter().map(Backend::posts);
        counts.fold((0, 0), |(all, twice), (more, again)| {
            (all + more, twice + again)
        })
    }

    /// Returns the number of POSTs that arrived at more than one backend.
    fn replayed_elsewhere(&self) -> usize {
        let mut ids: Vec<_> = self.backends.iter().flat_map(Backend::post_ids).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        all - ids.len()
    }

    /// Makes one backend after the other fail in each way in turn, with one change a second.
    fn trouble(&self, second: usize) {
        let modes = [Mode::Dead, Mode::Serve, Mode::Reset, Mode::Serve];
        let backend = &self.backends[second / modes.len() % self.backends.len()];
        backend.set(modes[second % modes.len()]);
        if modes[second % modes.len()] == Mode::Serve {
            let next = &self.backends[(second / modes.len() + 1) % self.backends.len()];
            next.set(Mode::Pause);
            thread::sleep(PAUSE);
            next.set(Mode::Serve);
        }
        self.issuer_is_up.store(second % 10 < 5, Ordering::Relaxed);
        self.write_config(second);
        if second.is_multiple_of(2) {
            self.write_certificate();
        }
    }
}

/// Runs the load for this time, with failures or without.
fn run(scene: &Scene, tokens: &Arc<Tokens>, time: Duration, trouble: bool) -> Arc<Seen> {
    let name = if trouble { "trouble" } else { "calm" };
    let seen = Arc::new(Seen {
        run: name,
        ..Seen::default()
    });
    let mut roots = RootCertStore::empty();
    roots.add(scene.authority.der().clone()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let tls = Arc::new(tls);
    let versions = [Version::HTTP_11, Version::HTTP_2];
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let version = versions[number % versions.len()];
            client(
                number,
                version,
                scene.address,
                tls.clone(),
                tokens.clone(),
                seen.clone(),
            )
        })
        .collect();
    let until = Instant::now() + time;
    for second in 0.. {
        let next = Instant::now() + Duration::from_secs(1);
        if trouble {
            scene.trouble(second);
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= until {
            break;
        }
    }
    for backend in &scene.backends {
        backend.set(Mode::Serve);
    }
    seen.stop.store(true, Ordering::Relaxed);
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    seen
}

/// Starts an issuer that serves one key set while it is up, and closes connections while it is not.
fn issuer(key: &Key, is_up: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = serde_json::json!({ "keys": [key.jwk()] }).to_string();
    let is_up = is_up.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            if is_up.load(Ordering::Relaxed) {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        }
    });
    address
}

fn start(config: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    command
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(fs::File::create(config.with_extension("log")).unwrap());
    command.spawn().unwrap()
}

fn wait_for(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the gateway does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the resident memory in KiB when it has stopped changing.
fn settled_memory(pid: u32) -> usize {
    let read = || {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    };
    let mut last = read();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(250));
        let now = read();
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn terminate(gateway: &mut Child) -> std::process::ExitStatus {
    let pid = i32::try_from(gateway.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    gateway.wait().unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
