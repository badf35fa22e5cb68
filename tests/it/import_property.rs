//! Requirements of all shapes, also those that no export has, and what the importer makes of them:
//! never more than an oracle that knows the rules of documents alone, and no less for those that an
//! export can have.
//!
//! The documents are random. A failure names its seed: `SCOPEGATE_TEST_SEED=… cargo test --test it
//! import_property`.

use scopegate::clock;
use scopegate::config::Config;
use scopegate::decision::{Reason, Verdict, admit, decide};
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::{Label as _, Metrics};
use scopegate::token::RequestContext;
use serde_json::{Map, Value, json};

use crate::import_oracle::{Caller, may_pass};
use crate::import_served::reachable;
use crate::support::{Chance, Folder, Key, Request, Token};

const DOCUMENTS: usize = 60;
const PATHS: usize = 6;
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE",
];

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Orders001";

#[derive(Clone, Copy, Debug)]
enum Api {
    Rest,
    Swagger,
    Http,
}

/// A random document.
struct Draw {
    chance: Chance,
    api: Api,
}

/// A caller with its credential.
struct Sender {
    caller: Caller,
    token: Option<String>,
}

impl Draw {
    fn document(&mut self) -> Value {
        let mut paths = Map::new();
        for number in 0..PATHS {
            let mut item = Map::new();
            for method in ["get", "post", "x-amazon-apigateway-any-method"] {
                if self.chance.below(2) == 0 {
                    item.insert(method.to_owned(), self.operation());
                }
            }
            paths.insert(format!("/p{number}"), item.into());
        }
        let mut document = json!({"info": {"title": "drawn", "version": "1"}, "paths": paths});
        self.add_security(&mut document);
        match self.api {
            Api::Swagger => {
                document["swagger"] = json!("2.0");
                document["securityDefinitions"] = self.schemes();
            }
            Api::Rest | Api::Http => {
                document["openapi"] = json!("3.0.1");
                document["components"] = json!({ "securitySchemes": self.schemes() });
            }
        }
        if let Api::Http = self.api {
            document["x-amazon-apigateway-importexport-version"] = json!("1.0");
        }
        document
    }

    fn operation(&mut self) -> Value {
        let mut operation = json!({"x-amazon-apigateway-integration": {
            "type": "http_proxy", "httpMethod": "ANY", "uri": "http://backend.example.com/x",
            "payloadFormatVersion": "1.0",
        }});
        self.add_security(&mut operation);
        operation
    }

