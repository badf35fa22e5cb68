//! The examples of the documentation: each is a configuration without mistakes, or a part of one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scopegate::config::{Config, Overrides};
use toml::{Table, Value};

/// A page, how many examples it has at least, and words that are in one of them each.
const PAGES: [(&str, usize, &[&str]); 1] = [(
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
)];

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
    let mut known =
        table.get("upstreams").and_then(Value::as_table).into_iter().flatten().map(|(name, _)| name);
    if !table.contains_key("routes") && !table.contains_key("groups") {
        let upstream = known.next().map_or("any", String::as_str);
        whole += &format!("[[routes]]\npath = \"/any\"\nupstream = \"{upstream}\"\npublic = true\n");
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

/// Puts a certificate, which is a root as well, and its key wherever an example has one.
fn place_certificates(text: &str, directory: &Path) {
    let pair = rcgen::generate_simple_self_signed(vec!["api.test".to_owned()]).unwrap();
    let all = Value::Table(text.parse().unwrap());
    for (suffix, pem) in [
        ("cert_file", pair.cert.pem()),
        ("ca_file", pair.cert.pem()),
        ("key_file", pair.signing_key.serialize_pem()),
    ] {
        let mut files = BTreeSet::new();
        strings(&all, &|key| key.ends_with(suffix), &mut files);
        for file in files {
            let file = directory.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &pem).unwrap();
        }
    }
}

#[test]
fn every_example_is_a_configuration_without_mistakes() {
    let mut wrong = Vec::new();
    for (page, least, words) in PAGES {
        let examples = fences(&fs::read_to_string(page).unwrap());
        assert!(examples.len() >= least, "{page}: {} examples", examples.len());
        for word in words {
            let is_there = examples.iter().any(|(_, text)| {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                text.contains(word)
            });
            assert!(is_there, "{page}: no example has {word}");
        }
        for (line, text) in examples {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("gateway.toml");
            place_certificates(&text, directory.path());
            fs::write(&file, completed(&text)).unwrap();
            if let Err(problems) = Config::load(&file, &Overrides::default()) {
                wrong.push(format!("{page}, line {line}:\n{}", problems.render(false)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
