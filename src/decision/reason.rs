//! The reasons of refusals: one row for each, from which answers, logs, metrics and the table of
//! `docs/answers.md` are made.

use http::StatusCode;

pub use crate::telemetry::Reason;

/// The party that has to change something for the request to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client, or the application that made the request.
    Client,
    /// The issuer of the token.
    Issuer,
    /// The upstream.
    Upstream,
    /// The gateway, or its configuration.
    Gateway,
}

/// The row of a reason.
struct Row {
    status: StatusCode,
    /// The code in the client's answer: one of RFC 6750 §3.1, or the gateway's own.
    code: &'static str,
    /// The client's sentence. Where it ends without a full stop, the answer adds values.
    client: &'static str,
    /// The operator's sentence. Where it ends in a colon or a preposition, the log adds values; for
    /// an upstream's fault the log has the sentence of the fault, with its cause.
    operator: &'static str,
    blame: Blame,
    /// Set if the client's connection must close: the end of the request is in doubt, or the client
    /// does not send it.
    closes: bool,
    /// The cause, and what to do, for `docs/answers.md`.
    help: &'static str,
}

impl Reason {
    /// Returns the status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// Returns the code in the client's answer.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Returns the client's sentence, or the fixed beginning of it.
    #[must_use]
    pub fn client(self) -> &'static str {
        self.row().client
    }

    /// Returns the operator's sentence, or the fixed beginning of it.
    #[must_use]
    pub fn operator(self) -> &'static str {
        self.row().operator
    }

    /// Returns the party that has to change something.
    #[must_use]
    pub fn blame(self) -> Blame {
        self.row().blame
    }

    /// Returns whether the client's connection must close.
    #[must_use]
    pub fn closes(self) -> bool {
        self.row().closes
    }

    /// Returns the cause and what to do, in Markdown.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.row().help
    }

    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn row(self) -> &'static Row {
        match self {
            Self::MissingToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "missing_token",
                client: "This needs an access token, and the request has none.",
                operator: "there is no token where this route looks for one",
                blame: Blame::Client,
                closes: false,
                help: "No token in the sources of the route: `token_from`, by default \
                    `Authorization: Bearer …`. An empty field, cookie or parameter is no token. \
                    The log lists the places where the route looks, and names another one that \
                    has a JWT, such as `header:x-token`.",
            },
            Self::WrongScheme => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "missing_token",
                client: "This needs an access token, and the request has none.",
                operator: "the Authorization field has another credential than the route takes",
                blame: Blame::Client,
                closes: false,
                help: "No token in the sources of the route, but `Authorization` has something \
                    else, which the log names: a bare JWT without `Bearer`, another scheme such \
                    as `Token`, `Basic` or `DPoP`, `Bearer:` with a colon, or a credential that \
                    the route does not look at. `token_from = [\"authorization:raw\", \
                    \"authorization:bearer\"]` accepts a JWT with `Bearer` and without; with \
                    `\"authorization:raw\"` alone, `Bearer` is refused.",
            },
            Self::SeveralTokens => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_request",
                client: "The request holds more than one access token.",
                operator: "the request holds more than one token",
                blame: Blame::Client,
                closes: false,
                help: "Two tokens, or two `Authorization` fields. The gateway would judge one of \
                    them, and the application might obey the other. Other spellings count, too: \
                    `session` and `Session ` are two cookies with the token, see \
                    [traffic.md](traffic.md#forwarded-credentials).",
            },
            Self::TokenTooLong => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token is longer than the limit",
                blame: Blame::Client,
                closes: false,
                help: "Longer than `server.limits.token_bytes`; the log has both lengths.",
            },
            Self::PlaceholderToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the client has no token and sends a placeholder",
                blame: Blame::Client,
                closes: false,
                help: "The client sends `Bearer` with nothing after it, a word such as \
                    `undefined` or `null`, a name such as `YOUR_TOKEN`, or a template such as \
                    `{{token}}`: it has no token, or reads the wrong variable.",
            },
            Self::OpaqueToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token is opaque and not a JWT",
                blame: Blame::Client,
                closes: false,
                help: "The token is no JWT, so that only its issuer can read it. Many issuers \
                    issue JWTs when the client asks for an audience or a resource; see \
                    [issuers.md](issuers.md).",
            },
            Self::EncryptedToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token is encrypted",
                blame: Blame::Client,
                closes: false,
                help: "The token has five parts: it is encrypted (JWE) for somebody who has the \
                    key. Let the issuer sign the access tokens of this API only.",
            },
            Self::MalformedToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token is not a signed JWT of the right form",
                blame: Blame::Client,
                closes: false,
                help: "Not a signed JWT of the right form; the log has the part and the member: \
                    cut off in copying, at the start or in the signature as well; in quotation \
                    marks; the scheme twice; `crit`; no `exp` or `iss`, or one of the wrong type; \
                    a member twice; a \
                    number beyond the range of a 64-bit float (`1e400`).",
            },
            Self::AlgorithmNotAllowed => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token's alg is not one that its issuer may use",
                blame: Blame::Client,
                closes: false,
                help: "`alg` is not one of the issuer's `algorithms`, or is `none` or HMAC, which \
                    are never allowed.",
            },
            Self::UnknownIssuer => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token's iss is not one of the route's issuers",
                blame: Blame::Client,
                closes: false,
                help: "`iss` is not exactly the `issuer` of one of the route's issuers. A final \
                    slash and the case count; the log says if nothing else differs, and which \
                    other issuer of the file has this `iss`.",
            },
            Self::UnknownKey => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "no key of the issuer has the token's kid and alg",
                blame: Blame::Client,
                closes: false,
                help: "The issuer's key set was fetched and has no key with this `kid` for this \
                    `alg`: a token of another environment, or of a key that was withdrawn.",
            },
            Self::BadSignature => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                client: "The access token is not valid.",
                operator: "the token's signature is not that of the issuer's key",
                blame: Blame::Client,
                closes: false,
                help: "The issuer has the key, and the signature was not made with it: the header \
                       or the \
                    claims were changed, or another environment has a key of the same name.",
            },
            Self::TokenExpired => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "token_expired",
                client: "The access token has expired.",
                operator: "the token has expired",
                blame: Blame::Client,
                closes: false,
                help: "`exp` has passed, `leeway` included.",
            },
            Self::TokenNotYetValid => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "token_not_yet_valid",
                client: "The access token is not yet valid.",
                operator: "the token is not yet valid",
                blame: Blame::Client,
                closes: false,
                help: "`nbf` is in the future, `leeway` included: compare the clocks.",
            },
            Self::WrongAudience => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "wrong_audience",
                client: "The access token is for another audience.",
                operator: "the token is for another audience",
                blame: Blame::Client,
                closes: false,
                help: "`aud`, or the first of the entry's `audience_claims` that the token has, \
                    names none of the issuer's `audience`. A final slash and the case count; \
                    the log says if nothing else differs.",
            },
            Self::WrongClient => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "wrong_client",
                client: "The access token was issued to a client that may not use this API.",
                operator: "the token's client is not one that this API accepts",
                blame: Blame::Client,
                closes: false,
                help: "`client_id` (else `azp`, `appid` or `cid`) is not one of `client_ids`.",
            },
            Self::NotAnAccessToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "not_an_access_token",
                client: "The token is not an access token.",
                operator: "the token is not an access token",
                blame: Blame::Client,
                closes: false,
                help: "The token is of another kind than the issuer's entry accepts: `token_use` \
                    differs from the entry's, `typ` is that of another kind of token or differs \
                    from the issuer's `typ`, or the claims are those of an ID token (`nonce` \
                    without `scope` or `scp`, `at_hash`, or neither a scope nor a client of \
                    their types, where `azp` is none, since ID tokens have it as well), of a \
                    refresh token or of a logout token. The log names the claim. Most often an ID \
                    token was sent; for issuers whose access tokens are built like ID tokens there \
                    is `typ = \"any\"`. With `token_use = \"id\"` the name means the reverse: an \
                    access token was sent where the entry accepts ID tokens. Then the log says \
                    \"the token is not an ID token\".",
            },
            Self::RequiredClaim => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "required_claim",
                client: "The access token does not have a claim that this API requires.",
                operator: "a claim that the issuer's entry requires is absent or has another value",
                blame: Blame::Client,
                closes: false,
                help: "A claim of the issuer's `required_claims` is absent or has another value; \
                    the log has its name and both values.",
            },
            Self::WrongClientCertificate => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "wrong_client_certificate",
                client: "The access token is bound to a client certificate that this connection \
                    does not have.",
                operator: "the token is bound to a client certificate, and the connection has \
                    another or none",
                blame: Blame::Client,
                closes: false,
                help: "The token is bound to a client certificate (`cnf` with `x5t#S256`, RFC \
                    8705), and the client of the connection presented another one, or none: the \
                    listener does not ask for one (`client_auth`), or a proxy in front ends TLS. \
                    `scopegate explain --client-cert-file` compares the two.",
            },
            Self::SenderConstrainedToken => &Row {
                status: StatusCode::UNAUTHORIZED,
                code: "sender_constrained_token",
                client: "The access token is bound to a key, and proof of possession is not \
                    supported here.",
                operator: "the token is bound to a key whose possession is not checked here",
                blame: Blame::Client,
                closes: false,
                help: "The token has a `cnf` that cannot be checked here, such as DPoP's `jkt`: it \
                    is bound to a key that the client has not proved to have.",
            },
            Self::KeysUnavailable => &Row {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "keys_unavailable",
                client: "The token cannot be verified now: its issuer's keys are not available.",
                operator: "the issuer's keys could not be fetched",
                blame: Blame::Issuer,
                closes: false,
                help: "The issuer's keys cannot be fetched, or its key set is empty (`\"keys\": \
                    []`), so the token cannot be judged. The cause is in the gateway's own log, on \
                    standard error, and not in the access log. The gateway retries by itself.",
            },
            Self::RouteDenied => &Row {
                status: StatusCode::FORBIDDEN,
                code: "route_denied",
                client: "This is denied to every client.",
                operator: "the route, or its method, has deny = true",
                blame: Blame::Client,
                closes: false,
                help: "The route, or its method, has `deny = true`: no token helps, and none is \
                    looked at. The response has no challenge. A path whose methods are all \
                    denied answers every method so, and no path lists a denied method in `Allow`.",
            },
            Self::InsufficientScope => &Row {
                status: StatusCode::FORBIDDEN,
                code: "insufficient_scope",
                client: "The access token lacks:",
                operator: "the token lacks:",
                blame: Blame::Client,
                closes: false,
                help: "The token is valid and lacks `missing_scopes`. See \
                    [the scopes of a challenge](#the-scopes-of-a-challenge).",
            },
            Self::CrossSiteRequest => &Row {
                status: StatusCode::FORBIDDEN,
                code: "cross_site_request",
                client: "The access token is in a cookie, and pages of this origin may not use it \
                    here.",
                operator: "the token is in a cookie, and a page of another origin may have made \
                    the request",
                blame: Blame::Client,
                closes: false,
                help: "The token is in a cookie, and by `Origin` or `Sec-Fetch-Site` a page of \
                    another origin made the request: a WebSocket, or a method other than `GET`, \
                    `HEAD` and `OPTIONS`. The answer does not depend on the token. Name the page's \
                    origin in `cookie_origins` or in the route's `cors`, or list the proxy in \
                    front in `trusted_proxies` so that it can state the host that clients ask for; \
                    see [traffic.md](traffic.md#tokens-in-cookies). `scopegate explain --origin` \
                    tries it: it puts the token into the route's first cookie, and does not try \
                    handshakes of WebSockets.",
            },
            Self::UnmappableRequest => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "unmappable_request",
                client: "The request lacks a value that this needs, or the value has characters \
                    that are not allowed there.",
                operator: "a template of the route has no path for the request:",
                blame: Blame::Client,
                closes: false,
                help: "The route's `rewrite`, or a URL of its `respond`, puts a value of the \
                       request into \
                    a path, and the request has none, or one that is no segment of a path: empty, \
                    `.`, `..`, with \
                    control characters, or with an ambiguity that the route does not `allow`, such \
                    as a slash. The log names the reference: see \
                    [templates](traffic.md#templates).",
            },
            Self::AmbiguousPath => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "ambiguous_path",
                client: "The path can be read in more than one way",
                operator: "the path is ambiguous:",
                blame: Blame::Client,
                closes: false,
                help: "The path can be read in two ways, which the detail names. A route may allow \
                    some of them by `allow`. \"Nothing here answers to it\" means that no route \
                    matches such a path, whatever is allowed. If the log names a stricter route, \
                    `allow` did not help: see [tolerant reading](traffic.md#tolerant-reading).",
            },
            Self::NoRoute => &Row {
                status: StatusCode::NOT_FOUND,
                code: "no_route",
                client: "There is nothing at this path.",
                operator: "no route has this path",
                blame: Blame::Client,
                closes: false,
                help: "No route has the path. `scopegate routes` shows the table.",
            },
            Self::ShadowedPath => &Row {
                status: StatusCode::NOT_FOUND,
                code: "shadowed_path",
                client: "No route serves this spelling of the path.",
                operator: "an application may take the path for one of the stricter",
                blame: Blame::Client,
                closes: false,
                help: "An application that reads paths loosely may read the path as one of a \
                    stricter route, which the log names: `/Admin` as `/admin`. See [tolerant \
                    reading](traffic.md#tolerant-reading); `distinct` at the stricter route \
                    permits the path.",
            },
            Self::MethodNotAllowed => &Row {
                status: StatusCode::METHOD_NOT_ALLOWED,
                code: "method_not_allowed",
                client: "This path answers to",
                operator: "the route is there for other methods:",
                blame: Blame::Client,
                closes: false,
                help: "The path exists for other methods, which `Allow` lists.",
            },
            Self::TargetTooLong => &Row {
                status: StatusCode::URI_TOO_LONG,
                code: "target_too_long",
                client: "The request target is too long.",
                operator: "the request target is too long",
                blame: Blame::Client,
                closes: true,
                help: "Longer than `server.limits.target_bytes`.",
            },
            Self::MalformedTarget => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "malformed_target",
                client: "The request target is not a path of this server.",
                operator: "the request target is not a path of this server",
                blame: Blame::Client,
                closes: true,
                help: "Not a path: `CONNECT`, `OPTIONS *`, a user before the host.",
            },
            Self::InvalidHost => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_host",
                client: "The Host field is missing, repeated or invalid.",
                operator: "the Host field is missing, repeated, invalid or not the authority",
                blame: Blame::Client,
                closes: true,
                help: "`Host` is missing, occurs twice, or is not a host name.",
            },
            Self::InvalidFraming => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_framing",
                client: "The request uses a transfer coding other than chunked.",
                operator: "the transfer coding is not \"chunked\" alone",
                blame: Blame::Client,
                closes: true,
                help: "`Transfer-Encoding` is not `chunked`.",
            },
            Self::MalformedField => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "malformed_field",
                client: "A field of the request begins or ends with white space.",
                operator: "a field begins or ends with white space",
                blame: Blame::Client,
                closes: false,
                help: "A field of a request over HTTP/2 begins or ends with white space (RFC 9113 \
                    §8.2.1). Over HTTP/1.1 such white space is not part of the value.",
            },
            Self::BodyTooLarge => &Row {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                code: "body_too_large",
                client: "The request body is longer than is allowed here.",
                operator: "the request body is longer than the limit",
                blame: Blame::Client,
                closes: true,
                help: "Longer than `body_bytes`.",
            },
            Self::BodyTimeout => &Row {
                status: StatusCode::REQUEST_TIMEOUT,
                code: "body_timeout",
                client: "The request body stopped coming.",
                operator: "the request body stopped coming",
                blame: Blame::Client,
                closes: true,
                help: "The request's body stopped coming for `server.timeouts.idle_body`, or the \
                    route's `idle_body`.",
            },
            Self::MalformedBody => &Row {
                status: StatusCode::BAD_REQUEST,
                code: "malformed_body",
                client: "The request body broke its framing, or ended before its end.",
                operator: "the request body broke its framing",
                blame: Blame::Client,
                closes: true,
                help: "The request's body had invalid framing, or the client closed its side of \
                    the connection before the end of the body and received the answer. Over HTTP/2 \
                    the stream is reset instead. A client that is gone is \
                    [`client_left`](#answers-that-ended-early).",
            },
            Self::Misdirected => &Row {
                status: StatusCode::MISDIRECTED_REQUEST,
                code: "misdirected",
                client: "This connection is for another host; open one for this host.",
                operator: "the TLS connection was opened for another host",
                blame: Blame::Client,
                closes: false,
                help: "A request on a TLS connection names a host that the connection was not \
                    opened for: neither the name in the handshake (SNI) nor another name of the \
                    certificate that was presented. Clients retry on another connection.",
            },
            Self::UpgradeNotAllowed => &Row {
                status: StatusCode::NOT_IMPLEMENTED,
                code: "upgrade_not_allowed",
                client: "There is no WebSocket at this path.",
                operator: "the route has no \"websocket\"",
                blame: Blame::Client,
                closes: false,
                help: "A CONNECT of HTTP/2 asked for a WebSocket, and the route has no `websocket \
                    = true`. Over HTTP/1.1 an `Upgrade` is ignored instead, as RFC 9110 defines.",
            },
            Self::RequestTimeout => &Row {
                status: StatusCode::GATEWAY_TIMEOUT,
                code: "request_timeout",
                client: "The request took too long.",
                operator: "the request was not done within",
                blame: Blame::Gateway,
                closes: true,
                help: "Not finished within `server.timeouts.request`, or the route's \
                    `request_timeout`.",
            },
            Self::UpstreamUnreachable => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "there is no connection to the upstream",
                blame: Blame::Upstream,
                closes: false,
                help: "No connection to the upstream: refused, not resolved, or no TLS.",
            },
            Self::UpstreamClosed => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the upstream closed the connection before the response",
                blame: Blame::Upstream,
                closes: false,
                help: "The upstream closed the connection without an answer.",
            },
            Self::UpstreamRefused => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the upstream did not process the request",
                blame: Blame::Upstream,
                closes: false,
                help: "The upstream did not take the request (`REFUSED_STREAM`, `GOAWAY`), or \
                    closed the connection before it was sent. It was [sent \
                    again](traffic.md#requests-that-are-sent-again) twice without success, or \
                    could not be sent again because more than `resend_bytes` of its body had been \
                    taken.",
            },
            Self::UpstreamOverloaded => &Row {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "upstream_overloaded",
                client: "Too many requests wait for the upstream; try again later.",
                operator: "too many requests wait for the upstream",
                blame: Blame::Upstream,
                closes: false,
                help: "Too many requests wait for a connection to the upstream (`max_connections`, \
                    `max_pending`), or `max_requests` are in progress; with `Retry-After`.",
            },
            Self::UpstreamProtocolError => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the response cannot be forwarded",
                blame: Blame::Upstream,
                closes: false,
                help: "The upstream's answer is not a valid HTTP response, or its head is beyond \
                    `response_head_bytes` or `response_head_fields`.",
            },
            Self::UpstreamConnectTimeout => &Row {
                status: StatusCode::GATEWAY_TIMEOUT,
                code: "upstream_timeout",
                client: "The upstream did not answer in time.",
                operator: "there is no connection to the upstream in time",
                blame: Blame::Upstream,
                closes: false,
                help: "No connection within the upstream's `connect_timeout`.",
            },
            Self::UpstreamTimeout => &Row {
                status: StatusCode::GATEWAY_TIMEOUT,
                code: "upstream_timeout",
                client: "The upstream did not answer in time.",
                operator: "there is no response head in time",
                blame: Blame::Upstream,
                closes: false,
                help: "No response head within `response_timeout`, or no whole answer of a \
                       function.",
            },
            Self::EventTooLarge => &Row {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                code: "body_too_large",
                client: "The request body is longer than is allowed here.",
                operator: "the event for the function would be longer than the limit",
                blame: Blame::Client,
                closes: true,
                help: "The event for a function would be longer than `event_bytes`: the body, \
                    which takes a third more in base64, and all else of the request. The function \
                    was not invoked. See [lambda.md](lambda.md).",
            },
            Self::FunctionError => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the function failed",
                blame: Blame::Upstream,
                closes: false,
                help: "The function threw an error, ran out of time or memory, or could not be \
                    loaded. The log has the type of the error and the beginning of its message; \
                    the client gets neither.",
            },
            Self::FunctionAnswer => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the function's answer cannot be forwarded",
                blame: Blame::Upstream,
                closes: false,
                help: "What the function returned is no answer of its format: the log says why. \
                    See [lambda.md](lambda.md#answers).",
            },
            Self::FunctionThrottled => &Row {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "upstream_overloaded",
                client: "Too many requests wait for the upstream; try again later.",
                operator: "the Invoke API does not invoke the function more often (429)",
                blame: Blame::Upstream,
                closes: false,
                help: "The Invoke API answered with 429: the function is invoked as often as it \
                    may be at a time; with `Retry-After`.",
            },
            Self::InvocationRefused => &Row {
                status: StatusCode::BAD_GATEWAY,
                code: "upstream_failed",
                client: "The upstream did not answer.",
                operator: "the Invoke API did not invoke the function",
                blame: Blame::Upstream,
                closes: false,
                help: "The Invoke API answered with another status than 200, which the log has: \
                    404 where it knows no function of that name, 403 where it wants a signature.",
            },
            Self::TooManyFields => &Row {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                code: "too_many_fields",
                client: "The request has more fields than are allowed here.",
                operator: "the request has more fields than the limit",
                blame: Blame::Client,
                closes: false,
                help: "A request over HTTP/2 has more fields than `server.limits.head_fields`.",
            },
            Self::Overloaded => &Row {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "overloaded",
                client: "The gateway is busy.",
                operator: "as many requests as \"limits.requests\" allows are being answered",
                blame: Blame::Gateway,
                closes: false,
                help: "`server.limits.requests` are already in progress.",
            },
            Self::InternalError => &Row {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "internal_error",
                client: "The gateway failed.",
                operator: "the gateway panicked; standard error names the place",
                blame: Blame::Gateway,
                closes: false,
                help: "A defect of the gateway; standard error has its place in the source. Please \
                    report it.",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::telemetry::Label as _;

    #[test]
    fn each_reason_has_a_name_of_its_own() {
        let unique: BTreeSet<_> = Reason::NAMES.iter().collect();
        assert_eq!(unique.len(), Reason::NAMES.len());
    }

    #[test]
    fn a_status_of_the_server_blames_no_client() {
        for reason in Reason::ALL {
            let is_of_server = reason.status().is_server_error();
            let is_client = reason.blame() == Blame::Client;
            // A CONNECT for a WebSocket is not implemented on this route alone.
            let is_exception = *reason == Reason::UpgradeNotAllowed;
            assert_eq!(is_of_server && !is_exception, !is_client, "{reason:?}");
        }
    }
}
