//! The addresses at which a document says that it is served.

use super::limits::MAX_ADDRESS;
use super::version::{Variables, Version};
use crate::import::document::{Kind, Node, Place};

/// An address of a document, with its variables filled in.
#[derive(Clone, Debug)]
pub struct Server<'d> {
    /// Its place.
    pub place: Place,
    /// Scheme, host and port, such as `https://api.example.com`; empty for an address that is only
    /// a path.
    pub origin: String,
    /// The path, without a slash at its end; empty for the root.
    pub base_path: String,
    /// Its definition; the root of a Swagger 2.0 document.
    pub node: &'d Node,
    /// Whether its address is known. It is not if a variable of it has no value, or a function stands
    /// in its place; origin and path are empty then.
    pub is_known: bool,
}

impl<'d> Server<'d> {
    fn new(node: &'d Node, place: Place, url: Option<String>) -> Self {
        let url = url.filter(|url| is_address(url));
        let is_known = url.is_some();
        let url = url.unwrap_or_default();
        let (origin, path) = match url.split_once("://") {
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                (format!("{scheme}://{host}"), path)
            }
            None => (String::new(), &*url),
        };
        Self {
            place,
            base_path: base_path(path),
            origin,
            node,
            is_known,
        }
    }

    /// Returns the host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        host.split(':').next().unwrap_or_default()
    }
}

pub(super) fn servers<'d>(
    root: &'d Node,
    version: Version,
    variables: &Variables,
) -> Vec<Server<'d>> {
    match version {
        Version::Swagger2 => vec![of_swagger(root)],
        Version::OpenApi3 => {
            let node = root.get("servers");
            // Servers that only a deployment knows.
            if let Some(node) = node.filter(|node| node.elsewhere().is_some()) {
                return vec![Server::new(node, node.place, None)];
            }
            let servers = node.map_or(&[][..], Node::items).iter();
            servers
                .map(|server| of_openapi(server, variables))
                .collect()
        }
    }
}

fn of_swagger(root: &Node) -> Server<'_> {
    let schemes = root.get("schemes").map_or(&[][..], Node::items);
    let has = |name: &str| schemes.iter().any(|scheme| scheme.text() == Some(name));
    let scheme = if has("http") && !has("https") {
        "http"
    } else {
        "https"
    };
    let (host, path) = (text(root, "host"), text(root, "basePath"));
    let url = match (&host, &path) {
        (Some(None), _) | (_, Some(None)) => None,
        (Some(Some(host)), path) => Some(format!(
            "{scheme}://{host}/{}",
            path.flatten().unwrap_or_default()
        )),
        (None, path) => Some(path.flatten().unwrap_or_default().to_owned()),
    };
    let place = root.get("host").map_or(root.place, |host| host.place);
    Server::new(root, place, url)
}

/// Returns the text of a key, if it is there; within, `None` for a value that is no text.
fn text<'d>(node: &'d Node, key: &str) -> Option<Option<&'d str>> {
    let value = node.get(key).filter(|value| value.kind != Kind::Null)?;
    Some(value.text())
}

fn of_openapi<'d>(server: &'d Node, variables: &Variables) -> Server<'d> {
    let url = server.get("url").and_then(Node::text);
    let url = url.filter(|_| server.elsewhere().is_none());
    let url = url.and_then(|url| filled(url, server, variables));
    Server::new(server, server.place, url)
}

/// Returns a URL with the values of its variables, which are not read again; `None` if one has no
/// value, or the whole is too long.
fn filled(url: &str, server: &Node, variables: &Variables) -> Option<String> {
    let mut out = String::new();
    // A query counts for nothing.
    let mut rest = url.split(['?', '#']).next().unwrap_or_default();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let declared = server.find(&["variables", name, "default"]);
        let default = declared.and_then(Node::scalar);
        let value = variables.get(name).map(String::as_str).or(default)?;
        out.push_str(before);
        out.push_str(value);
        if out.len() > MAX_ADDRESS {
            return None;
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn is_address(url: &str) -> bool {
    url.len() <= MAX_ADDRESS && !url.contains(['{', '}']) && !url.contains(char::is_control)
}

/// Returns a path with a slash at its beginning, and none at its end.
fn base_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.fold(String::new(), |path, segment| path + "/" + segment)
}
