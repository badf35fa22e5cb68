//! The values that the access log and the event of a function both have of one request.

use serde_json::Value;

use crate::support::{Process, Request, Script, Upstream, wait_until};

/// A variable of the log, and where events have its value.
struct Shared {
    variable: &'static str,
    /// The place in `requestContext` of version 1.0; empty if it has none.
    rest: &'static str,
    /// The place in `requestContext` of version 2.0; empty if it has none.
    http: &'static str,
}

const fn shared(variable: &'static str, rest: &'static str, http: &'static str) -> Shared {
    Shared {
        variable,
        rest,
        http,
    }
}

const SHARED: &[Shared] = &[
    shared("accountId", "/accountId", "/accountId"),
    shared("apiId", "/apiId", "/apiId"),
    shared("domainName", "/domainName", "/domainName"),
    shared("domainPrefix", "/domainPrefix", "/domainPrefix"),
    shared("extendedRequestId", "/extendedRequestId", ""),
    shared("httpMethod", "/httpMethod", "/http/method"),
    shared("identity.sourceIp", "/identity/sourceIp", "/http/sourceIp"),
    shared(
        "identity.userAgent",
        "/identity/userAgent",
        "/http/userAgent",
    ),
    shared("path", "/path", "/http/path"),
    shared("protocol", "/protocol", "/http/protocol"),
    shared("requestId", "/requestId", "/requestId"),
    shared("requestTime", "/requestTime", "/time"),
    shared("requestTimeEpoch", "/requestTimeEpoch", "/timeEpoch"),
    shared("resourcePath", "/resourcePath", ""),
    shared("routeKey", "", "/routeKey"),
    shared("stage", "/stage", "/stage"),
];

/// The id that a client of a REST API may choose.
const UUID: &str = "8db3b4dd-ecd5-436d-9eeb-a544e39d3e12";

const ROUTES: &str = r#"
[[groups]]
prefix   = "/dev"
upstream = "f"
public   = true
routes   = [
    { path = "/files/**", methods = "ANY" },
    { path = "/own", methods = ["GET", "ANY"], head = false },
    { path = "/get", methods = ["GET"] },
]

[[groups]]
prefix   = "/rest"
upstream = "named"
public   = true
errors   = { profile = "aws-rest" }
routes   = [{ path = "/{id}", methods = ["GET"] }]

[[groups]]
prefix   = "/http"
upstream = "f"
public   = true
errors   = { profile = "aws-http" }
routes   = [{ path = "/{id}", methods = ["GET"] }]

[[routes]]
path     = "/**"
upstream = "f"
methods  = "ANY"
public   = true
"#;

/// A program whose functions get events of a version.
struct Setting {
    invoke_api: Upstream,
    process: Process,
}

impl Setting {
    fn start(version: &str) -> Self {
        let invoke_api = Upstream::start();
        let payload = "{\"statusCode\":200}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{payload}",
            payload.len()
        );
        invoke_api.always(Script::Raw(answer.into_bytes(), true));
        let names = SHARED.iter().map(|shared| shared.variable);
        let members: Vec<_> = names
            .map(|name| format!("\"{name}\":\"$context.{name}\""))
            .collect();
        let toml = format!(
            "[log]\naccess = \"all\"\naccess_format = '{{{}}}'\n\
             {}lambda = {{ function = \"f\", event = \"{version}\" }}\n\
             {}lambda = {{ function = \"f\", event = \"{version}\", stage = \"prod\", \
             account_id = \"123456789012\", api_id = \"a1b2\" }}\n{ROUTES}",
            members.join(","),
            invoke_api.toml("f"),
            invoke_api.toml("named"),
        );
        Self {
            process: Process::run(&toml),
            invoke_api,
        }
    }

    /// Returns the line of the request with this id.
    fn line(&self, id: &str) -> Value {
        let find = || {
            let out = self.process.out();
            let line = out.lines().find(|line| line.contains(id))?;
            serde_json::from_str(line).ok()
        };
        wait_until("the request is logged", || find().is_some());
        find().unwrap()
    }

    /// Returns the `requestContext` of the last event.
    fn context(&self) -> Value {
        let event: Value = serde_json::from_slice(&self.invoke_api.last().body).unwrap();
        event["requestContext"].clone()
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn request(method: &str, target: &str, id: &str) -> Request {
    Request::new(method, target)
        .field("Host", "shop.api.test:8443")
        .field("X-Request-Id", id)
        .field("X-Amzn-RequestId", UUID)
        .field("User-Agent", "first")
        .field("User-Agent", "last")
}

#[test]
fn the_log_has_the_values_that_the_function_gets() {
    for version in ["1.0", "2.0"] {
        let setting = Setting::start(version);
        for (index, (method, target)) in [
            ("GET", "/dev/files/a%20b/c"),
            ("HEAD", "/dev/own"),
            ("GET", "/dev/get"),
            ("HEAD", "/dev/get"),
            ("GET", "/rest/7"),
            ("GET", "/http/7"),
            ("PUT", "/other"),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("id-{index}");
            assert_eq!(
                setting.process.send(&request(method, target, &id)).status,
                200
            );
            let (line, context) = (setting.line(&id), setting.context());
            for shared in SHARED {
                let place = match version {
                    "1.0" => shared.rest,
                    _ => shared.http,
                };
                if place.is_empty() {
                    continue;
                }
                let name = shared.variable;
                let value = context.pointer(place);
                let value = value.unwrap_or_else(|| panic!("{version} {place}: {context}"));
                assert_eq!(
                    line[name],
                    text_of(value),
                    "{version} {method} {target} {name}"
                );
            }
        }
    }
}

#[test]
fn the_names_of_a_route_are_those_of_api_gateway() {
    let setting = Setting::start("2.0");
    let line = |method: &str, target: &str, id: &str| {
        setting.process.send(&request(method, target, id));
        setting.line(id)
    };
    for (id, method, target, expected) in [
        (
            "names-1",
            "GET",
            "/dev/files/a",
            ["ANY /files/{proxy+}", "/files/{proxy+}", "dev"],
        ),
        // With "head = false", "ANY" answers HEAD.
        ("names-2", "HEAD", "/dev/own", ["ANY /own", "/own", "dev"]),
        ("names-3", "HEAD", "/dev/get", ["GET /get", "/get", "dev"]),
        ("names-4", "PUT", "/dev/get", ["-", "/get", "dev"]),
        ("names-5", "GET", "/rest/7", ["GET /{id}", "/{id}", "prod"]),
        (
            "names-6",
            "PUT",
            "/other",
            ["$default", "/{proxy+}", "$default"],
        ),
    ] {
        let line = line(method, target, id);
        let found = ["routeKey", "resourcePath", "stage"].map(|name| line[name].as_str().unwrap());
        assert_eq!(found, expected, "{method} {target}");
    }
    // Only a REST API has the id that its client may choose.
    for (id, target, expected) in [("ids-1", "/rest/7", UUID), ("ids-2", "/http/7", "ids-2")] {
        let line = line("GET", target, id);
        assert_eq!(line["requestId"], expected, "{target}");
        assert_eq!(line["extendedRequestId"], id);
    }
}
