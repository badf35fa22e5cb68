//! Fuzz targets: the search for the token of a request, and compact JWS with their headers and
//! claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::jwt::{Jwt, Typ};
use super::{BearerToken, Carrier, Outline, ScopeClaim, Source, TokenError, Withheld};
use crate::fuzz::check;
use crate::policy::{Claim, Claims};

const FIELD: &str = "x-token";
const COOKIE_NAME: &str = "session";
const PARAMETER: &str = "access_token";

/// A request as an input has it: the sources by bits, then the query and the header fields, a line
/// each.
struct Request<'i> {
    sources: Vec<Source>,
    query: &'i str,
    headers: HeaderMap,
}

impl<'i> Request<'i> {
    fn of(input: &'i [u8]) -> Option<Self> {
        let (bits, rest) = input.split_first()?;
        let all = [
            "authorization:bearer",
            "authorization:raw",
            "header:x-token",
            "cookie:session",
            "query:access_token",
        ];
        let listed = all
            .iter()
            .enumerate()
            .filter(|(bit, _)| bits >> bit & 1 == 1);
        let mut lines = rest.split(|byte| *byte == b'\n');
        let query = str::from_utf8(lines.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take(16) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.append(name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
        }
        Some(Self {
            sources: listed
                .map(|(_, text)| Source::parse(text).unwrap())
                .collect(),
            query,
            headers,
        })
    }

    fn looks_in(&self, source: &str) -> bool {
        self.sources.contains(&Source::parse(source).unwrap())
    }

    /// Returns the values that simple parsers of applications read in the places of the sources.
    fn read_by_others(&self) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        if self.looks_in("header:x-token") {
            let fields = self.headers.get_all(FIELD).iter();
            values.extend(fields.map(|value| after_scheme(value.as_bytes()).to_vec()));
        }
        if self.looks_in("authorization:bearer") {
            let fields = self.headers.get_all(AUTHORIZATION).iter();
            let credentials = fields.map(HeaderValue::as_bytes);
            let bearer = credentials.filter(|value| after_scheme(value) != *value);
            values.extend(bearer.map(|value| after_scheme(value).to_vec()));
        }
        if self.looks_in("cookie:session") {
            for field in self.headers.get_all(COOKIE) {
                values.extend(cookies_by_others(field.as_bytes()));
            }
        }
        if self.looks_in("query:access_token") {
            values.extend(parameters_by_others(self.query));
        }
        values.retain(|value| !matches!(value.as_slice(), b"" | b"\"\""));
        values
    }
}

/// Returns the text after `Bearer` and a blank.
fn after_scheme(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => value,
    }
}

/// Returns the values of the cookie for parsers that end cookies at `;`, and for those that end
/// them at `,` as well.
fn cookies_by_others(field: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for separators in [b";".as_slice(), b";,"] {
        for pair in field.split(|byte| separators.contains(byte)) {
            values.extend(value_of(pair, COOKIE_NAME));
        }
    }
    values
}

/// Returns the values of the parameter for parsers that end parameters at `&`, and for those that
/// end them at `;` as well.
fn parameters_by_others(query: &str) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for separators in ["&".as_bytes(), b"&;"] {
        for pair in query.as_bytes().split(|byte| separators.contains(byte)) {
            values.extend(value_of(pair, PARAMETER));
        }
    }
    values
}

/// Returns the value of a pair of this name, with or without a decoded name.
fn value_of(pair: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let name = pair[..equals].trim_ascii();
    let decoded: Vec<u8> = percent_decode(name).collect();
    let is_read = [name, &decoded].contains(&wanted.as_bytes());
    is_read.then(|| pair[equals + 1..].trim_ascii().to_vec())
}

#[test]
fn token_search() {
    check("token_search", |input| {
        let Some(request) = Request::of(input) else {
            return;
        };
        removal_leaves_nothing(&request);
        let found = BearerToken::find(&request.sources, &request.headers, Some(request.query));
        match found {
            Ok(token) => is_the_only_one(&request, token),
            Err(error) => is_a_line_without(&error, input),
        }
    });
}

/// No parser of an application reads another token than the one that was found, unless it is no
/// token that the gateway could accept.
fn is_the_only_one(request: &Request<'_>, token: BearerToken<'_>) {
    let text = token.as_bytes();
    assert!(!text.is_empty());
    assert!(request.headers.get_all(AUTHORIZATION).iter().count() < 2);
    let is_in = |place: &[u8]| place.windows(text.len()).any(|part| part == text);
    let (is_there, is_listed) = match token.carrier().unwrap() {
        Carrier::Query => (is_in(request.query.as_bytes()), "query:access_token"),
        Carrier::Cookie => (has_field(request, &COOKIE, is_in), "cookie:session"),
        Carrier::Header => {
            let mut values = request.headers.values();
            (
                values.any(|value| is_in(value.as_bytes())),
                "header:x-token",
            )
        }
        Carrier::Authorization => {
            assert!(
                request.looks_in("authorization:raw") || request.looks_in("authorization:bearer")
            );
            assert!(has_field(request, &AUTHORIZATION, is_in));
            return every_other_reading_is(text, request);
        }
    };
    assert!(is_there && request.looks_in(is_listed));
    every_other_reading_is(text, request);
}

fn has_field(request: &Request<'_>, name: &HeaderName, is_in: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = request.headers.get_all(name).iter();
    values.any(|value| is_in(value.as_bytes()))
}

