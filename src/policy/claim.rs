//! The claims of a token as plain values: what the gateway needs of JSON, and nothing that knows JSON.

use std::collections::BTreeMap;

/// One claim value. Numbers keep the text of the token, since a header must say what the token said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as the token wrote it.
    Number(Box<str>),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Vec<Claim>),
    /// An object.
    Map(Claims),
}

impl Claim {
    /// The string, if the claim is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The strings of a claim that is one string or an array of nothing but strings; `None` for anything else.
    #[must_use]
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(items) => items.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }
}

/// The members of a JSON object, by name. A name occurs once: the parser refuses duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<Box<str>, Claim>);

impl Claims {
    /// Adds a member; `false` when the name is already there.
    #[must_use]
    pub fn insert(&mut self, name: Box<str>, value: Claim) -> bool {
        self.0.insert(name, value).is_none()
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Claim> {
        self.0.get(name)
    }

    /// A member by its whole name first (`https://example.com/roles`), then by a dotted path into objects
    /// (`realm_access.roles`).
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Claim> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        match self.get(first)? {
            Claim::Map(inner) => inner.find(rest),
            _ => None,
        }
    }

    /// The members in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reaches_into_objects_but_a_whole_name_wins() {
        let text = |t: &str| Claim::Text(t.into());
        let mut inner = Claims::default();
        assert!(inner.insert("roles".into(), text("inner")));
        let mut claims = Claims::default();
        assert!(claims.insert("realm".into(), Claim::Map(inner)));
        assert_eq!(claims.find("realm.roles"), Some(&text("inner")));
        assert_eq!(claims.find("realm.roles.x"), None);
        assert!(claims.insert("realm.roles".into(), text("whole")));
        assert_eq!(claims.find("realm.roles"), Some(&text("whole")));
        assert!(!claims.insert("realm.roles".into(), text("again")));
    }
}
