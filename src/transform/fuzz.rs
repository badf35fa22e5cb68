//! Fuzz targets: origins of CORS, header rules, templates, and rewrites.

use std::borrow::Cow;

use http::Uri;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderName, HeaderValue, LOCATION, VARY,
};
use percent_encoding::percent_decode_str;

use super::template::{Escape, Facts, Place, Reference, Template, Value};
use super::{Cors, Direction, HeaderRules, Origin, Origins, Rewrite};
use crate::fuzz::check;
use crate::route::{Ambiguities, Ambiguity, Pattern};

#[test]
fn cors_origin() {
    check("cors_origin", |input| {
        let mut lines = input.splitn(2, |byte| *byte == b'\n');
        let listed = str::from_utf8(lines.next().unwrap()).ok();
        let listed = listed.and_then(|text| Some((text, Origin::parse(text).ok()?)));
        let (Some((text, listed)), Some(sent)) = (listed, lines.next()) else {
            return;
        };
        let Ok(sent) = HeaderValue::from_bytes(sent) else {
            return;
        };
        let is_listed = sent.to_str().is_ok_and(|sent| stands_for(text, sent));
        let cors = Cors {
            origins: Origins::These(vec![listed]),
            ..cors()
        };
        let mut answer = HeaderMap::new();
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        cors.permit(Some(&sent), &mut answer);
        let permitted = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(permitted, is_listed.then_some(&sent), "{text} {sent:?}");
        assert!(answer.get_all(VARY).iter().any(|vary| vary == "Origin"));
    });
}

fn cors() -> Cors {
    Cors {
        origins: Origins::Any,
        methods: None,
        headers: super::FieldNames::Any,
        expose: super::FieldNames::Any,
        credentials: true,
        max_age: std::time::Duration::ZERO,
    }
}

/// Returns whether an origin of the configuration stands for that of a request, by comparing texts
/// and by the host that another parser finds.
fn stands_for(listed: &str, sent: &str) -> bool {
    let (scheme, host) = listed.split_once("://").unwrap();
    let Some(rest) = sent
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
    else {
        return false;
    };
    if host == "*" {
        return Origin::parse(sent).is_ok_and(|origin| !origin.is_pattern());
    }
    let Some(parent) = host.strip_prefix("*.") else {
        return rest == host;
    };
    let Some(label) = rest
        .strip_suffix(parent)
        .and_then(|label| label.strip_suffix('.'))
    else {
        return false;
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_one = !label.is_empty() && label.bytes().all(is_name);
    if is_one {
        let uri: Uri = sent.parse().expect("another parser takes the origin");
        let name = parent.split(':').next().unwrap();
        assert_eq!(uri.host().unwrap(), format!("{label}.{name}"));
    }
    is_one
}

/// The rules and the fields of a message, a line each: `=name: value` sets, `+name: value` adds,
/// `-name` removes, and other lines are fields.
#[derive(Default)]
struct Message {
    rules: HeaderRules,
    headers: HeaderMap,
}

impl Message {
    fn of(input: &[u8], direction: Direction) -> Option<Self> {
        let mut message = Self::default();
        for line in input.split(|byte| *byte == b'\n').take(24) {
            let (kind, rest) = line.split_first()?;
            if *kind == b'-' {
                let pattern = direction.pattern(str::from_utf8(rest).ok()?).ok()?;
                message.rules.remove.push(pattern);
                continue;
            }
            let is_rule = matches!(kind, b'=' | b'+');
            let text = if is_rule { rest } else { line };
            let colon = text.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
            if !is_rule {
                let name = HeaderName::from_bytes(name).ok()?;
                message
                    .headers
                    .append(name, HeaderValue::from_bytes(value).ok()?);
                continue;
            }
            let name = direction.name(str::from_utf8(name).ok()?).ok()?;
            let value = super::header_rule_value(str::from_utf8(value).ok()?).ok()?;
            match kind {
                b'=' => message.rules.set.push((name, value)),
                _ => message.rules.add.push((name, value)),
            }
        }
        Some(message)
    }
}

/// The fields that frame a message or say where it goes, which no rule may change.
const KEPT: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

#[test]
fn header_rules() {
    check("header_rules", |input| {
        for direction in [Direction::Request, Direction::Response] {
            let Some(Message { rules, headers }) = Message::of(input, direction) else {
                continue;
            };
            let mut changed = headers.clone();
            rules.apply(direction, &mut changed);
            for name in KEPT.iter().filter(|name| direction.name(name).is_err()) {
                assert!(
                    changed.get_all(*name).iter().eq(headers.get_all(*name)),
                    "{name}"
                );
            }
            is_as_ruled(&rules, &headers, &changed);
            // What the rules set is what they remove from the next message.
            let mut again = changed.clone();
            rules.remove_claimed(direction, &mut again);
            for (name, _) in &rules.set {
                assert!(!again.contains_key(name), "{name}");
            }
        }
    });
}

/// Each set field has the values that rules give it alone, in every spelling; a removed one has
/// none; and a field without a rule is unchanged.
fn is_as_ruled(rules: &HeaderRules, before: &HeaderMap, after: &HeaderMap) {
    let spelled = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let is_of = |list: &[(HeaderName, HeaderValue)], name: &str| {
        list.iter()
            .any(|(own, _)| spelled(own.as_str()) == spelled(name))
    };
    for name in before.keys().chain(after.keys()) {
        let text = name.as_str();
        let given = rules.set.iter().chain(&rules.add);
        let given: Vec<&HeaderValue> = given
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value)
            .collect();
        let values: Vec<&HeaderValue> = after.get_all(name).iter().collect();
        let is_named = rules.names().any(|pattern| pattern.matches(text));
        if is_of(&rules.set, text) {
            assert_eq!(values, given, "{name}");
        } else if !is_named {
            let kept: Vec<&HeaderValue> = before.get_all(name).iter().collect();
            assert_eq!(values, kept, "{name}");
        } else {
            assert!(values.ends_with(&given), "{name}");
        }
    }
}

