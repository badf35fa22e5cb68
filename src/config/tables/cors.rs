//! `[routes.cors]`: the pages of other origins that may read the responses.

use std::sync::Arc;

use http::{HeaderName, Method};

use crate::config::language::{
    AnyKey, DefaultKey, Flag, Key, Reader, StrList, Subtable, Table, Text, Time,
};
use crate::route::MethodPattern;
use crate::transform::{Cors, FieldNames, Origin, Origins};

pub(super) static TABLE: Table = Table {
    path: "routes[].cors",
    doc: "The pages of other origins that may read the responses of the route. The gateway \
          answers a preflight before authorization, unless a route names `OPTIONS` for the path \
          itself. Every response, a refusal too, tells the browser whether the page may read it. \
          `Access-Control-*` fields of the upstream are removed.",
    keys: &[
        &ORIGINS,
        &METHODS,
        &HEADERS,
        &EXPOSE,
        &CREDENTIALS,
        &MAX_AGE,
    ],
    refused: &[],
};

/// The value for every origin or field.
const ANY: &str = "any";

const ORIGINS: Key<StrList> = Key::new("origins", StrList)
    .doc(
        "`any`, or origins as browsers send them; `*.` stands for exactly one label, and \
         `https://*` \
         or `http://*` for every host and port of the scheme. `null` never matches.",
    )
    .example(r#"["https://app.example.com", "https://*.example.com"]"#);

const METHODS: Key<StrList> = Key::new("methods", StrList)
    .absent("the methods of the route")
    .doc("The methods that pages may use.")
    .example(r#"["GET", "POST"]"#);

const HEADERS: DefaultKey<StrList> = Key::new("headers", StrList)
    .doc(
        "The request fields that pages may set. `any` allows those that a preflight asks for, up \
         to \
         8 KiB of names; if one of them is no field name, none is allowed.",
    )
    .example(r#"["authorization", "x-api-version"]"#)
    .or(&["authorization", "content-type"]);

const EXPOSE: Key<StrList> = Key::new("expose", StrList)
    .absent("no further fields")
    .doc(
        "The response fields that pages may read, besides `WWW-Authenticate`, `X-Request-ID` and \
         `Retry-After`. `any` exposes all of them, with `credentials` by their names.",
    )
    .example(r#"["x-total-count"]"#);

const CREDENTIALS: DefaultKey<Flag> = Key::new("credentials", Flag)
    .doc(
        "If true, requests may carry cookies, for `token_from = \"cookie:…\"`; not together with \
         origins of every host (`any`, `https://*`, `http://*`).",
    )
    .example("true")
    .or(false);

const MAX_AGE: DefaultKey<Time> = Key::new("max_age", Time::ANY)
    .doc("The time for which browsers may remember the answer to a preflight.")
    .example(r#""1h""#)
    .or("10m");

pub(super) fn cors(outer: &mut Reader<'_>, key: &Key<Subtable>) -> Option<Arc<Cors>> {
    let mut reader = outer.table_below(key)?;
    let texts = reader.find(&ORIGINS);
    let cors = Cors {
        origins: origins(&reader, &ORIGINS, texts.as_deref().unwrap_or_default()),
        methods: methods(&mut reader),
        headers: {
            let texts = reader.get(&HEADERS);
            names(&reader, &HEADERS, &texts)
        },
        expose: {
            let texts = reader.find(&EXPOSE).unwrap_or_default();
            names(&reader, &EXPOSE, &texts)
        },
        credentials: reader.get(&CREDENTIALS),
        max_age: reader.get(&MAX_AGE),
    };
    if cors.credentials && cors.origins.take_any_host() {
        let wide = any_host(texts.as_deref().unwrap_or_default());
        let message = format!(
            "\"credentials\" with origins = \"{wide}\" would let every page read the data of its \
             visitors: name the origins"
        );
        reader.problem(reader.key_span(&CREDENTIALS), message);
    }
    reader.finish();
    Some(Arc::new(cors))
}

/// Returns the first text that stands for the pages of every host.
fn any_host(texts: &[Text]) -> &str {
    let mut texts = texts.iter().map(|text| text.text.as_str());
    let wide = texts.find(|text| match Origin::parse(text) {
        Ok(origin) => origin.is_of_any_host(),
        Err(_) => *text == ANY,
    });
    wide.unwrap_or(ANY)
}

/// Returns the origins that a key names, or `Any`.
pub(super) fn origins(reader: &Reader<'_>, key: &dyn AnyKey, texts: &[Text]) -> Origins {
    if let [only] = texts
        && only.text == ANY
    {
        return Origins::Any;
    }
    let mut origins = Vec::new();
    for text in texts {
        let subject = format_args!("\"{}\" has \"{}\"", key.name(), text.text);
        origins.extend(reader.accept(text.span, subject, Origin::parse(&text.text)));
    }
    Origins::These(origins)
}

fn methods(reader: &mut Reader<'_>) -> Option<Vec<Method>> {
    let mut methods = Vec::new();
    for text in reader.find(&METHODS)? {
        let subject = format_args!("\"methods\" has \"{}\"", text.text);
        match reader.accept(text.span, subject, MethodPattern::parse(&text.text)) {
            Some(MethodPattern::One(method)) => methods.push(method),
            Some(MethodPattern::Any) => reader.problem(
                text.span,
                "\"methods\" has \"ANY\": leave the key out for the methods of the route",
            ),
            None => {}
        }
    }
    Some(methods)
}

/// Returns the field names that a key lists, or `Any`.
fn names(reader: &Reader<'_>, key: &dyn AnyKey, texts: &[Text]) -> FieldNames {
    if let [only] = texts
        && only.text == ANY
    {
        return FieldNames::Any;
    }
    let mut names = Vec::new();
    for text in texts {
        if text.text == ANY {
            let message = format!(
                "\"{}\" has \"any\" beside other names: write \"any\" alone, or leave it out",
                key.name()
            );
            reader.problem(text.span, message);
            continue;
        }
        match HeaderName::from_bytes(text.text.as_bytes()) {
            Ok(name) if text.text != "*" => names.push(name),
            _ => {
                let (key, name) = (key.name(), &text.text);
                let message = format!("\"{key}\" has \"{name}\", which is not a field name");
                let hint = "every field is \"any\"";
                match name.as_str() {
                    "*" => reader.problem_with_hint(text.span, message, hint),
                    _ => reader.problem(text.span, message),
                }
            }
        }
    }
    FieldNames::These(names)
}
