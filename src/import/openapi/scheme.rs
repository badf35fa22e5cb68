//! The security schemes of a document.

use std::collections::BTreeMap;

use super::error::{ApiError, ApiFault};
use super::spelling;
use super::version::Version;
use crate::import::document::{Allowance, Document, Node, Place};

/// A security scheme.
#[derive(Clone, Debug)]
pub struct Scheme<'d> {
    /// Its name.
    pub name: &'d str,
    /// The place of its name.
    pub place: Place,
    /// Its definition.
    pub node: &'d Node,
    /// Whether the definition is the one that is written: no function in it, or beside it, may change
    /// it.
    pub is_known: bool,
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

/// The security schemes of a document.
#[derive(Debug, Default)]
pub(super) struct Schemes<'d> {
    pub(super) all: Vec<Scheme<'d>>,
    /// Whether these are all, as they stand: no function may add to them or change them.
    pub(super) are_known: bool,
}

/// Returns the security schemes of a document.
pub(super) fn schemes(document: &Document, version: Version) -> Result<Schemes<'_>, ApiError> {
    let keys: &[&'static str] = match version {
        Version::Swagger2 => &["securityDefinitions"],
        Version::OpenApi3 => &["components", "securitySchemes"],
    };
    let mut are_known = true;
    let mut map = document.root();
    for key in keys {
        let Some(next) = map.get(key) else {
            return Ok(Schemes {
                all: Vec::new(),
                are_known,
            });
        };
        map = next;
        if map.get("$ref").is_some() {
            return Err(ApiError::at(map.place, ApiFault::ReferenceHere(key)));
        }
        are_known &= map.intrinsic().is_none();
    }
    if !map.is_map() && are_known {
        let name = keys.last().copied().unwrap_or_default();
        return Err(ApiError::at(map.place, ApiFault::NoMap(name)));
    }
    let mut allowance = Allowance::default();
    let mut all = Vec::with_capacity(map.entries().len());
    for entry in map.entries() {
        let node = document.alone(&entry.value)?;
        if entry.value.get("$ref").is_some() {
            allowance.take(node)?;
        }
        spelling::SCHEME.refuse_other_case(node)?;
        all.push(Scheme {
            name: &entry.key,
            place: entry.place,
            node,
            is_known: are_known && node.elsewhere().is_none(),
        });
    }
    Ok(Schemes { all, are_known })
}
