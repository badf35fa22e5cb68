//! Protected resources and their metadata (RFC 9728): the routes under one URL, the issuers whose
//! tokens they accept, and the scopes that they require.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use serde::Serialize;

use crate::config::{Config, Listener, Route};
use crate::net::Url;
use crate::policy::Scope;
use crate::route::Pattern;
use crate::token::Source;

/// The path of metadata, before the path of the resource (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A protected resource and its metadata.
#[derive(Debug)]
pub struct Resource {
    url: Url,
    path: Box<str>,
    /// The URL of the metadata, for challenges (RFC 9728 §5.1).
    pub metadata_url: Box<str>,
    /// The metadata, as JSON.
    pub metadata: Bytes,
}

/// The members of the metadata (RFC 9728 §2). Empty lists are left out (RFC 9728 §3.2).
#[derive(Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bearer_methods_supported: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}

/// The resources of a configuration, each once.
#[derive(Debug, Default)]
pub struct Resources {
    pub(super) list: Vec<Resource>,
    by_url: HashMap<Url, usize>,
    /// The resources by the path of their metadata, without paths that a route has.
    by_path: HashMap<Box<str>, Vec<usize>>,
}

impl Resources {
    /// Collects the resources in one pass over the routes, for any number of resources.
    pub(super) fn new(config: &Config) -> Self {
        let mut this = Self::default();
        let mut routes: Vec<(&Url, Vec<&Route>)> = Vec::new();
        for route in &config.routes {
            let Some(url) = &route.resource else { continue };
            let index = *this.by_url.entry(url.clone()).or_insert(routes.len());
            match routes.get_mut(index) {
                Some((_, routes)) => routes.push(route),
                None => routes.push((url, vec![route])),
            }
        }
        let mut issuers = HashMap::new();
        for issuer in &config.issuers {
            let name = &issuer.name;
            let url = config.dev.issuer_urls.get(name);
            issuers.insert(&**name, url.map_or(&*issuer.entry.issuer, |url| url));
        }
        for (url, routes) in &routes {
            this.list.push(Resource::new(config, &issuers, url, routes));
        }
        let patterns = config.routes.iter().map(|route| &route.pattern);
        let routed: Vec<&Pattern> = patterns
            .filter(|pattern| pattern.as_str().starts_with(WELL_KNOWN))
            .collect();
        for (index, resource) in this.list.iter().enumerate() {
            if !is_among(&resource.path, &routed) {
                let found = this.by_path.entry(resource.path.clone()).or_default();
                found.push(index);
            }
        }
        this
    }

    /// Returns the resource whose metadata has this path, unless a route has the same path. The
    /// host of the request only chooses among several resources with one path: the metadata comes
    /// from the configuration alone.
    pub(super) fn find(&self, host: Option<&str>, path: &str) -> Option<&Resource> {
        if !path.starts_with(WELL_KNOWN) {
            return None;
        }
        let indices = self.by_path.get(path)?;
        for index in indices {
            let resource = self.list.get(*index)?;
            if host.is_some_and(|host| host.eq_ignore_ascii_case(resource.url.host())) {
                return Some(resource);
            }
        }
        match **indices {
            [only] => self.list.get(only),
            _ => None,
        }
    }

    /// Returns the index of a resource.
    pub(super) fn position(&self, url: &Url) -> Option<usize> {
        self.by_url.get(url).copied()
    }
}

/// Returns whether one of the patterns is this path, in any spelling.
fn is_among(path: &str, patterns: &[&Pattern]) -> bool {
    let Ok(path) = Pattern::parse(path) else {
        return false;
    };
    patterns.iter().any(|pattern| pattern.same_shape(&path))
}

/// Returns whether a path is one of metadata: a client may look there for the metadata of a
/// resource, whether or not there is any.
#[must_use]
pub fn is_metadata_path(path: &str) -> bool {
    match path.strip_prefix(WELL_KNOWN) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl Resource {
    /// Returns the URL under which clients reach it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Creates the resource of these routes. `issuers` maps the names of issuers in the
    /// configuration to their `iss`, or to the URL of the embedded issuer.
    fn new(config: &Config, issuers: &HashMap<&str, &str>, url: &Url, routes: &[&Route]) -> Self {
        let mut scopes = BTreeSet::new();
        for route in routes {
            for (_, requirement) in &route.methods {
                scopes.extend(requirement.scopes().into_iter().map(Scope::as_str));
            }
        }
        let mut listeners = config.server.listeners.iter();
        let text = identifier(url);
        let metadata = Metadata {
            resource: &text,
            authorization_servers: authorization_servers(issuers, routes),
            scopes_supported: scopes.into_iter().collect(),
            bearer_methods_supported: bearer_methods(routes),
            tls_client_certificate_bound_access_tokens: listeners.any(asks_for_certificates),
        };
        // Strings always serialize.
        let metadata = serde_json::to_vec(&metadata).unwrap_or_default().into();
        let path = format!("{WELL_KNOWN}{}", url.path_and_query().trim_end_matches('/'));
        let metadata_url = url.with_path(&path).to_string().into();
        Self {
            url: url.clone(),
            path: path.into(),
            metadata_url,
            metadata,
        }
    }
}

/// Returns the `iss` of each issuer of the routes, once and in order.
fn authorization_servers<'a>(issuers: &HashMap<&str, &'a str>, routes: &[&Route]) -> Vec<&'a str> {
    let mut servers = Vec::new();
    let mut seen = HashSet::new();
    for name in routes.iter().flat_map(|route| &route.issuers) {
        if let Some(issuer) = issuers.get(&**name)
            && seen.insert(*issuer)
        {
            servers.push(*issuer);
        }
    }
    servers
}

