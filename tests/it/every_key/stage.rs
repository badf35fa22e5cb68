//! The gateway with the full configuration, its requests, and what is seen of them.

use std::fs;

use scopegate::config::{Config, Overrides};
use toml::{Table, Value};

use super::edit::text_of;
use super::settings;
use crate::support::{Client, Gateway, Key, Request, Token, Upstream, raw};

const FULL: &str = "tests/vectors/keys/full.toml";

/// A route in a file of its own.
const INCLUDED: &str = "[[routes]]\npath = \"/included\"\npublic = true\n";

pub(super) struct Stage {
    key: Key,
    curve: Key,
    upstream: Upstream,
    /// The requests, with the same tokens each time.
    requests: Vec<Request>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut stage = Self {
            key: Key::ed25519("one"),
            curve: Key::p256("two"),
            upstream: Upstream::start(),
            requests: Vec::new(),
        };
        stage.requests = stage.make_requests();
        stage
    }

    /// Returns the full configuration.
    pub(super) fn full(&self) -> Table {
        let text = fs::read_to_string(FULL).unwrap();
        let text = text.replace("@upstream@", &self.upstream.url());
        let mut full: Table = toml::from_str(&text.replace("@jwks@", &self.jwks())).unwrap();
        // The same routes in a group.
        let is_copied = |route: &&Value| route["path"].as_str().unwrap().starts_with("/r/");
        let routes = full["routes"].as_array().unwrap().iter().filter(is_copied);
        let copies: Vec<_> = routes.cloned().map(moved).collect();
        let group = Table::from_iter([("routes".to_owned(), Value::Array(copies))]);
        full["groups"]
            .as_array_mut()
            .unwrap()
            .push(Value::Table(group));
        full
    }

    fn jwks(&self) -> String {
        serde_json::json!({ "keys": [self.key.jwk(), self.curve.jwk()] }).to_string()
    }

    /// Returns a folder with the files of a configuration.
    fn folder(&self, full: &Table) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("gateway.toml", &text_of(full));
        write("more.toml", INCLUDED);
        write("filed.json", &self.jwks());
        write("other.json", "{\"keys\":[]}");
        folder
    }

    /// Returns the compiled settings of a configuration; `None` if it is refused.
    pub(super) fn settings(&self, full: &Table) -> Option<String> {
        let folder = self.folder(full);
        let config = Config::load(&folder.path().join("gateway.toml"), &Overrides::default());
        Some(settings::shown(&config.ok()?))
    }

    /// Starts a gateway; `None` if the configuration is refused.
    fn start(&self, full: &Table) -> Option<Gateway> {
        let folder = self.folder(full);
        let file = folder.path().join("gateway.toml");
        Config::load(&file, &Overrides::default()).ok()?;
        Some(Gateway::start_in(folder, file))
    }

    /// Returns what clients and the upstream see of each request; `None` if the configuration is
    /// refused.
    pub(super) fn observe(&self, full: &Table) -> Option<Vec<String>> {
        let gateway = self.start(full)?;
        let mut line = None;
        let mut seen = vec![as_admin(&gateway)];
        for request in &self.requests {
            seen.push(self.seen(&gateway, &mut line, request));
        }
        Some(seen)
    }

    /// Returns the first difference from what is usually seen; `None` without one, or if the
    /// configuration is refused. Requests for paths below `base` come first.
    pub(super) fn differs(&self, full: &Table, usual: &[String], base: &str) -> Option<String> {
        let gateway = self.start(full)?;
        let mut line = None;
        let (admin, usual) = usual.split_first()?;
        let (near, far): (Vec<_>, Vec<_>) = (self.requests.iter().zip(usual))
            .partition(|(request, _)| request.target().starts_with(base));
        for (request, usual) in near.into_iter().chain(far) {
            let seen = self.seen(&gateway, &mut line, request);
            if seen != *usual {
                return Some(seen);
            }
        }
        Some(as_admin(&gateway)).filter(|seen| seen != admin)
    }

    /// Sends a request, on the connection of the one before if that is still open.
    fn seen(&self, gateway: &Gateway, line: &mut Option<Client>, request: &Request) -> String {
        let before = self.upstream.arrived();
        let mut client = line.take().unwrap_or_else(|| gateway.connect());
        let answer = client.send(request);
        let is_bare = answer.field("x-request-id").is_none();
        if !is_bare && answer.field("connection").is_none() {
            *line = Some(client);
        }
        let mut seen = format!("{} {:?} {}", answer.status, answer.fields, answer.text());
        for arrival in &self.upstream.arrivals()[before..] {
            seen += &format!(
                "\n{} {} {:?} {}",
                arrival.method,
                arrival.target,
                arrival.fields,
                of_event(&arrival.body)
            );
        }
        let id = answer.field("x-request-id").unwrap_or("no id");
        let date = answer.field("date").unwrap_or("no date");
        let port = gateway.address().port().to_string();
        seen.replace(id, "ID")
            .replace(date, "DATE")
            .replace(&port, "PORT")
    }

    /// Returns the token that every issuer of the file accepts, but for its `iss`.
    fn token(&self) -> Token {
        Token::of("https://idp.test", "read write")
            .with("resource", "api")
            .with("token_use", "access")
            .with("tenant", "acme")
    }

    fn make_requests(&self) -> Vec<Request> {
        let mut requests = Vec::new();
        for (base, cookie) in [("/d", "d"), ("/r", "r"), ("/q", "r"), ("/g", "g")] {
            requests.extend(self.of_level(base, cookie));
        }
        for base in ["/r", "/q"] {
            requests.extend(self.of_routes(base));
        }
        requests.extend(self.of_tokens());
        requests.extend(self.of_groups());
        requests.extend(self.of_server());
        requests
    }

    /// Returns requests that show the settings of routes, groups and defaults.
    fn of_level(&self, base: &str, cookie: &str) -> Vec<Request> {
        let token = |iss: &str| {
            format!(
                "{cookie}={}",
                self.token().with("iss", iss).signed(&self.key)
            )
        };
        let mut tokens = [token("https://idp.test"), token("https://second.test")];
        if base == "/g" {
            tokens.reverse();
        }
        let [own, other] = &tokens;
        let target = |path: &str| format!("{base}{path}");
        let mut requests = Vec::new();
        requests.push(Request::get(&target("/x")).field("Cookie", other));
        let with = |request: Request| request.field("Cookie", own);
        for origin in [base, "/none"] {
            let origin = format!("https://{}.example.com", origin.trim_start_matches('/'));
            let request = Request::get(&target("/x"))
                .field("Origin", &origin)
                .field("X-Debug", "1")
                .field("X-Add", "client")
                .field("Authorization", "Basic YTpi");
            requests.push(with(request));
        }
        for pages in ["pages", "r-pages", "g-pages"] {
            let origin = format!("https://{pages}.example.com");
            let request = Request::new("POST", &target("/x")).field("Origin", &origin);
            requests.push(with(request));
        }
        for path in ["/a%2Fb", "/a;b", "/Strict", "/strict"] {
            requests.push(with(Request::get(&target(path))));
        }
        for bytes in [15, 25, 35, 45] {
            let request = Request::new("POST", &target("/x"))
                .field("Sec-Fetch-Site", "same-origin")
                .body("b".repeat(bytes));
            requests.push(with(request));
        }
        requests.push(with(Request::new("HEAD", &target("/x"))));
        let websocket = Request::get(&target("/x"))
            .field("Connection", "upgrade")
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13")
            .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        requests.push(with(websocket));
        for page in ["d", "r", "g"] {
            let origin = format!("https://{page}.example.com");
            for method in ["GET", "DELETE"] {
                requests.push(
                    Request::new("OPTIONS", &target("/x"))
                        .field("Origin", &origin)
                        .field("Access-Control-Request-Method", method)
                        .field("Access-Control-Request-Headers", "x-d"),
                );
            }
        }
        requests.push(Request::get(&target("/x")));
        requests.push(Request::get(&target("/x")).bearer(&self.token().signed(&self.key)));
        requests
    }

    /// Returns requests that show the keys of routes alone.
    fn of_routes(&self, base: &str) -> Vec<Request> {
        let cookie = format!(
            "d={}",
            self.token()
                .with("permissions", serde_json::json!(["extra"]))
                .signed(&self.key)
        );
        let target = |path: &str| format!("{base}{path}");
        vec![
            Request::get(&target("/any-token")),
            Request::get(&target("/authenticated")),
            Request::get(&target("/one-method")).field("Cookie", &cookie),
            Request::new("POST", &target("/one-method")).field("Cookie", &cookie),
            Request::get(&target("/hosted")).field("Host", "hosted.example.com"),
            Request::get(&target("/hosted")),
            Request::get(&target("/closed")),
            Request::get(&target("/answer")),
            Request::get(&target("/put")).field("Cookie", &cookie),
        ]
    }

    /// Returns requests that show the rules of issuers.
    fn of_tokens(&self) -> Vec<Request> {
        let now = crate::support::now();
        let token = || self.token();
        let tokens = [
            token().with("resource", "elsewhere"),
            token()
                .with("resource", serde_json::Value::Null)
                .with("aud", "elsewhere"),
            token().with("client_id", "foreign"),
            token().with("token_use", "id"),
            token().with("tenant", serde_json::Value::Null),
            token().with("exp", now - 100),
            token().with("iss", "https://filed.test"),
            token().with("iss", "https://tenants.test/one"),
            token().with("iss", "https://tenants.test/two"),
            token()
                .with("iss", "https://second.test")
                .with("scope", serde_json::Value::Null)
                .with("client_id", serde_json::Value::Null),
        ];
        let mut texts: Vec<_> = tokens.iter().map(|token| token.signed(&self.key)).collect();
        texts.push(token().signed(&self.curve));
        texts.push(
            token()
                .with("iss", "https://filed.test")
                .signed(&self.curve),
        );
        texts.push(token().with("long", "x".repeat(700)).signed(&self.key));
        let request =
            |text: &String| Request::get("/r/any-token").field("Cookie", &format!("d={text}"));
        texts.iter().map(request).collect()
    }

    /// Returns requests that show the keys of groups, and those of errors.
    fn of_groups(&self) -> Vec<Request> {
        let cookie = format!("d={}", self.token().signed(&self.key));
        let get = |path: &str| Request::get(path).field("Cookie", &cookie);
        vec![
            get("/h/x").field("Host", "grouped.example.com"),
            Request::get("/h/x").field("Host", "grouped.example.com"),
            get("/h/x"),
            get("/open/x"),
            Request::new("HEAD", "/open/x"),
            get("/shut/x"),
            Request::new("POST", "/through/x"),
            get("/answers/x"),
            get("/answers/none"),
            Request::new("DELETE", "/open/x"),
            get("/full/x"),
            get("/g/none/below"),
            get("/nowhere"),
            get("/d/strict"),
            get("/included"),
            Request::new("POST", "/function")
                .field("Content-Type", "image/png")
                .body("{}"),
            Request::new("POST", "/function").body("x".repeat(5000)),
        ]
    }

    /// Returns requests that show the keys of the server.
    fn of_server(&self) -> Vec<Request> {
        let get = || Request::get("/included");
        let mut many = get();
        for number in 0..30 {
            many = many.field(&format!("x-{number}"), "1");
        }
        vec![
            get()
                .field("X-Forwarded-For", "192.0.2.7")
                .field("Forwarded", "for=192.0.2.7;proto=https"),
            many,
            get().field("x-long", &"x".repeat(9000)),
            Request::get(&format!("/included?{}", "x".repeat(400))),
            Request::new("POST", "/included").body("b".repeat(50)),
            Request::get("/.well-known/oauth-protected-resource"),
            Request::get("/.well-known/oauth-protected-resource/g"),
        ]
    }
}

/// Returns the status of a request to the admin listener by a name of the operator's own.
fn as_admin(gateway: &Gateway) -> String {
    let request = b"GET /livez HTTP/1.1\r\nHost: metrics.internal\r\nConnection: close\r\n\r\n";
    let answer = raw(gateway.admin(), request);
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Returns what the settings decide about in an event for a function.
fn of_event(body: &[u8]) -> String {
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(body) else {
        return String::new();
    };
    let context = &event["requestContext"];
    format!(
        "{} {} {} {} {} {}",
        event["version"],
        event["isBase64Encoded"],
        event["stageVariables"],
        context["accountId"],
        context["apiId"],
        context["stage"]
    )
}

/// Returns a route with its path below `/q/` instead of `/r/`.
fn moved(mut route: Value) -> Value {
    let path = route["path"].as_str().unwrap().replacen("/r/", "/q/", 1);
    route["path"] = Value::String(path);
    route
}
