//! The claims of a token as plain values: what the gateway needs of JSON, and nothing that knows
//! JSON.

/// One claim value. Numbers keep the text of the token, since a header must say what the token
/// said.
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

    /// Whether two claims are one value: numbers by what they are worth, however they are written
    /// (`2` and `2.0`), and everything else as it is.
    #[must_use]
    pub fn is_worth(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one == other || is_same_number(one, other),
            _ => self == other,
        }
    }

    /// The strings of a claim that is one string or an array of nothing but strings; `None` for
    /// anything else.
    #[must_use]
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(items) => items.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }
}

/// Whether two JSON numbers are equal, exactly: a float would take two large ones for one.
fn is_same_number(one: &str, other: &str) -> bool {
    let (one, other) = (Decimal::of(one), Decimal::of(other));
    one.is_some() && one == other
}

/// A number as its digits, without zeros at their ends, and the power of ten that they are
/// multiplied with.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` where the exponent is beyond all bounds.
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let places = i64::try_from(fraction.len()).ok()?;
        Some(Self {
            is_negative: mantissa.starts_with('-'),
            digits: digits.trim_start_matches('0').to_owned(),
            exponent: exponent
                .parse::<i64>()
                .ok()?
                .checked_sub(places)?
                .checked_add(zeros)?,
        })
    }
}

/// The members of a JSON object, in the order of their names. A name occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<[(Box<str>, Claim)]>);

impl Claims {
    /// The object of these members; `None` when a name occurs twice. Sorted once: a token has a
    /// dozen members, and is asked for half of them.
    #[must_use]
    pub fn of(mut members: Vec<(Box<str>, Claim)>) -> Option<Self> {
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let twice = members
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        (!twice).then(|| Self(members.into()))
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Claim> {
        let found = self
            .0
            .binary_search_by(|(known, _)| (**known).cmp(name))
            .ok()?;
        self.0.get(found).map(|(_, value)| value)
    }

    /// A member by its whole name first (`https://example.com/roles`), then by a dotted path into
    /// objects (`realm_access.roles`).
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

    #[test]
    fn numbers_are_compared_by_their_worth() {
        let worth = |one: &str, other: &str| {
            Claim::Number(one.into()).is_worth(&Claim::Number(other.into()))
        };
        for (one, other) in [
            ("2", "2.0"),
            ("2", "2e0"),
            ("20", "2E+1"),
            ("20", "0.2e2"),
            ("-2", "-2.00"),
            ("0", "-0"),
            ("0", "0.0e5"),
            ("100", "1e2"),
            ("1e400", "1e400"),
            ("1e99999999999999999999", "1e99999999999999999999"),
        ] {
            assert!(worth(one, other) && worth(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("2", "-2"),
            ("2", "20"),
            ("2", "2.1"),
            ("9007199254740992", "9007199254740993.0"),
            ("18446744073709551616", "18446744073709551617"),
            ("1e99999999999999999999", "1e99999999999999999998"),
            ("1e-9223372036854775808", "0.1e-9223372036854775808"),
        ] {
            assert!(!worth(one, other) && !worth(other, one), "{one} {other}");
        }
        assert!(!Claim::Number("2".into()).is_worth(&Claim::Text("2".into())));
    }
}
