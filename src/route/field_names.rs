//! Names of fields as an upstream may read them, and sets of them.

use std::collections::HashSet;
use std::fmt;

use http::HeaderName;

/// Whether an upstream may take two field names for one: every byte that is no letter and no digit
/// equals every other such byte. CGI, FastCGI and WSGI servers make a variable of a name and write
/// `_` for `-`; lighttpd does so for each of these bytes, PHP for `.`. None of them drops or adds a
/// byte, so twins have one length. Field names are in lower case already.
#[must_use]
pub fn is_twin(a: &str, b: &str) -> bool {
    a.len() == b.len() && starts_with_twin(a, b)
}

/// Whether a name begins with a prefix or with a twin of it. The last byte tells most of them
/// apart, and the spelling of most clients is compared at once: both are for speed.
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

/// The name of a field, or of every field that begins alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldPattern {
    /// One name.
    Name(HeaderName),
    /// All names that begin with this, which ends in a hyphen: `x-amzn-oidc-` for `x-amzn-oidc-*`.
    Prefix(HeaderName),
}

impl FieldPattern {
    /// Whether a field with this name, or with a twin of it, is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => is_twin(name, own.as_str()),
            Self::Prefix(prefix) => starts_with_twin(name, prefix.as_str()),
        }
    }
}

impl FieldPattern {
    /// A bit for each length that its names have.
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

/// Fields that a client may not send, in any spelling. A name is judged by its length first: the
/// fields of most requests differ in it from all that a configuration names.
#[derive(Debug, Default)]
pub struct FieldSet {
    patterns: Vec<FieldPattern>,
    /// A bit for each length that a member has; the last one for that length and all beyond.
    lengths: u64,
}

impl FieldSet {
    /// Whether a field of this name is a member.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.lengths & length_bit(name.len()) != 0
            && self.patterns.iter().any(|one| one.matches(name))
    }
}

impl FromIterator<FieldPattern> for FieldSet {
    fn from_iter<I: IntoIterator<Item = FieldPattern>>(patterns: I) -> Self {
        // Thousands of routes name the same few.
        let unique: HashSet<FieldPattern> = patterns.into_iter().collect();
        let lengths = unique
            .iter()
            .map(FieldPattern::lengths)
            .fold(0, |all, own| all | own);
        Self {
            patterns: unique.into_iter().collect(),
            lengths,
        }
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
