//! The claims of a token as plain values: the parts of JSON that the gateway needs, without a
//! dependency on a JSON library.

/// The value of a claim. Numbers keep the text of the token, since a header must forward the number
/// as the token has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, in the notation of the token.
    Number(Box<str>),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Vec<Claim>),
    /// An object.
    Map(Claims),
}

impl Claim {
    /// Returns the string, if the claim is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns whether two claims have the same value. Numbers are compared by value, not by
    /// notation (`2` equals `2.0`).
    #[must_use]
    pub fn is_worth(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one == other || is_same_number(one, other),
            _ => self == other,
        }
    }

    /// Returns the strings of a claim that is a string or an array of strings only; `None` for any
    /// other claim.
    #[must_use]
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(items) => items.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }
}

/// Returns whether two JSON numbers are equal. The comparison is exact; floating-point numbers
/// would treat some large numbers as equal.
fn is_same_number(one: &str, other: &str) -> bool {
    let (one, other) = (Decimal::of(one), Decimal::of(other));
    one.is_some() && one == other
}

/// A decimal number: its digits, without zeros at either end, times a power of ten.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    const ZERO: Self = Self {
        is_negative: false,
        digits: String::new(),
        exponent: 0,
    };

    /// Parses a JSON number; `None` if the exponent does not fit.
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let magnitude = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self::ZERO);
        }
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let places = i64::try_from(fraction.len()).ok()?;
        let exponent: i64 = exponent.parse().ok()?;
        Some(Self {
            is_negative: mantissa.starts_with('-'),
            digits: digits.trim_start_matches('0').to_owned(),
            exponent: exponent.checked_sub(places)?.checked_add(zeros)?,
        })
    }
}

/// The fault of a path by which several ways lead to a value.
struct Ambiguous;

/// The members of a JSON object, sorted by name. Names are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<[(Box<str>, Claim)]>);

impl Claims {
    /// Creates an object from its members. Sorting once pays off: a token has about twelve members,
    /// and half of them are looked up.
    ///
    /// # Errors
    /// The name that occurs twice.
    pub fn of(mut members: Vec<(Box<str>, Claim)>) -> Result<Self, Box<str>> {
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for pair in members.windows(2) {
            if let [(a, _), (b, _)] = pair
                && a == b
            {
                return Err(a.clone());
            }
        }
        Ok(Self(members.into()))
    }

