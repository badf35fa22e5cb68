//! Bounded copies of what tokens say, which errors keep for logs and `explain`.

use std::fmt;

use crate::policy::Claim;
use crate::telemetry::{HiddenToken, Quoted, may_hold_token};

/// The number of bytes that are kept of a text: more than [`Quoted`] shows, so that it sees whether
/// the text goes on.
const MAX_BYTES: usize = 512;

/// The number of texts that are kept of a list.
const MAX_TEXTS: usize = 8;

/// The beginning of a text that a peer wrote. It is shown as one line in quotation marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    beginning: Box<str>,
    /// The length of the whole text, in bytes, if it may hold a token.
    hidden: Option<usize>,
}

impl Excerpt {
    /// Keeps the beginning of a text, and nothing of one that may hold a token: its beginning alone
    /// may not show that.
    pub(super) fn of(text: &str) -> Self {
        if may_hold_token(text) {
            return Self {
                beginning: Box::default(),
                hidden: Some(text.len()),
            };
        }
        Self {
            beginning: beginning(text).into(),
            hidden: None,
        }
    }

    /// Returns whether the text is this one, and not too long to be kept whole.
    pub(super) fn is(&self, text: &str) -> bool {
        self.hidden.is_none() && *self.beginning == *text && text.len() < MAX_BYTES
    }

    /// Returns the text without quotation marks, or what is shown in its place.
    pub(super) fn into_text(self) -> Box<str> {
        match self.hidden {
            Some(bytes) => HiddenToken(bytes).to_string().into(),
            None => self.beginning,
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hidden {
            Some(bytes) => HiddenToken(bytes).fmt(f),
            None => Quoted(&self.beginning).fmt(f),
        }
    }
}

/// Returns at most [`MAX_BYTES`] of a text.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The first texts of a list, and the number of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpts {
    shown: Vec<Excerpt>,
    more: usize,
}

impl Excerpts {
    /// Keeps the first texts of a list.
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut list = Self::default();
        for text in texts {
            if list.shown.len() < MAX_TEXTS {
                list.shown.push(Excerpt::of(text));
            } else {
                list.more += 1;
            }
        }
        list
    }

    /// Returns whether the list has no text.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl fmt::Display for Excerpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.shown.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            text.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The value of a claim as logs show it: of a list the first items, of an object its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownClaim(Box<str>);

impl ShownClaim {
    pub(super) fn of(claim: &Claim) -> Self {
        let text = match claim {
            Claim::List(items) => list(items),
            claim => scalar(claim),
        };
        Self(text.into())
    }

    /// Shows the accepted values of a claim.
    pub(super) fn one_of(values: &[Claim]) -> Self {
        match values {
            [only] => Self::of(only),
            values => Self(list(values).into()),
        }
    }
}

impl fmt::Display for ShownClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn list(items: &[Claim]) -> String {
    let mut shown: Vec<String> = items.iter().take(MAX_TEXTS).map(scalar).collect();
    if items.len() > MAX_TEXTS {
        shown.push(format!("{} more", items.len() - MAX_TEXTS));
    }
    format!("[{}]", shown.join(", "))
}

fn scalar(claim: &Claim) -> String {
    match claim {
        Claim::Text(text) => Quoted(text).to_string(),
        // A number has no quotation marks of its own, and may have thousands of digits.
        Claim::Number(text) if text.len() <= 40 => text.to_string(),
        Claim::Bool(value) => value.to_string(),
        Claim::Null => "null".to_owned(),
        claim => kind(claim).to_owned(),
    }
}

/// Returns the kind of a claim in words.
pub(super) fn kind(claim: &Claim) -> &'static str {
    match claim {
        Claim::Null => "null",
        Claim::Bool(_) => "a boolean",
        Claim::Number(_) => "a number",
        Claim::Text(_) => "a string",
        Claim::List(_) => "a list",
        Claim::Map(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_shown_in_part() {
        let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let of = |count: usize| Excerpts::of(names.iter().take(count).map(|name| &**name));
        assert_eq!(of(0).to_string(), "");
        assert_eq!(of(2).to_string(), r#""0", "1""#);
        assert!(of(8).to_string().ends_with(r#""7""#));
        assert!(of(10).to_string().ends_with(r#""7" and 2 more"#));
    }

    #[test]
    fn what_is_kept_of_a_text_has_a_bound() {
        let long = "é".repeat(4096);
        assert_eq!(Excerpt::of(&long).beginning.len(), MAX_BYTES);
        assert_eq!(beginning(&format!("a{long}")).len(), MAX_BYTES - 1);
        assert!(Excerpt::of(&long).to_string().ends_with("\"…"));
    }

    #[test]
    fn a_text_that_holds_a_token_is_shown_by_its_whole_length() {
        let long = "c2ln".repeat(400);
        for text in [
            format!("eyJhbGciOiJSUzI1NiJ9.{long}.{long}"),
            // Only its third part, which is far behind, shows that it is a token.
            format!("eyAiYWxnIjoiUlMyNTYifQ.{long}.{long}"),
        ] {
            let shown = format!("(a token, {} bytes)", text.len());
            assert_eq!(Excerpt::of(&text).to_string(), shown);
            assert_eq!(*Excerpt::of(&text).into_text(), *shown);
        }
        assert_eq!(&*Excerpt::of("a\"").into_text(), "a\"");
    }

    #[test]
    fn a_claim_is_shown_by_its_value_or_its_kind() {
        let text = |text: &str| Claim::Text(text.into());
        let many = Claim::List(vec![Claim::Null; 10]);
        for (claim, shown) in [
            (text("a\n"), r#""a\n""#),
            (Claim::Number("1.50".into()), "1.50"),
            (Claim::Number("9".repeat(41).into()), "a number"),
            (
                Claim::List(vec![text("a"), Claim::List(vec![])]),
                r#"["a", a list]"#,
            ),
            (Claim::Map(Default::default()), "an object"),
        ] {
            assert_eq!(ShownClaim::of(&claim).to_string(), shown);
        }
        assert!(ShownClaim::of(&many).to_string().ends_with("null, 2 more]"));
    }

    #[test]
    fn a_claim_is_shown_by_its_kind() {
        let text = Claim::Text("a".into());
        assert_eq!(ShownClaim::of(&Claim::Bool(true)).to_string(), "true");
        let both = [text.clone(), Claim::Bool(false)];
        assert_eq!(ShownClaim::one_of(&both).to_string(), "[\"a\", false]");
        assert_eq!(ShownClaim::one_of(&[text]).to_string(), "\"a\"");
    }
}
