//! `[upstreams.<name>]`: the servers to which requests are forwarded.

use super::Absent::{Default, Means, Required};
use super::{KIB, Key, Kind, MIB, POSITIVE, Table};

pub(in crate::config) static UPSTREAM: Table = Table {
    path: "upstreams.*",
    doc: "A server that permitted requests are forwarded to.",
    keys: &[
        Key::new(
            "url",
            Kind::Text,
            Means("`endpoints` says where"),
            r#""http://orders:8080""#,
            "Where it listens: `http` or `https`, a host, a port; or the path of a Unix socket, `unix:/run/app.sock`, where \
             its `Host` is `localhost` unless `host` says otherwise. No path of a request: what is forwarded is its own.",
        )
        .not(&["uri", "target", "address"]),
        Key::new(
            "endpoints",
            Kind::Endpoints,
            Means("`url` says where"),
            r#"["http://a:8080", { url = "http://b:8080", weight = 9 }]"#,
            "Where it listens, if that is in several places; instead of `url`. Each is a URL, or a URL with its `weight` (1 \
             to 1000, 1 if it is not there): its share of the requests beside the others'. All have one scheme; at most 256.",
        )
        .not(&["urls", "servers", "targets"]),
        Key::new(
            "balance",
            Kind::Choice(&["round_robin", "least_requests"]),
            Default(r#""round_robin""#),
            r#""least_requests""#,
            "Which endpoint gets a request: the next one in turn, or of two by chance the one to which this worker has fewer \
             requests under way. Both go by the weights.",
        ),
        Key::new(
            "retries",
            Kind::Count { min: 0, max: 10 },
            Default("1"),
            "2",
            "Further endpoints that a request is tried on when one fails before the response head. Only what is safe: a \
             request that was not sent, or one without a body whose method may be repeated (RFC 9110 section 9.2.2). An \
             answer is never retried, whatever its status.",
        ),
        Key::new(
            "retry_percent",
            Kind::Count { min: 0, max: 100 },
            Default("20"),
            "10",
            "Retries of a worker in percent of its requests to this upstream, so that one that fails is not flooded.",
        ),
        Key::new(
            "retry_min",
            Kind::Count { min: 0, max: 10_000 },
            Default("3"),
            "1",
            "Retries that each worker may make in a second beyond `retry_percent`.",
        ),
        Key::new(
            "ejection",
            Kind::Table("upstreams.*.ejection"),
            Means("the defaults of that table"),
            "",
            "When an endpoint that fails is left alone for a while.",
        ),
        Key::new(
            "health",
            Kind::Table("upstreams.*.health"),
            Means("nobody is probed"),
            "",
            "How each endpoint is asked how it does.",
        )
        .not(&["health_check", "healthcheck"]),
        Key::new(
            "host",
            Kind::Text,
            Default(r#""upstream""#),
            r#""preserve""#,
            "What it sees in `Host`: `upstream` for its own, from `url`, `preserve` for the one the client asked for, or any \
             other, such as `orders.internal`.",
        ),
        Key::new(
            "protocol",
            Kind::Choice(&["http1", "http2", "auto"]),
            Default(r#""http1""#),
            r#""http2""#,
            "What is spoken with it. `http2`: over `https` what ALPN has to agree on, otherwise at once (\"h2c\" by prior \
             knowledge), as gRPC servers have it. `auto`: over `https` HTTP/2 if it takes that, otherwise HTTP/1.1. \
             WebSockets need HTTP/1.1.",
        ),
        Key::new(
            "connect_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""500ms""#,
            "For a TCP connection to it, and for waiting until there may be one (`max_connections`); 504 beyond it.",
        ),
        Key::new(
            "dns_refresh",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "How often the names of its URLs are resolved. New connections take turns over the addresses, and those to an \
             address that is gone are not used again. When a name does not resolve its last addresses serve on.",
        ),
        Key::new(
            "tls_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""1s""#,
            "For the TLS handshake after it, and with HTTP/2 for its settings; 504 beyond it.",
        ),
        Key::new(
            "response_timeout",
            POSITIVE,
            Default(r#""30s""#),
            r#""10s""#,
            "From the request's last byte to the response head; 504 beyond it. Routes may say otherwise.",
        )
        .not(&["timeout"]),
        Key::new(
            "idle_timeout",
            POSITIVE,
            Default(r#""30s""#),
            r#""4s""#,
            "How long an unused connection is kept. Keep it below the upstream's own (60 s is common, Node.js has 5 s), \
             so that a request does not meet a connection that is being closed.",
        ),
        Key::new(
            "max_idle",
            Kind::Count { min: 0, max: 65_536 },
            Default("256"),
            "64",
            "Unused connections that each worker keeps; with 0 every request dials.",
        ),
        Key::new(
            "connection_age",
            POSITIVE,
            Default(r#""5m""#),
            r#""1m""#,
            "How old a connection may become, give or take a tenth; what is under way on it is finished. It bounds for how \
             long a server that was taken out of a balancer in between is still reached, and costs next to nothing.",
        ),
        Key::new(
            "max_connections",
            Kind::Count { min: 1, max: 1_000_000 },
            Default("8192"),
            "100",
            "Connections to it, those of all workers together. With HTTP/1.1 that is how many requests it has at a time. \
             Beyond it requests wait, no longer than `connect_timeout`.",
        ),
        Key::new(
            "max_pending",
            Kind::Count { min: 0, max: 1_000_000 },
            Default("1024"),
            "50",
            "Requests that wait for a connection, those of all workers together. The next is answered 503 with \
             `Retry-After` at once.",
        ),
        Key::new(
            "max_requests",
            Kind::Count { min: 1, max: 1_000_000 },
            Means("no limit"),
            "10000",
            "Requests to it that are under way, up to the end of their responses, those of all workers together. The next \
             is answered 503 with `Retry-After` at once. With HTTP/2 it bounds what `max_connections` does not. Requests \
             are counted only where it is set: the count is shared by all workers.",
        ),
        Key::new(
            "resend_bytes",
            Kind::Size { min: 0, max: 16 * MIB },
            Default(r#""64 KiB""#),
            r#""1 MiB""#,
            "How much of a request body is kept so that the request can be sent again. Only with HTTP/2. Kept until the \
             response head arrives. A request that the upstream says it did not process (GOAWAY, REFUSED_STREAM) is sent \
             again with it, whatever its method, unless more of the body has been sent.",
        )
        .not(&["replay_bytes"]),
        Key::new(
            "response_head_bytes",
            Kind::Size { min: 8 * KIB, max: MIB },
            Default(r#""64 KiB""#),
            r#""128 KiB""#,
            "Bytes of the head of a response; 502 beyond it. Over HTTP/2 each field counts for 32 bytes more than its name \
             and value (RFC 9113 section 6.5.2).",
        ),
        Key::new(
            "response_head_fields",
            Kind::Count { min: 8, max: 1000 },
            Default("100"),
            "200",
            "Fields of the head of a response, each `Set-Cookie` counted; 502 beyond it.",
        ),
        Key::new(
            "ca_file",
            Kind::Text,
            Means("the system's roots"),
            r#""certs/internal-ca.pem""#,
            "PEM certificates to trust instead of the system's roots, relative to the file that names them. Only for \
             `https`. It is watched.",
        ),
        Key::new(
            "client_cert_file",
            Kind::Text,
            Means("the gateway shows no certificate"),
            r#""certs/gateway.pem""#,
            "The PEM certificate that the gateway shows, with its chain (mutual TLS). Only for `https`. It is watched.",
        ),
        Key::new(
            "client_key_file",
            Kind::Text,
            Means("the gateway shows no certificate"),
            r#""certs/gateway.key""#,
            "The PEM private key of `client_cert_file`. It is watched.",
        ),
        Key::new(
            "server_name",
            Kind::Text,
            Means("the host of `url`"),
            r#""orders.internal""#,
            "The name that is asked for in the TLS handshake (SNI) and has to be in its certificate. Only for `https`.",
        )
        .not(&["sni"]),
        Key::new(
            "verify",
            Kind::Flag,
            Default("true"),
            "false",
            "With false any certificate will do: whoever is on the way to the upstream can read and change everything. For \
             a trial only; the log warns of it at each start, and `scopegate check` reports it. Only for `https`.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static EJECTION: Table = Table {
    path: "upstreams.*.ejection",
    doc: "When an endpoint is left alone for a while, if there are several. What counts as a failure is a request without \
          an answer, or one with the status 502, 503 or 504. When all that are left fail as well, all are tried.",
    keys: &[
        Key::new(
            "failures",
            Kind::Count {
                min: 0,
                max: 10_000,
            },
            Default("5"),
            "3",
            "Failures in a row after which it is; never with 0.",
        ),
        Key::new(
            "time",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "For how long the first time; twice as long the second time in a row, and so on up to five minutes. Then one \
             failure is enough, until it has answered.",
        ),
        Key::new(
            "max_percent",
            Kind::Count { min: 0, max: 100 },
            Default("50"),
            "30",
            "How many of the endpoints at most; never the last one.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static HEALTH: Table = Table {
    path: "upstreams.*.health",
    doc: "Each endpoint is asked with a GET, on a connection of its own, as requests are: over TLS or the Unix socket, with \
          the `protocol`. One that is unhealthy gets no requests while another is healthy and not left alone; when none is, \
          all are tried. Endpoints begin healthy.",
    keys: &[
        Key::new(
            "path",
            Kind::Text,
            Required,
            r#""/healthz""#,
            "The path that is asked for, with its query if it has one.",
        ),
        Key::new(
            "interval",
            POSITIVE,
            Default(r#""5s""#),
            r#""1s""#,
            "From an answer to the next question.",
        ),
        Key::new(
            "timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""500ms""#,
            "How long an answer may take, the connection included.",
        ),
        Key::new(
            "healthy_after",
            Kind::Count { min: 1, max: 1000 },
            Default("2"),
            "1",
            "Good answers in a row after which an unhealthy endpoint is healthy.",
        ),
        Key::new(
            "unhealthy_after",
            Kind::Count { min: 1, max: 1000 },
            Default("3"),
            "1",
            "Bad answers in a row, or none, after which a healthy endpoint is unhealthy.",
        ),
        Key::new(
            "status",
            Kind::Count { min: 200, max: 599 },
            Means("any below 400"),
            "204",
            "The status of a good answer.",
        ),
    ],
    refused: &[],
};
