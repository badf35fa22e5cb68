//! `required_claims`: a map from claim to required value.

use serde_json::json;

use crate::config::language::document::{KeyValue, Kind, Value};
use crate::config::language::json;
use crate::config::language::{Custom, Key, Reader};
use crate::policy::Claim;
use crate::token::{ClaimDemand, RequiredClaim};

const CLAIM_VALUES: Custom = Custom {
    words: "a map from claim to required value",
    json_schema: || {
        let scalar = json!({
            "anyOf": [json::text(), { "type": "integer" }, { "type": "boolean" }],
        });
        let present = json::only("present", json!({ "const": true }));
        let demand = json!({ "anyOf": [scalar.clone(), json::list(scalar), present] });
        json!({ "type": "object", "additionalProperties": demand })
    },
};

pub(super) const REQUIRED_CLAIMS: Key<Custom> = Key::new("required_claims", CLAIM_VALUES)
    .absent("no further claims are required")
    .doc(
        "Claims (names or dotted paths) that a token must have, all of them: a value, a list of \
         accepted values, or `{ present = true }`. A claim that is a list must contain an \
         accepted value.",
    )
    .example(r#"{ tenant = "acme", groups = ["staff", "admin"], email = { present = true } }"#);

pub(super) fn required_claims(reader: &mut Reader<'_>) -> Vec<RequiredClaim> {
    let Some(value) = reader.value(&REQUIRED_CLAIMS) else {
        return Vec::new();
    };
    let Kind::Table(table) = &value.kind else {
        reader.mismatched(&REQUIRED_CLAIMS, value);
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
fn demand(reader: &Reader<'_>, claim: &str, value: &Value) -> Option<ClaimDemand> {
    if is_present(value) {
        return Some(ClaimDemand::Present);
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
    wanted.map(ClaimDemand::OneOf)
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
