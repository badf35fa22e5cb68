//! The way to an issuer's keys: through its own CA, a forward proxy, and with a credential.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::support::{
    Authority, ForwardProxy, Issuer, Jwks, Process, Request, Upstream, scopegate, tls_front,
    wait_until,
};

/// Fetches as fast as they may be.
const FAST: &str = "cooldown = \"20ms\"\nrefresh = \"100ms\"\nrefresh_min = \"100ms\"\n";

/// A password that no output may have.
const PASSWORD: &str = "correct-horse";

/// Returns a configuration whose issuer has its keys where `keys` says.
fn configuration(issuer: &Issuer, keys: &str, upstream: &Upstream) -> String {
    format!(
        "{}{FAST}{keys}\n{}\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\nscopes = \"read\"\n",
        issuer.toml(),
        upstream.toml("up")
    )
}

fn status(process: &Process, issuer: &Issuer) -> u16 {
    let request = Request::get("/x").bearer(&issuer.token("read"));
    process.send(&request).status
}

fn wait_for_keys(process: &Process, issuer: &Issuer) {
    wait_until("the keys are there", || status(process, issuer) == 200);
}

#[track_caller]
fn assert_no_password(process: &Process) {
    let said = process.errors() + &process.out();
    assert!(!said.contains(PASSWORD), "{said}");
}

// The certificate of the issuer is signed by a CA that no system knows.
#[test]
fn an_issuer_with_a_ca_of_its_own_is_trusted_by_that_ca_alone() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let (own, other) = (Authority::new(), Authority::new());
    let front = tls_front(&own.sign(&["localhost"]), issuer.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let uri = format!("jwks_uri = \"https://localhost:{}/jwks\"", front.port());
    let with_ca = format!("{uri}\nca_file = \"{}\"\n", file.display());
    let process = Process::run(&configuration(&issuer, &uri, &upstream));
    process.wait_for_log("signed by no CA that is trusted here; \"ca_file\" names one");
    assert_eq!(status(&process, &issuer), 503);
    assert!(!process.errors().contains("UnknownIssuer"));
    fs::write(&file, &other.pem).unwrap();
    let process = Process::run(&configuration(&issuer, &with_ca, &upstream));
    process.wait_for_log("signed by no CA that is trusted here");
    assert_eq!(status(&process, &issuer), 503);
    // The file is watched.
    fs::write(&file, &own.pem).unwrap();
    wait_for_keys(&process, &issuer);
    let explained = explain(&process, &issuer);
    assert!(explained.contains("forwarded"), "{explained}");
}

