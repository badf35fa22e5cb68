//! `[upstreams.<name>]`: the servers to which requests are forwarded.

use super::ejection::{self, ejection};
use super::endpoints::{ENDPOINTS, URL, endpoints};
use super::health::{self, health};
use super::lambda::{self, lambda};
use super::names::check_name;
use super::upstream_tls::{
    CA_FILE, CLIENT_CERT_FILE, CLIENT_KEY_FILE, SERVER_NAME, VERIFY, tls_settings,
};
use crate::config::context::Context;
use crate::config::language::document;
use crate::config::language::{
    AnyKey, Choice, Count, DefaultKey, KIB, Key, MIB, Reader, Size, Str, Subtable, Table, Text,
    Time,
};
use crate::lambda::Function;
use crate::net::DialTimeouts;
use crate::route::is_authority;
use crate::upstream::{HeadLimits, HostHeader, Protocol, Retry, Settings, Strategy};

pub(super) static TABLE: Table = Table {
    path: "upstreams.*",
    doc: "A server that permitted requests are forwarded to.",
    keys: &[
        &URL,
        &ENDPOINTS,
        &BALANCE,
        &RETRIES,
        &RETRY_PERCENT,
        &RETRY_MIN,
        &EJECTION,
        &HEALTH,
        &HOST,
        &PROTOCOL,
        &CONNECT_TIMEOUT,
        &DNS_REFRESH,
        &TLS_TIMEOUT,
        &RESPONSE_TIMEOUT,
        &IDLE_TIMEOUT,
        &MAX_IDLE,
        &CONNECTION_AGE,
        &MAX_CONNECTIONS,
        &MAX_PENDING,
        &MAX_REQUESTS,
        &RESEND_BYTES,
        &RESPONSE_HEAD_BYTES,
        &RESPONSE_HEAD_FIELDS,
        &CA_FILE,
        &CLIENT_CERT_FILE,
        &CLIENT_KEY_FILE,
        &SERVER_NAME,
        &VERIFY,
        &LAMBDA,
    ],
    refused: &[],
};

