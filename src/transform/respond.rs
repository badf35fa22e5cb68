//! The answer that a route gives in place of an upstream.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::template::{Escape, Facts, Reference, RenderError, Template, Value};

/// The answer of a route that the gateway answers itself. Values of requests are escaped for the
/// place in which they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    status: StatusCode,
    fields: Vec<RespondField>,
    body: RespondBody,
}

/// A header field of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondField {
    name: HeaderName,
    value: FieldValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldValue {
    Fixed(HeaderValue),
    Template(Template),
    /// A URL: the part before its `?`, and the query.
    Url(Template, Option<Template>),
}

/// The body of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RespondBody {
    Fixed(Bytes),
    Template(Template, Escape),
}

impl Respond {
    /// Creates an answer. A body without a `Content-Type` among the fields gets one: JSON if it is
    /// an object or a list, plain text otherwise.
    #[must_use]
    pub fn new(status: StatusCode, mut fields: Vec<RespondField>, body: Option<&Template>) -> Self {
        let Some(body) = body else {
            return Self {
                status,
                fields,
                body: RespondBody::Fixed(Bytes::new()),
            };
        };
        if !fields.iter().any(|field| field.name == CONTENT_TYPE) {
            fields.push(default_type(body));
        }
        let body = match body.literal() {
            Some(text) => RespondBody::Fixed(Bytes::copy_from_slice(text.as_bytes())),
            None => RespondBody::Template(body.clone(), escape_for(&fields)),
        };
        Self {
            status,
            fields,
            body,
        }
    }

    /// Returns the status: 200 to 599.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the names of the header fields, those that a body needs included.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.fields.iter().map(|field| &field.name)
    }

    /// Returns the header fields for a request. A field of which a value is absent is left out.
    ///
    /// # Errors
    /// The reference of a URL's path that has no value, or one that cannot stand there.
    pub fn fields(&self, facts: &impl Facts) -> Result<HeaderMap, &Reference> {
        let mut fields = HeaderMap::with_capacity(self.fields.len() + 4);
        for field in &self.fields {
            if let Some(value) = field.value(facts)? {
                fields.append(field.name.clone(), value);
            }
        }
        Ok(fields)
    }

    /// Returns the body for a request. A value that is absent is empty.
    #[must_use]
    pub fn body(&self, facts: &impl Facts) -> Bytes {
        match &self.body {
            RespondBody::Fixed(bytes) => bytes.clone(),
            RespondBody::Template(template, escape) => {
                // No value is absent, and every text fits into a body.
                let text = template.render(*escape, &OrEmpty(facts));
                text.unwrap_or_default().into()
            }
        }
    }
}

impl RespondField {
    /// Creates a field of a template.
    #[must_use]
    pub fn new(name: HeaderName, template: Template) -> Self {
        let value = match template.literal().map(HeaderValue::from_str) {
            Some(Ok(value)) => FieldValue::Fixed(value),
            _ if is_url(&name) => match template.split_once('?') {
                Some((path, query)) => FieldValue::Url(path, Some(query)),
                None => FieldValue::Url(template, None),
            },
            _ => FieldValue::Template(template),
        };
        Self { name, value }
    }

    /// Returns the name of the field.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Returns the references of the value.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let (first, second) = match &self.value {
            FieldValue::Fixed(_) => (None, None),
            FieldValue::Template(template) => (Some(template), None),
            FieldValue::Url(path, query) => (Some(path), query.as_ref()),
        };
        let templates = first.into_iter().chain(second);
        templates.flat_map(|template| template.references().map(|(reference, _)| reference))
    }

    /// Returns the value for a request; `None` if it refers to something that is absent.
    fn value(&self, facts: &impl Facts) -> Result<Option<HeaderValue>, &Reference> {
        let text = match &self.value {
            FieldValue::Fixed(value) => return Ok(Some(value.clone())),
            FieldValue::Template(template) => {
                match template.render(Escape::of_field(&self.name), facts) {
                    Ok(text) => text,
                    Err(RenderError::Absent(_)) => return Ok(None),
                    Err(RenderError::Unfit(reference)) => return Err(reference),
                }
            }
            FieldValue::Url(path, query) => url_text(path, query.as_ref(), facts)?,
        };
        // Escaped values have visible ASCII alone, as the texts between them.
        Ok(HeaderValue::try_from(text).ok())
    }
}

