use super::*;
use crate::import::document::Document;

fn document(text: &str) -> Document {
    Document::read(text.as_bytes()).unwrap()
}

fn error(text: &str) -> String {
    let document = document(text);
    Api::read(&document, &Variables::new())
        .unwrap_err()
        .to_string()
}

/// Shows requirements: members stand with `&`, alternatives with `|`.
fn shown(security: &Security<'_>) -> String {
    let Ok(alternatives) = &security.alternatives else {
        return "?".to_owned();
    };
    let one = |alternative: &Alternative<'_>| {
        let members = alternative.members.iter();
        let members =
            members.map(|member| format!("{}({})", member.scheme, member.scopes.join(" ")));
        members.collect::<Vec<_>>().join("&")
    };
    alternatives.iter().map(one).collect::<Vec<_>>().join("|")
}

#[test]
fn operations_are_paths_with_methods() {
    let document = document(
        "openapi: 3.0.1\npaths:\n  /a:\n    parameters: []\n    get: {}\n    POST: {}\n    \
         x-amazon-apigateway-any-method: {}\n  /b/{id}: {$ref: '#/x/b'}\n  /$default: {trace: {}}\n  \
         x-note: {get: {}}\nx: {b: {delete: {}, servers: []}}\n",
    );
    let api = Api::read(&document, &Variables::new()).unwrap();
    let names: Vec<_> = api.operations.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "GET /a",
            "POST /a",
            "ANY /a",
            "DELETE /b/{id}",
            "TRACE $default"
        ]
    );
    assert_eq!(api.operations[0].place.to_string(), "5:5");
    assert!(api.operations[4].is_default_route());
}

#[test]
fn requirements_of_the_operation_replace_those_of_the_root() {
    let document = document(
        "swagger: '2.0'\nsecurity: [{a: [x]}]\npaths:\n  /a:\n    get: {}\n    put: {security: []}\n    \
         post: {security: [{b: [y, z], c: []}, {}]}\n    delete: {security: [{a: [!Ref s]}]}\n    \
         patch: {security: {a: []}}\n    head: {security: !If [a, b]}\n    options: {security: [{a: x}]}\n",
    );
    let api = Api::read(&document, &Variables::new()).unwrap();
    let of = |method| {
        let mut all = api.operations.iter();
        let security = &all.find(|o| o.method == method).unwrap().security;
        (shown(security), security.origin)
    };
    assert_eq!(of(Method::Get), ("a(x)".into(), Origin::Root));
    assert_eq!(of(Method::Put), (String::new(), Origin::Operation));
    assert_eq!(of(Method::Post), ("b(y z)&c()|".into(), Origin::Operation));
    for method in [Method::Delete, Method::Patch, Method::Head, Method::Options] {
        assert_eq!(of(method), ("?".into(), Origin::Operation), "{method:?}");
    }
}

#[test]
fn what_a_deployment_alone_knows_is_unreadable() {
    let document = document(
        "openapi: 3.0.1\npaths:\n  /a: !If [x, {get: {}}, !Ref y]\n  /b: {get: {'Fn::If': []}}\n  /c: 1\n",
    );
    let api = Api::read(&document, &Variables::new()).unwrap();
    let all: Vec<_> = api
        .operations
        .iter()
        .map(|o| format!("{o} {}", shown(&o.security)))
        .collect();
    assert_eq!(all, ["ANY /a ?", "GET /b ?", "ANY /c ?"]);
}

#[test]
fn a_document_that_cannot_be_used_is_an_error_with_its_place() {
    for (text, expected) in [
        (
            "a: 1",
            "1:1: no OpenAPI document: it has neither \"openapi\" nor \"swagger\"",
        ),
        (
            "openapi: 4.0.0",
            "1:10: version \"4.0.0\" of OpenAPI is not known: Swagger 2.0, OpenAPI 3.0 and 3.1 are",
        ),
        ("openapi: 3.0.1", "1:1: the document has no operation"),
        ("openapi: 3.0.1\npaths: []", "2:8: \"paths\" is no map"),
        (
            "openapi: 3.0.1\npaths: {a: {get: {}}}",
            "2:9: the path \"a\" does not begin with \"/\"",
        ),
        (
            "openapi: 3.0.1\npaths:\n  /a/{x}: {get: {}}\n  /a/{y}: {get: {}}",
            "4:12: GET /a/{y} answers the same requests as the operation at 3:12",
        ),
        (
            "openapi: 3.0.1\npaths:\n  /a: {get: {}, Get: {}}",
            "3:17: Get",
        ),
        (
            "openapi: 3.0.1\npaths:\n  /a: {$ref: 'https://example.com'}",
            "3:7: $ref \"https://example.com\" leads to another document, which is not fetched",
        ),
        (
            "openapi: 3.0.1\ncomponents: {securitySchemes: []}\npaths: {/a: {get: {}}}",
            "2:31: \"securitySchemes\" is no map",
        ),
    ] {
        let expected = expected.replace(
            "3:17: Get",
            "3:17: GET /a answers the same requests as the operation at 3:8",
        );
        assert_eq!(error(text), expected);
    }
}

