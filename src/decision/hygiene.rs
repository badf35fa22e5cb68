//! The checks of a head before its route is looked for, which are the same for all routes.

use http::header::{COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::{Cause, Refusal, RequestFacts};
use crate::net::Peer;
use crate::snapshot::Route;

/// Checks the head of a request, and gives an HTTP/2 request the form of an HTTP/1.1 request.
///
/// # Errors
/// A [`Refusal`]: 400 or 431.
pub fn admit<'r>(
    head: &'r mut Parts,
    peer: Option<&'r Peer>,
    max_fields: usize,
) -> Result<RequestFacts<'r>, Refusal<'static>> {
    check(head, max_fields).map_err(Refusal::unrouted)?;
    Ok(RequestFacts { head, peer })
}

fn check(head: &mut Parts, max_fields: usize) -> Result<(), Cause> {
    let headers = &mut head.headers;
    if head.version == Version::HTTP_2 {
        if has_padded(headers) {
            return Err(Cause::Padded);
        }
        join_cookies(headers);
        remove_where(headers, is_misnamed);
        if headers.len() > max_fields {
            return Err(Cause::Fields);
        }
    }
    if !is_plainly_framed(headers) {
        return Err(Cause::Framing);
    }
    Ok(())
}

/// Refuses a request whose body is announced with more bytes than its route takes.
///
/// # Errors
/// A [`Refusal`]: 413.
pub fn check_body<'s>(route: &'s Route, announced: u64) -> Result<(), Refusal<'s>> {
    match route.config.body_bytes {
        Some(limit) if announced > limit => Err(Refusal::at(route, Cause::BodyTooLarge)),
        _ => Ok(()),
    }
}

/// Returns whether all parsers read the framing in the same way: `chunked` alone, or a length.
/// Hyper accepts any list that ends in `chunked`; an upstream may not (attacks.md#advisory-8).
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Joins the `Cookie` fields of an HTTP/2 request, which may be several (RFC 9113 §8.2.3), into
/// one: the code that reads cookies expects one field.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in [second].into_iter().chain(crumbs) {
        joined.extend(b"; ");
        joined.extend(crumb.as_bytes());
    }
    // Values that are joined with allowed characters are a value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Returns whether HTTP/1.1 does not allow a name: the HTTP/2 library accepts a quote in a name,
/// although RFC 9113 §8.2.1 forbids it.
pub(crate) fn is_misnamed(name: &str) -> bool {
    name.contains('"')
}

/// Returns whether a value begins or ends with white space, which makes an HTTP/2 message malformed
/// (RFC 9113 §8.2.1): parsers that trim values, as those of HTTP/1.1 do, would read another value.
pub(crate) fn has_padded(fields: &HeaderMap) -> bool {
    fields.values().any(is_padded)
}

pub(crate) fn is_padded(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    is_white_space(bytes.first()) || is_white_space(bytes.last())
}

fn is_white_space(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// Removes fields in one pass: most requests have none to remove, and a lookup of each of three
/// dozen names costs more than all other work on the headers.
pub(crate) fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let mut removed: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if is_removed(name.as_str()) {
            removed.push(name.clone());
        }
    }
    for name in removed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::telemetry::Label as _;

    const MAX: usize = 4;

    fn head(version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut head = Request::new(()).into_parts().0;
        head.version = version;
        for (name, value) in fields {
            let name = HeaderName::from_lowercase(name.as_bytes()).unwrap();
            head.headers
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        head
    }

    #[test]
    fn a_head_is_admitted_or_refused_for_a_reason() {
        use Version as V;
        let many = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
        let quoted = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("\"e", "1")];
        let cookies = [
            ("a", "1"),
            ("b", "1"),
            ("c", "1"),
            ("cookie", "1"),
            ("cookie", "2"),
        ];
        for (version, fields, reason) in [
            (V::HTTP_11, &[][..], None),
            (V::HTTP_2, &[], None),
            (V::HTTP_11, &[("transfer-encoding", "Chunked")], None),
            (
                V::HTTP_11,
                &[("transfer-encoding", "gzip, chunked")],
                Some("invalid_framing"),
            ),
            (
                V::HTTP_10,
                &[("transfer-encoding", "identity")],
                Some("invalid_framing"),
            ),
            (V::HTTP_2, &[("x-a", "b ")], Some("malformed_field")),
            (V::HTTP_2, &[("x-a", "b c")], None),
            // Hyper's parser of HTTP/1.1 takes white space off, and counts the fields itself.
            (V::HTTP_11, &[("x-a", "b ")], None),
            (V::HTTP_11, &many, None),
            (V::HTTP_2, &many, Some("too_many_fields")),
            (V::HTTP_2, &many[..MAX], None),
            // Fields that are removed or joined do not count.
            (V::HTTP_2, &quoted, None),
            (V::HTTP_2, &cookies, None),
            // The first check that fails is the one that is named.
            (
                V::HTTP_2,
                &[
                    ("transfer-encoding", "x "),
                    ("a", "1"),
                    ("b", "1"),
                    ("c", "1"),
                    ("d", "1"),
                ],
                Some("malformed_field"),
            ),
            (
                V::HTTP_2,
                &[
                    ("transfer-encoding", "x"),
                    ("a", "1"),
                    ("b", "1"),
                    ("c", "1"),
                    ("d", "1"),
                ],
                Some("too_many_fields"),
            ),
        ] {
            let mut head = head(version, fields);
            let refused = admit(&mut head, None, MAX).err();
            let found = refused.as_ref().map(|refusal| refusal.reason().name());
            assert_eq!(found, reason, "{version:?} {fields:?}");
        }
    }

    #[test]
    fn only_chunked_alone_is_a_framing() {
        for (values, expected) in [
            (&[][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["cow"], false),
            (&["chunked", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["identity"], false),
        ] {
            let fields: Vec<_> = values
                .iter()
                .map(|value| ("transfer-encoding", *value))
                .collect();
            let head = head(Version::HTTP_11, &fields);
            assert_eq!(is_plainly_framed(&head.headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_head_of_http_2_gets_the_form_of_http_1_1() {
        let fields = [
            ("cookie", "a=1"),
            ("\"x", "1"),
            ("cookie", "b=2"),
            ("x", "1"),
        ];
        let mut head = head(Version::HTTP_2, &fields);
        admit(&mut head, None, MAX).unwrap();
        assert_eq!(head.headers.len(), 2);
        assert_eq!(head.headers["cookie"], "a=1; b=2");
    }
}
