//! A token in a file, in the forms in which people have it: alone, after `Bearer`, in a whole
//! `Authorization` line, in the answer of a token endpoint, in quotes, or wrapped.

use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::telemetry::Quoted;

/// The members with an access token in the answers of token endpoints and in the output of tools.
const ACCESS_TOKENS: [&str; 4] = ["access_token", "accessToken", "AccessToken", "token"];

/// The members with an ID token.
const ID_TOKENS: [&str; 3] = ["id_token", "idToken", "IdToken"];

/// The member in which Cognito's API wraps its tokens.
const WRAPPER: &str = "AuthenticationResult";

/// The most names of members that a message lists.
const MAX_NAMES: usize = 10;

/// A token, and the text around it that was taken off.
#[derive(Debug, Default)]
pub(super) struct TokenFile {
    pub(super) credential: Credential,
    /// The things that were done to the text, in order.
    pub(super) changes: Vec<&'static str>,
}

/// The content of a token file.
pub(super) enum Credential {
    /// A token, which the client puts where the route looks for one.
    Token(Zeroizing<String>),
    /// The value of an `Authorization` field with another scheme than `Bearer`.
    Authorization(Zeroizing<String>),
}

impl Default for Credential {
    fn default() -> Self {
        Self::Token(Zeroizing::default())
    }
}

/// Shows only the length: the text is a secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(text) => write!(f, "Token({} bytes)", text.len()),
            Self::Authorization(text) => write!(f, "Authorization({} bytes)", text.len()),
        }
    }
}

/// A reason why a file holds no token.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum TokenFileError {
    Encoding,
    Empty,
    Several(usize),
    /// A head with so many `Authorization` fields.
    SeveralFields(usize),
    /// An HTTP answer whose body is no JSON object.
    HttpAnswer,
    /// The line of a shell that sets a variable.
    Assignment,
    /// An error of a token endpoint, with its description.
    Refused(String),
    /// A JSON object without a token, with the names of its members.
    NoToken(Vec<String>),
}

