//! The names of header fields as event 1.0 has them.
//!
//! A function of a REST API sees the names as the client sent them, mostly with capitals. The
//! gateway keeps all names in lower case, as HTTP/2 sends them, so that the usual capitals are
//! given back to those fields that have usual ones.

/// The fields with usual capitals, sorted.
const CAPITALS: &[&str] = &[
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Age",
    "Authorization",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "DNT",
    "DPoP",
    "Date",
    "ETag",
    "Forwarded",
    "From",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Last-Modified",
    "Link",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Prefer",
    "Priority",
    "Range",
    "Referer",
    "Save-Data",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-GPC",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Via",
    "Warning",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amzn-Trace-Id",
    "X-Api-Key",
    "X-Correlation-Id",
    "X-Csrf-Token",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Request-Id",
    "X-Requested-With",
];

/// Returns a name, given in lower case, with its usual capitals; other names stay in lower case.
pub(super) fn capitalized(name: &str) -> &str {
    let mut known = CAPITALS.iter();
    let found = known.find(|known| known.eq_ignore_ascii_case(name));
    found.copied().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_get_their_capitals() {
        for (name, expected) in [
            ("authorization", "Authorization"),
            ("host", "Host"),
            ("content-type", "Content-Type"),
            ("etag", "ETag"),
            ("x-forwarded-for", "X-Forwarded-For"),
            ("x-tenant", "x-tenant"),
            ("__proto__", "__proto__"),
            ("sec-ch-ua", "sec-ch-ua"),
        ] {
            assert_eq!(capitalized(name), expected);
        }
        assert!(CAPITALS.is_sorted());
    }
}
