use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use serde_json::{Value, json};

use super::{
    ApiRoute, Caller, EventFacts, EventFormat, EventTooLong, Function, FunctionName, MAX_PAYLOAD,
    MediaRange, event,
};
use crate::policy::{Claim, Claims, Principal, ScopeSet};
use crate::route::{MethodPattern, Pattern};

const GET: MethodPattern = MethodPattern::One(Method::GET);

fn function(event: EventFormat) -> Function {
    Function {
        name: FunctionName::parse("function").unwrap(),
        event,
        binary: vec![MediaRange::parse("image/*").unwrap()],
        event_bytes: MAX_PAYLOAD,
        account_id: "000000000000".into(),
        api_id: "scopegate".into(),
        stage: None,
        timeout: Duration::from_secs(900),
        stage_variables: Vec::new(),
    }
}

fn fields(list: &[(&str, &[u8])]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    fields
}

fn principal() -> Principal {
    let text = |text: &str| Claim::Text(text.into());
    let members = vec![
        ("sub".into(), text("client-1")),
        ("scope".into(), text("com.test.test/test.read openid")),
        ("exp".into(), Claim::Number("1583352238".into())),
        (
            "cognito:groups".into(),
            Claim::List(vec![text("admin"), text("poweruser")]),
        ),
        ("nonce".into(), Claim::Null),
    ];
    Principal {
        issuer: Arc::from("cognito"),
        scopes: ScopeSet::of(["com.test.test/test.read", "openid"]),
        claims: Claims::of(members).unwrap(),
        key_id: None,
    }
}

/// A request that has nothing but its line.
fn facts<'r>(fields: &'r HeaderMap, pattern: &'r Pattern, path: &'r str) -> EventFacts<'r> {
    EventFacts {
        method: &Method::GET,
        path,
        query: None,
        fields,
        body: b"",
        route: ApiRoute {
            pattern,
            prefix: None,
            stage: None,
        },
        rule: &GET,
        caller: None,
        source: Some("192.0.2.7".parse().unwrap()),
        version: Version::HTTP_11,
        host: Some("api.example.com:8443"),
        request_id: "01890a5d-ac96-774b-bcce-b302099a8057",
        extended_request_id: "01890a5d-ac96-774b-bcce-b302099a8057",
        since_epoch: Duration::from_millis(1_583_348_638_390),
    }
}

/// A route of a group whose prefix is removed.
fn in_dev(pattern: &Pattern) -> ApiRoute<'_> {
    ApiRoute {
        pattern,
        prefix: Some("/dev"),
        stage: None,
    }
}

