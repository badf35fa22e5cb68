//! Cross-origin resource sharing: the rules of a route about the pages of other origins that may
//! read its answers (the Fetch standard, "CORS protocol").

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::origin::Origin;

/// The response fields that a page may always read, besides those that the standard exposes: a
/// client in a browser needs the challenge of a refusal, its request id and the delay of a retry.
const EXPOSED: [&str; 3] = ["www-authenticate", "x-request-id", "retry-after"];

/// The value of `Vary` in the answer to a preflight: the request fields on which it depends.
const PREFLIGHT_VARIES: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The largest size of the field names that a preflight may ask for with `headers = "any"`, in
/// bytes. The answer repeats them.
const MAX_REQUESTED_BYTES: usize = 8 * 1024;

/// The CORS rules of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins whose pages may read the answers.
    pub origins: Origins,
    /// The methods that those pages may use; `None` for the methods of the route.
    pub methods: Option<Vec<Method>>,
    /// The request fields that those pages may send, besides the ones that need no permission.
    pub headers: FieldNames,
    /// The response fields that those pages may read, besides the ones that any page may read.
    pub expose: FieldNames,
    /// Set when browsers may send cookies. Never set when pages of any host may read the answers.
    pub credentials: bool,
    /// The time for which a browser may cache the answer to a preflight.
    pub max_age: Duration,
}

/// A set of field names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldNames {
    /// Every name.
    Any,
    /// The listed names.
    These(Vec<HeaderName>),
}

/// The request that a page wants to send, by its preflight.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The origin of the page.
    pub origin: &'a HeaderValue,
    /// The method of the request.
    pub method: &'a Method,
    /// The fields of the preflight, which name those of the request.
    pub fields: &'a HeaderMap,
}

/// The origins whose pages may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// The listed origins.
    These(Vec<Origin>),
}

impl Origins {
    /// Returns whether an origin is listed, by its name or by a pattern. [`Origins::Any`] lists
    /// none.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::These(list) => list.iter().any(|listed| listed.matches(origin)),
        }
    }

    /// Returns whether the pages of any host are among them, of one scheme or of all.
    #[must_use]
    pub fn take_any_host(&self) -> bool {
        match self {
            Self::Any => true,
            Self::These(list) => list.iter().any(Origin::is_of_any_host),
        }
    }

    /// Returns whether an origin is listed by its full name, not by a pattern.
    #[must_use]
    pub fn names(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::These(list) => list
                .iter()
                .any(|listed| !listed.is_pattern() && listed.matches(origin)),
        }
    }
}

impl Cors {
    /// Permits a page of this origin to read an answer, if the rules do. The CORS fields of the
    /// upstream are removed: the gateway alone decides.
    pub fn permit(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let of_upstream = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"));
        for name in of_upstream.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        if self.origins != Origins::Any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.allow_origin(origin, headers) {
            let names = self.exposed(headers);
            insert_unless_empty(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &names);
        }
    }

    /// Returns the names of the fields of an answer that a page may read. An asterisk stands for
    /// all of them, but not where the page sent cookies (the Fetch standard, "CORS protocol and
    /// credentials"): then each name is listed.
    fn exposed(&self, headers: &HeaderMap) -> String {
        match &self.expose {
            FieldNames::Any if self.credentials => {
                let own = headers.keys().filter(|name| is_readable(name));
                let further = own.map(HeaderName::as_str);
                comma_separated(EXPOSED.into_iter().chain(further.filter(is_not_exposed)))
            }
            FieldNames::Any => "*".to_owned(),
            FieldNames::These(names) => comma_separated(
                EXPOSED
                    .into_iter()
                    .chain(names.iter().map(HeaderName::as_str)),
            ),
        }
    }

    /// Returns the fields of the answer to a preflight. Without [`ACCESS_CONTROL_ALLOW_ORIGIN`] the
    /// browser does not send the request itself.
    #[must_use]
    pub fn preflight(&self, asked: Preflight<'_>, is_routed: bool) -> HeaderMap {
        let Preflight {
            origin,
            method,
            fields,
        } = asked;
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARIES));
        let is_method_allowed = match &self.methods {
            None => true,
            Some(methods) => methods.contains(method),
        };
        if is_routed && is_method_allowed && self.allow_origin(Some(origin), &mut headers) {
            insert_unless_empty(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, method.as_str());
            let names = match &self.headers {
                FieldNames::These(names) => comma_separated(names.iter().map(HeaderName::as_str)),
                // Not an asterisk, which stands neither for `Authorization` nor for any field of a
                // page that sends cookies.
                FieldNames::Any => requested_names(fields).unwrap_or_default(),
            };
            insert_unless_empty(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &names);
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        }
        headers
    }

    /// Writes the fields that name the origin, if the rules permit it. Returns whether they do.
    fn allow_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let Some(origin) = origin else { return false };
        let value = match &self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            listed if listed.lists(origin.to_str().unwrap_or_default()) => origin.clone(),
            _ => return false,
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if self.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        true
    }
}

