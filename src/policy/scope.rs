//! Scopes as RFC 6749 §3.3 defines them: opaque, case-sensitive tokens that are compared as a
//! whole.

use std::fmt;

use super::Claim;

/// One scope token: one or more of `%x21 / %x23-5B / %x5D-7E` (RFC 6749 §3.3), so that it needs no
/// quoting in a `scope` parameter or in a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// Parses one scope token.
    ///
    /// # Errors
    /// [`ScopeError`] if the text is empty or contains a character that a scope cannot have.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        match text.chars().find(|c| !is_scope_char(*c)) {
            Some(found) => Err(ScopeError::Character(found)),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the scope as it is written in tokens and challenges.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_scope_char(c: char) -> bool {
    matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')
}

/// The reason why a text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// The text is empty; an empty scope would be satisfied by every token or by none.
    Empty,
    /// A character that RFC 6749 §3.3 does not allow: a space, a quotation mark, a backslash, a
    /// control or a non-ASCII character.
    Character(char),
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a scope cannot be empty"),
            Self::Character(' ') => {
                f.write_str("a scope cannot contain a space; several scopes are written as a list")
            }
            Self::Character(c) => write!(f, "a scope cannot contain {c:?} (RFC 6749 section 3.3)"),
        }
    }
}

impl std::error::Error for ScopeError {}

/// The scopes that a token grants. Strings that are not valid scopes (RFC 6749) are kept as they
/// are: they equal no configured [`Scope`], and so grant nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(Box<[Box<str>]>);

impl ScopeSet {
    /// Returns the scopes of space-delimited strings. Only the space separates (RFC 6749 §3.3): a
    /// tab or a comma is part of the string around it, which then matches nothing.
    pub fn of<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scopes: Vec<Box<str>> = Vec::new();
        for text in strings {
            scopes.extend(split(text).map(Box::from));
        }
        scopes.into_boxed_slice().into()
    }

    /// Returns the scopes that claims grant: those of a space-delimited string, and the items of a
    /// list of strings. An item is one scope as a whole: a group "Not admin" is not the group
    /// "admin". A claim of another type grants nothing.
    pub fn granted_by<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut scopes: Vec<Box<str>> = Vec::new();
        for claim in claims {
            match claim {
                Claim::Text(text) => scopes.extend(split(text).map(Box::from)),
                claim => scopes.extend(claim.as_texts().into_iter().flatten().map(Box::from)),
            }
        }
        scopes.into_boxed_slice().into()
    }

    /// Returns the scopes with these names, each of them one scope as a whole.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        names.into_boxed_slice().into()
    }

    /// Returns the scopes of several sets.
    pub fn joined(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut scopes = Vec::new();
        for set in sets {
            scopes.extend(set.0);
        }
        scopes.into_boxed_slice().into()
    }

    /// Returns whether the set grants `scope`. The comparison is of the whole scope and
    /// case-sensitive.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.iter().any(|granted| **granted == *scope.0)
    }

    /// Returns the scopes that are not granted.
    #[must_use]
    pub fn lacking(&self, scopes: &[Scope]) -> Vec<Scope> {
        let lacking = scopes.iter().filter(|scope| !self.contains(scope));
        lacking.cloned().collect()
    }

    /// Returns the scopes in the order of the token.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|token| !token.is_empty())
}

impl From<Box<[Box<str>]>> for ScopeSet {
    fn from(scopes: Box<[Box<str>]>) -> Self {
        Self(scopes)
    }
}

/// Writes the scopes in one line, with quotation marks around an item that is empty or contains a
/// space.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            if scope.is_empty() || scope.contains(' ') {
                write!(f, "{scope:?}")?;
            } else {
                f.write_str(scope)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_token_of_rfc_6749() {
        assert_eq!(
            Scope::parse("com.test.test/test.read").unwrap().as_str(),
            "com.test.test/test.read"
        );
        assert_eq!(Scope::parse(""), Err(ScopeError::Empty));
        for (text, bad) in [
            ("a b", ' '),
            ("a\"b", '"'),
            ("a\\b", '\\'),
            ("a\tb", '\t'),
            ("ä", 'ä'),
        ] {
            assert_eq!(
                Scope::parse(text),
                Err(ScopeError::Character(bad)),
                "{text}"
            );
        }
    }

    #[test]
    fn scopes_match_whole_and_case_sensitively() {
        let granted = ScopeSet::of(["orders.readall  Orders.read", "a\tb,c"]);
        assert!(!granted.contains(&Scope::parse("orders.read").unwrap()));
        assert!(!granted.contains(&Scope::parse("a").unwrap()));
        assert!(granted.contains(&Scope::parse("orders.readall").unwrap()));
        assert_eq!(ScopeSet::of(["", " ", "   "]), ScopeSet::default());
    }

    #[test]
    fn an_item_of_a_list_is_one_scope() {
        let text = |text: &str| Claim::Text(text.into());
        let list = |items: &[&str]| Claim::List(items.iter().map(|item| text(item)).collect());
        let holds = |claim: Claim, scope: &str| {
            ScopeSet::granted_by([&claim]).contains(&Scope::parse(scope).unwrap())
        };
        assert!(holds(text("openid admin"), "admin"));
        assert!(holds(list(&["Not admin", "admin"]), "admin"));
        for items in [
            &["Not admin"][..],
            &["admin "],
            &[" admin"],
            &["admin admin"],
            &["admin\tx"],
            &["admin,x"],
            &["admin\u{a0}"],
            &[""],
            &[],
        ] {
            assert!(!holds(list(items), "admin"), "{items:?}");
        }
        assert!(!holds(
            Claim::List(vec![text("admin"), Claim::Null]),
            "admin"
        ));
        assert!(!holds(Claim::List(vec![list(&["admin"])]), "admin"));
        let set = ScopeSet::granted_by([&text("a b"), &list(&["Not admin", "c"])]);
        assert_eq!(set.to_string(), "a b \"Not admin\" c");
    }

    #[test]
    fn a_set_of_names_has_each_name_as_a_whole() {
        let set = ScopeSet::of_names(["a b", "c"]);
        assert_eq!(set.iter().collect::<Vec<_>>(), ["a b", "c"]);
        let joined = ScopeSet::joined([set, ScopeSet::of(["c d"])]);
        assert_eq!(joined.iter().collect::<Vec<_>>(), ["a b", "c", "c", "d"]);
    }

    #[test]
    fn an_error_says_what_a_scope_cannot_be() {
        let said = |text: &str| Scope::parse(text).unwrap_err().to_string();
        assert_eq!(said(""), "a scope cannot be empty");
        let list = "a scope cannot contain a space; several scopes are written as a list";
        assert_eq!(said("a b"), list);
        assert_eq!(
            said("a\t"),
            "a scope cannot contain '\\t' (RFC 6749 section 3.3)"
        );
    }
}
