//! `[defaults]`, `[[routes]]` and `[[groups]]`.

use super::Absent::{Default, Means, Required};
use super::{ANY_DURATION, GIB, Key, Kind, POSITIVE, Table};
use crate::route::{Ambiguity, Distinct};

fn allowable() -> Vec<&'static str> {
    Ambiguity::ALLOWABLE.map(Ambiguity::name).to_vec()
}

fn told_apart() -> Vec<&'static str> {
    Distinct::NAMES.to_vec()
}

const AUTHORIZATION_STAYS: &str = "defaults carry no authorization, so that a route says by itself who may use it: \
                                   write it in each route, or in a group";

pub(in crate::config) static DEFAULTS: Table = Table {
    path: "defaults",
    doc: "What routes and groups need not repeat. A group's value replaces a default, a route's replaces both, each \
          as a whole. There is no default authorization: a route, or the group around it, says who may use it.",
    keys: &[
        UPSTREAM.absent("groups and routes name theirs"),
        ISSUER.absent("the only issuer, if there is exactly one"),
        TOKEN_FROM.default(r#""authorization:bearer""#),
        FORWARD_TOKEN.absent("in `Authorization` alone"),
        FORWARD_AUTHORIZATION.default("false"),
        COOKIE_ORIGINS.absent("the route's own origin, and those of `cors`"),
        FORWARD.absent("nothing"),
        ALLOW.absent("nothing"),
        DISTINCT.absent("nothing"),
        BODY_BYTES.absent("that of `[server.limits]`"),
        RESPONSE_TIMEOUT.absent("the upstream's"),
        WEBSOCKET.default("false"),
        REQUEST_TIMEOUT.absent("that of `[server.timeouts]`"),
        IDLE_BODY.absent("that of `[server.timeouts]`"),
        REQUEST_HEADERS.absent("no change"),
        RESPONSE_HEADERS.absent("no change"),
        CORS.absent("what the upstream says"),
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
        "`/orders` is exact, `/orders/{id}` one segment, `/files/{rest+}` one or more segments, `/admin/**` a subtree \
         with its root. The most specific match wins, whatever the order of the file.",
    ),
    HOST,
    UPSTREAM,
    Key::new(
        "methods",
        Kind::Methods,
        Means("`ANY`"),
        r#"{ GET = "orders.read", POST = "orders.write" }"#,
        "A map from method to what it asks: scopes, `{ authenticated = true }` or `{ public = true }`. Or one method \
         or a list of methods, which then ask what the route says. `GET` also answers `HEAD`; `ANY` stands for every \
         common method that no route of the path names.",
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
        Means("the path as it came, less the group's prefix where it is stripped"),
        r#""/v2/orders/{id}""#,
        "The path that the upstream gets, from literal segments and the parameters of the route's path, the group's prefix \
         included; `{rest+}` or `**` at its end where the path ends so. It goes in span of `strip`. The query is kept.",
    ),
];

pub(in crate::config) static ROUTE: Table = Table {
    path: "routes[]",
    doc: "Which path and method asks for which scopes, and where it goes. A route states its authorization: scopes \
          (in `methods` or `scopes`), `authenticated` or `public`. Silence is an error.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

pub(in crate::config) static GROUP_ROUTE: Table = Table {
    path: "groups[].routes[]",
    doc: "A route of the group: the keys of `[[routes]]`. Its path follows the group's prefix. What it states \
          replaces what the group states.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

pub(in crate::config) static GROUP: Table = Table {
    path: "groups[]",
    doc: "Routes that share a prefix, a host, an authorization or other settings: an API Gateway stage, for instance.",
    keys: &[
        Key::new(
            "prefix",
            Kind::Text,
            Means("no prefix"),
            r#""/dev""#,
            "What the paths of its routes begin with: literal segments, without a slash at the end.",
        ),
        Key::new(
            "strip",
            Kind::Flag,
            Means("`true` where there is a prefix"),
            "false",
            "Whether the prefix is cut before forwarding.",
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
            Means("`server.public_url` and the prefix, unless the group is for another host"),
            r#""https://mcp.example.com""#,
            "How clients reach the group, for its protected-resource metadata (RFC 9728).",
        ),
        Key::new(
            "method_fallthrough",
            Kind::Flag,
            Default("false"),
            "true",
            "Whether a method that the most specific path lacks may match a less specific path of this group, as in API \
             Gateway; otherwise the answer is 405. It never goes past a stricter route outside of the group.",
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
    Means("the group's, else every host that no route names"),
    r#""api.example.com""#,
    "The host it is for, `*.example.com` for one label more. The first host that has any route is final: a request \
     for a named host never matches a route without one.",
);
const UPSTREAM: Key = Key::new(
    "upstream",
    Kind::Text,
    Means("the group's, else that of `[defaults]`; without any an error"),
    r#""orders""#,
    "The name of an upstream.",
);
const SCOPES: Key = Key::new(
    "scopes",
    Kind::ScopeRule,
    Means("the group's authorization; without any an error"),
    r#"{ any = ["orders.read", "orders.admin"] }"#,
    "A string is one scope, a list means all of them; `{ any = [..] }` and `{ all = [..] }` say so outright and may be \
     nested once. Scopes are compared whole and case-sensitively (RFC 6749 section 3.3).",
)
.not(&["scope"]);
const AUTHENTICATED: Key = Key::new(
    "authenticated",
    Kind::True,
    Means("the group's authorization; without any an error"),
    "true",
    "Any valid token of the route's issuers will do.",
);
const PUBLIC: Key = Key::new(
    "public",
    Kind::True,
    Means("the group's authorization; without any an error"),
    "true",
    "Anybody may; a token is not looked at.",
);
const ISSUER: Key = Key::new(
    "issuer",
    Kind::Texts,
    Means("the group's, else that of `[defaults]`"),
    r#""idp""#,
    "The names of the issuers whose tokens are taken.",
)
.not(&["issuers"]);
const TOKEN_FROM: Key = Key::new(
    "token_from",
    Kind::Texts,
    Means("the group's, else that of `[defaults]`"),
    r#"["authorization:bearer", "cookie:session"]"#,
    "The only places looked at for a token: `authorization:bearer`, `authorization:raw`, `header:<name>`, \
     `cookie:<name>`, `query:<name>`. A token in two of them is refused (RFC 6750 section 2). What is answered to one in a \
     query is marked `Cache-Control: private` (section 2.3). Other routes to the same upstream that ask for a token do not \
     forward what is in these places, unless they look there, too.",
);
const FORWARD_TOKEN: Key = Key::new(
    "forward_token",
    Kind::Flag,
    Means("the group's, else that of `[defaults]`"),
    "false",
    "Whether the upstream gets the token. `true` forwards one from a header or cookie as well, `false` none. Without it a \
     token from `Authorization` is forwarded, and a token from another span is not. One from a query never is, nor one in a \
     span from which only other routes to the same upstream take theirs.",
);
const FORWARD_AUTHORIZATION: Key = Key::new(
    "forward_authorization",
    Kind::Flag,
    Means("the group's, else that of `[defaults]`"),
    "true",
    "Whether the upstream of a route that asks for a token gets an `Authorization`, of whatever scheme, when the token came \
     from another span. It is removed otherwise. `check` notes it.",
);
const COOKIE_ORIGINS: Key = Key::new(
    "cookie_origins",
    Kind::Texts,
    Means("the group's, else those of `[defaults]`"),
    r#"["https://app.example.com"]"#,
    "The origins whose pages may use a token in a cookie for WebSockets and for methods other than `GET`, `HEAD` and \
     `OPTIONS`, besides the route's own origin and those that `cors` lists; others get 403 `cross_site_request`. `any` \
     turns the check off, and `check` notes it.",
)
.not(&["allowed_origins", "csrf_origins", "trusted_origins"]);
const FORWARD: Key = Key::new(
    "forward",
    Kind::Claims,
    Means("the group's, else that of `[defaults]`"),
    r#"{ "x-user-id" = "sub" }"#,
    "Claims that the upstream gets, as a map from header to claim (a name or a dotted path). Copies of these headers \
     that clients send are removed on all routes, in every spelling. \
     [How values are written](traffic.md#claims-in-headers).",
);
const ALLOW: Key = Key::new(
    "allow",
    Kind::Choices(allowable),
    Means("the group's, else that of `[defaults]`"),
    r#"["encoded-slash"]"#,
    "Ambiguities of paths that are let through rather than refused with 400.",
);
const DISTINCT: Key = Key::new(
    "distinct",
    Kind::Choices(told_apart),
    Means("the group's, else that of `[defaults]`"),
    r#"["slash", "case"]"#,
    "What the upstream tells apart. With `slash`, the upstream treats `/admin/` and `/admin` as two paths; with `case`, \
     `/Admin` and `/admin`. The gateway then does not refuse such paths to protect this route. [The \
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
    "Bytes of a request body; 413 beyond it.",
);
const WEBSOCKET: Key = Key::new(
    "websocket",
    Kind::Flag,
    Means("that of its group, or of `[defaults]`"),
    "true",
    "Whether a permitted GET may become a WebSocket (RFC 6455, and RFC 8441 over HTTP/2). It is authorized like any other \
     request, once: what follows is carried until a side ends it or `server.timeouts.tunnel` does. Without it `Upgrade` \
     does not reach the upstream.",
)
.not(&["upgrade", "websockets"]);

const RESPONSE_TIMEOUT: Key = Key::new(
    "response_timeout",
    POSITIVE,
    Means("the group's, else that of `[defaults]`"),
    r#""5s""#,
    "From the request's last byte to the response head; 504 beyond it.",
)
.not(&["timeout"]);
const REQUEST_TIMEOUT: Key = Key::new(
    "request_timeout",
    ANY_DURATION,
    Means("the group's, else that of `[defaults]`"),
    r#""30s""#,
    "For a whole request, from its head to the end of its response; 504 beyond it. `0` is no limit, for streams.",
);
const IDLE_BODY: Key = Key::new(
    "idle_body",
    POSITIVE,
    Means("the group's, else that of `[defaults]`"),
    r#""10m""#,
    "Between two pieces of a body, in either direction: longer for streams that are silent at times.",
);
const REQUEST_HEADERS: Key = Key::new(
    "request_headers",
    Kind::Table("routes[].request_headers"),
    Means("the group's, else those of `[defaults]`"),
    "[routes.request_headers]",
    "What is changed about the fields of requests.",
);
const RESPONSE_HEADERS: Key = Key::new(
    "response_headers",
    Kind::Table("routes[].request_headers"),
    Means("the group's, else those of `[defaults]`"),
    "[routes.response_headers]",
    "What is changed about the fields of answers, the gateway's own included.",
);
const CORS: Key = Key::new(
    "cors",
    Kind::Table("routes[].cors"),
    Means("the group's, else that of `[defaults]`"),
    "[routes.cors]",
    "Which pages of other origins may read the answers.",
);