/// A request whose every value is one text that a client chose.
struct Client<'c> {
    text: &'c [u8],
    segment: Option<&'c str>,
}

impl<'c> Client<'c> {
    fn new(text: &'c [u8]) -> Self {
        let segment = str::from_utf8(text).ok().filter(|text| is_segment(text));
        Self { text, segment }
    }
}

impl Facts for Client<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::Parameter { .. } => Some(Value::Path(self.segment?)),
            Reference::Header(_) if HeaderValue::from_bytes(self.text).is_err() => None,
            Reference::Header(_) => Some(Value::Field(self.text)),
            _ => Some(Value::Text(Cow::Borrowed(self.text))),
        }
    }
}

/// Returns whether a text is one segment of the path of a request that a route may take without an
/// `allow`.
fn is_segment(text: &str) -> bool {
    let path = format!("/{text}");
    !text.is_empty()
        && !text.contains('/')
        && path.parse::<Uri>().is_ok_and(|uri| uri.path() == path)
        && Ambiguities::of_path(&path).is_empty()
}

/// The text in the place of a client's, for the structure of a template.
const SAMPLE: &[u8] = b"x";

#[test]
fn template_values() {
    check("template_values", |input| {
        let mut lines = input.splitn(2, |byte| *byte == b'\n');
        let text = str::from_utf8(lines.next().unwrap()).ok();
        let template = text.and_then(|text| Template::parse(text, &Place::REQUEST).ok());
        let (Some(template), Some(value)) = (template, lines.next()) else {
            return;
        };
        if template.texts().any(|text| text.contains(char::is_control)) {
            return;
        }
        let (client, sample) = (Client::new(value), Client::new(SAMPLE));
        for escape in [
            Escape::Url,
            Escape::Link,
            Escape::Cookie,
            Escape::Path,
            Escape::Form,
        ] {
            let (Ok(of_client), Ok(of_sample)) = (
                template.render(escape, &client),
                template.render(escape, &sample),
            ) else {
                continue;
            };
            assert!(
                !of_client.contains(char::is_control),
                "{escape:?}: {of_client:?}"
            );
            let has_authority = template.references().any(|(reference, _)| {
                matches!(
                    reference,
                    Reference::Header(_) | Reference::Parameter { .. }
                )
            });
            if !has_authority {
                assert_eq!(
                    structure(&of_client),
                    structure(&of_sample),
                    "{escape:?}: {of_client}"
                );
            }
        }
        is_text_only(&template, &client);
    });
}

/// Returns the characters of a text that separate the parts of a URL, a cookie or a form.
fn structure(text: &str) -> String {
    text.chars()
        .filter(|c| "/?#:@;,&=\"'<> \\".contains(*c))
        .collect()
}

