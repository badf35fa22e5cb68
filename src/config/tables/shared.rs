//! `[defaults]`, and the settings that it, groups and routes have in common. The value of the
//! innermost table is used, as a whole.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::cors::{self, cors, origins};
use super::header_rules::{self, LocatedRules, header_rules};
use super::misspelled::Misspelled;
use super::names::{Defined, Names};
use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::json;
use crate::config::language::{
    Custom, DefaultKey, Flag, GIB, Key, Reader, Size, Str, StrList, Subtable, Table, Text, Time,
    Words,
};
use crate::route::{Ambiguities, Ambiguity, Distinct};
use crate::token::{ForwardedClaim, Source};
use crate::transform::{Cors, Direction, Origins, is_twin};

/// The reason for the refusal of an authorization in `[defaults]`.
const AUTHORIZATION_STAYS: &str = "\"defaults\" holds no authorization, so that each route shows \
                                   its own: write it in each route or group";

pub(super) static DEFAULTS: Table = Table {
    path: "defaults",
    doc: "Settings for all routes and groups. The value of a group replaces a default, and the \
          value of a route replaces both, each as a whole. There is no default authorization: a \
          route, or its group, states it.",
    keys: &[
        &UPSTREAM.absent("groups and routes name their upstreams"),
        &ISSUER.absent("the only issuer, if there is exactly one"),
        &TOKEN_FROM_DEFAULT,
        &FORWARD_TOKEN.absent("in `Authorization` alone"),
        &FORWARD_AUTHORIZATION_DEFAULT,
        &COOKIE_ORIGINS.absent("the origin of the route itself, and the origins of `cors`"),
        &FORWARD.absent("nothing"),
        &ALLOW.absent("nothing"),
        &DISTINCT.absent("nothing"),
        &BODY_BYTES.absent("the limit of `[server.limits]`"),
        &RESPONSE_TIMEOUT.absent("the timeout of the upstream"),
        &WEBSOCKET_DEFAULT,
        &REQUEST_TIMEOUT.absent("the deadline of `[server.timeouts]`"),
        &IDLE_BODY.absent("the deadline of `[server.timeouts]`"),
        &REQUEST_HEADERS.absent("no change"),
        &RESPONSE_HEADERS.absent("no change"),
        &CORS.absent("the fields of the upstream are forwarded"),
    ],
    refused: &[
        ("scopes", AUTHORIZATION_STAYS),
        ("authenticated", AUTHORIZATION_STAYS),
        ("public", AUTHORIZATION_STAYS),
        ("deny", AUTHORIZATION_STAYS),
        ("methods", AUTHORIZATION_STAYS),
    ],
};

pub(super) const UPSTREAM: Key<Str> = Key::new("upstream", Str)
    .absent("the upstream of the group, or else of `[defaults]`; an error without either")
    .doc("The name of an upstream.")
    .example(r#""orders""#);

pub(super) const ISSUER: Key<StrList> = Key::new("issuer", StrList)
    .absent("the group's, else that of `[defaults]`")
    .doc("The names of the issuers whose tokens are accepted.")
    .not(&["issuers"])
    .example(r#""idp""#);

pub(super) const TOKEN_FROM: Key<StrList> = Key::new("token_from", StrList)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "The places in a request that may hold the token: `authorization:bearer`, \
         `authorization:raw`, `header:<name>`, `cookie:<name>`, `query:<name>`. Tokens in two of \
         them are refused (RFC 6750 section 2). The response to a request with its token in the \
         query is marked `Cache-Control: private` (section 2.3). Other routes to the same \
         upstream that require a token do not forward these places, unless they read them too.",
    )
    .example(r#"["authorization:bearer", "cookie:session"]"#);

/// [`TOKEN_FROM`], in the outermost table.
const TOKEN_FROM_DEFAULT: DefaultKey<StrList> = TOKEN_FROM.or(&["authorization:bearer"]);

pub(super) const FORWARD_TOKEN: Key<Flag> = Key::new("forward_token", Flag)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "If `true`, the upstream gets the token, from a header or cookie as well; if `false`, it \
         never does. If absent, a token from `Authorization` is forwarded, and a token from \
         another place is not. A token from a query is never forwarded, nor one from a place that \
         only other routes to the same upstream read.",
    )
    .example("false");

pub(super) const FORWARD_AUTHORIZATION: Key<Flag> = Key::new("forward_authorization", Flag)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "If true, the upstream of a route that requires a token gets the `Authorization` field, \
         of any scheme, when the token came from another place. The field is not verified; \
         otherwise it is removed. `check` notes it.",
    )
    .example("true");

