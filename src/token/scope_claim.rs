//! `scope_claims`: the claims that hold scopes.

use std::fmt;

use crate::policy::{Claim, Claims, ScopeSet};

/// The end of an entry that takes the names of an object's members.
const NAMES: &str = ".*";

/// A claim that holds scopes, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeClaim {
    /// The name or dotted path of the claim.
    pub path: Box<str>,
    /// Set if the names of the object's members are the scopes (`path.*`); otherwise the scopes are
    /// those of a string or a list of strings.
    pub takes_names: bool,
}

impl From<&str> for ScopeClaim {
    /// Reads an entry of `scope_claims`.
    fn from(text: &str) -> Self {
        match text.strip_suffix(NAMES) {
            Some(path) => Self {
                path: path.into(),
                takes_names: true,
            },
            None => Self {
                path: text.into(),
                takes_names: false,
            },
        }
    }
}

impl ScopeClaim {
    /// Returns the scopes that the claims grant by this one. A claim of another type than the entry
    /// takes grants nothing.
    #[must_use]
    pub fn granted_by(&self, claims: &Claims) -> ScopeSet {
        match (claims.find(&self.path), self.takes_names) {
            (Some(Claim::Map(members)), true) => ScopeSet::of_names(given(members)),
            (Some(claim), false) => ScopeSet::granted_by([claim]),
            (_, _) => ScopeSet::default(),
        }
    }
}

/// Returns the names of the members whose values do not say the contrary: an object of flags has
/// `false` for what is not granted.
fn given(members: &Claims) -> impl Iterator<Item = &str> {
    members
        .iter()
        .filter(|(_, value)| !is_nothing(value))
        .map(|(name, _)| name)
}

fn is_nothing(value: &Claim) -> bool {
    match value {
        Claim::Null | Claim::Bool(false) => true,
        Claim::Text(text) => text.is_empty(),
        Claim::List(items) => items.is_empty(),
        Claim::Map(members) => members.iter().next().is_none(),
        Claim::Bool(true) | Claim::Number(_) => false,
    }
}

impl fmt::Display for ScopeClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        f.write_str(if self.takes_names { NAMES } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::parse_object;
    use super::*;

    #[test]
    fn the_names_of_members_are_scopes_on_request() {
        let json = br#"{
            "urn:zitadel:iam:org:project:roles": {"orders.read": {"1": "org.example.com"}, "b c": {"1": "x"}},
            "flags": {"orders.write": true, "no": false, "null": null, "empty": {}, "": [], "none": ""},
            "scope": "a b",
            "nested": {"with.dot": {"roles": {"deep": 1}}}
        }"#;
        let claims = parse_object(json).unwrap();
        for (entry, granted) in [
            ("urn:zitadel:iam:org:project:roles.*", "\"b c\" orders.read"),
            ("urn:zitadel:iam:org:project:roles", ""),
            ("flags.*", "orders.write"),
            ("nested.with.dot.roles.*", "deep"),
            ("nested.with.dot.*", "roles"),
            ("scope", "a b"),
            ("scope.*", ""),
            ("absent.*", ""),
        ] {
            let claim = ScopeClaim::from(entry);
            assert_eq!(claim.granted_by(&claims).to_string(), granted, "{entry}");
            assert_eq!(claim.to_string(), entry);
        }
    }
}
