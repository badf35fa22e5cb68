//! The reasons for which a client connection, or a stream of one, ended without an answer of the
//! gateway's own.

use super::label::labels;

labels! {
    /// The reason for which a client connection, or a stream of HTTP/2, failed.
    pub enum ConnectionError {
        /// The first bytes are no PROXY header, and the listener requires one of this peer.
        ProxyHeaderMissing = "proxy_header_missing",
        /// The PROXY header is malformed.
        ProxyHeaderMalformed = "proxy_header_malformed",
        /// The PROXY header was not complete in time.
        ProxyHeaderTimeout = "proxy_header_timeout",
        /// The connection begins with a PROXY header that the listener does not expect of this
        /// peer.
        ProxyHeaderUnexpected = "proxy_header_unexpected",
        /// Plain HTTP on a port with TLS.
        TlsPlainHttp = "tls_plain_http",
        /// The first byte is not that of a TLS handshake, nor that of plain HTTP.
        TlsNoHandshake = "tls_no_handshake",
        /// There is no common version of TLS.
        TlsVersion = "tls_version",
        /// There is no common cipher suite, key exchange or signature algorithm.
        TlsCipher = "tls_cipher",
        /// There is no common application protocol (ALPN).
        TlsProtocol = "tls_protocol",
        /// The client refused a certificate that is not for the name that it asked for.
        TlsUnknownName = "tls_unknown_name",
        /// The client refused the gateway's certificate.
        TlsCertificateRefused = "tls_certificate_refused",
        /// The client has no certificate, and the listener requires one.
        TlsClientCertificateMissing = "tls_client_certificate_missing",
        /// The client's certificate is of an authority that the listener does not trust.
        TlsClientCertificateUntrusted = "tls_client_certificate_untrusted",
        /// The client's certificate has expired, or is not yet valid.
        TlsClientCertificateExpired = "tls_client_certificate_expired",
        /// The client's certificate is malformed, for another purpose, or wrongly signed.
        TlsClientCertificateInvalid = "tls_client_certificate_invalid",
        /// The client ended the handshake with an alert that is not about a certificate.
        TlsAlert = "tls_alert",
        /// The client broke the protocol of TLS.
        TlsMalformed = "tls_malformed",
        /// The handshake did not end in time.
        TlsTimeout = "tls_timeout",
        /// A TLS handshake on a port without TLS.
        HeadIsTls = "head_is_tls",
        /// The method of an HTTP/1.1 request is malformed.
        HeadMethod = "head_method",
        /// The target of an HTTP/1.1 request is malformed.
        HeadTarget = "head_target",
        /// The version of a request is missing, or is neither 1.0 nor 1.1.
        HeadVersion = "head_version",
        /// A field of an HTTP/1.1 head is malformed.
        HeadField = "head_field",
        /// `Content-Length` or `Transfer-Encoding` is malformed, or they contradict each other.
        HeadFraming = "head_framing",
        /// An HTTP/1.1 head is too long, or has too many fields.
        HeadTooLarge = "head_too_large",
        /// The target alone is longer than the parser accepts.
        HeadTargetTooLong = "head_target_too_long",
        /// A head was not complete in time.
        HeadTimeout = "head_timeout",
        /// An HTTP/2 connection does not begin as RFC 9113 §3.4 requires.
        Http2Preface = "http2_preface",
        /// The client broke the protocol of HTTP/2.
        Http2Protocol = "http2_protocol",
        /// A frame is too long.
        Http2FrameSize = "http2_frame_size",
        /// The client sent more than its window.
        Http2FlowControl = "http2_flow_control",
        /// The client sent too many frames that carry no request.
        Http2Flood = "http2_flood",
        /// A stream does not carry a valid request.
        Http2MalformedRequest = "http2_malformed_request",
        /// The head of a request is too long: of a stream, or so that the connection ended.
        Http2HeadTooLarge = "http2_head_too_large",
        /// A stream is beyond the number that a connection may have open.
        Http2TooManyStreams = "http2_too_many_streams",
        /// The client answered no PING.
        Http2PingTimeout = "http2_ping_timeout",
        /// The client did not close the connection after it was told to.
        Http2GoawayTimeout = "http2_goaway_timeout",
        /// The client left before the steps before HTTP were complete.
        LeftInHandshake = "left_in_handshake",
        /// The client left before the head of its request was complete.
        LeftInHead = "left_in_head",
        /// The client left while a request was in progress, which has a record of its own.
        LeftInRequest = "left_in_request",
        /// The client read nothing for too long.
        WriteTimeout = "write_timeout",
        /// The connection had no request for too long.
        IdleTimeout = "idle_timeout",
        /// An answer was cut off, and the connection with it; the request has a record of its own.
        AnswerCut = "answer_cut",
        /// Any other error.
        Other = "other",
    }
}
