//! `url` and `endpoints` of an upstream.

use serde_json::json;

use crate::config::language::document::{Kind, Table, Value};
use crate::config::language::json;
use crate::config::language::{AnyKey, Custom, Key, Reader, Span, Str, Text, collect};
use crate::net::Url;
use crate::transform::Place;
use crate::upstream::EndpointSettings;

pub(super) const URL: Key<Str> = Key::new("url", Str)
    .absent("`endpoints` is required")
    .takes(&Place::SETTING)
    .doc(
        "Its URL: `http` or `https`, a host, a port; or the path of a Unix socket, \
         `unix:/run/app.sock`, for which `Host` is `localhost` unless `host` is set. The URL has \
         no path: a request is forwarded with its own.",
    )
    .not(&["uri", "target", "address"])
    .example(r#""http://orders:8080""#);

pub(super) const ENDPOINTS: Key<Custom> = Key::new("endpoints", URLS)
    .absent("`url` is required")
    .takes(&Place::SETTING)
    .doc(
        "Its URLs, if it has several endpoints; instead of `url`. Each item is a URL, or a URL \
         with a `weight` (1 to 1000, by default 1): its share of the requests relative to the \
         others. All have one scheme; at most 256.",
    )
    .not(&["urls", "servers", "targets"])
    .example(r#"["http://a:8080", { url = "http://b:8080", weight = 9 }]"#);

const URLS: Custom = Custom {
    words: "a list of URLs or of { url = \"..\", weight = 1 }",
    json_schema: || {
        let weight = json!({ "type": "integer", "minimum": 1, "maximum": 1000 });
        let table = json!({
            "type": "object",
            "required": ["url"],
            "additionalProperties": false,
            "properties": { "url": json::text(), "weight": weight },
        });
        json::list(json!({ "anyOf": [json::text(), table] }))
    },
};

/// Quotes an invalid URL, unless it may hold a password: messages are logged.
pub(super) fn quoted_url(text: &str) -> String {
    if text.contains('@') {
        "a URL with \"@\"".to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// The limit on the endpoints of one upstream. Each has its own connections in every worker.
const MAX_ENDPOINTS: usize = 256;

/// Returns the endpoints, or the single one of `url`. Returns none after a problem.
pub(super) fn endpoints(reader: &mut Reader<'_>) -> Vec<EndpointSettings> {
    let (list, one) = (reader.value(&ENDPOINTS), reader.find(&URL));
    match list {
        None => only_endpoint(reader, one),
        Some(list) => {
            if reader.has(&URL) {
                reader.problem(
                    reader.key_span(&URL),
                    "\"url\" and \"endpoints\" exclude each other",
                );
            }
            listed_endpoints(reader, list).unwrap_or_default()
        }
    }
}

/// Returns the endpoint of `url`.
fn only_endpoint(reader: &Reader<'_>, text: Option<Text>) -> Vec<EndpointSettings> {
    if !reader.has(&URL) {
        reader.missing(&URL);
    }
    match text.and_then(|text| url(reader, &URL, &text)) {
        Some(url) => EndpointSettings::alone(url),
        None => Vec::new(),
    }
}

/// Returns the endpoints of a list; `None` if one of them is invalid.
fn listed_endpoints(reader: &Reader<'_>, list: &Value) -> Option<Vec<EndpointSettings>> {
    let Kind::List(items) = &list.kind else {
        reader.mismatched(&ENDPOINTS, list);
        return None;
    };
    if items.is_empty() || items.len() > MAX_ENDPOINTS {
        let count = items.len();
        reader.problem(
            list.span,
            format!("\"endpoints\" has {count} items, not 1 to {MAX_ENDPOINTS}"),
        );
        return None;
    }
    let mut endpoints = Some(Vec::new());
    for item in items {
        collect(&mut endpoints, listed(reader, item));
    }
    let endpoints = endpoints?;
    for (index, item) in items.iter().enumerate() {
        compare_with_earlier(reader, &endpoints, index, item.span);
    }
    Some(endpoints)
}

/// Reports an endpoint that is in the list twice, or that has another scheme than an earlier one.
fn compare_with_earlier(
    reader: &Reader<'_>,
    endpoints: &[EndpointSettings],
    index: usize,
    span: Span,
) {
    let Some((endpoint, earlier)) = endpoints.get(..=index).and_then(<[_]>::split_last) else {
        return;
    };
    let url = &endpoint.url;
    if earlier.iter().any(|other| other.url == *url) {
        reader.problem(span, format!("\"endpoints\" has \"{url}\" twice"));
    } else if earlier
        .iter()
        .any(|other| other.url.is_tls() != url.is_tls())
    {
        reader.problem(
            span,
            "\"endpoints\" has both http and https: all endpoints of an upstream have one scheme",
        );
    }
}

/// Returns an endpoint: a URL, alone or with a weight.
fn listed(reader: &Reader<'_>, item: &Value) -> Option<EndpointSettings> {
    match &item.kind {
        Kind::Text(_) => Some(EndpointSettings {
            url: endpoint_url(reader, item)?,
            weight: 1,
        }),
        Kind::Table(table) => weighted(reader, item, table),
        _ => {
            reader.mismatched(&ENDPOINTS, item);
            None
        }
    }
}

/// Returns an endpoint from a table with `url` and `weight`.
fn weighted(reader: &Reader<'_>, item: &Value, table: &Table) -> Option<EndpointSettings> {
    let mut entries = table.entries.iter();
    if let Some(other) = entries.find(|entry| !matches!(entry.key.as_str(), "url" | "weight")) {
        let message = format!(
            "\"endpoints\" has no key \"{}\": write {{ url = \"..\", weight = 1 }}",
            other.key
        );
        reader.problem(other.key_span, message);
        return None;
    }
    let Some(url) = table.get("url").filter(|entry| entry.value.is_text()) else {
        reader.mismatched(&ENDPOINTS, item);
        return None;
    };
    let url = endpoint_url(reader, &url.value)?;
    let weight = match table.get("weight") {
        None => Some(1),
        Some(entry) => weight(&entry.value),
    };
    if weight.is_none() {
        reader.problem(
            item.span,
            "\"endpoints\": a \"weight\" is a whole number from 1 to 1000",
        );
    }
    Some(EndpointSettings {
        url,
        weight: weight?,
    })
}

/// Returns the URL in a string of `endpoints`.
fn endpoint_url(reader: &Reader<'_>, value: &Value) -> Option<Url> {
    let Kind::Text(text) = &value.kind else {
        return None;
    };
    let text = Text {
        text: text.clone(),
        span: value.span,
    };
    url(reader, &ENDPOINTS, &text)
}

/// Returns the share of an endpoint, from 1 to 1000.
fn weight(value: &Value) -> Option<u32> {
    let Kind::Integer(Some(weight)) = value.kind else {
        return None;
    };
    let weight = u32::try_from(weight).ok()?;
    (1..=1000).contains(&weight).then_some(weight)
}

fn url(reader: &Reader<'_>, key: &dyn AnyKey, text: &Text) -> Option<Url> {
    let key = key.name();
    let subject = format_args!("\"{key}\" is {}", quoted_url(&text.text));
    let url = reader.accept(text.span, subject, Url::parse_with_sockets(&text.text))?;
    if url.path_and_query() != "/" {
        let path = url.path_and_query();
        reader.problem_with_hint(
            text.span,
            format!(
                "\"{key}\" has the path \"{path}\", but requests are forwarded with their own path"
            ),
            format!("write url = \"{}\"", url.with_path("")),
        );
    }
    Some(url)
}
