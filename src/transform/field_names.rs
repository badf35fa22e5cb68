//! Names of fields as an upstream may read them, and sets of them.

use std::collections::HashSet;
use std::fmt;

use http::HeaderName;

/// Returns whether an upstream may take two field names for the same: two names are *twins* if they
/// differ only in bytes that are neither letters nor digits. CGI, FastCGI and WSGI servers turn a
/// name into a variable and write `_` for `-`; lighttpd does so for each of these bytes, PHP for
/// `.`. None of them drops or adds a byte, so twins have the same length. Field names are in lower
/// case already.
#[must_use]
pub fn is_twin(a: &str, b: &str) -> bool {
    a.len() == b.len() && starts_with_twin(a, b)
}

/// Returns whether a name begins with a prefix or with a twin of it. For speed, the last byte is
/// compared first, since it tells most names apart, and then the whole prefix as most clients
/// spell it.
pub(super) fn starts_with_twin(name: &str, prefix: &str) -> bool {
    let Some(head) = name.as_bytes().get(..prefix.len()) else {
        return false;
    };
    let prefix = prefix.as_bytes();
    let (Some(a), Some(b)) = (head.last(), prefix.last()) else {
        return true;
    };
    is_same_to_upstreams(*a, *b) && (head == prefix || are_twins(head, prefix))
}

fn are_twins(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(a, b)| is_same_to_upstreams(*a, *b))
}

fn is_same_to_upstreams(a: u8, b: u8) -> bool {
    a == b || !a.is_ascii_alphanumeric() && !b.is_ascii_alphanumeric()
}

/// The name of a field, or the prefix of the names of several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldPattern {
    /// One name.
    Name(HeaderName),
    /// All names that begin with this prefix, which ends in a hyphen: `x-amzn-oidc-` for
    /// `x-amzn-oidc-*`.
    Prefix(HeaderName),
}

impl FieldPattern {
    /// Returns whether the pattern matches a field name or a twin of it.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => is_twin(name, own.as_str()),
            Self::Prefix(prefix) => starts_with_twin(name, prefix.as_str()),
        }
    }

    /// Returns the lengths of the names that the pattern matches, as the bits of
    /// [`FieldSet::lengths`].
    fn lengths(&self) -> u64 {
        match self {
            Self::Name(name) => length_bit(name.as_str().len()),
            Self::Prefix(prefix) => length_bit(prefix.as_str().len()).wrapping_neg(),
        }
    }
}

impl fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl From<HeaderName> for FieldPattern {
    fn from(name: HeaderName) -> Self {
        Self::Name(name)
    }
}

/// A set of fields that a client may not send, in any spelling. The length of a name is compared
/// first: most fields of most requests have a length that no name in the configuration has.
#[derive(Debug, Default)]
pub struct FieldSet {
    patterns: Vec<FieldPattern>,
    /// A bit for each length that a member may have; the last bit stands for 63 bytes and more.
    lengths: u64,
}

impl FieldSet {
    /// Returns whether a field of this name, or of a twin of it, is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.lengths & length_bit(name.len()) != 0
            && self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl FromIterator<FieldPattern> for FieldSet {
    fn from_iter<I: IntoIterator<Item = FieldPattern>>(patterns: I) -> Self {
        // Thousands of routes may name the same few fields.
        let unique: HashSet<FieldPattern> = patterns.into_iter().collect();
        let mut set = Self::default();
        for pattern in unique {
            set.lengths |= pattern.lengths();
            set.patterns.push(pattern);
        }
        set
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a field name besides letters and digits (RFC 9110 §5.6.2).
    const SEPARATORS: &str = "!#$%&'*+-.^_`|~";

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    #[test]
    fn twins_are_names_that_an_upstream_takes_for_one() {
        for separator in SEPARATORS.chars() {
            assert!(
                is_twin(&format!("x{separator}auth-subject"), "x-auth-subject"),
                "{separator}"
            );
            assert!(
                is_twin("x-auth-subject", &format!("x-auth{separator}subject")),
                "{separator}"
            );
        }
        assert!(is_twin("x.auth|subject", "x_auth~subject"));
        for other in [
            "x-auth-subjec",
            "x-auth-subject-",
            "x--auth-subject",
            "xaauth-subject",
            "x-auth0subject",
            "",
        ] {
            assert!(!is_twin(other, "x-auth-subject"), "{other}");
        }
    }

    #[test]
    fn a_prefix_stands_for_all_names_that_begin_with_it() {
        let pattern = FieldPattern::Prefix(name("x-amzn-oidc-"));
        for separator in SEPARATORS.chars() {
            assert!(
                pattern.matches(&format!("x{separator}amzn{separator}oidc{separator}data")),
                "{separator}"
            );
        }
        assert!(pattern.matches("x-amzn-oidc-"));
        for other in [
            "x-amzn-oidc",
            "x-amzn-oidcdata",
            "x-amzn-oidc0data",
            "amzn-oidc-data",
            "",
        ] {
            assert!(!pattern.matches(other), "{other}");
        }
    }

    #[test]
    fn a_set_judges_by_length_without_losing_a_name() {
        let long: HeaderName = format!("x-{}", "a".repeat(80)).parse().unwrap();
        let patterns = [
            name("x-user-id").into(),
            long.clone().into(),
            FieldPattern::Prefix(name("remote-")),
        ];
        let set: FieldSet = patterns.into_iter().collect();
        for member in [
            "x-user-id",
            "x.user.id",
            "remote-",
            "remote_user",
            long.as_str(),
        ] {
            assert!(set.contains(member), "{member}");
        }
        assert!(set.contains(&format!("remote-{}", "a".repeat(100))));
        for other in [
            "x-user",
            "x-user-ids",
            "remote",
            "x-user-if",
            &long.as_str()[1..],
            "",
        ] {
            assert!(!set.contains(other), "{other}");
        }
        assert!(!FieldSet::default().contains("x-user-id"));
    }
}
