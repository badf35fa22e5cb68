//! The security schemes of a document.

use std::collections::BTreeMap;

use super::error::{ApiError, ApiFault};
use super::version::Version;
use crate::import::document::{Document, Node, Place};

/// A security scheme.
#[derive(Clone, Debug)]
pub struct Scheme<'d> {
    /// Its name.
    pub name: &'d str,
    /// The place of its name.
    pub place: Place,
    /// Its definition.
    pub node: &'d Node,
}

impl<'d> Scheme<'d> {
    /// Returns its type, such as `oauth2`.
    #[must_use]
    pub fn kind(&self) -> Option<&'d str> {
        self.text("type")
    }

    /// Returns the text of a key of its definition.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'d str> {
        self.node.get(key)?.text()
    }

    /// Returns the scopes that its flows define, with their places; `None` if it does not define
    /// scopes at all.
    #[must_use]
    pub fn scopes(&self) -> Option<BTreeMap<&'d str, Place>> {
        if self.kind() != Some("oauth2") {
            return None;
        }
        let flows = self.node.get("flows").map_or(&[][..], Node::entries);
        let of_flows = flows.iter().filter_map(|flow| flow.value.get("scopes"));
        let of_version_2 = self.node.get("scopes");
        let maps = of_flows.chain(of_version_2);
        let entries = maps.flat_map(Node::entries);
        Some(entries.map(|entry| (&*entry.key, entry.place)).collect())
    }
}

/// Returns the security schemes of a document.
pub(super) fn schemes(document: &Document, version: Version) -> Result<Vec<Scheme<'_>>, ApiError> {
    let keys: &[&str] = match version {
        Version::Swagger2 => &["securityDefinitions"],
        Version::OpenApi3 => &["components", "securitySchemes"],
    };
    let Some(map) = document.root().find(keys) else {
        return Ok(Vec::new());
    };
    if !map.is_map() {
        let name = keys.last().copied().unwrap_or_default();
        return Err(ApiError::at(map.place, ApiFault::NoMap(name)));
    }
    let mut schemes = Vec::with_capacity(map.entries().len());
    for entry in map.entries() {
        schemes.push(Scheme {
            name: &entry.key,
            place: entry.place,
            node: document.resolve(&entry.value)?,
        });
    }
    Ok(schemes)
}
