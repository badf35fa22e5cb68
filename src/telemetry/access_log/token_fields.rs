//! The members of a line of the access log about the request's token.

use super::json::{push_char, push_json};
use crate::telemetry::quoted::{HiddenToken, may_hold_token};

/// The largest number of characters of a text, as in [`crate::telemetry::Quoted`].
const MAX_CHARS: usize = 120;

/// The largest number of characters of the scopes.
const MAX_SCOPE_CHARS: usize = 500;

/// The largest number of audiences.
const MAX_AUDIENCES: usize = 4;

/// The members of `token` in a line. Absent ones are left out; each text is escaped, is cut, and is
/// not shown if it may hold a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFields<'a> {
    /// Set if the signature was not verified, so that any sender can have written the token.
    pub is_unverified: bool,
    /// `alg`
    pub algorithm: Option<&'a str>,
    /// `typ`
    pub typ: Option<&'a str>,
    /// `iss`
    pub issuer: Option<&'a str>,
    /// `aud`
    pub audience: Vec<&'a str>,
    /// The client.
    pub client: Option<&'a str>,
    /// `kid`
    pub key_id: Option<&'a str>,
    /// `jti`
    pub jwt_id: Option<&'a str>,
    /// The granted scopes, with spaces between them.
    pub scope: Option<String>,
    /// `sub`
    pub subject: Option<&'a str>,
}

impl TokenFields<'_> {
    /// Returns whether there is no member that says anything of the token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            is_unverified: self.is_unverified,
            ..Self::default()
        };
        *self == nothing
    }

    /// Appends the members as a JSON object.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.is_unverified {
            push_name(out, "unverified");
            out.extend_from_slice(b"true");
        }
        push_member(out, "alg", self.algorithm);
        push_member(out, "typ", self.typ);
        push_member(out, "iss", self.issuer);
        push_audience(out, &self.audience);
        push_member(out, "client", self.client);
        push_member(out, "kid", self.key_id);
        push_member(out, "jti", self.jwt_id);
        if let Some(scope) = &self.scope {
            push_name(out, "scope");
            push_bounded(out, scope, MAX_SCOPE_CHARS);
        }
        push_member(out, "sub", self.subject);
        out.push(b'}');
    }
}

fn push_member(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        push_name(out, name);
        push_bounded(out, text, MAX_CHARS);
    }
}

/// Appends one audience as a string, and several as a list, which ends with their number if it is
/// not complete.
fn push_audience(out: &mut Vec<u8>, audience: &[&str]) {
    match audience {
        [] => {}
        [only] => push_member(out, "aud", Some(only)),
        several => {
            push_name(out, "aud");
            for (index, text) in several.iter().take(MAX_AUDIENCES).enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                push_bounded(out, text, MAX_CHARS);
            }
            if let more @ 1.. = several.len().saturating_sub(MAX_AUDIENCES) {
                out.push(b',');
                push_json(out, &format!("… {more} more"));
            }
            out.push(b']');
        }
    }
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(if out.ends_with(b"{") { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends the beginning of a text as a JSON string of printable characters.
fn push_bounded(out: &mut Vec<u8>, text: &str, max_chars: usize) {
    if may_hold_token(text) {
        return push_json(out, &HiddenToken(text.len()).to_string());
    }
    out.push(b'"');
    // Most texts need no change and are copied.
    if text.len() <= max_chars && text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let mut chars = text.chars();
    for char in chars.by_ref().take(max_chars) {
        push_char(out, char);
    }
    if chars.next().is_some() {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Returns whether a byte stands for itself in JSON and on a terminal.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &TokenFields<'_>) -> String {
        let mut out = Vec::new();
        fields.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_member_has_its_place() {
        let fields = TokenFields {
            is_unverified: true,
            algorithm: Some("RS256"),
            typ: Some("JWT"),
            issuer: Some("https://idp.test/"),
            audience: vec!["a", "b"],
            client: Some("web"),
            key_id: Some("k"),
            jwt_id: Some("j"),
            scope: Some(String::new()),
            subject: Some("u"),
        };
        assert_eq!(
            written(&fields),
            r#"{"unverified":true,"alg":"RS256","typ":"JWT","iss":"https://idp.test/","aud":["a","b"],"client":"web","kid":"k","jti":"j","scope":"","sub":"u"}"#
        );
        let fields = TokenFields {
            audience: vec!["a"],
            ..TokenFields::default()
        };
        assert_eq!(written(&fields), r#"{"aud":"a"}"#);
        assert!(!fields.is_empty());
        let nothing = TokenFields {
            is_unverified: true,
            ..TokenFields::default()
        };
        assert!(nothing.is_empty() && TokenFields::default().is_empty());
        let fields = TokenFields {
            audience: vec!["a"; 9],
            ..TokenFields::default()
        };
        assert_eq!(written(&fields), r#"{"aud":["a","a","a","a","… 5 more"]}"#);
    }

    #[test]
    fn a_text_is_escaped_cut_and_no_token() {
        for (text, shown) in [
            ("a\"b\\c", r#"a\"b\\c"#),
            (
                "a\r\n\u{1b}[2J\u{7f}\u{85}",
                r"a\u000d\u000a\u001b[2J\u007f\u0085",
            ),
            (
                "\u{2028}\u{202e}\u{200b}\u{e0001}",
                r"\u2028\u202e\u200b\udb40\udc01",
            ),
            ("Zoë's 東", "Zoë's 東"),
            ("eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0", "(a token, 35 bytes)"),
        ] {
            let issuer = Some(text);
            let fields = TokenFields {
                issuer,
                ..TokenFields::default()
            };
            assert_eq!(written(&fields), format!("{{\"iss\":\"{shown}\"}}"));
        }
        let long = "é".repeat(1 << 16);
        let fields = TokenFields {
            client: Some(&long),
            scope: Some(long.clone()),
            ..TokenFields::default()
        };
        let json: serde_json::Value = serde_json::from_str(&written(&fields)).unwrap();
        let chars = |name: &str| json[name].as_str().unwrap().chars().count();
        assert_eq!(
            (chars("client"), chars("scope")),
            (MAX_CHARS + 1, MAX_SCOPE_CHARS + 1)
        );
    }
}
