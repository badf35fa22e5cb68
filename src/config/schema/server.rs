//! The top level of the file, `[server]` and the small tables.

use super::Absent::{Default, Means, Required};
use super::listeners::{ADMIN_HOSTS, HANDOVER, PROXY_PROTOCOL_FROM, UNIX_MODE};
use super::{ANY_DURATION, GIB, KIB, Key, Kind, POSITIVE, Table};

pub(in crate::config) static FILE: Table = Table {
    path: "",
    doc: "The whole of the configuration is one file; `include` may spread issuers, upstreams, routes and groups \
          over several.",
    keys: &[
        Key::new(
            "include",
            Kind::Texts,
            Means("nothing is included"),
            r#"["routes/*.toml"]"#,
            "More files, relative to this one. They may hold `issuers`, `upstreams`, `routes` and `groups`. A `*` \
             stands for any part of a file's name, not of a directory's; matches are read in the order of their names.",
        ),
        Key::new(
            "server",
            Kind::Table("server"),
            Means("its defaults"),
            "[server]",
            "Listeners, deadlines, limits.",
        ),
        Key::new(
            "issuers",
            Kind::Named("issuers.*"),
            Means("no issuer: every route is public"),
            "[issuers.idp]",
            "Whose tokens are taken.",
        )
        .not(&["issuer"]),
        Key::new(
            "upstreams",
            Kind::Named("upstreams.*"),
            Means("no upstream"),
            "[upstreams.orders]",
            "Where requests are forwarded to.",
        )
        .not(&["upstream", "backends", "services"]),
        Key::new(
            "defaults",
            Kind::Table("defaults"),
            Means("its defaults"),
            "[defaults]",
            "What routes and groups need not repeat.",
        ),
        Key::new(
            "routes",
            Kind::Tables("routes[]"),
            Means("the routes of groups alone"),
            "[[routes]]",
            "Which path and method asks for which scopes. A file without any route is an error.",
        )
        .not(&["route"]),
        Key::new(
            "groups",
            Kind::Tables("groups[]"),
            Means("no group"),
            "[[groups]]",
            "Routes that share settings.",
        )
        .not(&["group"]),
        Key::new(
            "token_cache",
            Kind::Table("token_cache"),
            Means("its defaults"),
            "[token_cache]",
            "How many verified tokens are remembered.",
        )
        .not(&["cache"]),
        Key::new(
            "reload",
            Kind::Table("reload"),
            Means("its defaults"),
            "[reload]",
            "When the file is read again.",
        ),
        Key::new(
            "errors",
            Kind::Table("errors"),
            Means("its defaults"),
            "[errors]",
            "What refused clients are told.",
        ),
        Key::new(
            "log",
            Kind::Table("log"),
            Means("its defaults"),
            "[log]",
            "What is written to the logs.",
        )
        .not(&["logging"]),
        Key::new(
            "dev",
            Kind::Table("dev"),
            Means("its defaults"),
            "[dev]",
            "What `scopegate dev` alone reads.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static SERVER: Table = Table {
    path: "server",
    doc: "Where requests are taken and how the gateway starts and stops.",
    keys: &[
        Key::new(
            "listen",
            Kind::Texts,
            Default(r#""127.0.0.1:8080""#),
            r#"["0.0.0.0:8080", "[::1]:8080"]"#,
            "Addresses where requests are taken: IP addresses with ports, or `unix:` and the path of a socket. `[::]` takes \
             IPv4 as well unless another listener has its port for IPv4. The default is this machine alone.",
        )
        .not(&["address", "bind", "port"]),
        Key::new(
            "tls",
            Kind::Table("server.tls"),
            Means("no TLS"),
            "[server.tls]",
            "Makes all of `listen` HTTPS.",
        ),
        PROXY_PROTOCOL_FROM,
        UNIX_MODE,
        Key::new(
            "listeners",
            Kind::Tables("server.listeners[]"),
            Means("those of `listen` alone"),
            "[[server.listeners]]",
            "Listeners that differ from those of `listen`. Where they are there and `listen` is not, they are all.",
        )
        .not(&["listener"]),
        Key::new(
            "admin",
            Kind::Text,
            Default(r#""127.0.0.1:9090""#),
            r#""off""#,
            "Address of the admin listener (metrics, health, effective policy), or \"off\". It shares no route with \
             `listen`. A change takes effect at the next start.",
        ),
        ADMIN_HOSTS,
        Key::new(
            "trusted_proxies",
            Kind::Texts,
            Means("none"),
            r#"["10.0.0.0/8", "::1", "unix"]"#,
            "Proxies before the gateway: addresses, networks, or `unix` for whoever connects to a Unix socket. What they say \
             in `X-Forwarded-*` and `Forwarded` is kept and extended, if it is well-formed; what anybody else says is \
             replaced. The access log's `client` is the nearest address of `X-Forwarded-For` that is none of theirs.",
        )
        .not(&["trust_proxy", "real_ip"]),
        Key::new(
            "forwarded",
            Kind::Choice(&["x-forwarded", "forwarded", "both"]),
            Default(r#""x-forwarded""#),
            r#""both""#,
            "Which fields the gateway writes for upstreams, and reads from trusted proxies, about where a request came \
             from: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, `Forwarded` (RFC 7239), or both.",
        ),
        Key::new(
            "workers",
            Kind::Count { min: 1, max: 1024 },
            Means("the number of CPUs"),
            "4",
            "Worker threads. Each has its own connections to upstreams. A change takes effect at the next start.",
        )
        .not(&["threads"]),
        Key::new(
            "public_url",
            Kind::Text,
            Means("no metadata is served, unless a group has a `public_url`"),
            r#""https://api.example.com""#,
            "How clients reach this gateway. With it, protected-resource metadata (RFC 9728) is served at \
             `/.well-known/oauth-protected-resource` for the routes outside of groups, and with a group's prefix behind \
             that for each group, and challenges point to it: a client finds its authorization server by itself. It is \
             never made from a request's Host.",
        )
        .not(&["external_url", "base_url"]),
        Key::new(
            "drain",
            ANY_DURATION,
            Default(r#""20s""#),
            r#""20s""#,
            "How long open connections may finish after SIGTERM.",
        )
        .not(&["grace", "shutdown_timeout"]),
        HANDOVER,
        Key::new(
            "ready",
            Kind::Choice(&["issuers", "keys"]),
            Default(r#""issuers""#),
            r#""keys""#,
            "What `/readyz` asks for: that each issuer was tried once, or that each has keys.",
        ),
        Key::new(
            "timeouts",
            Kind::Table("server.timeouts"),
            Means("its defaults"),
            "[server.timeouts]",
            "Deadlines of client connections.",
        ),
        Key::new(
            "limits",
            Kind::Table("server.limits"),
            Means("its defaults"),
            "[server.limits]",
            "Bounds on what a client may send.",
        ),
        Key::new(
            "http2",
            Kind::Table("server.http2"),
            Means("its defaults"),
            "[server.http2]",
            "Bounds of client connections that speak HTTP/2.",
        )
        .not(&["h2"]),
    ],
    refused: &[],
};

pub(in crate::config) static TIMEOUTS: Table = Table {
    path: "server.timeouts",
    doc: "Deadlines of client connections. Deadlines of upstreams stand with the upstreams.",
    keys: &[
        Key::new(
            "request_head",
            POSITIVE,
            Default(r#""10s""#),
            r#""10s""#,
            "For a request head, from its first byte to its last: what ends a client that sends it byte by byte.",
        ),
        Key::new("idle", POSITIVE, Default(r#""60s""#), r#""60s""#, "For a connection between two requests.")
            .not(&["keep_alive"]),
        Key::new(
            "idle_body",
            POSITIVE,
            Default(r#""30s""#),
            r#""30s""#,
            "Between two pieces of a body, in either direction.",
        ),
        Key::new(
            "request",
            POSITIVE,
            Means("no limit"),
            r#""5m""#,
            "For a whole request, from its head to the end of its response. It also ends long downloads and streams.",
        ),
        Key::new(
            "tunnel",
            POSITIVE,
            Default(r#""10m""#),
            r#""1h""#,
            "For a WebSocket on which neither side says anything. Pings count.",
        )
        .not(&["websocket"]),
        Key::new(
            "connection_age",
            POSITIVE,
            Means("no limit"),
            r#""1h""#,
            "For a connection, give or take a tenth so that not all end at once. What is under way is finished; then \
             the client connects anew, perhaps to another gateway.",
        )
        .not(&["max_connection_age"]),
    ],
    refused: &[],
};

pub(in crate::config) static HTTP2: Table = Table {
    path: "server.http2",
    doc: "HTTP/2 is served on the same addresses as HTTP/1.1: a client's first bytes tell which it speaks. The limits of \
          heads and bodies hold for both.",
    keys: &[
        Key::new(
            "streams",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            Default("100"),
            "100",
            "Requests that a client may have open on a connection.",
        )
        .not(&["max_concurrent_streams"]),
        Key::new(
            "stream_window",
            Kind::Size { min: KIB, max: GIB },
            Default(r#""64 KiB""#),
            r#""256 KiB""#,
            "Bytes of a request's body that a client may send before the upstream has taken them.",
        ),
        Key::new(
            "connection_window",
            Kind::Size {
                min: 64 * KIB,
                max: GIB,
            },
            Default(r#""1 MiB""#),
            r#""4 MiB""#,
            "The same for all requests of a connection together.",
        ),
        Key::new(
            "pending_resets",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            Default("20"),
            "20",
            "Requests that a client may take back before the gateway has looked at them; beyond it the connection ends.",
        ),
        Key::new(
            "error_resets",
            Kind::Count {
                min: 1,
                max: 100_000,
            },
            Default("1024"),
            "1024",
            "Requests that the gateway has to reset for a client's errors; beyond it the connection ends.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static TOKEN_CACHE: Table = Table {
    path: "token_cache",
    doc: "Verified tokens are remembered, so that each is verified once. What a route asks is decided anew for every \
          request. An entry dies with its token, its key and its issuer's configuration, and the memory in which its text \
          was is overwritten. Not so the buffers into which requests are read, and what the libraries for HTTP and TLS make \
          of them: these are freed as they are. A change of this table takes effect at the next start.",
    keys: &[
        Key::new(
            "bytes",
            Kind::Size {
                min: 0,
                max: 64 * GIB,
            },
            Default(r#""64 MiB""#),
            r#""16 MiB""#,
            "Bytes of the level that workers share; 0 turns the whole cache off.",
        )
        .not(&["size"]),
        Key::new(
            "per_worker",
            Kind::Count {
                min: 0,
                max: 1_000_000,
            },
            Default("1024"),
            "1024",
            "Tokens that each worker keeps for itself, in front of the shared level.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static RELOAD: Table = Table {
    path: "reload",
    doc: "A changed file is read, checked and swapped in whole. A file with a problem changes nothing. Requests, probes and \
          signals do not wait for a large one.",
    keys: &[
        Key::new(
            "watch",
            Kind::Flag,
            Default("true"),
            "false",
            "Whether the file, its includes, key sets and certificates are watched. SIGHUP reloads in either case. A change \
             takes effect at the next start.",
        ),
        Key::new(
            "settle",
            ANY_DURATION,
            Default(r#""200ms""#),
            r#""1s""#,
            "How long edits must have settled before the file is read.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static ERRORS: Table = Table {
    path: "errors",
    doc: "Until a token's signature has verified, all that is wrong with it has one wording in any case.",
    keys: &[Key::new(
        "detail",
        Kind::Choice(&["full", "minimal"]),
        Default(r#""full""#),
        r#""minimal""#,
        "What the bearer of a genuine token is told when it is refused: which check failed, or the error code of RFC 6750 \
         alone. The access log has the reason either way.",
    )],
    refused: &[],
};

pub(in crate::config) static LOG: Table = Table {
    path: "log",
    doc: "Logs never hold a token, a secret, or a claim that was not asked for.",
    keys: &[
        Key::new(
            "level",
            Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
            Default(r#""info""#),
            r#""debug""#,
            "The least grave of the gateway's own events that is written to standard error. Events of libraries are not, \
             whatever the level: some quote requests. A change takes effect at the next start.",
        ),
        Key::new(
            "access",
            Kind::Choice(&["off", "refusals", "all"]),
            Default(r#""refusals""#),
            r#""all""#,
            "Which requests get a line on standard output: none, those the gateway refused, or all.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static DEV: Table = Table {
    path: "dev",
    doc: "Read by `scopegate dev` alone, whose embedded issuer mints tokens that satisfy the file.",
    keys: &[Key::new(
        "clients",
        Kind::Named("dev.clients.*"),
        Means("the client `dev` alone"),
        "[dev.clients.reporting]",
        "Clients of the embedded issuer besides `dev`.",
    )],
    refused: &[],
};

pub(in crate::config) static DEV_CLIENT: Table = Table {
    path: "dev.clients.*",
    doc: "A client of the embedded issuer, under its `client_id`.",
    keys: &[
        Key::new(
            "secret",
            Kind::Secret,
            Required,
            r#"{ env = "REPORTING_SECRET" }"#,
            "Its secret: the text itself, a file that holds it (a newline at its end is cut), or an environment \
             variable.",
        ),
        Key::new(
            "scopes",
            Kind::Texts,
            Means("every scope that the routes name"),
            r#"["orders.read"]"#,
            "What it may have.",
        )
        .not(&["scope"]),
    ],
    refused: &[],
};
