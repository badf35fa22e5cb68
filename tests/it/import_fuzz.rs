//! The documents of `tests/vectors/import` with random changes: whatever a document says, the
//! importer makes a configuration of it, or names the place for which it cannot.
//!
//! A failure names its seed: `SCOPEGATE_TEST_SEED=… cargo test --test it import_fuzz`.
//! `SCOPEGATE_TEST_DOCUMENTS` is the number of documents.

use std::fs;

use scopegate::config::Config;
use scopegate::import::{ImportError, Imported, Options, apigateway, openapi};
use serde_json::{Map, Value, json};

use crate::import_table::DIRECTORY;
use crate::support::Chance;

const DOCUMENTS: usize = 400;

/// The greatest number of changes of a document.
const MOST_CHANGES: usize = 4;

/// Texts that some part of a document or of a configuration reads in its own way.
const TEXTS: [&str; 64] = [
    "",
    " ",
    "*",
    "**",
    "/**",
    "/",
    "//",
    "{x}",
    "{x+}",
    "{a}{b}",
    "{}",
    "${a}",
    "$$",
    "$",
    "$default",
    "/$default",
    "\u{0}",
    "\n",
    "a\u{202e}b",
    "é",
    "😀",
    "..",
    "/../a",
    "/%2e%2e",
    "/a%2Fb",
    "/%zz",
    "a b",
    "/a;b",
    "#",
    "?a=b",
    "NONE",
    "any",
    "ANY",
    "null",
    "'{id}'",
    "'a'",
    "'$a{b}'",
    "'a\u{7f}'",
    "method.request.header.x",
    "method.request.path.proxy",
    "context.authorizer.claims.sub",
    "context.authorizer.claims.a b",
    "context.requestId",
    "stageVariables.x",
    "${stageVariables.x}",
    "$request.header.x",
    "$request.querystring.a",
    "$context.authorizer.claims.sub",
    "$request.path.id",
    "http://",
    "http://h",
    "https://h:99999",
    "https://h/{x}/**?a=b&a=c",
    "https://h/a?b={c}#d",
    "https://{x}/a",
    "arn:aws:lambda:eu-west-1:1:function:f",
    "arn:aws:cognito-idp:x",
    "true",
    "0",
    "-1",
    "99999999999999999999",
    "mock",
    "aws_proxy",
    "PRIVATE",
];

/// Keys that have a meaning somewhere.
const KEYS: [&str; 24] = [
    "$ref",
    "Ref",
    "Fn::If",
    "Fn::Transform",
    "security",
    "type",
    "uri",
    "httpMethod",
    "get",
    "options",
    "x-amazon-apigateway-any-method",
    "x-amazon-apigateway-auth",
    "x-amazon-apigateway-policy",
    "x-amazon-apigateway-cors",
    "requestParameters",
    "responses",
    "responseParameters",
    "statusCode",
    "append:header.x",
    "integration.request.header.X",
    "integration.request.querystring.a b",
    "method.response.header.X-A",
    "<<",
    "/{proxy+}",
];

/// A document that is changed.
struct Draw {
    chance: Chance,
    seeds: Vec<Value>,
}

impl Draw {
    fn new() -> Self {
        let mut names: Vec<_> = fs::read_dir(DIRECTORY)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
        names.sort();
        let texts = names.iter().map(|path| fs::read_to_string(path).unwrap());
        let seeds: Vec<Value> = texts
            .filter_map(|text| serde_json::from_str(&text).ok())
            .collect();
        assert!(seeds.len() > 20, "{} documents", seeds.len());
        Self {
            chance: Chance::new(),
            seeds,
        }
    }

    fn document(&mut self) -> Value {
        let number = self.chance.below(self.seeds.len());
        let mut document = self.seeds[number].clone();
        for _ in 0..=self.chance.below(MOST_CHANGES) {
            self.change(&mut document);
        }
        document
    }

