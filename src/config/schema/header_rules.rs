//! The tables about heads: header rules and CORS.

use super::Absent::{Default, Means, Required};
use super::{ANY_DURATION, Key, Kind, Table};

pub(in crate::config) static HEADER_RULES: Table = Table {
    path: "routes[].request_headers",
    doc: "What a route changes about the fields of requests, after the gateway's own rules; `response_headers` has the \
          same keys and changes every answer of the route. An answer of the gateway itself keeps what it says, and gets \
          the rest. There is no rule for what the gateway owns: the framing, what is about one connection, `Via`, \
          `X-Request-ID`; in requests `Host`, `Authorization`, `Forwarded`, `X-Forwarded-*` and headers of claims; in \
          answers `WWW-Authenticate` and `Access-Control-*`. None sets a field of requests that names another method or \
          path.",
    keys: &[
        Key::new(
            "remove",
            Kind::Texts,
            Means("nothing"),
            r#"["x-debug", "x-amzn-oidc-*"]"#,
            "Fields that are taken away, in every spelling: `x_debug` and `x.debug` go with `x-debug`. `name-*` is every \
             field whose name begins with `name-`, but for those that the gateway owns.",
        ),
        Key::new(
            "set",
            Kind::Headers,
            Means("nothing"),
            r#"{ "x-env" = "prod" }"#,
            "Fields that are put in place of whatever is there, in every spelling.",
        ),
        Key::new(
            "add",
            Kind::Headers,
            Means("nothing"),
            r#"{ "x-served-by" = "scopegate" }"#,
            "Fields that are put beside whatever is there.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static CORS: Table = Table {
    path: "routes[].cors",
    doc: "Which pages of other origins may read what the route answers. A preflight is answered by the gateway before \
          authorization, unless a route names `OPTIONS` for the path itself; every answer, a refusal too, says whether its \
          page may read it. What the upstream says of it (`Access-Control-*`) is taken away.",
    keys: &[
        Key::new(
            "origins",
            Kind::Texts,
            Required,
            r#"["https://app.example.com", "https://*.example.com"]"#,
            "`any`, or origins as browsers send them; `*.` stands for exactly one label. `null` is never one.",
        ),
        Key::new(
            "methods",
            Kind::Texts,
            Means("those of the route"),
            r#"["GET", "POST"]"#,
            "The methods that pages may use.",
        ),
        Key::new(
            "headers",
            Kind::Texts,
            Default(r#"["authorization", "content-type"]"#),
            r#"["authorization", "x-api-version"]"#,
            "The request's fields that pages may set.",
        ),
        Key::new(
            "expose",
            Kind::Texts,
            Means("no more"),
            r#"["x-total-count"]"#,
            "The answer's fields that pages may read, besides `WWW-Authenticate`, `X-Request-ID` and `Retry-After`.",
        ),
        Key::new(
            "credentials",
            Kind::Flag,
            Default("false"),
            "true",
            "Whether cookies go along, for `token_from = \"cookie:…\"`; not with `any`.",
        ),
        Key::new(
            "max_age",
            ANY_DURATION,
            Default(r#""10m""#),
            r#""1h""#,
            "How long browsers may remember the answer to a preflight.",
        ),
    ],
    refused: &[],
};
