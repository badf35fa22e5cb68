//! Rules for trailers, and for fields that HTTP/2 allows and HTTP/1.1 does not.

use http::{HeaderMap, HeaderValue};

use super::hop_by_hop::is_hop_by_hop;
use crate::decision::hygiene::{is_misnamed, is_padded, remove_where};
use crate::transform::{Direction, HeaderRules};

/// Returns whether a field must not occur in trailers, in any spelling that an application may read
/// as the same name: CGI and similar interfaces treat all bytes that are neither letters nor digits
/// as equal.
pub(super) fn is_forbidden(name: &str) -> bool {
    if !name.contains(is_separator) {
        return belongs_in_head(name);
    }
    is_misnamed(name) || belongs_in_head(&name.replace(is_separator, "-"))
}

/// Returns whether CGI and similar interfaces take a character for a hyphen.
fn is_separator(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '-'
}

/// Returns whether a field frames, routes, conditions or authenticates a message, or describes its
/// content (RFC 9110 §6.5.1). An application that joins trailers to the head would trust such a
/// field.
fn belongs_in_head(name: &str) -> bool {
    is_hop_by_hop(name)
        || matches!(
            name,
            // Framing and routing.
            "content-length" | "trailer" | "host" | "via" | "max-forwards"
            // Requests: controls and conditions.
            | "cache-control" | "expect" | "pragma" | "range"
            | "if-match" | "if-none-match" | "if-range"
            | "if-modified-since" | "if-unmodified-since"
            // Authentication.
            | "authorization" | "www-authenticate" | "cookie" | "set-cookie"
            // Responses: control data.
            | "age" | "date" | "expires" | "location" | "retry-after" | "vary" | "warning"
            // Content.
            | "content-encoding" | "content-range" | "content-type"
            // The gateway itself sets these in the head: which responses a page may read, and the
            // request id.
            | "x-request-id"
        )
        || name.starts_with("access-control-")
}

/// Turns the trailers of an upstream's response into those of the client's response. A field that
/// the route's rules remove from heads, or set there, is removed from trailers, too.
pub(in crate::proxy) fn to_client(trailers: &mut HeaderMap, rules: Option<&HeaderRules>) {
    remove_where(trailers, is_forbidden);
    trim(trailers);
    if let Some(rules) = rules {
        rules.remove_claimed(Direction::Response, trailers);
    }
}

/// Trims white space from values. It is tolerated in the messages of an HTTP/2 upstream, but not
/// passed on.
pub(super) fn trim(fields: &mut HeaderMap) {
    for value in fields.values_mut() {
        if is_padded(value)
            && let Ok(trimmed) = HeaderValue::from_bytes(value.as_bytes().trim_ascii())
        {
            *value = trimmed;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::decision::hygiene::has_padded;

    fn fields(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    // RFC 9110 §6.5.1. The trailers of gRPC and checksums are kept.
    #[test]
    fn trailers_say_nothing_that_belongs_in_the_head() {
        let kept = [
            "grpc-status",
            "grpc-message",
            "x-sum",
            "server-timing",
            "etag",
            "digest",
        ];
        let forbidden = [
            "transfer-encoding",
            "content-length",
            "content-type",
            "content-encoding",
            "content-range",
            "trailer",
            "host",
            "connection",
            "keep-alive",
            "upgrade",
            "te",
            "set-cookie",
            "www-authenticate",
            "proxy-authenticate",
            "authorization",
            "location",
            "cache-control",
            "expires",
            "vary",
            "age",
            "date",
            "retry-after",
            "if-none-match",
            "range",
            "max-forwards",
            "via",
            "x-request-id",
            "access-control-allow-origin",
            "set_cookie",
            "set.cookie",
            "if_none_match",
            "content|type",
        ];
        let all: Vec<_> = kept
            .iter()
            .chain(&forbidden)
            .map(|name| (*name, "1"))
            .collect();
        let mut trailers = fields(&all);
        to_client(&mut trailers, None);
        let mut names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = kept;
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn rules_hold_for_trailers_as_well() {
        let rules = HeaderRules {
            remove: vec![HeaderName::from_static("x-internal").into()],
            set: vec![(
                HeaderName::from_static("x-env"),
                HeaderValue::from_static("prod"),
            )],
            add: vec![(
                HeaderName::from_static("x-sum"),
                HeaderValue::from_static("1"),
            )],
            ..HeaderRules::default()
        };
        let mut trailers = fields(&[
            ("x-internal", "a"),
            ("x_internal", "a"),
            ("x-env", "dev"),
            ("x-sum", "7"),
        ]);
        to_client(&mut trailers, Some(&rules));
        assert_eq!(trailers, fields(&[("x-sum", "7")]));
    }

    // RFC 9113 §8.2.1.
    #[test]
    fn white_space_at_the_ends_of_a_value_is_found_and_taken_off() {
        for padded in [" a", "a ", "\ta", "a\t", " ", "\t"] {
            let mut fields = fields(&[("x-a", "b"), ("x-b", padded)]);
            assert!(has_padded(&fields), "{padded:?}");
            trim(&mut fields);
            assert!(!has_padded(&fields), "{padded:?}");
            assert_eq!(fields["x-b"], padded.trim());
        }
        assert!(!has_padded(&fields(&[
            ("x-a", "b c"),
            ("x-b", ""),
            ("x-c", "\u{e9}")
        ])));
    }
}
