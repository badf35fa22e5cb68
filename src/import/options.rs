//! What the caller of an import states.

use std::collections::BTreeMap;

use super::openapi::Variables;

/// The part of a request's path that the document's own address has, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasePath {
    /// The stage: the prefix of the group, which upstreams do not get.
    Stage,
    /// Nothing: clients send paths without it, as under a domain of their own.
    Ignore,
    /// The beginning of each path, which upstreams get.
    Prepend,
    /// Its first segment is nothing, and the rest is the beginning of each path.
    Split,
}

/// What the caller of an import states beside the document.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of the document in comments.
    pub file: String,
    /// Values of stage variables, and of variables of the document's servers.
    pub variables: Variables,
    /// Issuers of security schemes, by the name of the scheme.
    pub issuers: BTreeMap<String, String>,
    /// Audiences of security schemes, by the name of the scheme.
    pub audiences: BTreeMap<String, Vec<String>>,
    /// Set if restrictions by network are enforced elsewhere.
    pub accepts_policy: bool,
    /// What becomes of the base path, if that is stated.
    pub base_path: Option<BasePath>,
}

/// Where requests of the group's routes come from, and go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The beginning of clients' paths; empty for none.
    pub(super) text: String,
    /// Whether upstreams do not get it.
    pub(super) is_stripped: bool,
}

impl BasePath {
    /// Returns the prefix for a base path: empty, or with a slash at its beginning alone.
    pub(super) fn prefix(self, base_path: &str) -> Prefix {
        let rest = base_path.get(1..).and_then(|path| path.find('/'));
        let rest = rest.and_then(|at| base_path.get(at + 1..));
        let (text, is_stripped) = match self {
            Self::Stage => (base_path, true),
            Self::Ignore => ("", true),
            Self::Prepend => (base_path, false),
            Self::Split => (rest.unwrap_or_default(), false),
        };
        Prefix {
            text: text.to_owned(),
            is_stripped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_a_stage_or_a_beginning() {
        for (mode, path, text, is_stripped) in [
            (BasePath::Stage, "/dev", "/dev", true),
            (BasePath::Stage, "", "", true),
            (BasePath::Ignore, "/dev", "", true),
            (BasePath::Prepend, "/v1/a", "/v1/a", false),
            (BasePath::Split, "/v1/a/b", "/a/b", false),
            (BasePath::Split, "/v1", "", false),
        ] {
            let prefix = mode.prefix(path);
            assert_eq!(
                (&*prefix.text, prefix.is_stripped),
                (text, is_stripped),
                "{mode:?}"
            );
        }
    }
}