/// Returns what `explain` says of a good token.
fn explain(process: &Process, issuer: &Issuer) -> String {
    let token = process.file().with_file_name("token.jwt");
    fs::write(&token, issuer.token("read")).unwrap();
    let (config, token) = (process.file(), token.display().to_string());
    let config = config.display().to_string();
    let arguments = [
        "explain",
        "GET",
        "/x",
        "--token-file",
        &token,
        "-c",
        &config,
    ];
    let output = scopegate(&arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn through(proxy: &ForwardProxy) -> String {
    format!("proxy = \"http://user:{PASSWORD}@{}\"\n", proxy.address())
}

#[test]
fn https_keys_come_through_a_tunnel() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let authority = Authority::new();
    let front = tls_front(&authority.sign(&["idp.test"]), issuer.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, &authority.pem).unwrap();
    let proxy = ForwardProxy::start(front);
    let keys = format!(
        "jwks_uri = \"https://idp.test:8443/jwks\"\nca_file = \"{}\"\n{}",
        file.display(),
        through(&proxy)
    );
    let process = Process::run(&configuration(&issuer, &keys, &upstream));
    wait_for_keys(&process, &issuer);
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    assert!(
        head.starts_with("connect idp.test:8443 http/1.1\r\nhost: idp.test:8443\r\n"),
        "{head}"
    );
    assert!(head.contains("proxy-authorization: basic "), "{head}");
    for head in issuer.heads() {
        assert!(!head.to_ascii_lowercase().contains("proxy-"), "{head}");
    }
    let explained = explain(&process, &issuer);
    assert!(explained.contains("forwarded"), "{explained}");
    assert_no_password(&process);
}

#[test]
fn http_keys_are_asked_of_the_proxy() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let proxy = ForwardProxy::start(issuer.address());
    let keys = format!(
        "jwks_uri = \"http://idp.test/jwks\"\nallow_http = true\n{}",
        through(&proxy)
    );
    let process = Process::run(&configuration(&issuer, &keys, &upstream));
    wait_for_keys(&process, &issuer);
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    assert!(
        head.starts_with("get http://idp.test/jwks http/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("proxy-authorization: basic "), "{head}");
    assert!(head.contains("host: idp.test\r\n"), "{head}");
    assert_no_password(&process);
}

#[test]
fn a_proxy_that_refuses_is_named_in_the_log() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let proxy = ForwardProxy::refusing();
    let keys = format!("jwks_uri = \"https://idp.test/jwks\"\n{}", through(&proxy));
    let process = Process::run(&configuration(&issuer, &keys, &upstream));
    let says = format!(
        "through the proxy http://{}: no tunnel: it asks for a user and a password (407)",
        proxy.address()
    );
    process.wait_for_log(&says);
    assert_eq!(status(&process, &issuer), 503);
    assert_no_password(&process);
}

/// Starts a gateway whose environment names a proxy.
fn run_with_proxy(variable: &str, proxy: SocketAddr, toml: &str) -> Process {
    let url = format!("http://user:{PASSWORD}@{proxy}");
    Process::run_with(variable, Path::new(&url), toml)
}

#[test]
fn the_proxy_of_the_environment_is_used_and_said_at_the_start() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let proxy = ForwardProxy::start(issuer.address());
    let keys = "jwks_uri = \"http://idp.test/jwks\"\nallow_http = true\n";
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let toml = configuration(&issuer, keys, &upstream);
        let process = run_with_proxy(variable, proxy.address(), &toml);
        wait_for_keys(&process, &issuer);
        let said = process.errors();
        let line = said.lines().find(|line| line.contains(variable)).unwrap();
        assert!(line.contains(&proxy.address().to_string()), "{line}");
        assert_no_password(&process);
    }
    // Only fetches of keys go through it, and none to this machine or with `proxy = "off"`.
    let asked = proxy.heads().len();
    let toml = configuration(&issuer, "", &upstream);
    let process = run_with_proxy("ALL_PROXY", proxy.address(), &toml);
    wait_for_keys(&process, &issuer);
    let off = format!("{keys}proxy = \"off\"\n");
    let toml = configuration(&issuer, &off, &upstream);
    let process = run_with_proxy("ALL_PROXY", proxy.address(), &toml);
    process.wait_for_log("keys could not be fetched");
    assert_eq!(proxy.heads().len(), asked);
    assert_eq!(status(&process, &issuer), 503);
}

// A service account's token is renewed while the gateway runs.
#[test]
fn a_credential_is_read_for_each_fetch_and_goes_to_the_key_set_alone() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let keys = format!(
        "jwks_uri = \"{}/jwks\"\njwks_token_file = \"{}\"\n",
        issuer.url(),
        file.display()
    );
    let process = Process::run(&configuration(&issuer, &keys, &upstream));
    process.wait_for_log(&format!("\"jwks_token_file\" is \"{}\"", file.display()));
    assert_eq!(status(&process, &issuer), 503);
    assert!(issuer.heads().is_empty(), "nothing is asked without it");
    for token in ["first-token", "second-token"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        let line = format!("authorization: bearer {token}\r\n");
        let has_line = |head: &String| head.to_ascii_lowercase().contains(&line);
        wait_until("the token is sent", || issuer.heads().iter().any(has_line));
    }
    wait_for_keys(&process, &issuer);
    assert!(
        issuer
            .heads()
            .iter()
            .all(|head| head.starts_with("GET /jwks "))
    );
    // The origin stays the same, or nothing is asked.
    let elsewhere = Issuer::start();
    let location = format!("location: {}/jwks\r\n", elsewhere.url());
    issuer.serve(Jwks::Raw(302, location, Vec::new()));
    process.wait_for_log("it leaves the origin");
    assert_eq!(elsewhere.heads().len(), 0);
    let said = process.errors() + &process.out();
    assert!(!said.contains("first-token") && !said.contains("second-token"));
}