impl TokenFile {
    /// Reads the bytes of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TokenFileError> {
        let text = decoded(bytes)?;
        let mut file = Self::default();
        let text = text.trim_matches(is_around);
        if text.is_empty() {
            return Err(TokenFileError::Empty);
        }
        let content = match text.starts_with("HTTP/") {
            true => {
                file.changes.push("the body of an HTTP answer");
                body(text).ok_or(TokenFileError::HttpAnswer)?
            }
            false => text,
        };
        if let Ok(Value::Object(members)) = serde_json::from_str(content) {
            let token = file.token_of(&members)?;
            return file.with_text(&token);
        }
        if content != text {
            return Err(TokenFileError::HttpAnswer);
        }
        if is_assignment(text) {
            return Err(TokenFileError::Assignment);
        }
        file.with_text(text)
    }

    /// Returns the token of an answer of a token endpoint.
    fn token_of(
        &mut self,
        members: &Map<String, Value>,
    ) -> Result<Zeroizing<String>, TokenFileError> {
        if let Some(Value::Object(wrapped)) = members.get(WRAPPER) {
            return self.token_of(wrapped);
        }
        if let Some(token) = first_text(members, &ACCESS_TOKENS) {
            self.changes.push("the access token of a JSON object");
            return Ok(Zeroizing::new(token.to_owned()));
        }
        if let Some(token) = first_text(members, &ID_TOKENS) {
            self.changes
                .push("the ID token of a JSON object, which has no access token");
            return Ok(Zeroizing::new(token.to_owned()));
        }
        match first_text(members, &["error_description", "error"]) {
            Some(error) => Err(TokenFileError::Refused(error.to_owned())),
            None => {
                let names = members.keys().take(MAX_NAMES);
                Err(TokenFileError::NoToken(names.cloned().collect()))
            }
        }
    }

    fn with_text(mut self, text: &str) -> Result<Self, TokenFileError> {
        let line = self.authorization_line(text)?;
        let value = self.unquoted(line.unwrap_or(text));
        let is_field = line.is_some();
        let (scheme, rest) = value.split_once(is_blank).unwrap_or(("", value));
        if scheme.eq_ignore_ascii_case("bearer") {
            self.changes.push("without \"Bearer\"");
            let token = self.unquoted(rest.trim());
            let token = self.unwrapped(token)?;
            self.credential = Credential::Token(token);
            return Ok(self);
        }
        let value_is_other = !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())
            && !rest.contains(is_line_break);
        if value_is_other || is_field {
            self.changes.push("as the value of Authorization");
            let value = self.unwrapped(value)?;
            self.credential = Credential::Authorization(value);
        } else {
            let token = self.unwrapped(value)?;
            self.credential = Credential::Token(token);
        }
        Ok(self)
    }

    /// Returns the value of the `Authorization` field, if the text is that line, alone or among the
    /// other lines of a head.
    fn authorization_line<'t>(&mut self, text: &'t str) -> Result<Option<&'t str>, TokenFileError> {
        let mut fields = text.lines().filter_map(field_value);
        let Some(first) = fields.next() else {
            return Ok(None);
        };
        // Traffic refuses both, and none is the one that is meant.
        match fields.count() {
            0 => {}
            more => return Err(TokenFileError::SeveralFields(more + 1)),
        }
        let alone = field_value(text);
        let has_other_fields = text.lines().skip(1).any(|line| line.contains(": "));
        let value = match alone {
            Some(value) if !has_other_fields => value,
            _ => first,
        };
        self.changes.push("without \"Authorization:\"");
        Ok(Some(value.trim_matches(is_around)))
    }

    fn unquoted<'t>(&mut self, text: &'t str) -> &'t str {
        for (open, close) in [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”')] {
            let inside = text
                .strip_prefix(open)
                .and_then(|rest| rest.strip_suffix(close));
            if let Some(inside) = inside {
                self.changes.push("without quotation marks");
                return inside.trim();
            }
        }
        text
    }

    /// Returns a token without the line breaks of a text that was wrapped.
    fn unwrapped(&mut self, text: &str) -> Result<Zeroizing<String>, TokenFileError> {
        if !text.contains(is_line_break) {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let tokens = text.lines().filter(|line| is_whole(line)).count();
        if tokens > 1 {
            return Err(TokenFileError::Several(tokens));
        }
        self.changes.push("without line breaks");
        let mut joined = Zeroizing::new(String::with_capacity(text.len()));
        for line in text.split(is_line_break) {
            joined.push_str(line.trim());
        }
        Ok(joined)
    }
}

/// Returns a text without its byte order mark. A shell of Windows writes UTF-16.
fn decoded(bytes: &[u8]) -> Result<Zeroizing<String>, TokenFileError> {
    let decode: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = str::from_utf8(bytes).map_err(|_| TokenFileError::Encoding)?;
            return Ok(Zeroizing::new(text.to_owned()));
        }
    };
    let mut units = Zeroizing::new(Vec::with_capacity(bytes.len() / 2));
    for pair in bytes.chunks_exact(2).skip(1) {
        if let [one, other] = pair {
            units.push(decode([*one, *other]));
        }
    }
    match String::from_utf16(&units) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(_) => Err(TokenFileError::Encoding),
    }
}

fn first_text<'m>(members: &'m Map<String, Value>, names: &[&str]) -> Option<&'m str> {
    names
        .iter()
        .find_map(|name| members.get(*name).and_then(Value::as_str))
}

/// Returns the value of an `Authorization` line, as a file, `curl -v` or an option of curl has it.
fn field_value(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(['>', ' ']);
    let line = line.strip_prefix("-H").unwrap_or(line).trim_start();
    let line = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => line.trim().trim_matches(quote),
        _ => line,
    };
    let (name, value) = line.split_once(':')?;
    name.trim()
        .eq_ignore_ascii_case("authorization")
        .then_some(value)
}

