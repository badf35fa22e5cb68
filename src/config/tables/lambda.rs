//! `[upstreams.<name>.lambda]`: the function that requests to an upstream invoke.

use std::collections::BTreeMap;

use serde_json::json;

use super::names::Names;
use super::shared::{Shared, WEBSOCKET};
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::json;
use crate::config::language::{
    AnyKey, Choice, Custom, DefaultKey, KIB, Key, Reader, Size, Str, StrList, Subtable, Table, Time,
};
use crate::lambda::{EventFormat, Function, FunctionName, MAX_PAYLOAD, MediaRange};
use crate::net::Url;
use crate::transform::Place;

pub(super) static TABLE: Table = Table {
    path: "upstreams.*.lambda",
    doc: "Requests to the upstream invoke a Lambda function: it gets the event that API Gateway \
          would send, and returns the response. The upstream is an Invoke API, such as the runtime \
          interface emulator in the function's container. See [lambda.md](lambda.md).",
    keys: &[
        &FUNCTION,
        &EVENT,
        &BINARY,
        &EVENT_BYTES,
        &TIMEOUT,
        &ACCOUNT_ID,
        &API_ID,
        &STAGE,
        &STAGE_VARIABLES,
    ],
    refused: &[],
};

const FUNCTION: Key<Str> = Key::new("function", Str)
    .doc(
        "The name of the function, as its Invoke API has it: a name, `name:qualifier`, or an ARN. \
         The runtime interface emulator has one, which is called `function`.",
    )
    .not(&["name", "function_name", "arn"])
    .takes(&Place::SETTING)
    .example(r#""function""#);

const EVENT: DefaultKey<Choice<EventFormat>> = Key::new(
    "event",
    Choice(&[("1.0", EventFormat::Rest), ("2.0", EventFormat::Http)]),
)
.doc("The format of events and answers: `1.0` of REST APIs, or `2.0` of HTTP APIs.")
.not(&["version", "payload_format_version", "format"])
.example(r#""2.0""#)
.or(EventFormat::Rest);

const BINARY: Key<StrList> = Key::new("binary", StrList)
    .absent("bodies that are no UTF-8")
    .doc(
        "Media types of requests whose bodies are in base64 in the event, besides those that are \
         no UTF-8: `image/png`, `image/*` or `*/*`.",
    )
    .not(&["binary_media_types"])
    .example(r#"["image/*", "application/octet-stream"]"#);

const EVENT_BYTES: DefaultKey<Size<usize>> =
    Key::new("event_bytes", Size::new(4 * KIB, MAX_PAYLOAD as u64))
        .doc(
            "The limit of an event, its body encoded: the response to a request with a longer one \
             is 413, and the function is not invoked. A request's body is kept in memory up to \
             this size, for at most `max_requests` at a time.",
        )
        .example(r#""1 MiB""#)
        .or("6291556 B");

const TIMEOUT: DefaultKey<Time> = Key::new("timeout", Time::POSITIVE)
    .doc(
        "The longest time that the function runs; the default is the most that Lambda allows. A \
         function runs to its end, also when its client has left or `response_timeout` has passed. \
         Until it has answered or ended its connection, and no longer than this after the event \
         was \
         sent, the invocation counts for `max_connections` and `max_requests`, although no client \
         waits for it.",
    )
    .example(r#""1m""#)
    .or("15m");

const ACCOUNT_ID: DefaultKey<Str> = Key::new("account_id", Str)
    .doc("`requestContext.accountId` of events.")
    .takes(&Place::SETTING)
    .example(r#""123456789012""#)
    .or("000000000000");

const API_ID: DefaultKey<Str> = Key::new("api_id", Str)
    .doc("`requestContext.apiId` of events.")
    .takes(&Place::SETTING)
    .example(r#""a1b2c3d4e5""#)
    .or("scopegate");

const STAGE: Key<Str> = Key::new("stage", Str)
    .absent("the prefix of the route's group without its slash, else `$default`")
    .doc("`requestContext.stage` of events.")
    .takes(&Place::SETTING)
    .example(r#""prod""#);

const STAGE_VARIABLES: Key<Custom> = Key::new("stage_variables", TEXTS)
    .absent("no stage variables")
    .doc("`stageVariables` of events.")
    .takes(&Place::SETTING)
    .example(r#"{ table = "orders-dev" }"#);

const TEXTS: Custom = Custom {
    words: "a map from name to text",
    json_schema: || json!({ "type": "object", "additionalProperties": json::text() }),
};

/// Returns the function that an upstream with these endpoints invokes.
pub(super) fn lambda(
    upstream: &mut Reader<'_>,
    key: &Key<Subtable>,
    endpoints: &[&Url],
) -> Option<Function> {
    let subject = format!("{}, lambda", upstream.subject);
    let mut reader = upstream.table_if_present(key, subject)?;
    refuse_aws(&reader, endpoints);
    let name = function_name(&mut reader);
    let event = reader.get(&EVENT);
    let binary = binary(&mut reader);
    let event_bytes = reader.get(&EVENT_BYTES);
    let timeout = reader.get(&TIMEOUT);
    let account_id = reader.get(&ACCOUNT_ID);
    let api_id = reader.get(&API_ID);
    let stage = reader.find(&STAGE);
    let stage_variables = stage_variables(&mut reader);
    reader.finish();
    Some(Function {
        name: name?,
        event,
        binary,
        event_bytes,
        timeout,
        account_id: account_id.text.into(),
        api_id: api_id.text.into(),
        stage: stage.map(|stage| stage.text.into()),
        stage_variables,
    })
}

fn function_name(reader: &mut Reader<'_>) -> Option<FunctionName> {
    let text = reader.find(&FUNCTION)?;
    let subject = format_args!("\"function\" is \"{}\"", text.text);
    reader.accept(text.span, subject, FunctionName::parse(&text.text))
}

fn binary(reader: &mut Reader<'_>) -> Vec<MediaRange> {
    let mut ranges = Vec::new();
    for text in reader.find(&BINARY).unwrap_or_default() {
        let subject = format_args!("\"binary\" has \"{}\"", text.text);
        ranges.extend(reader.accept(text.span, subject, MediaRange::parse(&text.text)));
    }
    ranges
}

fn stage_variables(reader: &mut Reader<'_>) -> Vec<(Box<str>, Box<str>)> {
    let Some(value) = reader.value(&STAGE_VARIABLES) else {
        return Vec::new();
    };
    let Kind::Table(table) = &value.kind else {
        reader.mismatched(&STAGE_VARIABLES, value);
        return Vec::new();
    };
    let mut variables = BTreeMap::new();
    for entry in &table.entries {
        if let Some(text) = stage_variable(reader, entry) {
            variables.insert(Box::from(entry.key.as_str()), text);
        }
    }
    variables.into_iter().collect()
}

fn stage_variable(reader: &Reader<'_>, entry: &KeyValue) -> Option<Box<str>> {
    let Value { kind, span } = &entry.value;
    if let Kind::Text(text) = kind {
        return Some(text.as_str().into());
    }
    let (key, found) = (&entry.key, entry.value.name());
    let message = format!("\"stage_variables\" has \"{key}\", which is {found}, not a string");
    reader.problem(*span, message);
    None
}

/// Refuses the settings of a route that have no effect on the invocation of a function: those of
/// the path and the method that an upstream gets, in `keys`, and WebSockets.
pub(super) fn refuse_for_functions(
    reader: &Reader<'_>,
    shared: &Shared,
    names: &Names,
    keys: &[&dyn AnyKey],
) {
    let upstream = match &shared.upstream {
        Some(upstream) if names.is_function(&upstream.text) => &upstream.text,
        _ => return,
    };
    for key in keys {
        if reader.has(*key) {
            let message = format!(
                "\"{}\" has no effect: upstream \"{upstream}\" is a function, whose event tells \
                 the \
                 client's own request",
                key.name()
            );
            reader.problem(reader.key_span(*key), message);
        }
    }
    if shared.takes_websockets() {
        let message = format!("it has \"websocket\", and upstream \"{upstream}\" is a function");
        let span = reader.key_span(&WEBSOCKET);
        reader.problem_with_hint(span, message, "write websocket = false in the route");
    }
}

/// The ends of the host names of AWS's own endpoints.
const AWS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];

/// Refuses the endpoints of AWS itself, which take signed requests only.
fn refuse_aws(reader: &Reader<'_>, endpoints: &[&Url]) {
    for url in endpoints {
        let host = url.host().trim_end_matches('.');
        if AWS.iter().any(|end| host.ends_with(end)) {
            let message = format!(
                "\"{host}\" is an endpoint of AWS, which takes signed requests only (SigV4), and \
                 scopegate cannot sign requests yet"
            );
            let hint = "invoke the function where it runs by itself, such as the runtime interface \
                        emulator in its container";
            reader.problem_with_hint(reader.span(), message, hint);
        }
    }
}
