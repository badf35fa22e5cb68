//! The addresses at which a document says that it is served.

use super::version::{Variables, Version};
use crate::import::document::{Node, Place};

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
}

impl Server<'_> {
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
            let servers = root.get("servers").map_or(&[][..], Node::items).iter();
            let servers = servers.filter_map(|server| of_openapi(server, variables));
            servers.collect()
        }
    }
}

fn of_swagger(root: &Node) -> Server<'_> {
    let text = |key| root.get(key).and_then(Node::text);
    let schemes = root.get("schemes").map_or(&[][..], Node::items);
    let has = |name: &str| schemes.iter().any(|scheme| scheme.text() == Some(name));
    let scheme = if has("http") && !has("https") {
        "http"
    } else {
        "https"
    };
    let origin = text("host").map(|host| format!("{scheme}://{host}"));
    Server {
        place: root.get("host").map_or(root.place, |host| host.place),
        origin: origin.unwrap_or_default(),
        base_path: base_path(text("basePath").unwrap_or_default()),
        node: root,
    }
}

fn of_openapi<'d>(server: &'d Node, variables: &Variables) -> Option<Server<'d>> {
    let url = filled(server.get("url")?.text()?, server, variables);
    let (origin, path) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            (format!("{scheme}://{host}"), path)
        }
        None => (String::new(), &*url),
    };
    Some(Server {
        place: server.place,
        origin,
        base_path: base_path(path),
        node: server,
    })
}

/// Returns a URL with its variables filled in. One without a value stays as it is.
fn filled(url: &str, server: &Node, variables: &Variables) -> String {
    let mut out = url.to_owned();
    for entry in server.get("variables").map_or(&[][..], Node::entries) {
        let value = variables.get(&*entry.key).map(String::as_str);
        let default = entry.value.get("default").and_then(Node::scalar);
        if let Some(value) = value.or(default) {
            out = out.replace(&format!("{{{}}}", entry.key), value);
        }
    }
    out
}

/// Returns a path with a slash at its beginning, and none at its end.
fn base_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.fold(String::new(), |path, segment| path + "/" + segment)
}