    /// Creates an object from members of which some may have the same name; one of those is kept.
    /// It is for showing a token that is refused.
    #[must_use]
    pub fn without_repetitions(mut members: Vec<(Box<str>, Claim)>) -> Self {
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|(a, _), (b, _)| a == b);
        Self(members.into())
    }

    /// Returns the member with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Claim> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        let (_, value) = self.0.get(found.ok()?)?;
        Some(value)
    }

    /// Returns a member by its whole name (`https://example.com/roles`) or else by a dotted path
    /// into objects (`realm_access.roles`), whose last name may have dots. Where that leads to no
    /// value, each name may have dots (`kubernetes.io.namespace`), and the result is `None` if
    /// several ways lead to a value: an author of one claim must not hide another.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Claim> {
        match self.by_first_dots(path) {
            Some(value) => Some(value),
            None => self.by_any_dots(path).ok()?,
        }
    }

    /// Returns the member of a path whose names end at the first dot, but for the last name.
    fn by_first_dots(&self, path: &str) -> Option<&Claim> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        match self.get(first)? {
            Claim::Map(inner) => inner.by_first_dots(rest),
            _ => None,
        }
    }

    /// Returns the member of a path whose names end at any of its dots. The walk meets an object at
    /// most once, since only one way leads to it.
    fn by_any_dots(&self, path: &str) -> Result<Option<&Claim>, Ambiguous> {
        let mut only = self.get(path);
        for (dot, _) in path.match_indices('.') {
            let (name, rest) = path.split_at(dot);
            let (Some(Claim::Map(inner)), Some(rest)) = (self.get(name), rest.strip_prefix('.'))
            else {
                continue;
            };
            let found = inner.by_any_dots(rest)?;
            if only.is_some() && found.is_some() {
                return Err(Ambiguous);
            }
            only = only.or(found);
        }
        Ok(only)
    }

    /// Returns the members, sorted by name.
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
        let name = "realm.roles".into();
        assert_eq!(Claims::of(vec![whole.clone(), whole]), Err(name));
    }

    #[test]
    fn a_path_passes_through_names_with_dots() {
        let text = |t: &str| Claim::Text(t.into());
        let map = |name: &str, value| {
            let members = vec![(name.into(), value)];
            Claim::Map(Claims::of(members).unwrap())
        };
        let claims = Claims::of(vec![
            ("a.b".into(), map("c.d", text("a.b, c.d"))),
            ("a".into(), map("b", map("c", text("a, b, c")))),
            ("a.b.c".into(), text("no object")),
            ("x.y".into(), map("z", map("v.w", text("x.y, z, v.w")))),
        ]);
        let claims = claims.unwrap();
        for (path, value) in [
            ("a.b.c.d", "a.b, c.d"),
            ("a.b.c", "no object"),
            ("x.y.z.v.w", "x.y, z, v.w"),
        ] {
            assert_eq!(claims.find(path), Some(&text(value)), "{path}");
        }
        for path in ["a..b", ".a", "a.", ".", "", "x.y.z.v", "x.z"] {
            assert_eq!(claims.find(path), None, "{path}");
        }
    }

    /// Returns claims with a text at the end of each of these lists of names.
    fn nested(paths: &[(&[&str], &str)]) -> Claims {
        let mut members: Vec<(Box<str>, Claim)> = Vec::new();
        for (names, text) in paths {
            let (first, inner) = names.split_first().unwrap();
            let value = match inner {
                [] => Claim::Text((*text).into()),
                inner => Claim::Map(nested(&[(inner, text)])),
            };
            members.push(((*first).into(), value));
        }
        Claims::of(members).unwrap()
    }

    #[test]
    fn a_name_with_dots_neither_hides_a_claim_nor_chooses_among_several() {
        let api: &[&str] = &["access", "api", "roles"];
        for (others, expected) in [
            // The reading without dots in names comes before all but the whole name.
            (vec![], "api"),
            (vec![["access.api", "roles"].as_slice()], "api"),
            (vec![["access.api.roles"].as_slice()], "other"),
        ] {
            let mut paths = vec![(api, "api")];
            paths.extend(others.into_iter().map(|names| (names, "other")));
            let claims = nested(&paths);
            let expected = Claim::Text(expected.into());
            assert_eq!(claims.find("access.api.roles"), Some(&expected));
        }
        let ways: [&[&str]; 4] = [
            &["a", "b.c", "d"],
            &["a.b", "c.d"],
            &["a.b", "c", "d"],
            &["a.b.c", "d"],
        ];
        for one in ways {
            let text = Claim::Text("one".into());
            assert_eq!(nested(&[(one, "one")]).find("a.b.c.d"), Some(&text));
            for other in ways {
                if one[0] != other[0] {
                    let claims = nested(&[(one, "one"), (other, "other")]);
                    assert_eq!(claims.find("a.b.c.d"), None, "{one:?} {other:?}");
                }
            }
            // The whole name comes before all.
            let claims = nested(&[(one, "one"), (&["a.b.c.d"], "whole")]);
            assert_eq!(claims.find("a.b.c.d"), Some(&Claim::Text("whole".into())));
        }
        // A way that ends early is none.
        let claims = nested(&[(&["a", "b.c", "d"], "one"), (&["a.b", "x"], "other")]);
        assert_eq!(claims.find("a.b.c.d"), Some(&Claim::Text("one".into())));
        let inner = Claims::of(vec![
            ("c.d".into(), Claim::Text("one".into())),
            ("c".into(), Claim::Map(nested(&[(&["d"], "other")]))),
        ]);
        let claims = Claims::of(vec![("a.b".into(), Claim::Map(inner.unwrap()))]).unwrap();
        assert_eq!(claims.find("a.b.c.d"), None);
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
            ("1200", "12e2"),
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

    #[test]
    fn a_string_and_a_list_of_strings_are_texts() {
        let text = |text: &str| Claim::Text(text.into());
        assert_eq!(text("a b").as_texts(), Some(vec!["a b"]));
        let list = Claim::List(vec![text("a"), text("b")]);
        assert_eq!(list.as_texts(), Some(vec!["a", "b"]));
        assert_eq!(Claim::List(vec![text("a"), Claim::Null]).as_texts(), None);
        assert_eq!(Claim::Bool(true).as_texts(), None);
    }

    #[test]
    fn of_members_with_one_name_one_is_kept() {
        let member = |name: &str, value| (name.into(), Claim::Bool(value));
        let members = vec![member("b", true), member("a", false), member("b", false)];
        let claims = Claims::without_repetitions(members);
        let members: Vec<_> = claims.iter().collect();
        let (no, yes) = (Claim::Bool(false), Claim::Bool(true));
        assert_eq!(members, [("a", &no), ("b", &yes)]);
    }
}
