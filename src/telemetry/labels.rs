//! The closed label sets of the metrics in this room.

use super::label::labels;

labels! {
    /// The protocol of a client connection.
    pub enum ConnectionProtocol {
        /// HTTP/1.0 or HTTP/1.1.
        Http1 = "http1",
        /// HTTP/2.
        Http2 = "http2",
    }
}

labels! {
    /// The level of the token cache at which a token was found.
    pub enum CacheResult {
        /// The worker's own level.
        Worker = "worker_hit",
        /// The shared level.
        Shared = "shared_hit",
        /// Neither level.
        Miss = "miss",
    }
}

labels! {
    /// The result of a reload.
    pub enum Reloaded {
        /// Another snapshot is in force.
        Swapped = "success",
        /// The files have the configuration in force.
        Unchanged = "unchanged",
        /// The files have no valid configuration, or one that cannot take effect.
        Failed = "failure",
    }
}

labels! {
    /// The result of a fetch of an issuer's keys.
    pub enum Refresh {
        /// There are keys.
        Success = "success",
        /// There are none, or the fetch failed.
        Failure = "failure",
    }
}

labels! {
    /// The kind of an upstream's fault.
    pub enum FaultKind {
        /// There is no connection.
        Connect = "connect",
        /// There is no connection, or no response, in time.
        Timeout = "timeout",
        /// The connection ended before the response.
        Closed = "closed",
        /// The response is not valid.
        Protocol = "protocol",
        /// The upstream did not process the request.
        Refused = "refused",
        /// Too many requests are waiting or under way.
        Overloaded = "overloaded",
    }
}

labels! {
    /// The result of the verification of a token: valid, or the check that failed.
    pub enum Verification {
        /// The token authenticates its request.
        Valid = "valid",
        /// There is no token.
        Missing = "missing_token",
        /// There is no token, but a credential of another scheme.
        WrongScheme = "wrong_scheme",
        /// There is more than one token.
        Several = "several_tokens",
        /// The token is longer than the limit.
        TooLong = "token_too_long",
        /// The client sends a placeholder in place of a token.
        Placeholder = "placeholder_token",
        /// The token is no JWT.
        Opaque = "opaque_token",
        /// The token is encrypted.
        Encrypted = "encrypted_token",
        /// The token is not a signed JWT of the right form.
        Malformed = "malformed_token",
        /// The issuer may not use the algorithm.
        Algorithm = "algorithm_not_allowed",
        /// The token is of no issuer of the route.
        UnknownIssuer = "unknown_issuer",
        /// The issuer has no such key.
        UnknownKey = "unknown_key",
        /// The signature does not verify.
        Signature = "bad_signature",
        /// The issuer's keys are not available.
        KeysUnavailable = "keys_unavailable",
        /// The token has expired.
        Expired = "token_expired",
        /// The token is not yet valid.
        NotYetValid = "token_not_yet_valid",
        /// The token is for another audience.
        Audience = "wrong_audience",
        /// The client is not accepted.
        Client = "wrong_client",
        /// The token is of another kind.
        NotAccessToken = "not_an_access_token",
        /// The token is bound to a key whose possession is not checked.
        SenderConstrained = "sender_constrained_token",
        /// A required claim is absent or has another value.
        RequiredClaim = "required_claim",
        /// The token is bound to another client certificate.
        ClientCertificate = "wrong_client_certificate",
    }
}

labels! {
    /// A method with a label of its own; a client can invent any number of others.
    pub(super) enum MethodLabel {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
        Options = "OPTIONS",
        Other = "OTHER",
    }
}

labels! {
    /// The class of the status of a complete response, or the reason for an incomplete one.
    pub(super) enum EndingLabel {
        Informational = "1xx",
        Successful = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
        Cut = "cut",
        Left = "left",
    }
}

labels! {
    /// The moment at which a client left before the end of its answer.
    pub enum Departure {
        /// Before the end of the request's body.
        InBody = "in_body",
        /// While the client waited for the answer.
        BeforeAnswer = "before_answer",
        /// Before the end of the answer.
        InAnswer = "in_answer",
        /// In an event stream, which most often ends in no other way.
        InEventStream = "in_event_stream",
    }
}
