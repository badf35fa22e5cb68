//! `public_url`: the URL under which clients reach the gateway. It is never derived from a request.

use crate::config::language::{Key, Reader, Str};
use crate::net::Url;
use crate::route::HostPattern;

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

/// Returns the URL of the paths below a prefix.
pub(super) fn below(url: &Url, prefix: Option<&str>) -> Url {
    let base = url.path_and_query().trim_end_matches('/');
    url.with_path(&format!("{base}{}", prefix.unwrap_or_default()))
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
