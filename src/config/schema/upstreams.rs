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
            Means("`endpoints` is required"),
            r#""http://orders:8080""#,
            "Its URL: `http` or `https`, a host, a port; or the path of a Unix socket, \
             `unix:/run/app.sock`, for which `Host` is `localhost` unless `host` is set. The URL \
             has no path: a request is forwarded with its own.",
        )
        .not(&["uri", "target", "address"]),
        Key::new(
            "endpoints",
            Kind::Endpoints,
            Means("`url` is required"),
            r#"["http://a:8080", { url = "http://b:8080", weight = 9 }]"#,
            "Its URLs, if it has several endpoints; instead of `url`. Each item is a URL, or a URL \
             with a `weight` (1 to 1000, by default 1): its share of the requests relative to the \
             others. All have one scheme; at most 256.",
        )
        .not(&["urls", "servers", "targets"]),
        Key::new(
            "balance",
            Kind::Choice(&["round_robin", "least_requests"]),
            Default(r#""round_robin""#),
            r#""least_requests""#,
            "The endpoint of a request: the next one in turn, or, of two random ones, the one to \
             which this worker has fewer requests in progress. Both choices respect the weights.",
        ),
        Key::new(
            "retries",
            Kind::Count { min: 0, max: 10 },
            Default("1"),
            "2",
            "Further endpoints that are tried for a request when one fails before the response \
             head. Only safe requests are retried: a request that was not sent, or one without a \
             body whose method is idempotent (RFC 9110 section 9.2.2). A request that got a \
             response is never retried, whatever the status.",
        ),
        Key::new(
            "retry_percent",
            Kind::Count { min: 0, max: 100 },
            Default("20"),
            "10",
            "The limit on the retries of a worker, in percent of its requests to this upstream, so \
             that retries do not overload a failing upstream.",
        ),
        Key::new(
            "retry_min",
            Kind::Count {
                min: 0,
                max: 10_000,
            },
            Default("3"),
            "1",
            "Retries that each worker may make in a second in addition to `retry_percent`.",
        ),
        Key::new(
            "ejection",
            Kind::Table("upstreams.*.ejection"),
            Means("the defaults of that table"),
            "",
            "The exclusion of failing endpoints for some time.",
        ),
        Key::new(
            "health",
            Kind::Table("upstreams.*.health"),
            Means("endpoints are not probed"),
            "",
            "The health probes of the endpoints.",
        )
        .not(&["health_check", "healthcheck"]),
        Key::new(
            "host",
            Kind::Text,
            Default(r#""upstream""#),
            r#""preserve""#,
            "The `Host` that it gets: `upstream` for its own, from `url`, `preserve` for the \
             client's, or another name, such as `orders.internal`.",
        ),
        Key::new(
            "protocol",
            Kind::Choice(&["http1", "http2", "auto"]),
            Default(r#""http1""#),
            r#""http2""#,
            "The protocol. `http2`: HTTP/2, which ALPN must agree on over `https`; without TLS it \
             is used at once (\"h2c\" by prior knowledge), as with gRPC servers. `auto`: HTTP/2 \
             over `https` if the upstream supports it, otherwise HTTP/1.1. WebSockets need \
             HTTP/1.1.",
        ),
        Key::new(
            "connect_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""500ms""#,
            "The time limit for a TCP connection, and for waiting until one is allowed \
             (`max_connections`); 504 after it.",
        ),
        Key::new(
            "dns_refresh",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "The interval at which the names in its URLs are resolved. New connections use the \
             addresses in turn, and connections to an address that has disappeared are not used \
             again. If a name does not resolve, its last addresses stay in use.",
        ),
        Key::new(
            "tls_timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""1s""#,
            "The time limit for the TLS handshake, with HTTP/2 including its settings; 504 after \
             it.",
        ),
        Key::new(
            "response_timeout",
            POSITIVE,
            Default(r#""30s""#),
            r#""10s""#,
            "The time from the last byte of the request to the response head; 504 after it. Routes \
             may have their own timeout.",
        )
        .not(&["timeout"]),
        Key::new(
            "idle_timeout",
            POSITIVE,
            Default(r#""30s""#),
            r#""4s""#,
            "The time for which an idle connection is kept. Keep it below the upstream's own \
             timeout (60 s is common, Node.js has 5 s), so that a request does not meet a \
             connection that is being closed.",
        ),
        Key::new(
            "max_idle",
            Kind::Count {
                min: 0,
                max: 65_536,
            },
            Default("256"),
            "64",
            "Idle connections that each worker keeps; with 0 every request opens a connection.",
        ),
        Key::new(
            "connection_age",
            POSITIVE,
            Default(r#""5m""#),
            r#""1m""#,
            "The greatest age of a connection, plus or minus a tenth; requests in progress are \
             finished. After a server was removed from a load balancer in front of it, this limits \
             the time for which it still gets requests. It costs next to nothing.",
        ),
        Key::new(
            "max_connections",
            Kind::Count {
                min: 1,
                max: 1_000_000,
            },
            Default("8192"),
            "100",
            "Connections to it, of all workers together. With HTTP/1.1 this is the number of \
             requests that it has at a time. At the limit requests wait, no longer than \
             `connect_timeout`.",
        ),
        Key::new(
            "max_pending",
            Kind::Count {
                min: 0,
                max: 1_000_000,
            },
            Default("1024"),
            "50",
            "Requests that wait for a connection, of all workers together. Further ones are \
             answered with 503 and `Retry-After` at once.",
        ),
        Key::new(
            "max_requests",
            Kind::Count {
                min: 1,
                max: 1_000_000,
            },
            Means("no limit"),
            "10000",
            "Requests to it that are in progress, up to the end of their responses, of all workers \
             together. Further ones are answered with 503 and `Retry-After` at once. With HTTP/2 \
             it limits what `max_connections` does not. Requests are counted only if it is set, \
             because all workers share the count.",
        ),
        Key::new(
            "resend_bytes",
            Kind::Size {
                min: 0,
                max: 16 * MIB,
            },
            Default(r#""64 KiB""#),
            r#""1 MiB""#,
            "The bytes of a request body that are kept until the response head arrives, so that \
             the request can be sent again. Only with HTTP/2. A request that the upstream says it \
             did not process (GOAWAY, REFUSED_STREAM) is sent again, whatever its method, unless \
             more of its body has been sent.",
        )
        .not(&["replay_bytes"]),
        Key::new(
            "response_head_bytes",
            Kind::Size {
                min: 8 * KIB,
                max: MIB,
            },
            Default(r#""64 KiB""#),
            r#""128 KiB""#,
            "Bytes of a response head; a longer one is answered with 502. Over HTTP/2 each field \
             counts for 32 bytes more than its name and value (RFC 9113 section 6.5.2).",
        ),
        Key::new(
            "response_head_fields",
            Kind::Count { min: 8, max: 1000 },
            Default("100"),
            "200",
            "Fields of a response head, each `Set-Cookie` counted; more of them are answered with \
             502.",
        ),
        Key::new(
            "ca_file",
            Kind::Text,
            Means("the roots of the system"),
            r#""certs/internal-ca.pem""#,
            "PEM certificates that are trusted instead of the roots of the system, relative to the \
             file that names them. Only for `https`. The file is watched for changes.",
        ),
        Key::new(
            "client_cert_file",
            Kind::Text,
            Means("the gateway presents no certificate"),
            r#""certs/gateway.pem""#,
            "The PEM certificate that the gateway presents, with its chain (mutual TLS). Only for \
             `https`. The file is watched for changes.",
        ),
        Key::new(
            "client_key_file",
            Kind::Text,
            Means("the gateway presents no certificate"),
            r#""certs/gateway.key""#,
            "The PEM private key of `client_cert_file`. The file is watched for changes.",
        ),
        Key::new(
            "server_name",
            Kind::Text,
            Means("the host of `url`"),
            r#""orders.internal""#,
            "The name for the TLS handshake (SNI), which its certificate must have. Only for \
             `https`.",
        )
        .not(&["sni"]),
        Key::new(
            "verify",
            Kind::Flag,
            Default("true"),
            "false",
            "If false, any certificate is accepted: an attacker between the gateway and the \
             upstream can read and change all traffic. For trials only; the log warns of it at \
             each start, and `scopegate check` reports it. Only for `https`.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static EJECTION: Table = Table {
    path: "upstreams.*.ejection",
    doc: "Excludes an endpoint that fails for some time, if there are several. A failure is a \
          request without a response, or a response with the status 502, 503 or 504. When all \
          remaining endpoints fail as well, all are tried.",
    keys: &[
        Key::new(
            "failures",
            Kind::Count {
                min: 0,
                max: 10_000,
            },
            Default("5"),
            "3",
            "Consecutive failures after which an endpoint is excluded; 0 turns this off.",
        ),
        Key::new(
            "time",
            POSITIVE,
            Default(r#""10s""#),
            r#""30s""#,
            "The time of the first exclusion; it doubles with each consecutive one, up to five \
             minutes. After an exclusion one failure is enough for the next, until the endpoint \
             has answered a request.",
        ),
        Key::new(
            "max_percent",
            Kind::Count { min: 0, max: 100 },
            Default("50"),
            "30",
            "The limit on the excluded endpoints, in percent; the last endpoint is never excluded.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static HEALTH: Table = Table {
    path: "upstreams.*.health",
    doc: "Probes each endpoint with a GET, on a connection of its own, in the same way as \
          requests: over TLS or the Unix socket, with the `protocol`. An unhealthy endpoint gets \
          no requests while another is healthy and not excluded; if there is none, all are tried. \
          Endpoints are healthy at first.",
    keys: &[
        Key::new(
            "path",
            Kind::Text,
            Required,
            r#""/healthz""#,
            "The path of the probe, with a query if one is needed.",
        ),
        Key::new(
            "interval",
            POSITIVE,
            Default(r#""5s""#),
            r#""1s""#,
            "The time from a response to the next probe.",
        ),
        Key::new(
            "timeout",
            POSITIVE,
            Default(r#""2s""#),
            r#""500ms""#,
            "The time limit of a probe, with its connection.",
        ),
        Key::new(
            "healthy_after",
            Kind::Count { min: 1, max: 1000 },
            Default("2"),
            "1",
            "Consecutive good responses after which an unhealthy endpoint is healthy.",
        ),
        Key::new(
            "unhealthy_after",
            Kind::Count { min: 1, max: 1000 },
            Default("3"),
            "1",
            "Consecutive bad or missing responses after which a healthy endpoint is unhealthy.",
        ),
        Key::new(
            "status",
            Kind::Count { min: 200, max: 599 },
            Means("any status below 400"),
            "204",
            "The status of a good response.",
        ),
    ],
    refused: &[],
};