/// Returns the body of an HTTP answer, which `curl -i` shows after one head or several.
fn body(answer: &str) -> Option<&str> {
    let mut rest = answer;
    while rest.starts_with("HTTP/") {
        let ends = ["\r\n\r\n", "\n\n"].into_iter();
        let end = ends.filter_map(|end| Some((rest.find(end)?, end.len())));
        let (at, length) = end.min()?;
        rest = rest.get(at + length..)?;
    }
    Some(rest.trim_matches(is_around))
}

/// Returns whether a text sets a variable of a shell to a JWT, or exports one.
fn is_assignment(text: &str) -> bool {
    let exported = text.strip_prefix("export ");
    let is_in_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let Some((name, value)) = exported.unwrap_or(text).trim().split_once('=') else {
        return false;
    };
    let value = value.trim_start_matches(['"', '\'']);
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    let is_name = !name.is_empty() && name.chars().all(is_in_name);
    is_name && (exported.is_some() || value.starts_with("eyJ"))
}

/// Returns whether a line could be a token by itself: three parts, or the start of a JWT and more.
fn is_whole(line: &str) -> bool {
    line.matches('.').count() == 2 && line.trim().starts_with("eyJ")
}

fn is_line_break(char: char) -> bool {
    matches!(char, '\r' | '\n')
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// Returns whether a character may stand around a token in a file.
fn is_around(char: char) -> bool {
    char.is_whitespace() || char.is_control() || char == '\u{feff}'
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => f.write_str("it is not text"),
            Self::Empty => f.write_str("it is empty"),
            Self::Several(count) => {
                write!(
                    f,
                    "it has {count} tokens, one on each line; leave one of them"
                )
            }
            Self::SeveralFields(count) => write!(
                f,
                "it has {count} Authorization fields; use --request-file to judge the head as it is"
            ),
            Self::HttpAnswer => {
                f.write_str("it is a whole HTTP answer without a JSON object: leave out -i")
            }
            Self::Assignment => f.write_str(
                "it is a shell assignment; leave out the name of the variable and the \"=\"",
            ),
            Self::Refused(error) => {
                let error = Quoted(error);
                write!(f, "it is the error of a token endpoint: {error}")
            }
            Self::NoToken(names) if names.is_empty() => {
                f.write_str("it is a JSON object without members")
            }
            Self::NoToken(names) => {
                f.write_str("it is a JSON object without an \"access_token\"; it has")?;
                for (index, name) in names.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma} {}", Quoted(name))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for TokenFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln";

    fn parse(text: &str) -> Result<TokenFile, TokenFileError> {
        TokenFile::parse(text.as_bytes())
    }

    #[track_caller]
    fn token(text: &str) -> (String, Vec<&'static str>) {
        let file = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        match file.credential {
            Credential::Token(token) => (token.to_string(), file.changes),
            Credential::Authorization(_) => panic!("{text}: another scheme"),
        }
    }

    #[test]
    fn a_token_is_found_in_every_form_that_people_have() {
        let (head, tail) = TOKEN.split_at(25);
        for text in [
            "$",
            " $\r\n",
            "\u{feff}$\n",
            "$\0",
            "Bearer $",
            "bearer  $\n",
            "Bearer\n$",
            "Authorization: Bearer $\n",
            "authorization:bearer $",
            "> Authorization: Bearer $\r\n",
            "-H \"Authorization: Bearer $\"",
            "-H 'Authorization: Bearer $'",
            "'Authorization: Bearer $'",
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer $\r\nAccept: */*\r\n\r\n",
            "Authorization: Bearer $\nHost: a\n",
            "\"$\"\n",
            "'$'",
            "“$”",
            "\"Bearer $\"",
            "Bearer \"$\"",
            "{\"access_token\":\"$\",\"token_type\":\"Bearer\",\"id_token\":\"x\"}",
            "{\n  \"AuthenticationResult\": { \"AccessToken\": \"$\", \"IdToken\": \"x\" }\n}",
            "{\"accessToken\":\"$\"}",
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"$\"}",
            "HTTP/1.1 100 Continue\n\nHTTP/2 200\nserver: a\n\n{\"access_token\":\"$\"}\n",
            "{\"access_token\":\"Bearer $\"}",
            &format!("{head}\n{tail}\n"),
            &format!("{head}\r\n  {tail}\r\n"),
            &format!("Bearer {head}\n{tail}\n"),
            &format!("Authorization: Bearer {head}\n  {tail}"),
        ] {
            let text = text.replace('$', TOKEN);
            assert_eq!(token(&text).0, TOKEN, "{text}");
        }
    }

    #[test]
    fn a_file_of_another_encoding_is_read() {
        let units: Vec<u16> = format!("\u{feff}{TOKEN}\r\n").encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [little, big] {
            let file = TokenFile::parse(&bytes).unwrap();
            assert!(matches!(file.credential, Credential::Token(token) if *token == TOKEN));
        }
        assert_eq!(
            TokenFile::parse(b"\xff\x00\xd8").unwrap_err(),
            TokenFileError::Encoding
        );
    }

    #[test]
    fn what_was_taken_off_is_said() {
        assert_eq!(token(TOKEN).1, Vec::<&str>::new());
        assert_eq!(
            token(&format!("Authorization: Bearer \"{TOKEN}\"")).1,
            [
                "without \"Authorization:\"",
                "without \"Bearer\"",
                "without quotation marks"
            ]
        );
        let only_id = token(&format!("{{\"id_token\":\"{TOKEN}\"}}")).1;
        assert!(only_id[0].contains("no access token"), "{only_id:?}");
    }

    #[test]
    fn another_scheme_stays_in_its_field() {
        for (text, value) in [
            ("Authorization: Basic dTpw", "Basic dTpw"),
            ("Token abc", "Token abc"),
            ("DPoP eyJ.a.b", "DPoP eyJ.a.b"),
            ("Authorization: eyJ.a.b", "eyJ.a.b"),
        ] {
            match parse(text).unwrap().credential {
                Credential::Authorization(found) => assert_eq!(*found, value),
                Credential::Token(_) => panic!("{text}"),
            }
        }
        // A text that is no credential is a token, for the verdict that traffic gives it.
        for text in ["undefined", "Bearer:", "a.b c", "ey!", "dG9rZW4=", "a=b"] {
            let _ = token(text);
        }
    }

    #[test]
    fn a_file_without_a_token_says_what_it_has() {
        let two = format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer x.y.z\r\n");
        for (text, says) in [
            ("", "empty"),
            (" \r\n\u{feff}", "empty"),
            ("{}", "without members"),
            ("{\"error\":\"invalid_client\"}", "\"invalid_client\""),
            ("{\"keys\":[],\"x\\n\":1}", "it has \"keys\", \"x\\n\""),
            (&format!("{TOKEN}\n{TOKEN}\n"), "2 tokens"),
            (&two, "it has 2 Authorization fields; use --request-file"),
            (
                &format!("GET / HTTP/1.1\r\n{two}\r\n"),
                "2 Authorization fields",
            ),
            (
                &format!("{two}> authorization: Basic x"),
                "3 Authorization fields",
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", "leave out -i"),
            ("HTTP/1.1 502 Bad Gateway\n\n<html>eyJ", "leave out -i"),
            (
                "HTTP/1.1 400 Bad Request\n\n{\"error\":\"invalid_scope\"}",
                "\"invalid_scope\"",
            ),
            (&format!("TOKEN={TOKEN}"), "a shell assignment"),
            (&format!("export TOKEN=\"{TOKEN}\"\n"), "a shell assignment"),
            ("export TOKEN=abc", "a shell assignment"),
            (&format!("auth='Bearer {TOKEN}'"), "a shell assignment"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
