//! `[dev]`: settings that only `scopegate dev` reads.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::config::language::document::{Kind, Value};
use crate::config::language::json;
use crate::config::language::{Custom, Key, NamedTables, Reader, StrList, Table, Text};
use crate::policy::Scope;

/// `[dev]`: settings that only `scopegate dev` reads.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// `[dev.clients.<id>]`: clients of the embedded issuer, in addition to `dev`.
    pub clients: Vec<DevClient>,
    /// The URLs of embedded issuers by the names of those that they replace; in a file there are
    /// none. Metadata names them in place of each `iss`.
    pub issuer_urls: HashMap<Arc<str>, Box<str>>,
}

/// A client of the embedded issuer of `scopegate dev`.
#[derive(Clone, Debug)]
pub struct DevClient {
    /// Its `client_id`.
    pub id: Box<str>,
    /// Its secret.
    pub secret: Secret,
    /// The scopes that the client may obtain; `None` for every scope that the routes name.
    pub scopes: Option<Vec<Scope>>,
}

/// A secret text. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text. Callers use it for one comparison or message, and never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

pub(super) static TABLE: Table = Table {
    path: "dev",
    doc: "Read only by `scopegate dev`, whose embedded issuer issues tokens that satisfy the file.",
    keys: &[&CLIENTS],
    refused: &[],
};

const CLIENTS: Key<NamedTables> = Key::new("clients", NamedTables(&CLIENT))
    .absent("only the client `dev`")
    .doc("Clients of the embedded issuer besides `dev`.")
    .example("[dev.clients.reporting]");

pub(super) static CLIENT: Table = Table {
    path: "dev.clients.*",
    doc: "A client of the embedded issuer, under its `client_id`.",
    keys: &[&SECRET, &SCOPES],
    refused: &[],
};

const SECRET_TEXT: Custom = Custom {
    words: "a string, { file = \"..\" } or { env = \"..\" }",
    json_schema: || {
        let text = json::text;
        json!({ "anyOf": [text(), json::only("file", text()), json::only("env", text())] })
    },
};

const SECRET: Key<Custom> = Key::new("secret", SECRET_TEXT)
    .doc(
        "The secret: the text itself, a file that holds it (a newline at its end is removed), or \
         an environment variable.",
    )
    .example(r#"{ env = "REPORTING_SECRET" }"#);

const SCOPES: Key<StrList> = Key::new("scopes", StrList)
    .absent("every scope that the routes name")
    .doc("The scopes that the client may obtain.")
    .not(&["scope"])
    .example(r#"["orders.read"]"#);

pub(super) fn dev(mut reader: Reader<'_>) -> Dev {
    let mut clients = Vec::new();
    for (id, table) in reader.named(&CLIENTS) {
        let subject = format!("dev client \"{}\"", id.text);
        let reader = Reader::new(reader.context, &CLIENT, table, subject);
        clients.extend(client(&id, reader));
    }
    reader.finish();
    Dev {
        clients,
        issuer_urls: HashMap::new(),
    }
}

fn client(id: &Text, mut reader: Reader<'_>) -> Option<DevClient> {
    let secret = match reader.value(&SECRET) {
        Some(value) => secret(&reader, value),
        None => None,
    };
    let scopes = scopes(&mut reader);
    reader.finish();
    Some(DevClient {
        id: id.text.as_str().into(),
        secret: secret?,
        scopes,
    })
}

fn scopes(reader: &mut Reader<'_>) -> Option<Vec<Scope>> {
    let texts = reader.find(&SCOPES)?;
    let mut scopes = Vec::new();
    for text in &texts {
        let subject = format_args!("scope \"{}\"", text.text);
        scopes.extend(reader.accept(text.span, subject, Scope::parse(&text.text)));
    }
    Some(scopes)
}

/// Returns a secret: a text, the content of a file, or an environment variable. No message quotes
/// it. Only `scopegate dev` uses secrets, so that only `dev` follows references: a variable that is
/// not set in production must not prevent the start.
fn secret(reader: &Reader<'_>, value: &Value) -> Option<Secret> {
    let found = match (&value.kind, reference(value)) {
        (_, Some(("file" | "env", _))) if !reader.context.has_stand_ins() => return None,
        (Kind::Text(text), _) => Ok(text.clone()),
        (_, Some(("file", path))) => reader
            .context
            .read_named(value.span, path)
            .map(without_newline),
        (_, Some(("env", variable))) => std::env::var(variable).map_err(|_| {
            format!("the environment variable \"{variable}\" is not set, or not to UTF-8")
        }),
        _ => {
            reader.mismatched(&SECRET, value);
            return None;
        }
    };
    match found {
        Ok(text) if !text.is_empty() => return Some(Secret::new(&text)),
        Ok(_) => reader.problem(value.span, "\"secret\" is empty"),
        Err(error) => reader.problem(value.span, format!("\"secret\": {error}")),
    }
    None
}

/// Returns the only member of a table such as `{ file = ".." }`.
fn reference(value: &Value) -> Option<(&str, &str)> {
    let Kind::Table(table) = &value.kind else {
        return None;
    };
    let [entry] = table.entries.as_slice() else {
        return None;
    };
    let Kind::Text(text) = &entry.value.kind else {
        return None;
    };
    Some((&entry.key, text))
}

/// Removes the newline that editors and `echo` add to a file.
fn without_newline(text: String) -> String {
    let text = text.strip_suffix('\n').unwrap_or(&text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_secret() {
        assert_eq!(without_newline("a\r\n".into()), "a");
        assert_eq!(without_newline("a\n\n".into()), "a\n");
        assert_eq!(without_newline(" a ".into()), " a ");
    }
}