/// Returns whether a field holds a URL and nothing else.
#[must_use]
pub fn is_url(name: &HeaderName) -> bool {
    matches!(*name, LOCATION | CONTENT_LOCATION)
}

/// Returns the text of a URL. Values in its path are segments, or parts of the request's path that
/// begin no other part of a URL; values in its query are those of a form.
fn url_text<'t>(
    path: &'t Template,
    query: Option<&Template>,
    facts: &impl Facts,
) -> Result<String, &'t Reference> {
    let mut text = match path.render(Escape::Url, facts) {
        Ok(text) => text,
        Err(RenderError::Absent(reference) | RenderError::Unfit(reference)) => {
            return Err(reference);
        }
    };
    if let Some(query) = query {
        let rendered = query.render(Escape::Form, &OrEmpty(facts));
        let rendered = rendered.unwrap_or_default();
        // A request without a query leads to a URL without one.
        if !rendered.is_empty() || query.literal().is_some() {
            text.push('?');
            text.push_str(&rendered);
        }
    }
    Ok(text)
}

fn default_type(body: &Template) -> RespondField {
    let text: String = body.texts().collect();
    let value = match serde_json::from_str(&text) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Array(_)) => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    RespondField {
        name: CONTENT_TYPE,
        value: FieldValue::Fixed(HeaderValue::from_static(value)),
    }
}

/// Returns the escape for values in a body of this type.
fn escape_for(fields: &[RespondField]) -> Escape {
    let found = fields.iter().find(|field| field.name == CONTENT_TYPE);
    let Some(FieldValue::Fixed(value)) = found.map(|field| &field.value) else {
        return Escape::Plain;
    };
    Escape::of_content(value.to_str().unwrap_or_default())
}

/// Facts with an empty text in the place of each that is absent.
struct OrEmpty<'f, F>(&'f F);

