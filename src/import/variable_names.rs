//! The variables to which a document refers.

use std::collections::BTreeSet;

use super::document::Node;
use super::openapi::Api;

/// How a stage variable is named in a text.
const STAGE_VARIABLE: &str = "stageVariables.";

/// The names of the variables of a document.
#[derive(Debug, Default)]
pub(super) struct VariableNames {
    pub(super) known: BTreeSet<String>,
    /// Whether it has functions, which get all stage variables, whatever their names.
    takes_all: bool,
}

impl VariableNames {
    /// Returns those of the servers.
    pub(super) fn of_servers(api: &Api<'_>) -> Self {
        let mut names = Self::default();
        for server in &api.servers {
            let declared = server.node.get("variables").map_or(&[][..], Node::entries);
            let declared = declared.iter().map(|entry| entry.key.to_string());
            names.known.extend(declared);
            let url = server.node.get("url").and_then(Node::text);
            for piece in url.unwrap_or_default().split('{').skip(1) {
                let name = piece.split_once('}').map(|(name, _)| name.to_owned());
                names.known.extend(name);
            }
        }
        names
    }

    /// Returns those of the servers, and the stage variables of an export.
    pub(super) fn of_export(api: &Api<'_>) -> Self {
        let mut names = Self::of_servers(api);
        names.add_below(api.root());
        names
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.takes_all || self.known.contains(name)
    }

    fn add_below(&mut self, node: &Node) {
        for item in node.items() {
            self.add_below(item);
        }
        for entry in node.entries() {
            let text = entry.value.text();
            let is_function = |kind: &str| kind.eq_ignore_ascii_case("aws_proxy");
            self.takes_all |= &*entry.key == "type" && text.is_some_and(is_function);
            self.add_below(&entry.value);
        }
        for piece in node
            .text()
            .unwrap_or_default()
            .split(STAGE_VARIABLE)
            .skip(1)
        {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = piece.find(|c| !is_part(c)).unwrap_or(piece.len());
            let name = piece.get(..end).unwrap_or_default();
            self.known.insert(name.to_owned());
        }
    }
}