    /// Changes the value at a random place.
    fn change(&mut self, document: &mut Value) {
        let mut pointers = Vec::new();
        list_pointers(document, String::new(), &mut pointers);
        // Nothing may be left of it.
        if pointers.is_empty() {
            return;
        }
        let pointer = self.chance.one_of(&pointers);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let value = self.value(document, &pointers);
        let fresh = self.chance.one_of(&KEYS).to_owned();
        let text = self.chance.one_of(&TEXTS).to_owned();
        let what = self.chance.below(8);
        match (document.pointer_mut(parent).unwrap(), what) {
            (Value::Object(map), 0) => drop(map.remove(&key)),
            (Value::Object(map), 1) => rename(map, &key, &text),
            (Value::Object(map), 2) => rename(map, &key, &key.to_ascii_uppercase()),
            (Value::Object(map), 3) => {
                let copy = map[&key].clone();
                map.insert(format!("{key}{text}"), copy);
            }
            (Value::Object(map), 4) => drop(map.insert(fresh, value)),
            (Value::Object(map), _) => drop(map.insert(key, value)),
            (Value::Array(items), 0) => drop(items.remove(key.parse().unwrap())),
            (Value::Array(items), 1..=3) => items.push(value),
            (Value::Array(items), _) => items[key.parse::<usize>().unwrap()] = value,
            _ => unreachable!("{pointer}"),
        }
    }

    fn value(&mut self, document: &Value, pointers: &[String]) -> Value {
        let text = self.chance.one_of(&TEXTS);
        let key = self.chance.one_of(&KEYS);
        let other = self.chance.one_of(pointers);
        match self.chance.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(7),
            3 => json!([]),
            4 => json!({}),
            5 => json!({ key: text }),
            6 => json!({"$ref": format!("#{other}")}),
            7 => json!({"Fn::Sub": text}),
            8 => json!([text]),
            9 => json!([{ key: [text] }]),
            10 => document.pointer(&other).unwrap().clone(),
            11 => json!("x".repeat(9000)),
            _ => json!(text),
        }
    }
}

fn rename(map: &mut Map<String, Value>, key: &str, name: &str) {
    if let Some(value) = map.remove(key) {
        map.insert(name.to_owned(), value);
    }
}

fn list_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers.push(format!("{at}/{key}"));
                list_pointers(value, format!("{at}/{key}"), pointers);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers.push(format!("{at}/{index}"));
                list_pointers(value, format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
}

/// Returns what is wrong with the result of an import.
fn fault(result: Result<Imported, ImportError>) -> Option<String> {
    match result {
        Ok(imported) => match Config::parse(&imported.toml, "gateway.toml") {
            Ok(_) => None,
            Err(problems) => Some(problems.render(false)),
        },
        Err(ImportError::NoIntegrations | ImportError::Foreign(_)) => None,
        Err(error @ ImportError::Unwritable(..)) => Some(error.to_string()),
        Err(error) if error.place().is_none() => Some(format!("no place: {error}")),
        Err(_) => None,
    }
}

#[test]
fn a_changed_document_is_a_configuration_or_an_error_with_its_place() {
    let count = std::env::var("SCOPEGATE_TEST_DOCUMENTS").ok();
    let count = count.map_or(DOCUMENTS, |count| count.parse().unwrap());
    let mut draw = Draw::new();
    let (mut wrong, mut written) = (Vec::new(), 0);
    for _ in 0..count {
        let document = draw.document();
        let text = document.to_string();
        let options = Options::default();
        let of_export = apigateway(text.as_bytes(), &options);
        written += usize::from(of_export.is_ok());
        let of_other = openapi(text.as_bytes(), &options);
        for fault in [fault(of_export), fault(of_other)].into_iter().flatten() {
            wrong.push(format!("{fault}\n{text}"));
        }
    }
    let shown: Vec<_> = wrong.iter().take(10).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        shown.join("\n\n")
    );
    assert!(written * 4 > count, "{written} of {count}");
}