    fn schemes(&self) -> Value {
        let pool = |id: &str| {
            let arn = format!("arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_{id}");
            json!({
                "type": "apiKey", "name": "Authorization", "in": "header",
                "x-amazon-apigateway-authtype": "cognito_user_pools",
                "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": [arn]},
            })
        };
        let jwt = |issuer: &str| {
            json!({"type": "oauth2", "x-amazon-apigateway-authorizer": {
                "type": "jwt", "identitySource": "$request.header.Authorization",
                "jwtConfiguration": {"issuer": issuer, "audience": ["web"]},
            }})
        };
        let function =
            "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/f/invocations";
        let [pool, other] = match self.api {
            Api::Rest | Api::Swagger => [pool("Orders001"), pool("Other0001")],
            Api::Http => [jwt(POOL), jwt("https://id.example.com")],
        };
        json!({
            "pool": pool,
            "other": other,
            "lambda": {
                "type": "apiKey", "name": "Authorization", "in": "header",
                "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": {"type": "request", "authorizerUri": function},
            },
            "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
            "iam": {
                "type": "apiKey", "name": "Authorization", "in": "header",
                "x-amazon-apigateway-authtype": "awsSigv4",
            },
        })
    }

    /// Sets the requirements of an operation or a document, or leaves them out.
    fn add_security(&mut self, of: &mut Value) {
        let security = match self.chance.below(12) {
            0..=2 => return,
            3..=6 => json!([self.plain_member()]),
            7..=9 => self.members(),
            _ => self.no_list(),
        };
        of["security"] = security;
    }

    fn members(&mut self) -> Value {
        let count = self.chance.below(4);
        (0..count).map(|_| self.member()).collect()
    }

    /// Returns a member that an export can have.
    fn plain_member(&mut self) -> Value {
        let scopes: [&[&str]; 4] = [&[], &["a/read"], &["a/read", "a/write"], &["a/write"]];
        json!({ "pool": self.chance.one_of(&scopes) })
    }

    fn member(&mut self) -> Value {
        match self.chance.below(14) {
            0..=4 => self.plain_member(),
            5 => json!({}),
            6 => json!({"Fn::If": ["IsProd", {"pool": []}, {"Ref": "AWS::NoValue"}]}),
            7 => self
                .chance
                .one_of(&[json!(null), json!("pool"), json!(["pool"]), json!(7)]),
            _ => self.schemes_of_member(),
        }
    }

    fn schemes_of_member(&mut self) -> Value {
        const NAMES: [&str; 8] = [
            "pool",
            "pool",
            "other",
            "lambda",
            "key",
            "iam",
            "undefined",
            "NONE",
        ];
        let mut member = Map::new();
        for _ in 0..=self.chance.below(2) {
            let name = self.chance.one_of(&NAMES);
            member.insert(name.to_owned(), self.scopes());
        }
        member.into()
    }

    fn scopes(&mut self) -> Value {
        let intrinsic = json!({"Fn::Sub": "${Prefix}/read"});
        self.chance.one_of(&[
            json!([]),
            json!(["a/read"]),
            json!(["a/write", "a/read"]),
            json!(["a/read", "a/read"]),
            json!(["a/read", "b", "c", "d", "e"]),
            json!(["a/read", intrinsic]),
            json!(["a/read", "${Prefix}/read"]),
            json!([["a/read"]]),
            json!([7]),
            json!([null]),
            json!([""]),
            json!(["a/read a/write"]),
            json!(["A/READ"]),
            json!("a/read"),
            json!({"Ref": "Scopes"}),
            json!({}),
            json!(null),
            json!(true),
        ])
    }

    fn no_list(&mut self) -> Value {
        let member = self.plain_member();
        self.chance.one_of(&[
            json!([]),
            json!(null),
            json!({}),
            json!("pool"),
            json!(""),
            json!(false),
            json!(0),
            member.clone(),
            json!({"Fn::If": ["IsProd", [member], []]}),
            json!({"Ref": "AWS::NoValue"}),
            json!([[{"pool": []}]]),
        ])
    }
}

/// Returns the operation that answers a method of a path.
fn operation<'d>(document: &'d Value, path: &str, method: &str) -> Option<&'d Value> {
    let item = &document["paths"][path];
    let any = item.get("x-amazon-apigateway-any-method");
    match method {
        "GET" => item.get("get").or(any),
        "POST" => item.get("post").or(any),
        "PURGE" => None,
        _ => any,
    }
}

/// Returns whether the requirements are such as an export has them.
fn is_usual(document: &Value, operation: &Value) -> bool {
    let is_string = |scopes: &Value| {
        scopes.as_array().is_some_and(|all| {
            all.iter()
                .all(|scope| scope.as_str().is_some_and(|text| text.starts_with("a/")))
        })
    };
    match operation.get("security").or(document.get("security")) {
        None => true,
        Some(Value::Array(members)) => match members.as_slice() {
            [] => true,
            [Value::Object(member)] => {
                member.len() == 1 && member.get("pool").is_some_and(is_string)
            }
            _ => false,
        },
        Some(_) => false,
    }
}

fn senders(key: &Key) -> Vec<Sender> {
    let callers = [
        Caller::Anonymous,
        Caller::IdToken,
        Caller::AccessToken(vec![]),
        Caller::AccessToken(vec!["a/read"]),
        Caller::AccessToken(vec!["a/write"]),
        Caller::AccessToken(vec!["a/read", "a/write", "b", "c"]),
    ];
    callers.map(|caller| Sender::new(caller, key)).into()
}

