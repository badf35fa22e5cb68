//! The examples of the documentation: each is a valid configuration, or a part of one, with which a
//! gateway starts and answers on every address that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;

use scopegate::config::{Config, Overrides};
use scopegate::gateway::Gateway;
use toml::{Table, Value};

use crate::support::{KeptPort, Key, PATIENCE, has_ipv6};

/// A page, how many examples it has at least, and words that are in one of them each. Pages that
/// are not here have their examples looked at as well.
const PAGES: [(&str, usize, &[&str]); 3] = [
    (
        "docs/traffic.md",
        23,
        &[
            "[server.tls]",
            "client_auth",
            "proxy_protocol_from",
            "unix:/run/scopegate/api.sock",
            "[server.http2]",
            "[server.limits]",
            "[server.timeouts]",
            "trusted_proxies",
            "request_headers",
            "rewrite",
            "[routes.cors]",
            "cookie_origins",
            "websocket",
            "/shop.Orders/",
            "protocol = \"http2\"",
            "ca_file",
            "client_cert_file",
            "server_name",
            "dns_refresh",
            "retries",
            "balance",
            "weight",
            "[upstreams.orders.health]",
            "[upstreams.orders.ejection]",
            "max_requests",
            "response_timeout",
            "drain",
            "handover",
        ],
    ),
    (
        "docs/issuers.md",
        9,
        &["cognito", "keycloak", "{tenant}", "jwks_file"],
    ),
    ("README.md", 1, &["[issuers.idp]"]),
];

/// An example, and where it stands.
struct Example {
    place: String,
    text: String,
}

/// All examples of `docs/` and of the README.
fn all() -> Vec<Example> {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<_> = fs::read_dir("docs")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.push("README.md".into());
    pages.retain(|path| is_page(path));
    pages.sort();
    let of_page = |page: &Path| {
        let name = page.display().to_string();
        let fences = fences(&fs::read_to_string(page).unwrap());
        let example = move |(line, text)| Example {
            place: format!("{name}, line {line}"),
            text,
        };
        fences.into_iter().map(example)
    };
    pages.iter().flat_map(|page| of_page(page)).collect()
}

/// The fences of a page that hold TOML, and the lines where they begin.
fn fences(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start()) {
            (None, "```toml") => open = Some((number + 1, String::new())),
            (Some(_), "```") => found.extend(open.take()),
            (Some((_, text)), line) => *text += &format!("{line}\n"),
            _ => {}
        }
    }
    found
}

/// The values of all keys with such a name, however deep.
fn strings(value: &Value, wanted: &dyn Fn(&str) -> bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                found.extend(value.as_str().filter(|_| wanted(key)).map(str::to_owned));
                strings(value, wanted, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, wanted, found)),
        _ => {}
    }
}

/// What an example leaves to the rest of its file: upstreams, an issuer, a route.
fn completed(text: &str) -> String {
    let table: Table = text.parse().unwrap();
    let all = Value::Table(table.clone());
    let mut whole = text.to_owned();
    let has = |name: &str, of: &str| table.get(of).and_then(|all| all.get(name)).is_some();
    let mut upstreams = BTreeSet::new();
    strings(&all, &|key| key == "upstream", &mut upstreams);
    let mut known = table
        .get("upstreams")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .map(|(name, _)| name);
    if !table.contains_key("routes") && !table.contains_key("groups") {
        let upstream = known.next().map_or("any", String::as_str);
        whole +=
            &format!("[[routes]]\npath = \"/any\"\nupstream = \"{upstream}\"\npublic = true\n");
        upstreams.insert(upstream.to_owned());
    }
    for upstream in upstreams.iter().filter(|name| !has(name, "upstreams")) {
        whole += &format!("[upstreams.{upstream}]\nurl = \"http://127.0.0.1:3000\"\n");
    }
    if !table.contains_key("issuers") {
        whole += "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"orders\"\n";
    }
    whole
}

/// Puts a certificate, which is a root as well, and its key wherever an example has one, and a key
/// set likewise.
fn place_files(text: &str, directory: &Path) {
    let pair = rcgen::generate_simple_self_signed(vec!["api.test".to_owned()]).unwrap();
    let all = Value::Table(text.parse().unwrap());
    let set = serde_json::json!({ "keys": [Key::rsa("one", 0).jwk(), Key::ed25519("two").jwk()] });
    for (suffix, content) in [
        ("cert_file", pair.cert.pem()),
        ("ca_file", pair.cert.pem()),
        ("key_file", pair.signing_key.serialize_pem()),
        ("jwks_file", set.to_string()),
    ] {
        let mut files = BTreeSet::new();
        strings(&all, &|key| key.ends_with(suffix), &mut files);
        for file in files {
            let file = directory.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &content).unwrap();
        }
    }
}