/// Returns the `Origin` of a request; `None` if the field is missing or repeated.
#[must_use]
pub fn origin_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(ORIGIN).iter();
    fields.next().filter(|_| fields.next().is_none())
}

/// Returns the field names that a preflight asks for; `None` if one of them is no field name, or if
/// they are too long.
fn requested_names(fields: &HeaderMap) -> Option<String> {
    let mut names = Vec::new();
    let mut bytes = 0;
    for field in fields.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        bytes += field.len();
        if bytes > MAX_REQUESTED_BYTES {
            return None;
        }
        let texts = field.to_str().ok()?.split(',').map(str::trim);
        for text in texts.filter(|text| !text.is_empty()) {
            names.push(field_name(text)?);
        }
    }
    Some(comma_separated(names.iter().map(HeaderName::as_str)))
}

/// Returns a field name; `None` for an asterisk, which would stand for others.
fn field_name(text: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok()?;
    (name.as_str() != "*").then_some(name)
}

/// Returns whether a page can read a field at all, if it is exposed.
fn is_readable(name: &HeaderName) -> bool {
    *name != SET_COOKIE && !name.as_str().starts_with("access-control-")
}

fn is_not_exposed(name: &&str) -> bool {
    !EXPOSED.contains(name)
}

fn comma_separated<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn insert_unless_empty(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(headers: FieldNames, expose: FieldNames, credentials: bool) -> Cors {
        Cors {
            origins: Origins::These(vec![Origin::parse("https://a.example").unwrap()]),
            methods: None,
            headers,
            expose,
            credentials,
            max_age: Duration::from_secs(1),
        }
    }

    /// Returns the names that a preflight with these fields may use.
    fn allowed(headers: FieldNames, asked: &[&[u8]]) -> Option<String> {
        let mut fields = HeaderMap::new();
        for names in asked {
            let names = HeaderValue::from_bytes(names).unwrap();
            fields.append(ACCESS_CONTROL_REQUEST_HEADERS, names);
        }
        let asked = Preflight {
            origin: &HeaderValue::from_static("https://a.example"),
            method: &Method::PUT,
            fields: &fields,
        };
        let answer = cors(headers, FieldNames::These(Vec::new()), true).preflight(asked, true);
        assert_eq!(answer.get(VARY).unwrap(), PREFLIGHT_VARIES);
        assert_eq!(answer.get(ACCESS_CONTROL_ALLOW_METHODS).unwrap(), "PUT");
        let names = answer.get(ACCESS_CONTROL_ALLOW_HEADERS);
        names.map(|names| names.to_str().unwrap().to_owned())
    }

    #[test]
    fn any_request_field_is_the_names_that_were_asked_for() {
        let of = |asked: &[&[u8]]| allowed(FieldNames::Any, asked);
        assert_eq!(
            of(&[b"authorization,x-a"]).as_deref(),
            Some("authorization, x-a")
        );
        assert_eq!(
            of(&[b"X-A ,\tx-b", b"x-c,, "]).as_deref(),
            Some("x-a, x-b, x-c")
        );
        for nothing in [&[][..], &[&b""[..]], &[b" , "]] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
        for bad in [
            &b"x-a, x b"[..],
            b"*",
            b"x-a, *",
            b"x:a",
            b"x-a;b",
            b"(x)",
            b"x-\xe9",
        ] {
            assert_eq!(of(&[bad]), None, "{bad:?}");
            assert_eq!(of(&[b"x-a", bad]), None, "{bad:?}");
        }
        let long = |bytes: usize| "x".repeat(bytes - 1);
        let most = format!(
            "{},{}",
            long(MAX_REQUESTED_BYTES / 2),
            long(MAX_REQUESTED_BYTES / 2)
        );
        assert!(of(&[most.as_bytes()]).is_some());
        assert_eq!(of(&[most.as_bytes(), b"xy"]), None);
        let listed = FieldNames::These(vec![HeaderName::from_static("x-a")]);
        assert_eq!(allowed(listed, &[b"x-b"]).as_deref(), Some("x-a"));
    }

    /// Returns the names that a page may read of an answer with these fields.
    fn exposed(expose: FieldNames, credentials: bool, fields: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for name in fields {
            headers.append(*name, HeaderValue::from_static("1"));
        }
        let origin = HeaderValue::from_static("https://a.example");
        cors(FieldNames::Any, expose, credentials).permit(Some(&origin), &mut headers);
        let names = headers.get(ACCESS_CONTROL_EXPOSE_HEADERS).unwrap();
        names.to_str().unwrap().to_owned()
    }

    #[test]
    fn any_response_field_is_an_asterisk_or_the_names_of_the_answer() {
        let fields = [
            "x-total",
            "x-total",
            "set-cookie",
            "x-request-id",
            "access-control-max-age",
        ];
        assert_eq!(exposed(FieldNames::Any, false, &fields), "*");
        let listed = exposed(FieldNames::Any, true, &fields);
        let mut names: Vec<_> = listed.split(", ").collect();
        names.sort_unstable();
        let expected = [
            "retry-after",
            "vary",
            "www-authenticate",
            "x-request-id",
            "x-total",
        ];
        assert_eq!(names, expected);
    }
}
