//! `[issuers.<name>]`

use std::path::{Path, PathBuf};

use super::super::Issuer;
use super::super::catalogue::ISSUER;
use super::super::document::Table;
use super::super::load::Context;
use super::super::reader::{Reader, Text};
use super::super::source::Place;
use super::check_name;
use super::keys::{fetch_policy, key_source};
use super::required_claims::required_claims;
use crate::issuer::{Algorithm, Entry};
use crate::token::{Audience, Rules, TypPolicy};

/// What no two issuers may share, with the name of the one that said it first.
#[derive(Default)]
struct Taken {
    issuers: Vec<(Text, String)>,
    files: Vec<(PathBuf, Place, String)>,
}

pub(super) fn issuers(context: &Context, tables: &[(Text, Table)]) -> Vec<Issuer> {
    let mut taken = Taken::default();
    let mut all: Vec<_> =
        tables.iter().filter_map(|(name, table)| read(context, name, table, &mut taken)).collect();
    all.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    all
}

fn read(context: &Context, name: &Text, table: &Table, taken: &mut Taken) -> Option<Issuer> {
    let mut reader = Reader::new(context, &ISSUER, table, format!("issuer \"{}\"", name.text));
    check_name(&reader, name);
    let iss = reader.text("issuer");
    if let Some(iss) = &iss {
        taken.claim_issuer(&reader, iss, &name.text);
    }
    let issuer = issuer(&mut reader, name, iss);
    if let Some(file) = issuer.as_ref().and_then(|issuer| issuer.entry.fetch.keep_file.as_ref()) {
        taken.claim_file(&reader, file, &name.text);
    }
    reader.finish();
    issuer
}

impl Taken {
    /// `iss` is what tells whose token it is, so that two issuers cannot share one.
    fn claim_issuer(&mut self, reader: &Reader<'_>, iss: &Text, name: &str) {
        if let Some((first, name)) = self.issuers.iter().find(|(first, _)| first.text == iss.text) {
            let message = format!(
                "\"{}\" is already the issuer of \"{name}\": \"iss\" tells whose token it is",
                iss.text
            );
            let problem = reader.problem_at(iss.place, message);
            reader.context.problem(problem.related(first.place, "first defined here"));
        }
        self.issuers.push((iss.clone(), name.to_owned()));
    }

    /// Two issuers with one file would each throw away what the other kept.
    fn claim_file(&mut self, reader: &Reader<'_>, file: &Path, name: &str) {
        let place = reader.value_place("keep_file");
        if let Some((_, first, name)) = self.files.iter().find(|(known, ..)| known == file) {
            let message = format!("\"keep_file\" is already that of \"{name}\": each issuer needs its own");
            reader.context.problem(reader.problem_at(place, message).related(*first, "first named here"));
        }
        self.files.push((file.to_owned(), place, name.to_owned()));
    }
}

fn issuer(reader: &mut Reader<'_>, name: &Text, iss: Option<Text>) -> Option<Issuer> {
    let fetch = fetch_policy(reader);
    let keys = key_source(reader, iss.as_ref(), &fetch);
    let algorithms = reader.words("algorithms", never_algorithm);
    let algorithms = match algorithms {
        Some(names) => names.into_iter().filter_map(Algorithm::parse).collect(),
        None => Algorithm::ALL.to_vec(),
    };
    let rules = rules(reader);
    let entry =
        Entry { name: name.text.as_str().into(), issuer: iss?.text.into(), keys: keys?, algorithms, fetch };
    Some(Issuer { entry, rules: rules? })
}

fn never_algorithm(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("none") {
        return Some("anybody can write a token without a signature (RFC 8725 section 3.1)");
    }
    let hmac = name.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("hs"));
    hmac.then_some("whoever can check an HMAC can make one: let the issuer sign with RS256, ES256 or EdDSA")
}

fn rules(reader: &mut Reader<'_>) -> Option<Rules> {
    let client_ids = reader.texts("client_ids").map(boxed).unwrap_or_default();
    let token_use = reader.text("token_use").map(|text| text.text.into());
    let leeway = reader.duration("leeway").unwrap_or_default();
    let scope_claims = reader.texts("scope_claims").map(boxed).unwrap_or_default();
    let typ = match reader.choice("typ") {
        Some("at+jwt") => TypPolicy::AtJwt,
        Some("untyped") => TypPolicy::Untyped,
        _ => TypPolicy::Access,
    };
    let required_claims = required_claims(reader);
    let audience = audience(reader, !client_ids.is_empty())?;
    Some(Rules { audience, client_ids, token_use, typ, required_claims, leeway, scope_claims })
}

fn audience(reader: &mut Reader<'_>, has_clients: bool) -> Option<Audience> {
    let texts = reader.texts("audience")?;
    let Some(any) = texts.iter().find(|text| text.text == "any") else {
        return Some(Audience::OneOf(boxed(texts)));
    };
    if texts.len() > 1 {
        reader.problem(
            any.place,
            "\"any\" beside other audiences: write audience = \"any\" alone, or leave it out",
        );
        return None;
    }
    let message = match has_clients {
        true => {
            "audience is \"any\": tokens of its \"client_ids\" are taken whichever API they were meant for"
        }
        false => "audience is \"any\": tokens are taken whichever API and client they were meant for",
    };
    reader.context.note(reader.problem_at(any.place, message));
    Some(Audience::Any)
}

fn boxed(texts: Vec<Text>) -> Vec<Box<str>> {
    texts.into_iter().map(|text| text.text.into()).collect()
}
