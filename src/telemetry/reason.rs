//! The names of the reasons of refusals. `decision` has the row of each.

use super::label::labels;

labels! {
    /// The reason of a refusal as logs and metrics name it, which is more exact than the code that
    /// the client gets.
    pub enum Reason {
        /// There is no token in the places where the route looks for one.
        MissingToken = "missing_token",
        /// There is no token, but a credential of another scheme.
        WrongScheme = "wrong_scheme",
        /// The request has more than one token.
        SeveralTokens = "several_tokens",
        /// The token is longer than the limit.
        TokenTooLong = "token_too_long",
        /// The client sends a placeholder in place of a token.
        PlaceholderToken = "placeholder_token",
        /// The token is no JWT.
        OpaqueToken = "opaque_token",
        /// The token is encrypted.
        EncryptedToken = "encrypted_token",
        /// The token is not a signed JWT of the right form.
        MalformedToken = "malformed_token",
        /// The issuer may not use the algorithm.
        AlgorithmNotAllowed = "algorithm_not_allowed",
        /// The token is of no issuer of the route.
        UnknownIssuer = "unknown_issuer",
        /// The issuer has no such key.
        UnknownKey = "unknown_key",
        /// The signature does not verify.
        BadSignature = "bad_signature",
        /// The token has expired.
        TokenExpired = "token_expired",
        /// The token is not yet valid.
        TokenNotYetValid = "token_not_yet_valid",
        /// The token is for another audience.
        WrongAudience = "wrong_audience",
        /// The token was issued to a client that is not accepted.
        WrongClient = "wrong_client",
        /// The token is of another kind.
        NotAnAccessToken = "not_an_access_token",
        /// A required claim is absent or has another value.
        RequiredClaim = "required_claim",
        /// The connection does not have the certificate that the token is bound to.
        WrongClientCertificate = "wrong_client_certificate",
        /// The token is bound to a key whose possession is not checked.
        SenderConstrainedToken = "sender_constrained_token",
        /// The issuer's keys are not available.
        KeysUnavailable = "keys_unavailable",
        /// The token does not grant the scopes.
        InsufficientScope = "insufficient_scope",
        /// A page of another site may have made the request.
        CrossSiteRequest = "cross_site_request",
        /// The route's rewrite has no path for the request.
        UnmappableRequest = "unmappable_request",
        /// The path can be read in two ways.
        AmbiguousPath = "ambiguous_path",
        /// The route denies every request.
        RouteDenied = "route_denied",
        /// No route has the path.
        NoRoute = "no_route",
        /// The path may be read as one of a stricter route.
        ShadowedPath = "shadowed_path",
        /// The path has no route for the method.
        MethodNotAllowed = "method_not_allowed",
        /// The target is longer than the limit.
        TargetTooLong = "target_too_long",
        /// The target is no path.
        MalformedTarget = "malformed_target",
        /// The host is missing, repeated or invalid.
        InvalidHost = "invalid_host",
        /// Parsers could read the framing differently.
        InvalidFraming = "invalid_framing",
        /// A field of HTTP/2 begins or ends with white space.
        MalformedField = "malformed_field",
        /// The body is longer than the limit.
        BodyTooLarge = "body_too_large",
        /// The body stopped coming.
        BodyTimeout = "body_timeout",
        /// The body broke its framing or ended early.
        MalformedBody = "malformed_body",
        /// The TLS connection was opened for another host.
        Misdirected = "misdirected",
        /// The route allows no WebSocket.
        UpgradeNotAllowed = "upgrade_not_allowed",
        /// The request took longer than the limit.
        RequestTimeout = "request_timeout",
        /// There is no connection to the upstream.
        UpstreamUnreachable = "upstream_unreachable",
        /// The upstream closed the connection.
        UpstreamClosed = "upstream_closed",
        /// The upstream did not process the request.
        UpstreamRefused = "upstream_refused",
        /// Too many requests are at the upstream.
        UpstreamOverloaded = "upstream_overloaded",
        /// The response is not valid.
        UpstreamProtocolError = "upstream_protocol_error",
        /// The upstream accepts no connection in time.
        UpstreamConnectTimeout = "upstream_connect_timeout",
        /// The upstream does not answer in time.
        UpstreamTimeout = "upstream_timeout",
        /// The event for a function is longer than the limit.
        EventTooLarge = "event_too_large",
        /// The function failed.
        FunctionError = "function_error",
        /// The answer of a function cannot be forwarded.
        FunctionAnswer = "function_answer",
        /// A function is invoked as often as it may be.
        FunctionThrottled = "function_throttled",
        /// The Invoke API did not invoke the function.
        InvocationRefused = "invocation_refused",
        /// The head has more fields than the limit.
        TooManyFields = "too_many_fields",
        /// The gateway has as many requests as it may have.
        Overloaded = "overloaded",
        /// The gateway panicked.
        InternalError = "internal_error",
    }
}

impl Reason {
    /// The reasons about a token whose signature is not verified. Clients do not learn which of
    /// them it was: any sender can have written the token.
    pub const UNVERIFIED: [Self; 9] = [
        Self::TokenTooLong,
        Self::PlaceholderToken,
        Self::OpaqueToken,
        Self::EncryptedToken,
        Self::MalformedToken,
        Self::AlgorithmNotAllowed,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::BadSignature,
    ];
}