#[test]
fn every_example_is_a_configuration_without_mistakes() {
    for (page, least, words) in PAGES {
        let examples = fences(&fs::read_to_string(page).unwrap());
        assert!(
            examples.len() >= least,
            "{page}: {} examples",
            examples.len()
        );
        for word in words {
            let is_there = examples.iter().any(|(_, text)| {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                text.contains(word)
            });
            assert!(is_there, "{page}: no example has {word}");
        }
    }
    let mut wrong = Vec::new();
    for Example { place, text } in all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        place_files(&text, directory.path());
        fs::write(&file, completed(&text)).unwrap();
        if let Err(problems) = Config::load(&file, &Overrides::default()) {
            wrong.push(format!("{place}:\n{}", problems.render(false)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An example, moved to where a test may be: its addresses and files, and the addresses of others,
/// at which nobody is.
#[derive(Default)]
struct Moved {
    text: String,
    /// The port that stands for a port of the example, or for the host and port of another. Two
    /// listeners that have a port in common in the example have one here.
    ports: BTreeMap<String, KeptPort>,
}

impl Moved {
    fn new(text: &str, directory: &Path) -> Self {
        let mut this = Self {
            text: completed(text),
            ports: BTreeMap::new(),
        };
        let all = Value::Table(this.text.parse().unwrap());
        let mut addresses = BTreeSet::new();
        listed(&all, &["listen", "address", "admin"], &mut addresses);
        for address in addresses {
            if let Some(path) = address.strip_prefix("unix:") {
                this.replace(&address, &format!("unix:{}", in_directory(directory, path)));
            } else if let Ok(address) = address.parse() {
                this.move_listener(address);
            }
        }
        let mut paths = BTreeSet::new();
        listed(&all, &["handover"], &mut paths);
        for path in paths {
            this.replace(&path, &in_directory(directory, &path));
        }
        let mut urls = BTreeSet::new();
        listed(&all, &["url", "endpoints", "issuer", "jwks_uri"], &mut urls);
        for url in urls {
            this.move_url(&url);
        }
        this
    }

    fn replace(&mut self, old: &str, new: &str) {
        self.text = self
            .text
            .replace(&format!("\"{old}\""), &format!("\"{new}\""));
    }

    fn port(&mut self, of: impl ToString) -> u16 {
        self.ports
            .entry(of.to_string())
            .or_insert_with(KeptPort::new)
            .number()
    }

    /// To this machine, but for `[::]`: there is no part of it that meets IPv4, as `[::]` does.
    fn move_listener(&mut self, address: SocketAddr) {
        let ip = match address.ip() {
            IpAddr::V4(_) => "127.0.0.1",
            IpAddr::V6(ip) if ip.is_unspecified() => "[::]",
            IpAddr::V6(_) => "[::1]",
        };
        let moved = format!("{ip}:{}", self.port(address.port()));
        self.replace(&address.to_string(), &moved);
    }

    fn move_url(&mut self, url: &str) {
        let Some((scheme, rest)) = url.split_once("://") else {
            return;
        };
        let (host, path) = rest
            .split_once('/')
            .map_or((rest, String::new()), |(host, path)| {
                (host, format!("/{path}"))
            });
        let moved = format!("{scheme}://127.0.0.1:{}{path}", self.port(host));
        self.replace(url, &moved);
    }
}

fn in_directory(directory: &Path, path: &str) -> String {
    directory
        .join(Path::new(path).file_name().unwrap())
        .display()
        .to_string()
}

/// The strings of these keys, alone or in lists.
fn listed(value: &Value, wanted: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                if wanted.contains(&key.as_str()) {
                    let items = value
                        .as_array()
                        .map_or(std::slice::from_ref(value), Vec::as_slice);
                    found.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                listed(value, wanted, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| listed(item, wanted, found)),
        _ => {}
    }
}

/// The first line of what is answered there, by HTTP or by TLS that was spoken to in the clear.
fn ask(mut stream: impl Read + Write) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A gateway that listens where the example says, once it has answered on each of its addresses.
fn started(text: &str, directory: &Path) -> Result<Gateway, String> {
    let moved = Moved::new(text, directory);
    let file = directory.join("gateway.toml");
    place_files(text, directory);
    fs::write(&file, &moved.text).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let written: Table = moved.text.parse().unwrap();
    let server = written.get("server");
    let says = |key: &str| server.and_then(|server| server.get(key)).is_some();
    let overrides = Overrides {
        listen: if says("listen") || says("listeners") {
            Vec::new()
        } else {
            vec![any.into()]
        },
        admin: (!says("admin")).then_some(Some(any)),
        workers: std::num::NonZeroUsize::new(1),
        ..Overrides::default()
    };
    let config = Config::load(&file, &overrides).map_err(|problems| problems.render(false))?;
    let load = move || Config::load(&file, &overrides);
    let gateway = Gateway::start(Box::new(load)).map_err(|error| error.to_string())?;
    let mut answers = Vec::new();
    for address in gateway.addresses() {
        let local = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        };
        let stream = TcpStream::connect((local, address.port()))
            .map_err(|error| format!("{address}: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answers.push((address.to_string(), ask(stream)));
    }
    #[cfg(unix)]
    for listener in &config.server.listeners {
        if let scopegate::net::Address::Unix(path) = &listener.address {
            let stream =
                std::os::unix::net::UnixStream::connect(path).map_err(|error| error.to_string())?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            answers.push((path.display().to_string(), ask(stream)));
        }
    }
    assert_eq!(answers.len(), config.server.listeners.len());
    match answers
        .iter()
        .find(|(_, answer)| !answer.starts_with("HTTP/1.1 "))
    {
        None => Ok(gateway),
        Some((address, answer)) => Err(format!("{address} answers {answer:?}")),
    }
}

#[test]
fn a_gateway_starts_with_every_example_and_answers_where_it_says() {
    let (mut wrong, mut over) = (Vec::new(), Vec::new());
    for Example { place, text } in all() {
        if text.contains("[::") && !has_ipv6() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        match started(&text, directory.path()) {
            Ok(gateway) => over.push(std::thread::spawn(move || {
                gateway.shutdown();
                drop(directory);
            })),
            Err(error) => wrong.push(format!("{place}: {error}")),
        }
    }
    over.into_iter().for_each(|gateway| gateway.join().unwrap());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
