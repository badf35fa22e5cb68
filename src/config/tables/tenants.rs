//! `tenants`: one entry of the file that stands for several issuers.
//!
//! The placeholder of `issuer` is filled in before anything else is read. The issuer of a tenant is
//! then lowered, compared and run like any other, and tenants are kept apart in the same way as
//! issuers.

use crate::config::language::document::{Kind, Table};
use crate::config::language::{AnyKey, Key, Reader, StrList, Text};
use crate::issuer::{Template, Tenant};

use super::jwks::{ISSUER, JWKS_URI, KEEP_FILE};

pub(super) const TENANTS: Key<StrList> = Key::new("tenants", StrList)
    .absent("`issuer` holds no placeholder")
    .doc(
        "The tenants that the placeholder of `issuer` stands for, spelled as in their `iss`; at \
         most 256. There is no value for every tenant.",
    )
    .not(&["tenant", "tenant_ids"])
    .example(r#"["9122040d-6c67-4c5b-b112-36a304b66dad"]"#);

/// The keys that may hold the placeholder.
const WITH_PLACEHOLDER: [&dyn AnyKey; 3] = [&ISSUER, &JWKS_URI, &KEEP_FILE];

/// The limit on the tenants of one entry. Each has its own keys and metrics, and the `iss` of a
/// token is compared with one after another.
const MAX_TENANTS: usize = 256;

/// The separator between the names of entry and tenant. No name of an entry contains it.
const SEPARATOR: char = '/';

/// The delimiters of a placeholder.
const BRACES: [char; 2] = ['{', '}'];

/// Returns the issuers that an entry stands for, with their names: the entry itself, or each of its
/// tenants. For an entry with an invalid template or tenant list it returns one issuer with the
/// braces removed, so that the other keys are checked.
pub(super) fn expand(mut reader: Reader<'_>, name: &Text, table: &Table) -> Vec<(Text, Table)> {
    let Some(template) = template(&reader) else {
        return vec![(name.clone(), without_braces(table))];
    };
    let tenants = tenants(&mut reader, &template);
    check_uri(&reader, &template);
    check_file(&reader, &template);
    if tenants.is_empty() {
        return vec![(name.clone(), without_braces(table))];
    }
    let mut issuers = Vec::with_capacity(tenants.len());
    for tenant in &tenants {
        let full_name = Text {
            text: format!("{}{SEPARATOR}{}", name.text, tenant.as_str()),
            span: name.span,
        };
        issuers.push((full_name, filled(table, &template, tenant)));
    }
    issuers
}

/// Returns the template in `issuer`, if it has a valid placeholder.
fn template(reader: &Reader<'_>) -> Option<Template> {
    let iss = reader.peek(&ISSUER);
    let parsed = match &iss {
        Some(iss) => Template::parse(&iss.text),
        None => Ok(None),
    };
    let template = reader.accept(reader.value_span(&ISSUER), "\"issuer\"", parsed)?;
    if template.is_none() {
        refuse_without_template(reader);
    }
    template
}

/// Returns the name of the entry that an issuer comes from, by itself or as a tenant.
pub(super) fn entry_of(issuer: &str) -> &str {
    issuer
        .split_once(SEPARATOR)
        .map_or(issuer, |(entry, _)| entry)
}

/// Returns the tenants that the entry allows. Invalid ones are reported and left out.
fn tenants(reader: &mut Reader<'_>, template: &Template) -> Vec<Tenant> {
    if !reader.has(&TENANTS) {
        let message = format!(
            "\"issuer\" holds {}, and \"tenants\" is missing",
            template.placeholder()
        );
        reader.problem_with_hint(
            reader.value_span(&ISSUER),
            message,
            "list the tenants whose tokens are accepted: tenants = [\"..\"]",
        );
    }
    let texts = reader.find(&TENANTS).unwrap_or_default();
    if texts.len() > MAX_TENANTS {
        let message =
            format!("\"tenants\" has more than {MAX_TENANTS}: spread them over several issuers");
        reader.problem(reader.value_span(&TENANTS), message);
    }
    let mut tenants: Vec<Tenant> = Vec::new();
    for text in texts.iter().take(MAX_TENANTS) {
        match tenant(reader, text) {
            Some(tenant) if tenants.contains(&tenant) => {
                reader.problem(
                    text.span,
                    format!("\"tenants\" has \"{}\" twice", text.text),
                );
            }
            tenant => tenants.extend(tenant),
        }
    }
    tenants
}

fn tenant(reader: &Reader<'_>, text: &Text) -> Option<Tenant> {
    // Both would be taken for the name of a tenant, but are meant as "every tenant".
    if matches!(text.text.as_str(), "any" | "*") {
        let message = format!(
            "\"tenants\" has \"{}\": anyone can create a tenant at such a provider",
            text.text
        );
        let hint = "name each tenant whose tokens are accepted";
        reader.problem_with_hint(text.span, message, hint);
        return None;
    }
    let subject = format_args!("\"tenants\" has \"{}\"", text.text);
    reader.accept(text.span, subject, Tenant::parse(&text.text))
}

/// Reports `tenants`, or a placeholder elsewhere, if `issuer` has no placeholder: they have no
/// effect.
fn refuse_without_template(reader: &Reader<'_>) {
    if reader.has(&TENANTS) {
        reader.problem_with_hint(
            reader.key_span(&TENANTS),
            "\"tenants\" has no effect: \"issuer\" holds no placeholder",
            "write issuer = \"https://login.example.com/{tenant}/v2.0\"",
        );
    }
    if let Some(uri) = reader.peek(&JWKS_URI)
        && uri.text.contains(BRACES)
    {
        reader.problem(
            uri.span,
            "\"jwks_uri\" holds a placeholder, but \"issuer\" does not",
        );
    }
}

/// Checks that a placeholder in `jwks_uri` is that of `issuer`. Without one, all tenants have the
/// same key set.
fn check_uri(reader: &Reader<'_>, template: &Template) {
    let Some(uri) = reader.peek(&JWKS_URI) else {
        return;
    };
    match Template::parse(&uri.text) {
        Err(error) => reader.problem(uri.span, format!("\"jwks_uri\": {error}")),
        Ok(Some(other)) if other.placeholder() != template.placeholder() => {
            let (holds, wants) = (other.placeholder(), template.placeholder());
            let message =
                format!("\"jwks_uri\" holds {holds}, and \"issuer\" {wants}: write the same");
            reader.problem(uri.span, message);
        }
        Ok(_) => {}
    }
}

/// Checks that `keep_file` holds the placeholder: a file holds the keys of one issuer.
fn check_file(reader: &Reader<'_>, template: &Template) {
    let Some(file) = reader.peek(&KEEP_FILE) else {
        return;
    };
    if !file.text.contains(template.placeholder()) {
        let message = format!(
            "\"keep_file\" does not hold {}: each tenant needs its own",
            template.placeholder()
        );
        reader.problem(file.span, message);
    }
}

/// Returns the table of one tenant.
fn filled(table: &Table, template: &Template, tenant: &Tenant) -> Table {
    changed(table, |text| {
        text.replace(template.placeholder(), tenant.as_str())
    })
}

/// Returns the table with braces removed, so that an invalid template becomes a URL.
fn without_braces(table: &Table) -> Table {
    changed(table, |text| text.replace(BRACES, ""))
}

fn changed(table: &Table, change: impl Fn(&str) -> String) -> Table {
    let mut table = table.clone();
    for entry in &mut table.entries {
        let mut keys = WITH_PLACEHOLDER.iter();
        let may_hold = keys.any(|key| key.name() == entry.key);
        if let (Kind::Text(text), true) = (&mut entry.value.kind, may_hold) {
            *text = change(text);
        }
    }
    table
}