impl<F: Facts> Facts for OrEmpty<'_, F> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        let value = self.0.value(reference);
        value.or(Some(Value::Text(Cow::Borrowed(b""))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Place;
    use super::*;

    /// A request with these values.
    struct Request(Vec<(&'static str, Value<'static>)>);

    impl Facts for Request {
        fn value(&self, reference: &Reference) -> Option<Value<'_>> {
            let name = reference.to_string();
            let found = self.0.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        }
    }

    fn text(text: &'static str) -> Value<'static> {
        Value::Text(Cow::Borrowed(text.as_bytes()))
    }

    fn field(name: &str, text: &str) -> RespondField {
        let template = Template::parse(text, &Place::RESPOND).unwrap();
        RespondField::new(name.parse().unwrap(), template)
    }

    /// Returns the value of `location` for a request.
    fn location(text: &str, request: &Request) -> Result<String, String> {
        let respond = Respond::new(StatusCode::FOUND, vec![field("location", text)], None);
        match respond.fields(request) {
            Ok(fields) => Ok(fields[LOCATION].to_str().unwrap().to_owned()),
            Err(reference) => Err(reference.to_string()),
        }
    }

    fn body(headers: Vec<RespondField>, text: &str, request: &Request) -> (String, String) {
        let template = Template::parse(text, &Place::BODY).unwrap();
        let respond = Respond::new(StatusCode::OK, headers, Some(&template));
        let fields = respond.fields(request).unwrap();
        let kind = fields[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = String::from_utf8(respond.body(request).to_vec()).unwrap();
        (kind, body)
    }

    #[test]
    fn no_value_changes_the_structure_of_a_url() {
        let path = |raw: &'static str| Request(vec![("{rest}", Value::Path(raw))]);
        let new = "https://api.example.com/new/{rest}";
        for (raw, expected) in [
            ("", "https://api.example.com/new/"),
            ("a/b%20c/", "https://api.example.com/new/a/b%20c/"),
            ("a%2Fb", "https://api.example.com/new/a%2Fb"),
            ("a;b", "https://api.example.com/new/a;b"),
        ] {
            assert_eq!(location(new, &path(raw)).as_deref(), Ok(expected), "{raw}");
        }
        for raw in [
            "/evil.test",
            "a//b",
            "\\evil.test",
            "a\\b",
            "%2e%2e",
            "a/..",
            "%0d%0a",
        ] {
            for template in [new, "/{rest}"] {
                assert_eq!(
                    location(template, &path(raw)),
                    Err("{rest}".to_owned()),
                    "{raw}"
                );
            }
        }
        let claim = |value| Request(vec![("${claim:t}", text(value))]);
        let tenant = "/t/${claim:t}/x";
        for (value, expected) in [("a b", "/t/a%20b/x"), ("a/b?c#d", "/t/a%2Fb%3Fc%23d/x")] {
            assert_eq!(location(tenant, &claim(value)).as_deref(), Ok(expected));
        }
        for value in ["", ".", "..", "a\r\nb"] {
            assert!(location(tenant, &claim(value)).is_err(), "{value:?}");
        }
        assert_eq!(
            location(tenant, &Request(vec![])),
            Err("${claim:t}".to_owned())
        );
    }

    #[test]
    fn a_query_has_the_values_of_a_form_and_empty_ones() {
        let request = Request(vec![
            ("${query:q}", text("a&b=c d#é")),
            ("{id}", Value::Path("1")),
        ]);
        let template = "/search/{id}?q=${query:q}&none=${query:none}&k=v";
        assert_eq!(
            location(template, &request).as_deref(),
            Ok("/search/1?q=a%26b%3Dc+d%23%C3%A9&none=&k=v")
        );
    }

    #[test]
    fn a_field_of_an_absent_value_is_left_out() {
        let fields = vec![
            field("x-user", "u-${claim:sub}"),
            field("x-fixed", "1"),
            field("x-id", "${request_id}"),
        ];
        let respond = Respond::new(StatusCode::OK, fields, None);
        let request = Request(vec![("${request_id}", text("r,1\r\n"))]);
        let found = respond.fields(&request).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&found["x-fixed"], &found["x-id"]),
            (
                &HeaderValue::from_static("1"),
                &HeaderValue::from_static("r%2C1%0D%0A")
            )
        );
    }

    #[test]
    fn a_body_is_escaped_by_its_type() {
        let request = Request(vec![("${query:q}", text("<b>\"'&\u{7}"))]);
        let of = |kind: &str| vec![field("content-type", kind)];
        for (headers, template, expected) in [
            (
                vec![],
                "{\"q\": \"${query:q}\"}",
                ("application/json", "{\"q\": \"<b>\\\"'&\\u0007\"}"),
            ),
            (vec![], "[1]", ("application/json", "[1]")),
            (vec![], "404", ("text/plain; charset=utf-8", "404")),
            (
                vec![],
                "q: ${query:q} {x}",
                ("text/plain; charset=utf-8", "q: <b>\"'& {x}"),
            ),
            (
                of("application/problem+json; charset=utf-8"),
                "\"${query:q}\"",
                (
                    "application/problem+json; charset=utf-8",
                    "\"<b>\\\"'&\\u0007\"",
                ),
            ),
            (
                of("Text/HTML"),
                "<p>${query:q}${claim:none}</p>",
                ("Text/HTML", "<p>&lt;b&gt;&quot;&#39;&amp;</p>"),
            ),
            (
                of("image/svg+xml"),
                "${query:q}",
                ("image/svg+xml", "&lt;b&gt;&quot;&#39;&amp;"),
            ),
        ] {
            let (kind, body) = body(headers, template, &request);
            assert_eq!((kind.as_str(), body.as_str()), expected, "{template}");
        }
    }
}