impl Sender {
    fn new(caller: Caller, key: &Key) -> Self {
        let token = Token::of(POOL, "");
        let token = match &caller {
            Caller::Anonymous => None,
            Caller::IdToken => {
                let token = token.with("aud", "web").with("client_id", json!(null));
                Some(token.with("scope", json!(null)).with("token_use", "id"))
            }
            Caller::AccessToken(scopes) => {
                let token = token.with("aud", json!(null)).with("client_id", "web");
                let token = token.with("token_use", "access");
                Some(token.with("scope", scopes.join(" ")))
            }
        };
        Self {
            caller,
            token: token.map(|token| token.signed(key)),
        }
    }

    fn passes(&self, snapshot: &Snapshot, method: &str, path: &str) -> bool {
        let mut request = Request::new(method, path);
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        let (mut head, ()) = request.head().into_parts();
        let max_fields = snapshot.config.server.limits.head_fields;
        let facts = admit(&mut head, None, max_fields).ok().unwrap();
        let context = RequestContext::at(clock::now().unix);
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let verdict = runtime.block_on(decide(snapshot, facts, None, context));
        matches!(verdict, Ok(Verdict::Forward(_)))
    }
}

/// Imports a document, and compiles the result; `None` if the importer refuses the whole document.
fn imported(document: &Value, name: &str, key: &Key) -> Option<Snapshot> {
    let folder = Folder::new();
    folder.write(name, &serde_json::to_string_pretty(document).unwrap());
    let output = folder.run(&["import", "apigateway", name], &[]);
    let toml = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(1) => assert!(toml.is_empty() && errors.contains(name), "{errors}"),
        Some(0 | 2) => assert!(!toml.is_empty(), "{errors}"),
        code => panic!("{code:?}: {errors}"),
    }
    if toml.is_empty() {
        return None;
    }
    let keyed = reachable(&toml, "http://127.0.0.1:1", |_| key.clone());
    let config = Config::parse(&keyed, "gateway.toml");
    let config = config.unwrap_or_else(|problems| panic!("{}\n{keyed}", problems.render(false)));
    let metrics = Metrics::new(Reason::NAMES).unwrap();
    Some(Snapshot::compile(config, &metrics, None).unwrap())
}

#[test]
fn no_requirement_becomes_more_open_than_the_rules_of_documents_allow() {
    let key = Key::rsa("key", 1);
    let senders = senders(&key);
    let mut draw = Draw {
        chance: Chance::new(),
        api: Api::Rest,
    };
    let mut read = 0;
    for number in 0..DOCUMENTS {
        draw.api = [Api::Rest, Api::Swagger, Api::Http][number % 3];
        let name = ["api.json", "api.yaml"][number % 2];
        let document = draw.document();
        let Some(snapshot) = imported(&document, name, &key) else {
            continue;
        };
        read += 1;
        for path in (0..PATHS).map(|number| format!("/p{number}")) {
            for method in METHODS {
                for sender in &senders {
                    compare(&document, &snapshot, method, &path, sender);
                }
            }
        }
    }
    assert!(
        read > DOCUMENTS / 2,
        "{read} of {DOCUMENTS} documents were read"
    );
}

#[track_caller]
fn compare(document: &Value, snapshot: &Snapshot, method: &str, path: &str, sender: &Sender) {
    let passes = sender.passes(snapshot, method, path);
    let found = operation(document, path, method);
    let may = found.is_some_and(|operation| may_pass(document, operation, &sender.caller));
    let shown = || format!("{method} {path}, {:?}\n{document:#}", sender.caller);
    assert!(may || !passes, "passes: {}", shown());
    let is_usual = found.is_some_and(|operation| is_usual(document, operation));
    assert!(passes || !may || !is_usual, "does not pass: {}", shown());
}
