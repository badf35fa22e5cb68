//! The values of templates for one request.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;

use super::forwarded::requested_host;
use crate::policy::{Claim, Principal};
use crate::route::Pattern;
use crate::transform::{Facts, Reference, Value, parameter};

/// A request as templates see it: for an answer of the route's own the request as the client sent
/// it, for an upstream what the upstream may see of it.
#[derive(Clone, Debug)]
pub struct RequestValues<'r> {
    /// The pattern that the path matched.
    pub pattern: &'r Pattern,
    /// The client's path, as it was matched.
    pub path: &'r str,
    /// The client's query.
    pub query: Option<&'r str>,
    /// The header fields.
    pub fields: &'r HeaderMap,
    /// The host that the client asked for.
    pub host: Option<HeaderValue>,
    /// The caller; `None` on a public route.
    pub principal: Option<&'r Principal>,
    /// The id of the request.
    pub request_id: &'r HeaderValue,
}

impl<'r> RequestValues<'r> {
    /// Returns the values of a client's request, as it came. Its path matched the pattern.
    /// `principal` is `None` on a public route.
    #[must_use]
    pub fn of_client(
        pattern: &'r Pattern,
        head: &'r Parts,
        principal: Option<&'r Principal>,
        request_id: &'r HeaderValue,
    ) -> Self {
        Self {
            pattern,
            path: head.uri.path(),
            query: head.uri.query(),
            fields: &head.headers,
            host: requested_host(&head.uri, &head.headers),
            principal,
            request_id,
        }
    }
}

impl Facts for RequestValues<'_> {
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::Parameter { name, .. } => {
                parameter(self.pattern, name, self.path).map(Value::Path)
            }
            Reference::Claim(name) => claim_value(self.principal?.claims.find(name)?),
            // The field may be that of the upstream already.
            Reference::Header(HOST) => Some(Value::Field(self.host.as_ref()?.as_bytes())),
            Reference::Header(name) => {
                let last = self.fields.get_all(name).iter().next_back()?;
                Some(Value::Field(last.as_bytes()))
            }
            Reference::Query(name) => query_value(self.query?, name).map(Value::Text),
            Reference::WholeQuery => self.query.map(Value::Query),
            Reference::RequestId => Some(Value::Text(self.request_id.as_bytes().into())),
            // Variables were filled in when the file was read; the others are about refusals.
            Reference::Variable(_) | Reference::Reason | Reference::Route | Reference::Detail => {
                None
            }
        }
    }
}

/// Returns a claim as the value of a reference, as `forward` writes it: a scalar, or the items of a
/// list of scalars that is not empty.
#[must_use]
pub fn claim_value(claim: &Claim) -> Option<Value<'_>> {
    let Claim::List(items) = claim else {
        return scalar(claim).map(Value::Text);
    };
    let items: Option<Vec<_>> = items.iter().map(scalar).collect();
    items.filter(|items| !items.is_empty()).map(Value::List)
}

fn scalar(claim: &Claim) -> Option<Cow<'_, [u8]>> {
    let text: &str = match claim {
        Claim::Text(text) | Claim::Number(text) => text,
        Claim::Bool(true) => "true",
        Claim::Bool(false) => "false",
        Claim::Null | Claim::List(_) | Claim::Map(_) => return None,
    };
    Some(Cow::Borrowed(text.as_bytes()))
}

/// Returns the value of the last parameter of a query with this name. Both are decoded as a form is
/// (`application/x-www-form-urlencoded`).
fn query_value<'q>(query: &'q str, wanted: &str) -> Option<Cow<'q, [u8]>> {
    for parameter in query.rsplit('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if *form_decoded(name) == *wanted.as_bytes() {
            return Some(form_decoded(value));
        }
    }
    None
}

fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).into();
    }
    let spaced = text.replace('+', " ");
    let decoded: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::policy::{Claims, ScopeSet};
    use crate::transform::{Escape, Place, Template};

    const PLACE: Place = Place::REQUEST;

    fn principal() -> Principal {
        let text = |text: &str| Claim::Text(text.into());
        let claims = vec![
            ("sub".into(), text("zoë")),
            ("roles".into(), Claim::List(vec![text("a"), text("b,c")])),
            ("none".into(), Claim::List(Vec::new())),
            ("map".into(), Claim::Map(Claims::default())),
            ("flag".into(), Claim::Bool(true)),
        ];
        Principal {
            issuer: "idp".into(),
            scopes: ScopeSet::default(),
            claims: Claims::of(claims).unwrap(),
            key_id: None,
        }
    }

    /// Returns the text of a template for a request, as the value of a header field.
    fn shown(pattern: &str, uri: &str, template: &str) -> Option<String> {
        let request = Request::get(uri)
            .header("host", "api.test")
            .header("x-a", "first")
            .header("x-a", "é %");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let pattern = Pattern::parse(pattern).unwrap();
        let (principal, id) = (principal(), HeaderValue::from_static("id-1"));
        let values = RequestValues::of_client(&pattern, &head, Some(&principal), &id);
        let template = Template::parse(template, &PLACE).unwrap();
        template.render(Escape::Header, &values).ok()
    }

    #[test]
    fn a_template_has_the_values_of_the_request() {
        let pattern = "/t/{tenant}/{rest+}";
        let uri = "/t/a%20b/c%2Fd/e/?q=1+%2b&q=2&%71x=%C3%A9&empty";
        for (template, expected) in [
            ("{tenant}", Some("a b")),
            ("{rest+}|{rest}", Some("c/d/e/|c/d/e/")),
            ("${query:q}", Some("2")),
            ("${query:qx}", Some("%C3%A9")),
            ("[${query:empty}]", Some("[]")),
            ("${query:absent}", None),
            ("${claim:sub}", Some("zo%C3%AB")),
            ("${claim:roles}", Some("a,b%2Cc")),
            ("${claim:flag}", Some("true")),
            ("${claim:none}", None),
            ("${claim:map}", None),
            ("${claim:absent}", None),
            ("${header:x-a}", Some("%C3%A9 %")),
            ("${header:host}", Some("api.test")),
            ("${header:absent}", None),
            ("${request_id}", Some("id-1")),
            ("${variable}", None),
            ("{other}", None),
        ] {
            assert_eq!(
                shown(pattern, uri, template).as_deref(),
                expected,
                "{template}"
            );
        }
    }

    #[test]
    fn a_parameter_is_found_by_its_decoded_name_and_the_last_one_counts() {
        for (query, expected) in [
            ("a=1&b=2", Some("1")),
            ("a=1&a=2", Some("2")),
            ("%61=x%20y+z%2B", Some("x y z+")),
            ("a", Some("")),
            ("a=", Some("")),
            ("a=1=2", Some("1=2")),
            ("a=1;b=2", Some("1;b=2")),
            ("A=1&b=a", None),
            ("", None),
        ] {
            let found = query_value(query, "a");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
