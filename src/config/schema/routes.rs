//! `[defaults]`, `[[routes]]` and `[[groups]]`.

use super::Absent::{Default, Means, Required};
use super::{ANY_DURATION, GIB, Key, Kind, POSITIVE, Table};
use crate::route::{Ambiguity, Distinct};

fn allowable() -> Vec<&'static str> {
    Ambiguity::ALLOWABLE.map(Ambiguity::name).to_vec()
}

fn distinctions() -> Vec<&'static str> {
    Distinct::NAMES.to_vec()
}

const AUTHORIZATION_STAYS: &str = "\"defaults\" holds no authorization, so that each route shows \
                                   its own: write it in each route or group";

pub(in crate::config) static DEFAULTS: Table = Table {
    path: "defaults",
    doc: "Settings for all routes and groups. The value of a group replaces a default, and the \
          value of a route replaces both, each as a whole. There is no default authorization: a \
          route, or its group, states it.",
    keys: &[
        UPSTREAM.absent("groups and routes name their upstreams"),
        ISSUER.absent("the only issuer, if there is exactly one"),
        TOKEN_FROM.default(r#""authorization:bearer""#),
        FORWARD_TOKEN.absent("in `Authorization` alone"),
        FORWARD_AUTHORIZATION.default("false"),
        COOKIE_ORIGINS.absent("the origin of the route itself, and the origins of `cors`"),
        FORWARD.absent("nothing"),
        ALLOW.absent("nothing"),
        DISTINCT.absent("nothing"),
        BODY_BYTES.absent("the limit of `[server.limits]`"),
        RESPONSE_TIMEOUT.absent("the timeout of the upstream"),
        WEBSOCKET.default("false"),
        REQUEST_TIMEOUT.absent("the deadline of `[server.timeouts]`"),
        IDLE_BODY.absent("the deadline of `[server.timeouts]`"),
        REQUEST_HEADERS.absent("no change"),
        RESPONSE_HEADERS.absent("no change"),
        CORS.absent("the fields of the upstream are forwarded"),
    ],
    refused: &[
        ("scopes", AUTHORIZATION_STAYS),
        ("authenticated", AUTHORIZATION_STAYS),
        ("public", AUTHORIZATION_STAYS),
        ("methods", AUTHORIZATION_STAYS),
    ],
};

static ROUTE_KEYS: [Key; 25] = [
    Key::new(
        "path",
        Kind::Text,
        Required,
        r#""/orders/{id}""#,
        "`/orders` is exact, `/orders/{id}` one segment, `/files/{rest+}` one or more segments, \
         `/admin/**` a subtree with its root. The most specific match wins, whatever the order of \
         the file.",
    ),
    HOST,
    UPSTREAM,
    Key::new(
        "methods",
        Kind::Methods,
        Means("`ANY`"),
        r#"{ GET = "orders.read", POST = "orders.write" }"#,
        "A map from method to requirement: scopes, `{ authenticated = true }` or `{ public = true \
         }`. Or one method or a list of methods, which then have the requirement of the route. \
         `GET` also answers `HEAD`; `ANY` stands for every common method that no route of the path \
         names.",
    ),
    Key::new(
        "method",
        Kind::Text,
        Means("see `methods`"),
        r#""GET""#,
        "The same as `methods` with one method.",
    ),
    SCOPES,
    AUTHENTICATED,
    PUBLIC,
    ISSUER,
    TOKEN_FROM,
    FORWARD_TOKEN,
    FORWARD_AUTHORIZATION,
    COOKIE_ORIGINS,
    FORWARD,
    ALLOW,
    DISTINCT,
    BODY_BYTES,
    RESPONSE_TIMEOUT,
    WEBSOCKET,
    REQUEST_TIMEOUT,
    IDLE_BODY,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    CORS,
    Key::new(
        "rewrite",
        Kind::Text,
        Means("the client's path, without the group's prefix if that is stripped"),
        r#""/v2/orders/{id}""#,
        "The path that the upstream gets, made of literal segments and the parameters of the \
         route's path (with the group's prefix); `{rest+}` or `**` at its end if the route's path \
         ends with it. It replaces the effect of `strip`. The query is kept.",
    ),
];

pub(in crate::config) static ROUTE: Table = Table {
    path: "routes[]",
    doc: "The scopes that a path and its methods require, and the upstream. A route states its \
          authorization: scopes (in `methods` or `scopes`), `authenticated` or `public`. A route \
          without authorization is an error.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

pub(in crate::config) static GROUP_ROUTE: Table = Table {
    path: "groups[].routes[]",
    doc: "A route of the group, with the keys of `[[routes]]`. Its path follows the prefix of the \
          group. Its own settings replace those of the group.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

pub(in crate::config) static GROUP: Table = Table {
    path: "groups[]",
    doc: "Routes that share a prefix, a host, an authorization or other settings: an API Gateway \
          stage, for instance.",
    keys: &[
        Key::new(
            "prefix",
            Kind::Text,
            Means("no prefix"),
            r#""/dev""#,
            "The beginning of the paths of its routes: literal segments, without a slash at the \
             end.",
        ),
        Key::new(
            "strip",
            Kind::Flag,
            Means("`true` if there is a prefix"),
            "false",
            "If true, the prefix is removed from the path before forwarding.",
        ),
        HOST.absent("every host that no route names"),
        UPSTREAM.absent("that of `[defaults]`"),
        SCOPES.absent("each route states its own"),
        AUTHENTICATED.absent("each route states its own"),
        PUBLIC.absent("each route states its own"),
        ISSUER.absent("that of `[defaults]`"),
        TOKEN_FROM.absent("that of `[defaults]`"),
        FORWARD_TOKEN.absent("that of `[defaults]`"),
        FORWARD_AUTHORIZATION.absent("that of `[defaults]`"),
        COOKIE_ORIGINS.absent("those of `[defaults]`"),
        FORWARD.absent("that of `[defaults]`"),
        ALLOW.absent("that of `[defaults]`"),
        DISTINCT.absent("that of `[defaults]`"),
        BODY_BYTES.absent("that of `[defaults]`"),
        RESPONSE_TIMEOUT.absent("that of `[defaults]`"),
        WEBSOCKET.absent("that of `[defaults]`"),
        REQUEST_TIMEOUT.absent("that of `[defaults]`"),
        IDLE_BODY.absent("that of `[defaults]`"),
        REQUEST_HEADERS.absent("those of `[defaults]`"),
        RESPONSE_HEADERS.absent("those of `[defaults]`"),
        CORS.absent("that of `[defaults]`"),
        Key::new(
            "public_url",
            Kind::Text,
            Means("`server.public_url` with the prefix, unless the group is for another host"),
            r#""https://mcp.example.com""#,
            "The URL under which clients reach the group, for its protected-resource metadata (RFC \
             9728).",
        ),
        Key::new(
            "method_fallthrough",
            Kind::Flag,
            Default("false"),
            "true",
            "If true, a method that the most specific path does not have may match a less specific \
             path of this group, as in API Gateway; otherwise the response is 405. It never \
             bypasses a stricter route outside of the group.",
        ),
        Key::new(
            "routes",
            Kind::Tables("groups[].routes[]"),
            Required,
            "[[groups.routes]]",
            "The group's routes; at least one.",
        )
        .not(&["route"]),
    ],
    refused: &[(
        "methods",
        "a group has no methods of its own: write them in its routes",
    )],
};

const HOST: Key = Key::new(
    "host",
    Kind::Text,
    Means("the host of the group, or else every host that no route names"),
    r#""api.example.com""#,
    "The host that the route serves; `*.example.com` matches exactly one label more. The first \
     matching host is final: a request for a host that some route names never matches a route \
     without a host.",
);
const UPSTREAM: Key = Key::new(
    "upstream",
    Kind::Text,
    Means("the upstream of the group, or else of `[defaults]`; an error without either"),
    r#""orders""#,
    "The name of an upstream.",
);
const SCOPES: Key = Key::new(
    "scopes",
    Kind::ScopeRule,
    Means("the authorization of the group; an error without it"),
    r#"{ any = ["orders.read", "orders.admin"] }"#,
    "A string is one scope, and a list requires all of its scopes; `{ any = [..] }` and `{ all = \
     [..] }` state it explicitly and may be nested once. Scopes are compared as a whole and \
     case-sensitively (RFC 6749 section 3.3).",
)
.not(&["scope"]);
const AUTHENTICATED: Key = Key::new(
    "authenticated",
    Kind::True,
    Means("the authorization of the group; an error without it"),
    "true",
    "Any valid token of the route's issuers is sufficient.",
);
const PUBLIC: Key = Key::new(
    "public",
    Kind::True,
    Means("the authorization of the group; an error without it"),
    "true",
    "No token is required, and none is read.",
);
const ISSUER: Key = Key::new(
    "issuer",
    Kind::Texts,
    Means("the group's, else that of `[defaults]`"),
    r#""idp""#,
    "The names of the issuers whose tokens are accepted.",
)
.not(&["issuers"]);
const TOKEN_FROM: Key = Key::new(
    "token_from",
    Kind::Texts,
    Means("the group's, else that of `[defaults]`"),
    r#"["authorization:bearer", "cookie:session"]"#,
    "The places in a request that may hold the token: `authorization:bearer`, `authorization:raw`, \
     `header:<name>`, `cookie:<name>`, `query:<name>`. Tokens in two of them are refused (RFC 6750 \
     section 2). The response to a request with its token in the query is marked `Cache-Control: \
     private` (section 2.3). Other routes to the same upstream that require a token do not forward \
     these places, unless they read them too.",
);
const FORWARD_TOKEN: Key = Key::new(
    "forward_token",
    Kind::Flag,
    Means("the group's, else that of `[defaults]`"),
    "false",
    "If `true`, the upstream gets the token, from a header or cookie as well; if `false`, it never \
     does. If absent, a token from `Authorization` is forwarded, and a token from another place is \
     not. A token from a query is never forwarded, nor one from a place that only other routes to \
     the same upstream read.",
);
const FORWARD_AUTHORIZATION: Key = Key::new(
    "forward_authorization",
    Kind::Flag,
    Means("the group's, else that of `[defaults]`"),
    "true",
    "If true, the upstream of a route that requires a token gets the `Authorization` field, of any \
     scheme, when the token came from another place. The field is not verified; otherwise it is \
     removed. `check` notes it.",
);
const COOKIE_ORIGINS: Key = Key::new(
    "cookie_origins",
    Kind::Texts,
    Means("the group's, else those of `[defaults]`"),
    r#"["https://app.example.com"]"#,
    "The origins whose pages may use a token in a cookie for WebSockets and for methods other than \
     `GET`, `HEAD` and `OPTIONS`, besides the origin of the route itself and the origins that \
     `cors` lists; others get 403 `cross_site_request`. `any` turns the check off, and `check` \
     notes it.",
)
.not(&["allowed_origins", "csrf_origins", "trusted_origins"]);
const FORWARD: Key = Key::new(
    "forward",
    Kind::Claims,
    Means("the group's, else that of `[defaults]`"),
    r#"{ "x-user-id" = "sub" }"#,
    "Claims that the upstream gets, as a map from field name to claim (a name or a dotted path). \
     On all routes, fields of these names from clients are removed, in every spelling. [How values \
     are written](traffic.md#claims-in-headers).",
);
const ALLOW: Key = Key::new(
    "allow",
    Kind::Choices(allowable),
    Means("the group's, else that of `[defaults]`"),
    r#"["encoded-slash"]"#,
    "Ambiguities of paths that are accepted instead of refused with 400.",
);
const DISTINCT: Key = Key::new(
    "distinct",
    Kind::Choices(distinctions),
    Means("the group's, else that of `[defaults]`"),
    r#"["slash", "case"]"#,
    "The differences between paths that the upstream distinguishes. With `slash`, the upstream \
     treats `/admin/` and `/admin` as two paths; with `case`, `/Admin` and `/admin`. The gateway \
     then does not refuse such paths to protect this route. [The \
     rule](traffic.md#tolerant-reading).",
);
const BODY_BYTES: Key = Key::new(
    "body_bytes",
    Kind::Size {
        min: 0,
        max: 1024 * GIB,
    },
    Means("the group's, else that of `[defaults]`"),
    r#""1 MiB""#,
    "Bytes of a request body; a longer one is answered with 413.",
);
const WEBSOCKET: Key = Key::new(
    "websocket",
    Kind::Flag,
    Means("the setting of the group, or else of `[defaults]`"),
    "true",
    "If true, a permitted GET may become a WebSocket (RFC 6455, and RFC 8441 over HTTP/2). It is \
     authorized once, like any other request; data is then carried until a side closes or \
     `server.timeouts.tunnel` expires. If false, `Upgrade` is not forwarded to the upstream.",
)
.not(&["upgrade", "websockets"]);

const RESPONSE_TIMEOUT: Key = Key::new(
    "response_timeout",
    POSITIVE,
    Means("the group's, else that of `[defaults]`"),
    r#""5s""#,
    "The time from the last byte of the request to the response head; 504 after it.",
)
.not(&["timeout"]);
const REQUEST_TIMEOUT: Key = Key::new(
    "request_timeout",
    ANY_DURATION,
    Means("the group's, else that of `[defaults]`"),
    r#""30s""#,
    "The time limit of a whole request, from its head to the end of its response; 504 after it. \
     `0` is no limit, for streams.",
);
const IDLE_BODY: Key = Key::new(
    "idle_body",
    POSITIVE,
    Means("the group's, else that of `[defaults]`"),
    r#""10m""#,
    "The time limit between two pieces of a body, in either direction. Set it higher for streams \
     that pause.",
);
const REQUEST_HEADERS: Key = Key::new(
    "request_headers",
    Kind::Table("routes[].request_headers"),
    Means("the group's, else those of `[defaults]`"),
    "[routes.request_headers]",
    "Changes to the header fields of requests.",
);
const RESPONSE_HEADERS: Key = Key::new(
    "response_headers",
    Kind::Table("routes[].request_headers"),
    Means("the group's, else those of `[defaults]`"),
    "[routes.response_headers]",
    "Changes to the header fields of responses, the gateway's own included.",
);
const CORS: Key = Key::new(
    "cors",
    Kind::Table("routes[].cors"),
    Means("the group's, else that of `[defaults]`"),
    "[routes.cors]",
    "The pages of other origins that may read the responses.",
);