/// A header field holds visible characters; JSON holds the client's text as a string; and HTML has
/// no tag of a client's.
fn is_text_only(template: &Template, client: &Client<'_>) {
    let Ok(field) = template.render(Escape::Header, client) else {
        return;
    };
    let literals: String = template.texts().collect();
    if literals.is_ascii() {
        assert!(
            field.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{field:?}"
        );
    }
    if !literals.contains(['"', '\\']) {
        let json = template.render(Escape::Json, client).unwrap();
        let read: String = serde_json::from_str(&format!("\"{json}\"")).unwrap();
        assert!(template.texts().all(|text| read.contains(text)));
    }
    let html = template.render(Escape::Html, client).unwrap();
    for c in ['<', '>', '"', '\''] {
        assert_eq!(
            html.matches(c).count(),
            literals.matches(c).count(),
            "{html}"
        );
    }
    let plain = template.render(Escape::Plain, client).unwrap();
    assert!(!plain.contains(char::is_control));
}

/// A pattern with a parameter and an open end.
const PATTERN: &str = "/api/{id}/files/{rest+}";

#[test]
fn rewrite() {
    check("rewrite", |input| {
        let mut lines = input.splitn(4, |byte| *byte == b'\n');
        let mut line = || str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
        let (text, id, rest, value) = (line(), line(), line(), line());
        let pattern = Pattern::parse(PATTERN).unwrap();
        let Ok(rewrite) = Rewrite::parse(text, &pattern, |_| None) else {
            return;
        };
        if !is_segment(id) || !rest.split('/').all(is_segment) {
            return;
        }
        let path = format!("/api/{id}/files/{rest}");
        let facts = Matched { id, rest, value };
        let sample = Matched {
            value: "x",
            ..facts
        };
        let (Ok(made), Ok(of_sample)) = (
            rewrite.render(&path, &facts),
            rewrite.render(&path, &sample),
        ) else {
            return;
        };
        assert!(made.starts_with('/'), "{made}");
        assert!(
            made.parse::<Uri>().is_ok_and(|uri| uri.path() == made),
            "{made}"
        );
        // No text of a client begins a segment, or ends the path.
        assert_eq!(
            made.matches('/').count(),
            of_sample.matches('/').count(),
            "{made}"
        );
        if !rewrite.is_template() {
            assert_eq!(made, of_sample);
            assert_eq!(rewrite.apply(&path).as_ref(), Some(&made));
        }
        is_a_query(&rewrite, &facts, text);
    });
}

/// The values of a request whose path a pattern matched.
#[derive(Clone, Copy)]
struct Matched<'m> {
    id: &'m str,
    rest: &'m str,
    value: &'m str,
}

impl Facts for Matched<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::Parameter { is_open: true, .. } => Some(Value::Path(self.rest)),
            Reference::Parameter { .. } => Some(Value::Path(self.id)),
            _ => Some(Value::Text(Cow::Borrowed(self.value.as_bytes()))),
        }
    }
}

/// The query has the parameters of the configuration in their order, and no other.
fn is_a_query(rewrite: &Rewrite, facts: &Matched<'_>, text: &str) {
    let query = rewrite.query().render(facts);
    assert!(
        query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        "{query}"
    );
    assert!(format!("/?{query}").parse::<Uri>().is_ok(), "{query}");
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let names = pairs.map(|pair| pair.split('=').next().unwrap().replace('+', " "));
    let decoded: Vec<String> = names
        .map(|name| {
            percent_decode_str(&name)
                .decode_utf8()
                .unwrap()
                .into_owned()
        })
        .collect();
    let own: Vec<&str> = rewrite.query().names().collect();
    assert_eq!(decoded, own, "{text}: {query}");
}

/// A text of a client that has the form of a reference stays a text.
#[test]
fn a_reference_in_a_value_is_not_read() {
    let template = Template::parse("/v/${claim:a}", &Place::REQUEST).unwrap();
    let client = Client::new(b"${claim:b}");
    let made = template
        .render(Escape::of_field(&LOCATION), &client)
        .unwrap();
    assert_eq!(made, "/v/%24%7Bclaim%3Ab%7D");
    let all: Ambiguities = Ambiguity::ALLOWABLE.into_iter().collect();
    assert_eq!(Ambiguities::of_path(&made).first_beyond(all), None);
}