/// [`FORWARD_AUTHORIZATION`], in the outermost table.
const FORWARD_AUTHORIZATION_DEFAULT: DefaultKey<Flag> = FORWARD_AUTHORIZATION.or(false);

pub(super) const COOKIE_ORIGINS: Key<StrList> = Key::new("cookie_origins", StrList)
    .absent("the group's, else those of `[defaults]`")
    .doc(
        "The origins whose pages may use a token in a cookie for WebSockets and for methods other \
         than `GET`, `HEAD` and `OPTIONS`, besides the origin of the route itself and the origins \
         that `cors` lists; others get 403 `cross_site_request`. `any` turns the check off, and \
         `check` notes it; `https://*`, which would do nearly so, is an error.",
    )
    .not(&["allowed_origins", "csrf_origins", "trusted_origins"])
    .example(r#"["https://app.example.com"]"#);

const CLAIMS: Custom = Custom {
    words: "a map from field name to claim",
    json_schema: || json!({ "type": "object", "additionalProperties": json::text() }),
};

pub(super) const FORWARD: Key<Custom> = Key::new("forward", CLAIMS)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "Claims that the upstream gets, as a map from field name to claim (a name or a dotted \
         path). On all routes, fields of these names from clients are removed, in every spelling. \
         Strings are percent-encoded: `Zoë, 100%` arrives as `Zo%C3%AB%2C 100%25`. A claim that is \
         absent, `null` or an object gives no field. [How values are \
         written](traffic.md#claims-in-headers).",
    )
    .example(r#"{ "x-user-id" = "sub" }"#);

const ALLOWABLE: Words<Ambiguity> = Words {
    all: || {
        Ambiguity::ALLOWABLE
            .map(|ambiguity| (ambiguity.name(), ambiguity))
            .to_vec()
    },
    refusal: never_allowed,
};

pub(super) const ALLOW: Key<Words<Ambiguity>> = Key::new("allow", ALLOWABLE)
    .absent("the group's, else that of `[defaults]`")
    .doc("Ambiguities of paths that are accepted instead of refused with 400.")
    .example(r#"["encoded-slash"]"#);

const DISTINCTIONS: Words<&str> = Words {
    all: || Distinct::NAMES.map(|name| (name, name)).to_vec(),
    refusal: |_| None,
};

pub(super) const DISTINCT: Key<Words<&str>> = Key::new("distinct", DISTINCTIONS)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "The differences between paths that the upstream distinguishes. With `slash`, the \
         upstream treats `/admin/` and `/admin` as two paths; with `case`, `/Admin` and `/admin`. \
         The gateway then does not refuse such paths to protect this route. [The \
         rule](traffic.md#tolerant-reading).",
    )
    .example(r#"["slash", "case"]"#);

pub(super) const BODY_BYTES: Key<Size<u64>> = Key::new("body_bytes", Size::new(0, 1024 * GIB))
    .absent("the group's, else that of `[defaults]`")
    .doc("Bytes of a request body; a longer one is answered with 413.")
    .example(r#""1 MiB""#);

pub(super) const RESPONSE_TIMEOUT: Key<Time> = Key::new("response_timeout", Time::POSITIVE)
    .absent("the group's, else that of `[defaults]`")
    .doc("The time from the last byte of the request to the response head; 504 after it.")
    .not(&["timeout"])
    .example(r#""5s""#);

pub(super) const WEBSOCKET: Key<Flag> = Key::new("websocket", Flag)
    .absent("the setting of the group, or else of `[defaults]`")
    .doc(
        "If true, a permitted GET may become a WebSocket (RFC 6455, and RFC 8441 over HTTP/2). It \
         is authorized once, like any other request; data is then carried until a side closes or \
         `server.timeouts.tunnel` expires. If false, `Upgrade` is not forwarded to the upstream.",
    )
    .not(&["upgrade", "websockets"])
    .example("true");

/// [`WEBSOCKET`], in the outermost table.
const WEBSOCKET_DEFAULT: DefaultKey<Flag> = WEBSOCKET.or(false);

pub(super) const REQUEST_TIMEOUT: Key<Time> = Key::new("request_timeout", Time::ANY)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "The time limit of a whole request, from its head to the end of its response; 504 after \
         it. An answer that has begun is cut when its next piece is due: while the client reads \
         nothing, only `server.timeouts.idle_body` ends it. `0` is no limit, for streams.",
    )
    .example(r#""30s""#);

pub(super) const IDLE_BODY: Key<Time> = Key::new("idle_body", Time::POSITIVE)
    .absent("the group's, else that of `[defaults]`")
    .doc(
        "The time limit between two pieces of a body, in either direction. Set it higher for \
         streams that pause: [server-sent events](traffic.md#streams), gRPC, MCP.",
    )
    .example(r#""10m""#);

pub(super) const REQUEST_HEADERS: Key<Subtable> =
    Key::new("request_headers", Subtable(&header_rules::TABLE))
        .absent("the group's, else those of `[defaults]`")
        .doc("Changes to the header fields of requests.")
        .example("[routes.request_headers]");

pub(super) const RESPONSE_HEADERS: Key<Subtable> =
    Key::new("response_headers", Subtable(&header_rules::TABLE))
        .absent("the group's, else those of `[defaults]`")
        .doc("Changes to the header fields of responses, the gateway's own included.")
        .example("[routes.response_headers]");

pub(super) const CORS: Key<Subtable> = Key::new("cors", Subtable(&cors::TABLE))
    .absent("the group's, else that of `[defaults]`")
    .doc("The pages of other origins that may read the responses.")
    .example("[routes.cors]");

/// The settings of one table; `None` for a setting that the enclosing table decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) upstream: Option<Text>,
    pub(super) issuers: Option<Vec<Text>>,
    pub(super) token_from: Option<Vec<Source>>,
    pub(super) forward_token: Option<bool>,
    pub(super) forward_authorization: Option<bool>,
    pub(super) cookie_origins: Option<Origins>,
    pub(super) forward: Option<Vec<ForwardedClaim>>,
    pub(super) allow: Option<Ambiguities>,
    pub(super) distinct: Option<Distinct>,
    pub(super) body_bytes: Option<u64>,
    pub(super) response_timeout: Option<Duration>,
    pub(super) websocket: Option<bool>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) idle_body: Option<Duration>,
    pub(super) request_headers: Option<Arc<LocatedRules>>,
    pub(super) response_headers: Option<Arc<LocatedRules>>,
    pub(super) cors: Option<Arc<Cors>>,
    pub(super) misspelled: Misspelled,
}

/// Returns the settings of `[defaults]`.
pub(super) fn defaults(mut reader: Reader<'_>, names: &Names) -> Shared {
    let shared = Shared::read(&mut reader, names);
    reader.finish();
    shared
}

impl Shared {
    pub(super) fn read(reader: &mut Reader<'_>, names: &Names) -> Self {
        Self {
            upstream: upstream(reader, names),
            issuers: issuers(reader, names),
            token_from: token_from(reader),
            forward_token: reader.find(&FORWARD_TOKEN),
            forward_authorization: forward_authorization(reader),
            cookie_origins: cookie_origins(reader),
            forward: forward(reader),
            allow: reader.find(&ALLOW).map(Ambiguities::from_iter),
            distinct: distinct(reader),
            body_bytes: reader.find(&BODY_BYTES),
            response_timeout: reader.find(&RESPONSE_TIMEOUT),
            websocket: reader.find(&WEBSOCKET),
            request_timeout: reader.find(&REQUEST_TIMEOUT),
            idle_body: reader.find(&IDLE_BODY),
            request_headers: header_rules(reader, &REQUEST_HEADERS, Direction::Request),
            response_headers: header_rules(reader, &RESPONSE_HEADERS, Direction::Response),
            cors: cors(reader, &CORS),
            misspelled: Misspelled::read(reader, &UPSTREAM, &ISSUER),
        }
    }

    /// Returns the places that may hold the token.
    pub(super) fn token_sources(&self) -> Vec<Source> {
        match &self.token_from {
            Some(sources) => sources.clone(),
            None => default_sources(),
        }
    }

    /// Returns whether the upstream gets an `Authorization` that was not verified.
    pub(super) fn forwards_authorization(&self) -> bool {
        let default = FORWARD_AUTHORIZATION_DEFAULT.default();
        self.forward_authorization.unwrap_or(default)
    }

    /// Returns whether requests may become WebSockets.
    pub(super) fn takes_websockets(&self) -> bool {
        self.websocket.unwrap_or(WEBSOCKET_DEFAULT.default())
    }

    /// Returns these settings, with those of the enclosing table in place of the absent ones.
    pub(super) fn within(self, outer: &Self) -> Self {
        Self {
            upstream: self.upstream.or_else(|| outer.upstream.clone()),
            issuers: self.issuers.or_else(|| outer.issuers.clone()),
            token_from: self.token_from.or_else(|| outer.token_from.clone()),
            forward_token: self.forward_token.or(outer.forward_token),
            forward_authorization: self.forward_authorization.or(outer.forward_authorization),
            cookie_origins: self.cookie_origins.or_else(|| outer.cookie_origins.clone()),
            forward: self.forward.or_else(|| outer.forward.clone()),
            allow: self.allow.or(outer.allow),
            distinct: self.distinct.or(outer.distinct),
            body_bytes: self.body_bytes.or(outer.body_bytes),
            response_timeout: self.response_timeout.or(outer.response_timeout),
            websocket: self.websocket.or(outer.websocket),
            request_timeout: self.request_timeout.or(outer.request_timeout),
            idle_body: self.idle_body.or(outer.idle_body),
            request_headers: self
                .request_headers
                .or_else(|| outer.request_headers.clone()),
            response_headers: self
                .response_headers
                .or_else(|| outer.response_headers.clone()),
            cors: self.cors.or_else(|| outer.cors.clone()),
            misspelled: self.misspelled.within(outer.misspelled),
        }
    }
}

/// Returns the name of the upstream, even if it is not defined. The problem is then reported once,
/// here, and not for each route below.
fn upstream(reader: &mut Reader<'_>, names: &Names) -> Option<Text> {
    let name = reader.find(&UPSTREAM)?;
    check_defined(reader, "upstream", &name, &names.upstreams);
    Some(name)
}

fn issuers(reader: &mut Reader<'_>, names: &Names) -> Option<Vec<Text>> {
    let mut issuers: Vec<Text> = Vec::new();
    for name in reader.find(&ISSUER)? {
        check_defined(reader, "issuer", &name, &names.issuers);
        if issuers.iter().any(|other| other.text == name.text) {
            let message = format!("issuer \"{}\" is named twice", name.text);
            reader.problem(name.span, message);
        } else {
            refuse_rival(reader, names, &issuers, &name);
        }
        issuers.push(name);
    }
    Some(issuers)
}

/// Reports an entry that has an `iss` of an entry before it: a token has the rules of one entry,
/// and nothing says of which.
fn refuse_rival(reader: &Reader<'_>, names: &Names, before: &[Text], name: &Text) {
    for other in before {
        let Some(iss) = names.common_iss(&other.text, &name.text) else {
            continue;
        };
        let message = format!(
            "issuers \"{}\" and \"{}\" are both \"{iss}\": nothing says whose rules a token of it \
             has to meet; name one of them",
            other.text, name.text
        );
        reader.problem_with_related(name.span, message, other.span, "the other one");
        return;
    }
}

fn check_defined(reader: &Reader<'_>, what: &str, name: &Text, defined: &Defined) {
    if defined.span(&name.text).is_some() {
        return;
    }
    let meant = defined.suggestion(&name.text);
    let message = format!("{what} \"{}\" is not defined{meant}", name.text);
    if meant.is_empty() {
        let hint = format!("define it under [{what}s.{}]", name.text);
        reader.problem_with_hint(name.span, message, hint);
    } else {
        reader.problem(name.span, message);
    }
}

fn token_from(reader: &mut Reader<'_>) -> Option<Vec<Source>> {
    let texts = reader.find(&TOKEN_FROM)?;
    let mut sources: Vec<Source> = Vec::new();
    for text in texts {
        let subject = format_args!("\"token_from\" has \"{}\"", text.text);
        let Some(source) = reader.accept(text.span, subject, Source::parse(&text.text)) else {
            continue;
        };
        if sources.contains(&source) {
            let message = format!("\"token_from\" has \"{}\" twice", text.text);
            reader.problem(text.span, message);
            continue;
        }
        note_query(reader, &text, &source);
        sources.push(source);
    }
    Some(sources)
}

fn default_sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for text in TOKEN_FROM_DEFAULT.default() {
        sources.extend(Source::parse(text));
    }
    sources
}

fn note_query(reader: &Reader<'_>, text: &Text, source: &Source) {
    if matches!(source, Source::Query(_)) {
        let message = format!(
            "tokens are taken from the query (\"{}\"), which logs and browser histories keep (RFC \
             9700 section 4.3.2)",
            text.text
        );
        reader.note(text.span, message);
    }
}

fn forward_authorization(reader: &mut Reader<'_>) -> Option<bool> {
    let forwards = reader.find(&FORWARD_AUTHORIZATION);
    if forwards == Some(true) {
        let span = reader.key_span(&FORWARD_AUTHORIZATION);
        let message = "upstreams get an unverified \"Authorization\" where the token came from \
                       elsewhere: they must not trust it";
        reader.note(span, message);
    }
    forwards
}

fn cookie_origins(reader: &mut Reader<'_>) -> Option<Origins> {
    let texts = reader.find(&COOKIE_ORIGINS)?;
    let origins = origins(reader, &COOKIE_ORIGINS, &texts);
    if origins == Origins::Any {
        let message = "pages of every origin may use tokens in cookies (cookie_origins = \"any\"): \
                       the upstream itself has to detect cross-site request forgery";
        reader.note(reader.key_span(&COOKIE_ORIGINS), message);
    } else if origins.take_any_host() {
        let message = "\"cookie_origins\" has the pages of every host of a scheme: each of them \
                       could \
                       act with its visitors' tokens";
        let hint = "name the origins, or write \"any\" if the upstream itself detects cross-site \
                    request forgery";
        reader.problem_with_hint(reader.key_span(&COOKIE_ORIGINS), message, hint);
    }
    Some(origins)
}

fn forward(reader: &mut Reader<'_>) -> Option<Vec<ForwardedClaim>> {
    let value = reader.value(&FORWARD)?;
    let Kind::Table(table) = &value.kind else {
        reader.mismatched(&FORWARD, value);
        return None;
    };
    let mut claims: Vec<ForwardedClaim> = Vec::new();
    for entry in &table.entries {
        if let Some(claim) = forwarded_claim(reader, entry) {
            refuse_twin(reader, entry, &claim, &claims);
            claims.push(claim);
        }
    }
    Some(claims)
}

fn forwarded_claim(reader: &Reader<'_>, entry: &KeyValue) -> Option<ForwardedClaim> {
    let name = claim_name(reader, &entry.key, &entry.value)?;
    let subject = format_args!("\"forward\" has \"{}\"", entry.key);
    reader.accept(
        entry.key_span,
        subject,
        ForwardedClaim::parse(&entry.key, name),
    )
}

/// Reports a field that differs from an earlier one only in its spelling.
fn refuse_twin(
    reader: &Reader<'_>,
    entry: &KeyValue,
    claim: &ForwardedClaim,
    earlier: &[ForwardedClaim],
) {
    for other in earlier {
        // CGI-style upstreams map both fields to one variable (`HTTP_X_USER_ID`).
        if is_twin(other.header.as_str(), claim.header.as_str()) {
            let message = format!(
                "\"forward\" has \"{}\" and \"{}\", which many upstreams treat as one field",
                other.header, entry.key
            );
            reader.problem(entry.key_span, message);
            return;
        }
    }
}

fn claim_name<'v>(reader: &Reader<'_>, header: &str, value: &'v Value) -> Option<&'v str> {
    match &value.kind {
        Kind::Text(claim) => Some(claim),
        _ => {
            let message = format!(
                "\"forward\": the claim of \"{header}\" is a string, not {}",
                value.name()
            );
            reader.problem(value.span, message);
            None
        }
    }
}

fn distinct(reader: &mut Reader<'_>) -> Option<Distinct> {
    let words = reader.find(&DISTINCT)?;
    let [slash, case] = Distinct::NAMES.map(|name| words.contains(&name));
    Some(Distinct { slash, case })
}

fn never_allowed(word: &str) -> Option<&'static str> {
    match word {
        "dot-segment" => {
            Some("the upstream would serve another path than the one that was authorized")
        }
        "control-character" | "invalid-encoding" => Some("parsers disagree about such a path"),
        _ => None,
    }
}
