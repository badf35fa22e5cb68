//! Texts that clients send in place of a token which they do not have.

use std::fmt;

/// The words that programs write for a variable without a value, in lower case.
const WORDS: [&str; 11] = [
    "undefined",
    "null",
    "none",
    "nil",
    "nan",
    "true",
    "false",
    "[object object]",
    "(null)",
    "<nil>",
    "system.object",
];

/// The marks at both ends of a template's variable.
static TEMPLATES: [Marks; 5] = [
    ["{{", "}}"],
    ["${", "}"],
    ["{", "}"],
    ["<", ">"],
    ["%", "%"],
];

/// The marks in front of the name of a variable and after it.
type Marks = [&'static str; 2];

/// A text that stands where a token should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// A scheme that nothing follows.
    Nothing,
    /// A word that programs write for a variable without a value.
    Word(&'static str),
    /// A template that was not filled in; the marks around its variable.
    Template(&'static [&'static str; 2]),
    /// The name of a shell's variable.
    Variable,
    /// A word that names a token, such as `YOUR_ACCESS_TOKEN`.
    Name,
}

impl Placeholder {
    /// Recognises a placeholder.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim_matches(['"', '\'', ' ']);
        if text.is_empty() {
            return Some(Self::Nothing);
        }
        for word in WORDS {
            // A program may have joined three parts that it does not have.
            let mut parts = text.split('.');
            if text.eq_ignore_ascii_case(word) || parts.all(|part| part.eq_ignore_ascii_case(word))
            {
                return Some(Self::Word(word));
            }
        }
        if is_name(text) {
            return Some(Self::Name);
        }
        // An object of JSON has quotation marks and is no template.
        let mut templates = TEMPLATES.iter();
        let template = templates.find(|marks| is_between(text, marks));
        if let Some(marks) = template.filter(|_| !text.contains('"')) {
            return Some(Self::Template(marks));
        }
        text.starts_with('$').then_some(Self::Variable)
    }
}

/// Returns whether a text is a name of upper-case words, one of which says that it is a token.
fn is_name(text: &str) -> bool {
    text.contains('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        && text.split('_').any(|word| matches!(word, "TOKEN" | "JWT"))
}

fn is_between(text: &str, marks: &Marks) -> bool {
    let [open, close] = marks;
    text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has no token and sends ")?;
        match self {
            Self::Nothing => f.write_str("the scheme with nothing after it"),
            Self::Word(word) => write!(f, "the word \"{word}\""),
            Self::Template([open, close]) => {
                write!(f, "a template that was not filled in, \"{open}…{close}\"")
            }
            Self::Name => f.write_str("a word that names a token, such as \"YOUR_TOKEN\""),
            Self::Variable => f.write_str("the name of a variable, \"$…\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_templates_are_no_tokens() {
        for (text, found) in [
            ("", Placeholder::Nothing),
            ("\"\"", Placeholder::Nothing),
            ("undefined", Placeholder::Word("undefined")),
            ("'Null'", Placeholder::Word("null")),
            ("[object Object]", Placeholder::Word("[object object]")),
            ("{{token}}", Placeholder::Template(&["{{", "}}"])),
            ("${TOKEN}", Placeholder::Template(&["${", "}"])),
            ("<access_token>", Placeholder::Template(&["<", ">"])),
            ("$TOKEN", Placeholder::Variable),
            ("YOUR_ACCESS_TOKEN", Placeholder::Name),
            ("JWT_HERE", Placeholder::Name),
            (
                "undefined.undefined.undefined",
                Placeholder::Word("undefined"),
            ),
            ("null.NULL", Placeholder::Word("null")),
        ] {
            assert_eq!(Placeholder::of(text), Some(found), "{text}");
        }
        for text in [
            "nullable",
            "{\"access_token\":1}",
            "eyJ.e30.x",
            "<",
            "%",
            "A_B",
            "A_TOKEN_1",
            "nil.x",
        ] {
            assert_eq!(Placeholder::of(text), None, "{text}");
        }
    }

    #[test]
    fn each_placeholder_has_its_sentence() {
        for (text, expected) in [
            ("", "the scheme with nothing after it"),
            ("null", "the word \"null\""),
            (
                "<access_token>",
                "a template that was not filled in, \"<…>\"",
            ),
            (
                "YOUR_TOKEN",
                "a word that names a token, such as \"YOUR_TOKEN\"",
            ),
            ("$TOKEN", "the name of a variable, \"$…\""),
        ] {
            let sentence = Placeholder::of(text).unwrap().to_string();
            let expected = format!("the client has no token and sends {expected}");
            assert_eq!(sentence, expected);
        }
    }
}
