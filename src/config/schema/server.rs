//! The top level of the file, `[server]` and the small tables.

use super::Absent::{Default, Means, Required};
use super::listeners::{ADMIN_HOSTS, HANDOVER, PROXY_PROTOCOL_FROM, UNIX_MODE};
use super::{ANY_DURATION, GIB, KIB, Key, Kind, POSITIVE, Table};

pub(in crate::config) static FILE: Table = Table {
    path: "",
    doc: "The whole configuration is one file; `include` can distribute issuers, upstreams, routes \
          and groups over several.",
    keys: &[
        Key::new(
            "include",
            Kind::Texts,
            Means("nothing is included"),
            r#"["routes/*.toml"]"#,
            "Further files, relative to this one. They may hold `issuers`, `upstreams`, `routes` \
             and `groups`. A `*` stands for any part of a file name, not of a directory name; \
             matches are read in the order of their names.",
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
            "The authorization servers whose tokens are accepted.",
        )
        .not(&["issuer"]),
        Key::new(
            "upstreams",
            Kind::Named("upstreams.*"),
            Means("no upstream"),
            "[upstreams.orders]",
            "The servers to which requests are forwarded.",
        )
        .not(&["upstream", "backends", "services"]),
        Key::new(
            "defaults",
            Kind::Table("defaults"),
            Means("its defaults"),
            "[defaults]",
            "Settings for all routes and groups.",
        ),
        Key::new(
            "routes",
            Kind::Tables("routes[]"),
            Means("only the routes of groups"),
            "[[routes]]",
            "The scopes that paths and methods require. A file without any route is an error.",
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
            "The cache of verified tokens.",
        )
        .not(&["cache"]),
        Key::new(
            "reload",
            Kind::Table("reload"),
            Means("its defaults"),
            "[reload]",
            "The reloading of changed files.",
        ),
        Key::new(
            "errors",
            Kind::Table("errors"),
            Means("its defaults"),
            "[errors]",
            "The detail of error messages for refused clients.",
        ),
        Key::new(
            "log",
            Kind::Table("log"),
            Means("its defaults"),
            "[log]",
            "The content of the logs.",
        )
        .not(&["logging"]),
        Key::new(
            "dev",
            Kind::Table("dev"),
            Means("its defaults"),
            "[dev]",
            "Settings of `scopegate dev`.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static SERVER: Table = Table {
    path: "server",
    doc: "The addresses of the gateway, and how it starts and stops.",
    keys: &[
        Key::new(
            "listen",
            Kind::Texts,
            Default(r#""127.0.0.1:8080""#),
            r#"["0.0.0.0:8080", "[::1]:8080"]"#,
            "The addresses on which requests are accepted: IP addresses with ports, or `unix:` and \
             the path of a socket. `[::]` also accepts IPv4, unless another listener has the same \
             port on IPv4. The default accepts requests from this machine only.",
        )
        .not(&["address", "bind", "port"]),
        Key::new(
            "tls",
            Kind::Table("server.tls"),
            Means("no TLS"),
            "[server.tls]",
            "Serves all addresses of `listen` over HTTPS.",
        ),
        PROXY_PROTOCOL_FROM,
        UNIX_MODE,
        Key::new(
            "listeners",
            Kind::Tables("server.listeners[]"),
            Means("only the addresses of `listen`"),
            "[[server.listeners]]",
            "Listeners with other settings than those of `listen`. If `listen` is absent, they are \
             the only ones.",
        )
        .not(&["listener"]),
        Key::new(
            "admin",
            Kind::Text,
            Default(r#""127.0.0.1:9090""#),
            r#""off""#,
            "The address of the admin listener (metrics, health, effective policy), or \"off\". It \
             must differ from the addresses of `listen`. A change takes effect at the next start.",
        ),
        ADMIN_HOSTS,
        Key::new(
            "trusted_proxies",
            Kind::Texts,
            Means("none"),
            r#"["10.0.0.0/8", "::1", "unix"]"#,
            "Proxies in front of the gateway: addresses, networks, or `unix` for all clients of a \
             Unix socket. Their `X-Forwarded-*` and `Forwarded` fields are kept and extended, if \
             they are well-formed; those of other clients are replaced. The `client` in the access \
             log is the nearest address of `X-Forwarded-For` that belongs to none of them.",
        )
        .not(&["trust_proxy", "real_ip"]),
        Key::new(
            "forwarded",
            Kind::Choice(&["x-forwarded", "forwarded", "both"]),
            Default(r#""x-forwarded""#),
            r#""both""#,
            "The fields about the origin of a request that the gateway writes for upstreams and \
             reads from trusted proxies: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, \
             `Forwarded` (RFC 7239), or both.",
        ),
        Key::new(
            "workers",
            Kind::Count { min: 1, max: 1024 },
            Means("the number of CPUs"),
            "4",
            "Worker threads. Each has its own connections to upstreams. A change takes effect at \
             the next start.",
        )
        .not(&["threads"]),
        Key::new(
            "public_url",
            Kind::Text,
            Means("no metadata is served, unless a group has a `public_url`"),
            r#""https://api.example.com""#,
            "The URL under which clients reach this gateway. With it, protected-resource metadata \
             (RFC 9728) is served at `/.well-known/oauth-protected-resource` for the routes \
             outside of groups, and at that path followed by the group's prefix for each group. \
             Challenges point to the metadata, so that a client finds its authorization server by \
             itself. The URL is never derived from the `Host` of a request.",
        )
        .not(&["external_url", "base_url"]),
        Key::new(
            "drain",
            ANY_DURATION,
            Default(r#""20s""#),
            r#""20s""#,
            "The time that open connections get to finish after SIGTERM.",
        )
        .not(&["grace", "shutdown_timeout"]),
        HANDOVER,
        Key::new(
            "ready",
            Kind::Choice(&["issuers", "keys"]),
            Default(r#""issuers""#),
            r#""keys""#,
            "The condition of `/readyz`. `issuers`: the keys of each issuer were fetched, or a \
             fetch was tried; `keys`: each issuer has keys.",
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
            "Limits on what a client may send.",
        ),
        Key::new(
            "http2",
            Kind::Table("server.http2"),
            Means("its defaults"),
            "[server.http2]",
            "Limits of client connections that use HTTP/2.",
        )
        .not(&["h2"]),
    ],
    refused: &[],
};

pub(in crate::config) static TIMEOUTS: Table = Table {
    path: "server.timeouts",
    doc: "Deadlines of client connections. Deadlines of upstream connections are keys of the \
          upstreams.",
    keys: &[
        Key::new(
            "request_head",
            POSITIVE,
            Default(r#""10s""#),
            r#""10s""#,
            "The time for a request head, from its first byte to its last. It ends connections of \
             clients that send a head byte by byte.",
        ),
        Key::new(
            "idle",
            POSITIVE,
            Default(r#""60s""#),
            r#""60s""#,
            "The time for which a connection may stay idle between two requests.",
        )
        .not(&["keep_alive"]),
        Key::new(
            "idle_body",
            POSITIVE,
            Default(r#""30s""#),
            r#""30s""#,
            "The time limit between two pieces of a body, in either direction.",
        ),
        Key::new(
            "request",
            POSITIVE,
            Means("no limit"),
            r#""5m""#,
            "The time limit of a whole request, from its head to the end of its response. It also \
             ends long downloads and streams.",
        ),
        Key::new(
            "tunnel",
            POSITIVE,
            Default(r#""10m""#),
            r#""1h""#,
            "The time for which a WebSocket may stay idle in both directions. Pings count as data.",
        )
        .not(&["websocket"]),
        Key::new(
            "connection_age",
            POSITIVE,
            Means("no limit"),
            r#""1h""#,
            "The greatest age of a connection, plus or minus a tenth, so that connections do not \
             all end at once. Requests in progress are finished; then the client opens another \
             connection, perhaps to another gateway.",
        )
        .not(&["max_connection_age"]),
    ],
    refused: &[],
};

pub(in crate::config) static HTTP2: Table = Table {
    path: "server.http2",
    doc: "HTTP/2 is served on the same addresses as HTTP/1.1: the first bytes of a client tell \
          which it uses. The limits on heads and bodies hold for both.",
    keys: &[
        Key::new(
            "streams",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            Default("100"),
            "100",
            "Requests that a client may have in progress on a connection.",
        )
        .not(&["max_concurrent_streams"]),
        Key::new(
            "stream_window",
            Kind::Size { min: KIB, max: GIB },
            Default(r#""64 KiB""#),
            r#""256 KiB""#,
            "Bytes of a request body that a client may send before the upstream has accepted them.",
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
            "Requests that a client may reset before the gateway has processed them. The \
             connection ends if there are more.",
        ),
        Key::new(
            "error_resets",
            Kind::Count {
                min: 1,
                max: 100_000,
            },
            Default("1024"),
            "1024",
            "Requests that the gateway has to reset because of errors of the client. The \
             connection ends if there are more.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static TOKEN_CACHE: Table = Table {
    path: "token_cache",
    doc: "Verified tokens are cached, so that each is verified once. The requirement of a route is \
          checked for every request. An entry ends with its token, its key and the configuration \
          of its issuer, and the memory of its text is overwritten. The buffers into which \
          requests are read, and copies in the libraries for HTTP and TLS, are not overwritten. A \
          change of this table takes effect at the next start.",
    keys: &[
        Key::new(
            "bytes",
            Kind::Size {
                min: 0,
                max: 64 * GIB,
            },
            Default(r#""64 MiB""#),
            r#""16 MiB""#,
            "Bytes of the level that all workers share; 0 turns the whole cache off.",
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
            "Tokens that each worker keeps in its own level, in front of the shared level.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static RELOAD: Table = Table {
    path: "reload",
    doc: "A changed file is read, checked and put into effect as a whole. A file with a problem \
          changes nothing. Requests, probes and signals do not wait while a large file is read.",
    keys: &[
        Key::new(
            "watch",
            Kind::Flag,
            Default("true"),
            "false",
            "If true, the file, its includes, key sets and certificates are watched for changes. \
             SIGHUP reloads in either case. A change takes effect at the next start.",
        ),
        Key::new(
            "settle",
            ANY_DURATION,
            Default(r#""200ms""#),
            r#""1s""#,
            "The time without further edits after which a changed file is read.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static ERRORS: Table = Table {
    path: "errors",
    doc: "The detail of error messages for refused clients. Until the signature of a token is \
          verified, all errors of the token have the same message in either case.",
    keys: &[Key::new(
        "detail",
        Kind::Choice(&["full", "minimal"]),
        Default(r#""full""#),
        r#""minimal""#,
        "The message for a client whose genuine token is refused: the check that failed (`full`), \
         or the error code of RFC 6750 alone (`minimal`). The access log has the reason in either \
         case.",
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
            "The lowest level of the gateway's own events that is written to standard error. \
             Events of libraries are never written: some of them quote requests. A change takes \
             effect at the next start.",
        ),
        Key::new(
            "access",
            Kind::Choice(&["off", "refusals", "all"]),
            Default(r#""refusals""#),
            r#""all""#,
            "The requests that get a line on standard output: none, those that the gateway \
             refused, or all.",
        ),
    ],
    refused: &[],
};

pub(in crate::config) static DEV: Table = Table {
    path: "dev",
    doc: "Read only by `scopegate dev`, whose embedded issuer issues tokens that satisfy the file.",
    keys: &[Key::new(
        "clients",
        Kind::Named("dev.clients.*"),
        Means("only the client `dev`"),
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
            "The secret: the text itself, a file that holds it (a newline at its end is removed), \
             or an environment variable.",
        ),
        Key::new(
            "scopes",
            Kind::Texts,
            Means("every scope that the routes name"),
            r#"["orders.read"]"#,
            "The scopes that the client may obtain.",
        )
        .not(&["scope"]),
    ],
    refused: &[],
};
