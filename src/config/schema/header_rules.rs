//! The tables about heads: header rules and CORS.

use super::Absent::{Default, Means, Required};
use super::{ANY_DURATION, Key, Kind, Table};

pub(in crate::config) static HEADER_RULES: Table = Table {
    path: "routes[].request_headers",
    doc: "The changes of a route to the header fields of requests, made after the gateway's own \
          rules. `response_headers` has the same keys and changes every response of the route; in \
          a response of the gateway itself the gateway's own fields stay. A rule cannot name a \
          field that the gateway owns: the framing, fields of one connection, `Via`, \
          `X-Request-ID`; in requests `Host`, `Authorization`, `Forwarded`, `X-Forwarded-*` and \
          fields with claims; in responses `WWW-Authenticate` and `Access-Control-*`. A rule for \
          requests cannot set a field that names another method or path.",
    keys: &[
        Key::new(
            "remove",
            Kind::Texts,
            Means("nothing"),
            r#"["x-debug", "x-amzn-oidc-*"]"#,
            "Fields that are removed, in every spelling: `x_debug` and `x.debug` are removed with \
             `x-debug`. `name-*` is every field whose name begins with `name-`, except for fields \
             that the gateway owns.",
        ),
        Key::new(
            "set",
            Kind::Headers,
            Means("nothing"),
            r#"{ "x-env" = "prod" }"#,
            "Fields that are set. They replace existing values, in every spelling of the name.",
        ),
        Key::new(
            "add",
            Kind::Headers,
            Means("nothing"),
            r#"{ "x-served-by" = "scopegate" }"#,
            "Fields that are added to existing values.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static CORS: Table = Table {
    path: "routes[].cors",
    doc: "The pages of other origins that may read the responses of the route. The gateway answers \
          a preflight before authorization, unless a route names `OPTIONS` for the path itself. \
          Every response, a refusal too, tells the browser whether the page may read it. \
          `Access-Control-*` fields of the upstream are removed.",
    keys: &[
        Key::new(
            "origins",
            Kind::Texts,
            Required,
            r#"["https://app.example.com", "https://*.example.com"]"#,
            "`any`, or origins as browsers send them; `*.` stands for exactly one label. `null` \
             never matches.",
        ),
        Key::new(
            "methods",
            Kind::Texts,
            Means("the methods of the route"),
            r#"["GET", "POST"]"#,
            "The methods that pages may use.",
        ),
        Key::new(
            "headers",
            Kind::Texts,
            Default(r#"["authorization", "content-type"]"#),
            r#"["authorization", "x-api-version"]"#,
            "The request fields that pages may set.",
        ),
        Key::new(
            "expose",
            Kind::Texts,
            Means("no further fields"),
            r#"["x-total-count"]"#,
            "The response fields that pages may read, besides `WWW-Authenticate`, `X-Request-ID` \
             and `Retry-After`.",
        ),
        Key::new(
            "credentials",
            Kind::Flag,
            Default("false"),
            "true",
            "If true, requests may carry cookies, for `token_from = \"cookie:…\"`; not together \
             with `any`.",
        ),
        Key::new(
            "max_age",
            ANY_DURATION,
            Default(r#""10m""#),
            r#""1h""#,
            "The time for which browsers may remember the answer to a preflight.",
        ),
    ],
    refused: &[],
};
