//! The fields that are about one connection, and go no further (RFC 9110 §7.6.1).

/// Returns whether a field is hop-by-hop, apart from the fields that `Connection` names.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}