/// Returns the ways in which the routes accept tokens. RFC 6750 has no name for a cookie; "header"
/// is the closest.
fn bearer_methods(routes: &[&Route]) -> Vec<&'static str> {
    let (mut in_header, mut in_query) = (false, false);
    for source in routes.iter().flat_map(|route| &route.token_from) {
        match source {
            Source::Query(_) => in_query = true,
            _ => in_header = true,
        }
    }
    let mut methods = Vec::new();
    if in_header {
        methods.push("header");
    }
    if in_query {
        methods.push("query");
    }
    methods
}

fn asks_for_certificates(listener: &Listener) -> bool {
    match &listener.tls {
        Some(acceptor) => acceptor.asks_for_certificates(),
        None => false,
    }
}

/// Returns the identifier of a resource: its URL, without a final slash that stands for an empty
/// path (RFC 9728 §1.2).
fn identifier(url: &Url) -> String {
    let mut text = url.to_string();
    if text.ends_with('/') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[server]
public_url = "https://api.example.com"
[issuers.a]
issuer = "https://a.example.com/"
audience = "api"
[issuers.b]
issuer = "https://b.example.com/"
audience = "api"
[upstreams.u]
url = "http://u"
[defaults]
upstream = "u"
issuer = "a"
[[routes]]
path = "/orders"
methods = { GET = "read", POST = ["write", "read"] }
[[routes]]
path = "/healthz"
public = true
[[routes]]
path = "/other"
host = "other.example.com"
scopes = "other"
[[groups]]
prefix = "/mcp"
issuer = ["b", "a"]
token_from = ["authorization:bearer", "query:token"]
[[groups.routes]]
path = "/**"
authenticated = true
[[groups]]
host = "*.tenants.example.com"
public_url = "https://tenants.example.com/v1/"
[[groups.routes]]
path = "/x"
scopes = "x"
[[groups]]
prefix = "/open"
[[groups.routes]]
path = "/"
public = true
[[groups]]
prefix = "/any"
[[groups.routes]]
path = "/"
authenticated = true
"#;

    #[test]
    fn each_resource_tells_its_issuers_and_scopes() {
        let config = Config::parse(FILE, "gateway.toml").unwrap();
        let all = Resources::new(&config).list;
        let told: Vec<(&str, serde_json::Value)> = all
            .iter()
            .map(|resource| {
                (
                    &*resource.metadata_url,
                    serde_json::from_slice(&resource.metadata).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told[0].0,
            "https://api.example.com/.well-known/oauth-protected-resource"
        );
        assert_eq!(
            told[0].1,
            serde_json::json!({
                "resource": "https://api.example.com",
                "authorization_servers": ["https://a.example.com/"],
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header"],
            })
        );
        assert_eq!(
            told[1].0,
            "https://api.example.com/.well-known/oauth-protected-resource/mcp"
        );
        assert_eq!(told[1].1["resource"], "https://api.example.com/mcp");
        assert_eq!(
            told[1].1["authorization_servers"],
            serde_json::json!(["https://b.example.com/", "https://a.example.com/"])
        );
        assert_eq!(
            told[1].1["bearer_methods_supported"],
            serde_json::json!(["header", "query"])
        );
        assert_eq!(told[2].1["resource"], "https://tenants.example.com/v1");
        assert_eq!(
            told[3].1,
            serde_json::json!({
                "resource": "https://api.example.com/any",
                "authorization_servers": ["https://a.example.com/"],
                "bearer_methods_supported": ["header"],
            }),
            "an empty list is left out"
        );
        assert_eq!(
            told.len(),
            4,
            "a route for another host is not reached under the gateway's URL, and a public one \
             needs no metadata: {told:?}"
        );
    }

    #[test]
    fn an_issuer_with_two_entries_is_told_once() {
        let second = "[issuers.c]\nissuer = \"https://a.example.com/\"\naudience = \"c\"\n";
        let route = "[[routes]]\npath = \"/c\"\nissuer = [\"c\", \"b\"]\nscopes = \"c\"\n";
        let file = FILE.replacen("[[routes]]", &format!("{second}{route}[[routes]]"), 1);
        let config = Config::parse(&file, "gateway.toml").unwrap();
        let all = Resources::new(&config).list;
        let told: serde_json::Value = serde_json::from_slice(&all[0].metadata).unwrap();
        let servers = serde_json::json!(["https://a.example.com/", "https://b.example.com/"]);
        assert_eq!(told["authorization_servers"], servers);
    }

    #[test]
    fn a_path_of_metadata_is_the_well_known_one_or_below_it() {
        for (path, expected) in [
            ("/.well-known/oauth-protected-resource", true),
            ("/.well-known/oauth-protected-resource/", true),
            ("/.well-known/oauth-protected-resource/a/b", true),
            ("/.well-known/oauth-protected-resources", false),
            ("/.well-known/oauth-protected-resource.json", false),
            ("/.well-known", false),
            ("/a/.well-known/oauth-protected-resource", false),
        ] {
            assert_eq!(is_metadata_path(path), expected, "{path}");
        }
    }

    #[test]
    fn the_host_of_a_request_only_chooses() {
        let config = Config::parse(FILE, "gateway.toml").unwrap();
        let all = Resources::new(&config);
        let find = |host, path| all.find(host, path).map(|resource| &*resource.metadata_url);
        let mcp = "/.well-known/oauth-protected-resource/mcp";
        let expected = Some("https://api.example.com/.well-known/oauth-protected-resource/mcp");
        for host in [Some("api.example.com"), Some("evil.example.com"), None] {
            assert_eq!(find(host, mcp), expected, "{host:?}");
        }
        assert_eq!(
            find(None, "/.well-known/oauth-protected-resource/none"),
            None
        );
        assert_eq!(find(None, "/mcp"), None);
    }
}
