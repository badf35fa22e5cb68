//! `required_claims`: a map from claim to required value.

use super::super::document::{KeyValue, Kind, Value};
use super::super::reader::Reader;
use crate::policy::Claim;
use crate::token::{Demand, RequiredClaim};

pub(super) fn required_claims(reader: &mut Reader<'_>) -> Vec<RequiredClaim> {
    let Some(value) = reader.value("required_claims") else {
        return Vec::new();
    };
    let Kind::Table(table) = &value.kind else {
        reader.mismatched("required_claims", &value);
        return Vec::new();
    };
    let required = |entry: &KeyValue| {
        let demand = demand(reader, &entry.key, &entry.value)?;
        Some(RequiredClaim {
            claim: entry.key.as_str().into(),
            demand,
        })
    };
    table.entries.iter().filter_map(required).collect()
}

/// Returns the condition of a claim: a scalar, a list of accepted scalars, or `{ present = true }`.
fn demand(reader: &Reader<'_>, claim: &str, value: &Value) -> Option<Demand> {
    if let Kind::Table(table) = &value.kind
        && let [KeyValue { key, value, .. }] = table.entries.as_slice()
        && key == "present"
        && matches!(value.kind, Kind::Flag(true))
    {
        return Some(Demand::Present);
    }
    let items = match &value.kind {
        Kind::List(items) if !items.is_empty() => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let wanted: Option<Vec<Claim>> = items.iter().map(scalar).collect();
    if wanted.is_none() {
        let message = format!(
            "\"required_claims\" has \"{claim}\", which is a value, a list of accepted values, or \
             {{ present = true }}"
        );
        reader.problem(value.span, message);
    }
    wanted.map(Demand::OneOf)
}

fn scalar(value: &Value) -> Option<Claim> {
    match &value.kind {
        Kind::Text(text) => Some(Claim::Text(text.as_str().into())),
        Kind::Flag(flag) => Some(Claim::Bool(*flag)),
        Kind::Integer(Some(number)) => Some(Claim::Number(number.to_string().into())),
        _ => None,
    }
}
