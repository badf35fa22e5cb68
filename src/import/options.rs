//! What the caller of an import states.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::openapi::{Api, Variables};
use super::variable_names::VariableNames;

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

/// An option that names something that the document does not have, or has an impossible value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// A name that the document does not have: the option, the name, and what it could name.
    Unknown(&'static str, String, Vec<String>),
    /// An audience of a scheme that no token can have.
    Audience(String, String),
}

/// How many names a message lists.
const MAX_LISTED: usize = 20;

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(option, name, known) => {
                write!(f, "`{option} {name}=…`: the document has no {name:?}, ")?;
                match known.as_slice() {
                    [] => write!(f, "and nothing else that the option can name"),
                    known => {
                        let listed: Vec<_> = known.iter().take(MAX_LISTED).collect();
                        write!(f, "but {listed:?}")
                    }
                }
            }
            Self::Audience(scheme, value) => write!(
                f,
                "`--audience {scheme}={value}`: {value:?} is no audience of a token"
            ),
        }
    }
}

impl Options {
    /// Refuses an option that names no scheme or variable of the document.
    ///
    /// # Errors
    /// Returns the first of them.
    pub(super) fn check(&self, api: &Api<'_>, names: &VariableNames) -> Result<(), OptionError> {
        let schemes: BTreeSet<&str> = api.schemes.iter().map(|scheme| scheme.name).collect();
        let unknown = |name: &&String| !schemes.contains(name.as_str());
        let issuers = self.issuers.keys().map(|name| ("--issuer", name));
        let audiences = self.audiences.keys().map(|name| ("--audience", name));
        if let Some((option, name)) = issuers.chain(audiences).find(|(_, name)| unknown(name)) {
            let known = schemes.iter().map(|name| (*name).to_owned()).collect();
            return Err(OptionError::Unknown(option, name.clone(), known));
        }
        for (scheme, values) in &self.audiences {
            if let Some(value) = values.iter().find(|value| !is_audience(value)) {
                return Err(OptionError::Audience(scheme.clone(), value.clone()));
            }
        }
        let mut variables = self.variables.keys();
        match variables.find(|name| !names.has(name)) {
            Some(name) => {
                let known = names.known.iter().cloned().collect();
                Err(OptionError::Unknown("--var", name.clone(), known))
            }
            None => Ok(()),
        }
    }
}

/// Returns whether a text can be an audience of tokens. `any` is a word of the configuration.
pub(super) fn is_audience(text: &str) -> bool {
    !text.is_empty() && text != "any" && text.bytes().all(|b| b.is_ascii_graphic())
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
