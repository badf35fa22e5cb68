//! `public_url`: the URL under which clients reach the gateway. It is never derived from a request.

use super::super::reader::Reader;
use crate::net::Url;
use crate::route::HostPattern;

/// Returns the URL of a table: https without a query, or http on this machine.
pub(super) fn public_url(reader: &mut Reader<'_>) -> Option<Url> {
    let text = reader.text("public_url")?;
    let refuse = |why: &str| {
        reader.problem(
            text.span,
            format!("\"public_url\" is \"{}\": {why}", text.text),
        );
    };
    let url = match Url::parse(&text.text) {
        Ok(url) => url,
        Err(error) => {
            refuse(&error.to_string());
            return None;
        }
    };
    if !url.is_tls() && !url.is_loopback() {
        refuse("clients trust the metadata at this URL, so it must be https (RFC 9728 section 3)");
        return None;
    }
    if url.path_and_query().contains(['?', '"', '\\']) {
        refuse("it has a query, or a character that cannot be quoted");
        return None;
    }
    Some(url)
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
