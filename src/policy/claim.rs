//! The claims of a token as plain values: what the gateway needs of JSON, and nothing that knows JSON.

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

/// The members of a JSON object, in the order of their names. A name occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<[(Box<str>, Claim)]>);

impl Claims {
    /// The object of these members; `None` when a name occurs twice. Sorted once: a token has a dozen members, and is
    /// asked for half of them.
    #[must_use]
    pub fn of(mut members: Vec<(Box<str>, Claim)>) -> Option<Self> {
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let twice = members.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        (!twice).then(|| Self(members.into()))
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Claim> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.0.get(found).map(|(_, value)| value)
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
        let inner = Claims::of(vec![("roles".into(), text("inner"))]).unwrap();
        let realm = ("realm".into(), Claim::Map(inner));
        let claims = Claims::of(vec![realm.clone()]).unwrap();
        assert_eq!(claims.find("realm.roles"), Some(&text("inner")));
        assert_eq!(claims.find("realm.roles.x"), None);
        let whole = ("realm.roles".into(), text("whole"));
        let claims = Claims::of(vec![whole.clone(), realm]).unwrap();
        assert_eq!(claims.find("realm.roles"), Some(&text("whole")));
        assert_eq!(Claims::of(vec![whole.clone(), whole]), None);
    }
}