#[test]
fn servers_are_filled_in() {
    let document = document(
        "openapi: 3.0.1\nservers:\n- url: 'https://x.execute-api.eu-west-1.amazonaws.com/{basePath}'\n  \
         variables: {basePath: {default: /dev}}\n- {url: 'http://h:81/a/{b}/'}\n- {url: /v1}\n- {url: '/'}\npaths: {/a: {get: {}}}\n",
    );
    let servers = |variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let api = Api::read(&document, &variables.collect()).unwrap();
        let servers = api.servers.iter();
        let all = servers.map(|s| format!("{} {} {}", s.origin, s.host(), s.base_path));
        all.collect::<Vec<_>>()
    };
    let host = "x.execute-api.eu-west-1.amazonaws.com";
    assert_eq!(
        servers(&[]),
        [
            format!("https://{host} {host} /dev"),
            "  ".into(),
            "  /v1".into(),
            "  ".into()
        ]
    );
    assert_eq!(
        servers(&[("basePath", "prod/")])[0],
        format!("https://{host} {host} /prod")
    );
}

#[test]
fn the_address_of_swagger_is_in_three_keys() {
    for (head, expected) in [
        (
            "host: a.b\nbasePath: /v1/\nschemes: [http]",
            "http://a.b /v1",
        ),
        (
            "host: a.b:8443\nschemes: [http, https]",
            "https://a.b:8443 ",
        ),
        ("basePath: /", " "),
    ] {
        let document = document(&format!(
            "swagger: '2.0'\n{head}\npaths: {{/a: {{get: {{}}}}}}\n"
        ));
        let api = Api::read(&document, &Variables::new()).unwrap();
        assert_eq!(
            format!("{} {}", api.servers[0].origin, api.servers[0].base_path),
            expected
        );
    }
}

#[test]
fn schemes_define_scopes() {
    let document = document(
        "openapi: 3.0.1\ncomponents:\n  securitySchemes:\n    o: {type: oauth2, flows: {clientCredentials: {scopes: {a: '', b: ''}}}}\n    \
         k: {type: apiKey}\n    r: {$ref: '#/components/securitySchemes/o'}\npaths: {/a: {get: {}}}\n",
    );
    let api = Api::read(&document, &Variables::new()).unwrap();
    let scopes = api.declared_scopes();
    let names: Vec<_> = scopes
        .iter()
        .map(|(n, s)| format!("{n}: {:?}", s.keys().collect::<Vec<_>>()))
        .collect();
    assert_eq!(names, ["o: [\"a\", \"b\"]", "r: [\"a\", \"b\"]"]);
    assert_eq!(api.scheme("k").unwrap().kind(), Some("apiKey"));
}

#[test]
fn a_key_in_another_case_than_the_known_one_is_an_error() {
    let whole = "openapi: 3.0.1\npaths: {/a: {x-amazon-apigateway-any-method: {}, get: {security: []}}}\nsecurity: []\n";
    let document = document(whole);
    assert!(Api::read(&document, &Variables::new()).is_ok());
    for (key, other, place) in [
        ("security: []}", "Security: []}", "2:56"),
        (
            "get: {",
            "get: {X-Amazon-Apigateway-Integration: {}, ",
            "2:56",
        ),
        ("get: {", "get: {$Ref: '#/x', ", "2:56"),
        (
            "x-amazon-apigateway-any-method",
            "X-Amazon-Apigateway-Any-Method",
            "2:14",
        ),
        ("get:", "Security: [], get:", "2:50"),
        ("security: []\n", "SECURITY: []\n", "3:1"),
        ("security: []\n", "Components: {}\n", "3:1"),
        ("security: []\n", "x-amazon-apigateway-Policy: {}\n", "3:1"),
    ] {
        let text = whole.replacen(key, other, 1);
        let found = error(&text);
        assert!(
            found.starts_with(place) && found.contains("write"),
            "{text}{found}"
        );
    }
    // Other names are the document's own, and those of methods have no case.
    let own = whole.replace("get: {", "X-Note: {}, Get: {X-Amazon: 1, Tags: [], ");
    assert!(Api::read(&self::document(&own), &Variables::new()).is_ok());
}
