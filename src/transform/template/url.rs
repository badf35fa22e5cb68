//! The parts of a URL that a template has written so far.

use std::net::Ipv6Addr;

/// Returns the last URL of a field that has other texts as well, as far as it is written: in
/// `Refresh` it begins behind `=`, in `Link` behind `<`, and in both it may be quoted.
pub(super) fn last(text: &str) -> &str {
    let is_end = |c: char| matches!(c, '<' | '>' | '"' | '\'' | ' ' | ',' | ';');
    let rest = text.rsplit(is_end).next().unwrap_or_default();
    match rest.split_once('=') {
        // `url=/…`; a `=` behind a slash or a `?` is one of the URL.
        Some((name, url)) if !name.contains(['/', '?', '#']) => url,
        _ => rest,
    }
}

/// Returns whether what follows is in the path of the URL: behind the slash that ends the host, if
/// it has one, and before the query.
pub(super) fn is_in_path(url: &str) -> bool {
    if url.contains(['?', '#']) {
        return false;
    }
    authority(url).unwrap_or(url).contains(SLASHES)
}

/// Returns whether what follows would be a part of the host of the URL.
pub(super) fn is_in_authority(url: &str) -> bool {
    authority(url).is_some_and(|rest| !rest.contains(['/', '\\', '?', '#']))
}

/// Returns what follows the two slashes of a URL; `None` if it has no host. Browsers read `\` as a
/// slash, and any number of them behind the scheme of a page (the "special" schemes of the URL
/// standard).
pub(super) fn authority(url: &str) -> Option<&str> {
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if !scheme.contains(['/', '\\', '?', '#']) => (scheme, rest),
        _ => ("", url),
    };
    let behind = rest.trim_start_matches(SLASHES);
    let slashes = rest.len() - behind.len();
    let is_special = SPECIAL.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    (slashes > 1 || is_special).then_some(behind)
}

const SLASHES: [char; 2] = ['/', '\\'];

const SPECIAL: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];

/// Returns whether a raw part of a path is one to every reader of a URL. With `//` at its beginning
/// it could name another host, and browsers read `\` as `/`; a route may allow both in its paths.
pub(super) fn is_plain(path: &str) -> bool {
    !path.starts_with('/') && !path.contains("//") && !path.contains('\\')
}

/// Returns whether a text is a host, with or without a port, and nothing else of a URL.
pub(super) fn is_authority(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(host), port)
        }
    };
    is_host && is_port(port)
}

fn is_name(host: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !host.is_empty() && host.bytes().all(is_part)
}

/// Returns whether a text is nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => text.is_empty(),
    }
}
