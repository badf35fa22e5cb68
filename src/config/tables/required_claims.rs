//! `required_claims`: a map from claim to required value.

use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::reader::Reader;
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
    let mut required = Vec::new();
    for KeyValue { key, value, .. } in &table.entries {
        if let Some(demand) = demand(reader, key, value) {
            required.push(RequiredClaim {
                claim: key.as_str().into(),
                demand,
            });
        }
    }
    required
}

/// Returns the condition of a claim: a scalar, a list of accepted scalars, or `{ present = true }`.
fn demand(reader: &Reader<'_>, claim: &str, value: &Value) -> Option<Demand> {
    if is_present(value) {
        return Some(Demand::Present);
    }
    let items = match value.items() {
        // An empty list is not a scalar, so that it is reported.
        [] => std::slice::from_ref(value),
        items => items,
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

/// Returns whether a value is `{ present = true }`.
fn is_present(value: &Value) -> bool {
    let Kind::Table(table) = &value.kind else {
        return false;
    };
    match table.entries.as_slice() {
        [entry] => entry.key == "present" && matches!(entry.value.kind, Kind::Flag(true)),
        _ => false,
    }
}

fn scalar(value: &Value) -> Option<Claim> {
    match &value.kind {
        Kind::Text(text) => Some(Claim::Text(text.as_str().into())),
        Kind::Flag(flag) => Some(Claim::Bool(*flag)),
        Kind::Integer(Some(number)) => Some(Claim::Number(number.to_string().into())),
        _ => None,
    }
}