const BALANCE: DefaultKey<Choice<Strategy>> = Key::new(
    "balance",
    Choice(&[
        ("round_robin", Strategy::RoundRobin),
        ("least_requests", Strategy::LeastRequests),
    ]),
)
.doc(
    "The endpoint of a request: the next one in turn, or, of two random ones, the one to \
     which this worker has fewer requests in progress. Both choices respect the weights.",
)
.example(r#""least_requests""#)
.or(Strategy::RoundRobin);

const RETRIES: DefaultKey<Count<usize>> = Key::new("retries", Count::new(0, 10))
    .doc(
        "Further endpoints that are tried for a request when one fails before the response head. \
         Only safe requests are retried: a request that was not sent, or one without a body whose \
         method is idempotent (RFC 9110 section 9.2.2). A request that got a response is never \
         retried, whatever the status.",
    )
    .example("2")
    .or(1);

const RETRY_PERCENT: DefaultKey<Count<usize>> = Key::new("retry_percent", Count::new(0, 100))
    .doc(
        "The limit on the retries of a worker, in percent of its requests to this upstream, so \
         that retries do not overload a failing upstream.",
    )
    .example("10")
    .or(20);

const RETRY_MIN: DefaultKey<Count<usize>> = Key::new("retry_min", Count::new(0, 10_000))
    .doc("Retries that each worker may make in a second in addition to `retry_percent`.")
    .example("1")
    .or(3);

const EJECTION: Key<Subtable> = Key::new("ejection", Subtable(&ejection::TABLE))
    .absent("the defaults of that table")
    .doc("The exclusion of failing endpoints for some time.");

const HEALTH: Key<Subtable> = Key::new("health", Subtable(&health::TABLE))
    .absent("endpoints are not probed")
    .doc("The health probes of the endpoints.")
    .not(&["health_check", "healthcheck"]);

const HOST: DefaultKey<Str> = Key::new("host", Str)
    .doc(
        "The `Host` that it gets: `upstream` for its own, from `url`, `preserve` for the \
         client's (or its own, if a client of HTTP/1.0 names none), or another name, such as \
         `orders.internal`.",
    )
    .example(r#""preserve""#)
    .or("upstream");

const PROTOCOL: DefaultKey<Choice<Protocol>> = Key::new(
    "protocol",
    Choice(&[
        ("http1", Protocol::Http1),
        ("http2", Protocol::Http2),
        ("auto", Protocol::Auto),
    ]),
)
.doc(
    "The protocol. `http2`: HTTP/2, which ALPN must agree on over `https`; without TLS it is \
     used at once (\"h2c\" by prior knowledge), as with gRPC servers. `auto`: HTTP/2 over \
     `https` if the upstream supports it, otherwise HTTP/1.1. WebSockets need HTTP/1.1.",
)
.example(r#""http2""#)
.or(Protocol::Http1);

const CONNECT_TIMEOUT: DefaultKey<Time> = Key::new("connect_timeout", Time::POSITIVE)
    .doc(
        "The time limit for a TCP connection, and for waiting until one is allowed \
         (`max_connections`); 504 after it.",
    )
    .example(r#""500ms""#)
    .or("2s");

const DNS_REFRESH: DefaultKey<Time> = Key::new("dns_refresh", Time::POSITIVE)
    .doc(
        "The interval at which the names in its URLs are resolved. New connections use the \
         addresses in turn, and connections to an address that has disappeared are not used \
         again. If a name does not resolve, its last addresses stay in use.",
    )
    .example(r#""30s""#)
    .or("10s");

const TLS_TIMEOUT: DefaultKey<Time> = Key::new("tls_timeout", Time::POSITIVE)
    .doc("The time limit for the TLS handshake, with HTTP/2 including its settings; 504 after it.")
    .example(r#""1s""#)
    .or("2s");

const RESPONSE_TIMEOUT: DefaultKey<Time> = Key::new("response_timeout", Time::POSITIVE)
    .doc(
        "The time from the last byte of the request to the response head; 504 after it. Routes \
         may have their own timeout.",
    )
    .not(&["timeout"])
    .example(r#""10s""#)
    .or("30s");

const IDLE_TIMEOUT: DefaultKey<Time> = Key::new("idle_timeout", Time::POSITIVE)
    .doc(
        "The time for which an idle connection is kept. Keep it below the upstream's own timeout \
         (60 s is common, Node.js has 5 s), so that a request does not meet a connection that is \
         being closed.",
    )
    .example(r#""4s""#)
    .or("30s");

const MAX_IDLE: DefaultKey<Count<usize>> = Key::new("max_idle", Count::new(0, 65_536))
    .doc("Idle connections that each worker keeps; with 0 every request opens a connection.")
    .example("64")
    .or(256);

const CONNECTION_AGE: DefaultKey<Time> = Key::new("connection_age", Time::POSITIVE)
    .doc(
        "The greatest age of a connection, plus or minus a tenth; requests in progress are \
         finished. After a server was removed from a load balancer in front of it, this limits \
         the time for which it still gets requests. It costs next to nothing.",
    )
    .example(r#""1m""#)
    .or("5m");

const MAX_CONNECTIONS: DefaultKey<Count<usize>> = Key::new(
    "max_connections",
    Count::new(1, 1_000_000),
)
.doc(
    "Connections to it, of all workers together. With HTTP/1.1 this is the number of requests \
     that it has at a time. At the limit requests wait, no longer than `connect_timeout`; with \
     `lambda`, no longer than `response_timeout`.",
)
.example("100")
.or(8192);

const MAX_PENDING: DefaultKey<Count<usize>> = Key::new("max_pending", Count::new(0, 1_000_000))
    .doc(
        "Requests that wait for a connection, of all workers together. Further ones are answered \
         with 503 and `Retry-After` at once.",
    )
    .example("50")
    .or(1024);

const MAX_REQUESTS: Key<Count<usize>> = Key::new("max_requests", Count::new(1, 1_000_000))
    .absent("no limit; 64 with `lambda`")
    .doc(
        "Requests to it that are in progress, up to the end of their responses, or of the \
         WebSockets that they became, of all workers together. Further ones are answered with 503 \
         and `Retry-After` at once. With HTTP/2 it limits what `max_connections` does not. Requests \
         are counted only if it is set, because all workers share the count. With `lambda` a \
         request counts from its head on, since its body is kept in memory.",
    )
    .example("10000");

const RESEND_BYTES: DefaultKey<Size<usize>> = Key::new("resend_bytes", Size::new(0, 16 * MIB))
    .doc(
        "The bytes of a request body that are kept until the response head arrives, so that the \
         request can be sent again. Only with HTTP/2. A request that the upstream says it did not \
         process (GOAWAY, REFUSED_STREAM) is sent again, whatever its method, unless more of its \
         body has been sent.",
    )
    .not(&["replay_bytes"])
    .example(r#""1 MiB""#)
    .or("64 KiB");

const RESPONSE_HEAD_BYTES: DefaultKey<Size<usize>> =
    Key::new("response_head_bytes", Size::new(8 * KIB, MIB))
        .doc(
            "Bytes of a response head; a longer one is answered with 502. Over HTTP/2 each field \
             counts for 32 bytes more than its name and value (RFC 9113 section 6.5.2).",
        )
        .example(r#""128 KiB""#)
        .or("64 KiB");

const RESPONSE_HEAD_FIELDS: DefaultKey<Count<usize>> = Key::new(
    "response_head_fields",
    Count::new(8, 1000),
)
.doc("Fields of a response head, each `Set-Cookie` counted; more of them are answered with 502.")
.example("200")
.or(100);

const LAMBDA: Key<Subtable> = Key::new("lambda", Subtable(&lambda::TABLE))
    .absent("requests are forwarded")
    .doc("The function that requests to the upstream invoke, instead of being forwarded.")
    .not(&["function"])
    .example(r#"{ function = "function", event = "1.0" }"#);

/// The requests that a function has at a time. Each of them takes up to some 13 MiB of memory.
const FUNCTION_REQUESTS: usize = 64;

/// Keys that have no effect on an upstream that is a function, each with the reason.
const MEANINGLESS: [(&dyn AnyKey, &str); 9] = [
    (&PROTOCOL, "an invocation is an HTTP/1.1 request"),
    (
        &HEALTH,
        "a probe would be no invocation, and an Invoke API answers nothing else",
    ),
    (&RETRIES, NO_RETRY),
    (&RETRY_PERCENT, NO_RETRY),
    (&RETRY_MIN, NO_RETRY),
    (&RESEND_BYTES, NO_RETRY),
    (&MAX_IDLE, NO_REUSE),
    (&IDLE_TIMEOUT, NO_REUSE),
    (&CONNECTION_AGE, NO_REUSE),
];

const NO_REUSE: &str = "each invocation has a connection of its own";

const NO_RETRY: &str = "an invocation that was sent is not sent again, because the function may \
                        have run";

pub(super) fn upstreams(context: &Context, tables: &[(Text, &document::Table)]) -> Vec<Settings> {
    let mut all = Vec::new();
    for (name, table) in tables {
        let subject = format!("upstream \"{}\"", name.text);
        all.extend(upstream(name, Reader::new(context, &TABLE, table, subject)));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn upstream(name: &Text, mut reader: Reader<'_>) -> Option<Settings> {
    check_name(&reader, name);
    let endpoints = endpoints(&mut reader);
    let urls: Vec<_> = endpoints.iter().map(|endpoint| &endpoint.url).collect();
    let lambda = lambda(&mut reader, &LAMBDA, &urls);
    refuse_meaningless(&reader);
    let url = endpoints.first().map(|endpoint| endpoint.url.clone());
    let host = host(&mut reader);
    let balance = reader.get(&BALANCE);
    let retry = Retry {
        attempts: reader.get(&RETRIES),
        percent: reader.get(&RETRY_PERCENT),
        floor: reader.get(&RETRY_MIN),
    };
    let ejection = ejection(&mut reader, &EJECTION);
    let health = health(&mut reader, &HEALTH);
    let protocol = reader.get(&PROTOCOL);
    let dial_timeouts = DialTimeouts {
        connect: reader.get(&CONNECT_TIMEOUT),
        handshake: reader.get(&TLS_TIMEOUT),
    };
    let dns_refresh = reader.get(&DNS_REFRESH);
    let response_timeout = reader.get(&RESPONSE_TIMEOUT);
    let queue_timeout = match &lambda {
        Some(_) => response_timeout,
        None => dial_timeouts.connect,
    };
    let idle_timeout = reader.get(&IDLE_TIMEOUT);
    let max_idle = reader.get(&MAX_IDLE);
    let max_idle = match &lambda {
        // An answer that comes too late, or twice, never becomes that of another invocation.
        Some(_) => 0,
        None => max_idle,
    };
    let connection_age = reader.get(&CONNECTION_AGE);
    note_emulator(&reader, lambda.as_ref());
    let max_connections = reader.get(&MAX_CONNECTIONS);
    let max_pending = reader.get(&MAX_PENDING);
    let max_requests = max_requests(&mut reader, lambda.as_ref());
    let resend_bytes = resend_bytes(&mut reader, protocol);
    let response_head = HeadLimits {
        bytes: reader.get(&RESPONSE_HEAD_BYTES),
        fields: reader.get(&RESPONSE_HEAD_FIELDS),
    };
    let terms = tls_settings(&mut reader, url.as_ref());
    reader.finish();
    let name = name.text.as_str().into();
    Some(Settings {
        name,
        url: url?,
        endpoints,
        balance,
        retry,
        ejection,
        health,
        host,
        protocol,
        dial_timeouts,
        queue_timeout,
        dns_refresh,
        response_timeout,
        idle_timeout,
        max_idle,
        connection_age,
        max_connections,
        max_pending,
        max_requests,
        resend_bytes,
        response_head,
        lambda: lambda.map(Box::new),
        terms,
    })
}

/// The name under which the runtime interface emulator has its one function.
const EMULATED: &str = "function";

/// Notes the name of an emulator's function without a limit of its requests.
fn note_emulator(reader: &Reader<'_>, lambda: Option<&Function>) {
    let is_emulated = lambda.is_some_and(|function| function.name.as_str() == EMULATED);
    if is_emulated && !reader.has(&MAX_CONNECTIONS) {
        let message = "\"function\" is the function of a runtime interface emulator, which ends at \
                       the second request at a time: write max_connections = 1";
        reader.note(reader.key_span(&LAMBDA), message);
    }
}

/// Returns the limit of requests under way. Functions have a limit in any case: their requests are
/// kept in memory.
fn max_requests(reader: &mut Reader<'_>, lambda: Option<&Function>) -> Option<usize> {
    let limit = reader.find(&MAX_REQUESTS);
    limit.or(lambda.map(|_| FUNCTION_REQUESTS))
}

/// Reports keys that have no effect on a function.
fn refuse_meaningless(reader: &Reader<'_>) {
    if !reader.has(&LAMBDA) {
        return;
    }
    for (key, why) in MEANINGLESS {
        if reader.has(key) {
            let name = key.name();
            let message = format!("\"{name}\" has no effect beside \"lambda\": {why}");
            reader.problem_with_hint(reader.key_span(key), message, "leave it out");
        }
    }
    if reader
        .peek(&HOST)
        .is_some_and(|host| host.text == "preserve")
    {
        reader.problem_with_hint(
            reader.value_span(&HOST),
            "\"host\" is \"preserve\", but the client's Host is a part of the event",
            "leave it out, or name the host of the Invoke API",
        );
    }
}

/// Returns the bytes of a request body that are kept for sending it again.
fn resend_bytes(reader: &mut Reader<'_>, protocol: Protocol) -> usize {
    if protocol == Protocol::Http1 && reader.has(&RESEND_BYTES) {
        reader.problem_with_hint(
            reader.key_span(&RESEND_BYTES),
            "\"resend_bytes\" has no effect: the upstream speaks HTTP/1.1",
            "write protocol = \"http2\" or \"auto\"",
        );
    }
    reader.get(&RESEND_BYTES)
}

fn host(reader: &mut Reader<'_>) -> HostHeader {
    let text = reader.get(&HOST);
    match text.text.as_str() {
        "upstream" => HostHeader::Upstream,
        "preserve" => HostHeader::Preserve,
        name => {
            if !is_authority(name) {
                let message = format!(
                    "\"host\" is \"{name}\": write \"upstream\", \"preserve\", or a host such as \
                     \"orders.internal\""
                );
                reader.problem(text.span, message);
            }
            HostHeader::Named(name.into())
        }
    }
}
