//! Lowers `[issuers.<name>]`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use super::keys::{fetch_policy, key_source};
use super::required_claims::required_claims;
use super::{check_name, tenants};
use crate::config::Issuer;
use crate::config::context::Context;
use crate::config::language::document::Table;
use crate::config::language::reader::{Reader, Text};
use crate::config::language::source::Span;
use crate::config::schema::ISSUER;
use crate::issuer::{Algorithm, IssuerSettings};
use crate::token::{Audience, Rules, TypPolicy};

/// The values that no two issuers may share, with the first issuer that has each of them.
#[derive(Default)]
struct UniqueValues {
    /// By `iss`.
    issuers: HashMap<String, Owner>,
    files: HashMap<PathBuf, Owner>,
}

/// The issuer that has a value, with the position of the value.
struct Owner {
    name: String,
    span: Span,
}

pub(super) fn issuers(context: &Context, tables: &[(Text, Table)]) -> Vec<Issuer> {
    let mut unique = UniqueValues::default();
    let mut all = Vec::new();
    for (name, table) in tables {
        all.extend(entry(context, name, table, &mut unique));
    }
    all.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    all
}

/// Returns the issuers of one entry: one, or one for each of its tenants.
fn entry(context: &Context, name: &Text, table: &Table, unique: &mut UniqueValues) -> Vec<Issuer> {
    let mut issuers = Vec::new();
    let mut is_good = true;
    for (full_name, table) in tenants::expand(context, name, table) {
        let mut reader = Reader::new(
            context,
            &ISSUER,
            &table,
            format!("issuer \"{}\"", name.text),
        );
        check_name(&reader, name);
        let iss = reader.text("issuer");
        unique.check(&reader, &full_name, iss.as_ref());
        // A problem of one tenant is a problem of all of them, and is reported once.
        if is_good {
            let problems = context.problem_count();
            issuers.extend(issuer(&mut reader, &full_name, iss));
            reader.finish();
            is_good = context.problem_count() == problems;
        }
    }
    issuers
}

impl Owner {
    fn new(name: &str, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            span,
        }
    }
}

impl UniqueValues {
    fn check(&mut self, reader: &Reader<'_>, name: &Text, iss: Option<&Text>) {
        if let Some(iss) = iss {
            self.check_issuer(reader, iss, &name.text);
        }
        if let Some(file) = reader.peek("keep_file") {
            let path = reader.context.path_named(file.span, &file.text);
            self.check_file(reader, path, file.span, &name.text);
        }
    }

    /// Checks that no other issuer has this `iss`. It identifies the issuer of a token, so that two
    /// issuers cannot share one.
    fn check_issuer(&mut self, reader: &Reader<'_>, iss: &Text, name: &str) {
        match self.issuers.entry(iss.text.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::new(name, iss.span));
            }
            Entry::Occupied(entry) => {
                let owner = entry.get();
                let message = format!(
                    "\"{}\" is already the issuer of \"{}\": \"iss\" identifies the issuer of a \
                     token",
                    iss.text, owner.name
                );
                reader.problem_with_related(iss.span, message, owner.span, "first defined here");
            }
        }
    }

    /// Checks that no other issuer has this `keep_file`. Of two issuers with one file, each would
    /// overwrite the keys of the other.
    fn check_file(&mut self, reader: &Reader<'_>, file: PathBuf, span: Span, name: &str) {
        match self.files.entry(file) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::new(name, span));
            }
            // For tenants of one entry the position is the same, and the problem was reported
            // where the placeholder was filled in.
            Entry::Occupied(entry) if entry.get().span == span => {}
            Entry::Occupied(entry) => {
                let owner = entry.get();
                let message = format!(
                    "\"keep_file\" is already the file of \"{}\": each issuer needs its own",
                    owner.name
                );
                reader.problem_with_related(span, message, owner.span, "first named here");
            }
        }
    }
}

fn issuer(reader: &mut Reader<'_>, name: &Text, iss: Option<Text>) -> Option<Issuer> {
    // The value was checked where the placeholder was filled in.
    reader.value("tenants");
    let fetch = fetch_policy(reader);
    let keys = key_source(reader, iss.as_ref(), &fetch);
    let algorithms = reader.words("algorithms", never_algorithm);
    let algorithms = match algorithms {
        Some(names) => names.into_iter().filter_map(Algorithm::parse).collect(),
        None => Algorithm::ALL.to_vec(),
    };
    let rules = rules(reader);
    let entry = IssuerSettings {
        name: name.text.as_str().into(),
        issuer: iss?.text.into(),
        keys: keys?,
        algorithms,
        fetch,
    };
    Some(Issuer {
        entry,
        rules: rules?,
    })
}

/// Returns why an algorithm is never accepted.
fn never_algorithm(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if name == "none" {
        return Some("a token without a signature can be forged (RFC 8725 section 3.1)");
    }
    let is_hmac = name.starts_with("hs");
    is_hmac.then_some(
        "a key that verifies an HMAC can also create one: let the issuer sign with RS256, ES256 \
         or EdDSA",
    )
}

fn rules(reader: &mut Reader<'_>) -> Option<Rules> {
    let client_ids = reader.texts("client_ids").map(boxed).unwrap_or_default();
    let token_use: Option<Box<str>> = reader.text("token_use").map(|text| text.text.into());
    let leeway = reader.duration("leeway").unwrap_or_default();
    let scope_claims = reader.texts("scope_claims").map(boxed).unwrap_or_default();
    let typ = typ(reader);
    if typ == TypPolicy::AtJwt && token_use.as_deref() == Some("id") {
        let message = "\"typ\" requires access tokens of RFC 9068, and \"token_use\" requires ID \
                       tokens: no token is both";
        reader.problem(reader.value_span("typ"), message);
    }
    let required_claims = required_claims(reader);
    let audience = audience(reader, !client_ids.is_empty())?;
    Some(Rules {
        audience,
        client_ids,
        token_use,
        typ,
        required_claims,
        leeway,
        scope_claims,
    })
}

fn typ(reader: &mut Reader<'_>) -> TypPolicy {
    match reader.choice("typ") {
        Some("at+jwt") => TypPolicy::AtJwt,
        Some("untyped") => TypPolicy::Untyped,
        _ => TypPolicy::Access,
    }
}

fn audience(reader: &mut Reader<'_>, has_clients: bool) -> Option<Audience> {
    let texts = reader.texts("audience")?;
    let Some(any) = texts.iter().find(|text| text.text == "any") else {
        return Some(Audience::OneOf(boxed(texts)));
    };
    if texts.len() > 1 {
        reader.problem(
            any.span,
            "\"any\" beside other audiences: write audience = \"any\" alone, or leave it out",
        );
        return None;
    }
    let message = match has_clients {
        true => {
            "audience is \"any\": tokens of its \"client_ids\" are accepted, whichever API they \
             were issued for"
        }
        false => {
            "audience is \"any\": tokens are accepted, whichever API and client they were issued \
             for"
        }
    };
    reader.note(any.span, message);
    Some(Audience::Any)
}

fn boxed(texts: Vec<Text>) -> Vec<Box<str>> {
    texts.into_iter().map(|text| text.text.into()).collect()
}