fn value(format: EventFormat, facts: &EventFacts<'_>) -> Value {
    let bytes = event(&function(format), facts).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn vector(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    let members = value.as_object().unwrap();
    members.keys().map(String::as_str).collect()
}

/// The walk-through of a REST API: a stage, a scope, and a token without a scheme.
fn with_token(format: EventFormat) -> Value {
    let fields = fields(&[
        ("host", b"api.example.com:8443"),
        ("authorization", b"aaa.bbb.ccc"),
        ("accept", b"text/html"),
        ("accept", b"application/json"),
        ("user-agent", b"curl/8.5.0"),
        ("cookie", b"a=1; b=2"),
        ("content-type", b"application/json"),
        ("content-length", b"9"),
        ("x-tenant", b"acme"),
    ]);
    let pattern = Pattern::parse("/dev/tests/{id}").unwrap();
    let principal = principal();
    let facts = EventFacts {
        method: &Method::POST,
        rule: &MethodPattern::One(Method::POST),
        query: Some("a=1&a=x+y&b=%C3%A4&flag"),
        body: br#"{"a":"b"}"#,
        route: in_dev(&pattern),
        caller: Some(Caller {
            principal: &principal,
            needs_scopes: true,
        }),
        ..facts(&fields, &pattern, "/dev/tests/a%20b")
    };
    value(format, &facts)
}

#[test]
fn the_event_of_a_rest_api_has_twelve_members() {
    let expected = include_str!("../../tests/vectors/lambda/rest-token.json");
    let event = with_token(EventFormat::Rest);
    assert_eq!(event, vector(expected), "{event:#}");
    assert_eq!(names(&event).len(), 12);
}

#[test]
fn the_event_of_an_http_api_is_of_version_2() {
    let expected = include_str!("../../tests/vectors/lambda/http-token.json");
    let event = with_token(EventFormat::Http);
    assert_eq!(event, vector(expected), "{event:#}");
}

#[test]
fn a_rest_event_has_nulls_where_an_http_event_has_nothing() {
    let fields = fields(&[("host", b"api.example.com")]);
    let pattern = Pattern::parse("/").unwrap();
    let facts = facts(&fields, &pattern, "/");
    let rest = value(EventFormat::Rest, &facts);
    let expected = include_str!("../../tests/vectors/lambda/rest-bare.json");
    assert_eq!(rest, vector(expected), "{rest:#}");
    let http = value(EventFormat::Http, &facts);
    let expected = include_str!("../../tests/vectors/lambda/http-bare.json");
    assert_eq!(http, vector(expected), "{http:#}");
}

#[test]
fn members_stand_in_the_order_of_api_gateway() {
    let fields = HeaderMap::new();
    let pattern = Pattern::parse("/a").unwrap();
    let facts = facts(&fields, &pattern, "/a");
    let rest = event(&function(EventFormat::Rest), &facts).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.starts_with(r#"{"resource":"/a","path":"/a","httpMethod":"GET","headers":{},"#),
        "{rest}"
    );
    let http = event(&function(EventFormat::Http), &facts).unwrap();
    let http = String::from_utf8(http).unwrap();
    assert!(
        http.starts_with(r#"{"version":"2.0","routeKey":"GET /a","rawPath":"/a","#),
        "{http}"
    );
}

#[test]
fn scopes_are_null_on_a_route_without_scopes() {
    let fields = HeaderMap::new();
    let pattern = Pattern::parse("/a").unwrap();
    let principal = principal();
    let authenticated = EventFacts {
        caller: Some(Caller {
            principal: &principal,
            needs_scopes: false,
        }),
        ..facts(&fields, &pattern, "/a")
    };
    let http = value(EventFormat::Http, &authenticated);
    let jwt = &http["requestContext"]["authorizer"]["jwt"];
    assert_eq!(jwt["scopes"], Value::Null);
    assert!(jwt.as_object().unwrap().contains_key("scopes"));
    assert_eq!(jwt["claims"]["cognito:groups"], "[admin poweruser]");
    let public = facts(&fields, &pattern, "/a");
    for format in [EventFormat::Rest, EventFormat::Http] {
        let event = value(format, &public);
        assert!(!names(&event["requestContext"]).contains(&"authorizer"));
    }
}

/// What events say about a path.
struct Path {
    pattern: &'static str,
    prefix: Option<&'static str>,
    method: MethodPattern,
    path: &'static str,
    resource: &'static str,
    route_key: &'static str,
    /// The path without the stage.
    inner: &'static str,
    stage: &'static str,
    parameters: Value,
}

#[test]
fn paths_have_the_form_of_api_gateway() {
    let paths = [
        Path {
            pattern: "/dev/files/{rest+}",
            prefix: Some("/dev"),
            method: GET,
            path: "/dev/files/a%2Fb/c/",
            resource: "/files/{rest+}",
            route_key: "GET /files/{rest+}",
            inner: "/files/a%2Fb/c/",
            stage: "dev",
            parameters: json!({ "rest": "a%2Fb/c" }),
        },
        Path {
            pattern: "/**",
            prefix: None,
            method: MethodPattern::Any,
            path: "/a/b",
            resource: "/{proxy+}",
            route_key: "$default",
            inner: "/a/b",
            stage: "$default",
            parameters: json!({ "proxy": "a/b" }),
        },
        Path {
            pattern: "/v1/dev/**",
            prefix: Some("/v1/dev"),
            method: MethodPattern::Any,
            path: "/v1/dev",
            resource: "/{proxy+}",
            route_key: "$default",
            inner: "/",
            stage: "v1/dev",
            parameters: Value::Null,
        },
        Path {
            pattern: "/admin/**",
            prefix: None,
            method: MethodPattern::Any,
            path: "/admin/x//",
            resource: "/admin/{proxy+}",
            route_key: "ANY /admin/{proxy+}",
            inner: "/admin/x//",
            stage: "$default",
            parameters: json!({ "proxy": "x/" }),
        },
        Path {
            pattern: "/{proxy}/**",
            prefix: None,
            method: GET,
            path: "/a/b",
            resource: "/{proxy}/{proxy_+}",
            route_key: "GET /{proxy}/{proxy_+}",
            inner: "/a/b",
            stage: "$default",
            parameters: json!({ "proxy": "a", "proxy_": "b" }),
        },
        Path {
            pattern: "/{a}/x/{b}",
            prefix: None,
            method: MethodPattern::Any,
            path: "/1/x/%E4%BD%A0;v=1",
            resource: "/{a}/x/{b}",
            route_key: "ANY /{a}/x/{b}",
            inner: "/1/x/%E4%BD%A0;v=1",
            stage: "$default",
            parameters: json!({ "a": "1", "b": "%E4%BD%A0;v=1" }),
        },
    ];
    let fields = HeaderMap::new();
    for expected in paths {
        let pattern = Pattern::parse(expected.pattern).unwrap();
        let facts = EventFacts {
            route: ApiRoute {
                pattern: &pattern,
                prefix: expected.prefix,
                stage: None,
            },
            rule: &expected.method,
            ..facts(&fields, &pattern, expected.path)
        };
        let rest = value(EventFormat::Rest, &facts);
        assert_eq!(rest["resource"], expected.resource);
        assert_eq!(rest["path"], expected.inner);
        assert_eq!(rest["pathParameters"], expected.parameters);
        assert_eq!(rest["requestContext"]["path"], expected.path);
        assert_eq!(rest["requestContext"]["resourcePath"], expected.resource);
        assert_eq!(rest["requestContext"]["stage"], expected.stage);
        let http = value(EventFormat::Http, &facts);
        assert_eq!(http["routeKey"], expected.route_key);
        assert_eq!(http["rawPath"], expected.path);
        assert_eq!(http["requestContext"]["stage"], expected.stage);
        if expected.route_key == "$default" {
            assert_eq!(http.get("pathParameters"), None);
        } else {
            assert_eq!(http["pathParameters"], expected.parameters);
        }
    }
}

#[test]
fn a_body_that_is_no_text_is_in_base64() {
    let pattern = Pattern::parse("/a").unwrap();
    for (kind, body, text, is_base64) in [
        (
            "text/plain",
            &b"a\"\0\n\xc3\xa4"[..],
            "a\"\0\n\u{e4}",
            false,
        ),
        ("text/plain", &b"\xff\xfe"[..], "//4=", true),
        ("image/png", &b"text"[..], "dGV4dA==", true),
        (
            "image/svg+xml; charset=utf-8",
            &b"<a/>"[..],
            "PGEvPg==",
            true,
        ),
    ] {
        let fields = fields(&[("content-type", kind.as_bytes())]);
        let facts = EventFacts {
            body,
            ..facts(&fields, &pattern, "/a")
        };
        for format in [EventFormat::Rest, EventFormat::Http] {
            let event = value(format, &facts);
            assert_eq!(event["body"], text, "{kind}");
            assert_eq!(event["isBase64Encoded"], is_base64, "{kind}");
        }
    }
}

#[test]
fn an_event_has_at_most_the_bytes_of_its_limit() {
    let (fields, pattern) = (HeaderMap::new(), Pattern::parse("/a").unwrap());
    let bare = facts(&fields, &pattern, "/a");
    for format in [EventFormat::Rest, EventFormat::Http] {
        let mut function = function(format);
        let body = EventFacts {
            body: b"\x01\xff",
            ..bare
        };
        let length = event(&function, &body).unwrap().len();
        function.event_bytes = length;
        assert_eq!(event(&function, &body).unwrap().len(), length);
        function.event_bytes = length - 1;
        assert_eq!(event(&function, &body), Err(EventTooLong));
    }
    // A control character takes six bytes.
    let long = vec![1; MAX_PAYLOAD / 6];
    let facts = EventFacts {
        body: &long,
        ..bare
    };
    assert_eq!(
        event(&function(EventFormat::Rest), &facts),
        Err(EventTooLong)
    );
}

#[test]
fn names_and_values_of_any_kind_are_texts() {
    let mut list: Vec<(String, Vec<u8>)> = Vec::new();
    for number in 0..100 {
        list.push((format!("x-{number}"), b"v".to_vec()));
    }
    list.push(("__proto__".to_owned(), b"a".to_vec()));
    list.push(("x-latin".to_owned(), b"\xe4".to_vec()));
    list.push(("x-utf8".to_owned(), "ä".as_bytes().to_vec()));
    list.push(("x-empty".to_owned(), Vec::new()));
    let list: Vec<_> = list
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let (fields, pattern) = (fields(&list), Pattern::parse("/a").unwrap());
    let facts = EventFacts {
        query: Some("__proto__=1&__proto__=2&%ff=%00"),
        ..facts(&fields, &pattern, "/a")
    };
    let rest = value(EventFormat::Rest, &facts);
    let http = value(EventFormat::Http, &facts);
    for headers in [&rest["headers"], &http["headers"]] {
        assert_eq!(headers.as_object().unwrap().len(), 104);
        assert_eq!(headers["__proto__"], "a");
        assert_eq!(headers["x-latin"], "ä");
        assert_eq!(headers["x-utf8"], "ä");
        assert_eq!(headers["x-empty"], "");
    }
    assert_eq!(rest["queryStringParameters"]["__proto__"], "2");
    assert_eq!(
        rest["multiValueQueryStringParameters"]["__proto__"],
        json!(["1", "2"])
    );
    assert_eq!(rest["queryStringParameters"]["\u{fffd}"], "\0");
    assert_eq!(http["queryStringParameters"]["__proto__"], "1,2");
}

#[test]
fn settings_replace_what_a_request_does_not_say() {
    let (fields, pattern) = (HeaderMap::new(), Pattern::parse("/dev/a").unwrap());
    let facts = EventFacts {
        route: ApiRoute {
            stage: Some("prod"),
            ..in_dev(&pattern)
        },
        source: None,
        host: Some("[2001:db8::1]"),
        version: Version::HTTP_2,
        ..facts(&fields, &pattern, "/dev/a")
    };
    for format in [EventFormat::Rest, EventFormat::Http] {
        let function = Function {
            account_id: "123456789012".into(),
            api_id: "a1b2".into(),
            stage_variables: vec![("table".into(), "orders".into())],
            ..function(format)
        };
        let event = event(&function, &facts).unwrap();
        let event: Value = serde_json::from_slice(&event).unwrap();
        let context = &event["requestContext"];
        assert_eq!(event["stageVariables"], json!({ "table": "orders" }));
        assert_eq!(context["accountId"], "123456789012");
        assert_eq!(context["apiId"], "a1b2");
        assert_eq!(context["stage"], "prod");
        assert_eq!(context["domainName"], "[2001:db8::1]");
    }
    let rest = value(EventFormat::Rest, &facts);
    assert_eq!(rest["requestContext"]["identity"]["sourceIp"], "0.0.0.0");
    assert_eq!(rest["requestContext"]["protocol"], "HTTP/2.0");
}
