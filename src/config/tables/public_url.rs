//! `public_url`: the URL under which clients reach the gateway. It is never derived from a request.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::config::language::{Key, Reader, Str};
use crate::net::Url;
use crate::route::HostPattern;

/// The characters that a URL has percent-encoded in its path, as URL libraries write it. A percent
/// sign is none of them: the configuration may have escapes already. Characters beyond ASCII are
/// always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

/// Returns the URL of a table: https without a query, or http on this machine.
pub(super) fn public_url(reader: &mut Reader<'_>, key: &Key<Str>) -> Option<Url> {
    let text = reader.find(key)?;
    let subject = format_args!("\"public_url\" is \"{}\"", text.text);
    let url = reader.accept(text.span, subject, Url::parse(&text.text))?;
    reader.accept(text.span, subject, check(&url))?;
    Some(url)
}

/// Returns an error for a URL that clients cannot trust or that a header cannot quote.
fn check(url: &Url) -> Result<(), &'static str> {
    if !url.is_tls() && !url.is_loopback() {
        return Err(
            "clients trust the metadata at this URL, so it must be https (RFC 9728 section 3)",
        );
    }
    if url.path_and_query().contains(['?', '"', '\\']) {
        return Err("it has a query, or a character that cannot be quoted");
    }
    Ok(())
}

/// Returns the URL of the paths below a prefix, percent-encoded: a header quotes it, and clients
/// compare it with the URL that they use.
pub(super) fn below(url: &Url, prefix: Option<&str>) -> Url {
    let base = url.path_and_query().trim_end_matches('/');
    let path = [base, prefix.unwrap_or_default()].concat();
    url.with_path(&utf8_percent_encode(&path, ENCODED).to_string())
}

/// Returns whether a URL is on the host that a pattern matches. The URL of the gateway is not valid
/// for a route of another host.
pub(super) fn is_for(url: &Url, host: Option<&HostPattern>) -> bool {
    match host {
        None => true,
        Some(HostPattern::Exact(name)) => **name == *url.host(),
        Some(HostPattern::Wildcard(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_below_a_prefix_is_percent_encoded_once() {
        for (url, prefix, expected) in [
            ("https://a.example.com", Some("/x\"y"), "/x%22y"),
            ("https://a.example.com/", Some("/ä"), "/%C3%A4"),
            ("https://a.example.com/%C3%A4", Some("/%22"), "/%C3%A4/%22"),
            (
                "https://a.example.com/é/",
                Some("/<a>`"),
                "/%C3%A9/%3Ca%3E%60",
            ),
            ("https://a.example.com/é/b", None, "/%C3%A9/b"),
            (
                "https://a.example.com/a|b~c",
                Some("/d:e@f"),
                "/a|b~c/d:e@f",
            ),
        ] {
            let url = Url::parse(url).unwrap();
            let found = below(&url, prefix);
            assert_eq!(found, url.with_path(expected));
            assert_eq!(below(&found, None), found);
        }
    }
}