fn every_other_reading_is(text: &[u8], request: &Request<'_>) {
    let may_be_jwt = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.iter().all(may_be_jwt) {
        for other in request.read_by_others() {
            assert_eq!(
                other.escape_ascii().to_string(),
                text.escape_ascii().to_string()
            );
        }
    }
}

/// A request without its credentials holds none, and nothing was added to it.
fn removal_leaves_nothing(request: &Request<'_>) {
    let withheld = Withheld::new(&request.sources);
    for field in request.headers.get_all(COOKIE) {
        if let Some(kept) = withheld.without_cookies(field.as_bytes()) {
            assert_eq!(
                withheld.without_cookies(&kept),
                None,
                "{}",
                kept.escape_ascii()
            );
            assert!(HeaderValue::from_bytes(&kept).is_ok());
        }
    }
    if let Some(kept) = withheld.without_parameters(request.query) {
        assert_eq!(withheld.without_parameters(&kept), None, "{kept}");
        assert!(kept.len() <= request.query.len());
    }
}

/// The message for the log is one line, and holds no secret: no long part of the input.
fn is_a_line_without(error: &TokenError, input: &[u8]) {
    const SECRET: usize = 80;
    let message = error.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    for part in input.windows(SECRET) {
        let is_told = message.as_bytes().windows(SECRET).any(|told| told == part);
        assert!(!is_told, "{message}");
    }
}

#[test]
fn compact_jws() {
    check("compact_jws", |input| {
        let Some(token) = token_of(input) else {
            return;
        };
        let outline = Outline::of(BearerToken::new(&token));
        match Jwt::parse(&token) {
            Ok(jwt) => {
                agrees_with_others(&token, &jwt);
                let outline = outline.expect("a token has an outline");
                assert_eq!(outline.algorithm.as_deref(), Some(jwt.algorithm.name()));
                assert_eq!(outline.key_id, jwt.key_id);
                assert_eq!(outline.issuer.as_deref(), Some(&*jwt.issuer));
                assert_eq!(outline.claims, jwt.claims);
            }
            Err(error) => is_a_line_without(&error, token.as_bytes()),
        }
    });
}

/// Returns the token of an input: the text after a `t`, or the parts of one, a line each.
fn token_of(input: &[u8]) -> Option<String> {
    let text = str::from_utf8(input).ok()?;
    if let Some(token) = text.strip_prefix('t') {
        return Some(token.to_owned());
    }
    let (header, claims) = text.split_once('\n')?;
    let (header, claims) = (
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims),
    );
    Some(format!("{header}.{claims}.c2ln"))
}

/// The JWT library reads the same header, and the JSON library the same claims.
fn agrees_with_others(token: &str, jwt: &Jwt<'_>) {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(jwt.message, format!("{}.{}", parts[0], parts[1]).as_bytes());
    assert_eq!(jwt.signature, parts[2]);
    if let Ok(header) = jsonwebtoken::decode_header(token) {
        assert_eq!(format!("{:?}", header.alg), jwt.algorithm.name());
        assert_eq!(header.kid.as_deref(), jwt.key_id.as_deref());
        assert_eq!(header.typ.as_deref(), jwt.typ_text.as_deref());
        let is_access_token = header
            .typ
            .is_some_and(|typ| typ.to_ascii_lowercase().ends_with("at+jwt"));
        assert!(jwt.typ != Typ::AtJwt || is_access_token);
    }
    for part in &parts[..2] {
        let json = URL_SAFE_NO_PAD.decode(part).unwrap();
        let Unique(_) = serde_json::from_slice(&json).expect("no member occurs twice");
    }
    let json = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let value: Value = serde_json::from_slice(&json).unwrap();
    assert!(is_same_object(&jwt.claims, &value), "{value}");
    assert_eq!(value["iss"].as_str(), Some(&*jwt.issuer));
    assert_eq!(seconds(&value["exp"]), Some(jwt.registered.expires));
    assert_eq!(seconds(&value["nbf"]), jwt.registered.not_before);
    for scope in ScopeClaim::from("scope").granted_by(&jwt.claims).iter() {
        assert!(!scope.is_empty());
    }
}

fn seconds(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    value
        .as_u64()
        .or_else(|| Some(value.as_f64()?.ceil() as u64))
}

fn is_same_object(claims: &Claims, value: &Value) -> bool {
    let Value::Object(members) = value else {
        return false;
    };
    let mut all = members.iter();
    members.len() == claims.iter().count()
        && all.all(|(name, value)| claims.get(name).is_some_and(|claim| is_same(claim, value)))
}

fn is_same(claim: &Claim, value: &Value) -> bool {
    match (claim, value) {
        (Claim::Null, Value::Null) => true,
        (Claim::Bool(claim), Value::Bool(value)) => claim == value,
        (Claim::Number(claim), Value::Number(value)) => claim.parse::<f64>().ok() == value.as_f64(),
        (Claim::Text(claim), Value::String(value)) => **claim == **value,
        (Claim::List(claims), Value::Array(values)) => {
            let mut pairs = claims.iter().zip(values);
            claims.len() == values.len() && pairs.all(|(claim, value)| is_same(claim, value))
        }
        (Claim::Map(claims), value) => is_same_object(claims, value),
        _ => false,
    }
}

/// JSON in which no object has two members of one name, read without the parser of the claims.
struct Unique(());

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique(()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                while items.next_element::<Unique>()?.is_some() {}
                Ok(Unique(()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut names = std::collections::HashSet::new();
                while let Some((name, Unique(()))) = members.next_entry::<String, Unique>()? {
                    assert!(names.insert(name), "a member occurs twice");
                }
                Ok(Unique(()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
