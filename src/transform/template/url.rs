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
    let behind_scheme = url.split_once("://").map(|(_, rest)| rest);
    let rest = behind_scheme.or(url.strip_prefix("//")).unwrap_or(url);
    rest.contains('/')
}

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
