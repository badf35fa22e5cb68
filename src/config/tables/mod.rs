//! The tables of the language, one file for each: its keys, and how they become valid values.

mod algorithms;
mod cors;
mod dev;
mod ejection;
mod endpoints;
mod error_responses;
mod errors;
mod file;
mod group;
mod group_answers;
mod handler;
mod header_rules;
mod health;
mod http2;
mod issuer;
mod issuer_identity;
mod jwks;
mod key_access;
mod lambda;
mod limits;
mod listeners;
mod log;
mod mapping;
mod misspelled;
mod names;
mod public_url;
mod reload;
mod required_claims;
mod requirement;
mod respond;
mod route;
mod route_issuers;
mod routes;
mod server;
mod shared;
mod tenants;
mod timeouts;
mod tls;
mod token_cache;
mod upstream;
mod upstream_tls;
mod variables;
mod without_effect;

pub use dev::{Dev, DevClient, Secret};
pub use error_responses::{
    ErrorBody, ErrorResponse, MAX_ERROR_BODY, MAX_ERROR_REFERENCES, is_json_template,
};
pub use errors::{ErrorDetail, ErrorProfile, Errors};
pub use file::Config;
pub(super) use file::{TABLE as FILE, lower};
pub use group_answers::Group;
pub use handler::Handler;
pub use http2::Http2;
pub use issuer::Issuer;
pub use limits::Limits;
pub use listeners::Listener;
pub use log::{AccessLog, Log};
pub(crate) use mapping::may_hold_token;
pub use reload::Reload;
pub use route::{Heads, Route};
pub(super) use server::MAX_WORKERS;
pub use server::{ForwardedFields, Ready, Server};
pub use timeouts::Timeouts;
pub use token_cache::TokenCache;
pub(super) use variables::variables;

use super::language::Table;

/// Every table, in the order of the reference.
pub(super) static TABLES: &[&Table] = &[
    &file::TABLE,
    &server::TABLE,
    &tls::TABLE,
    &tls::CERTIFICATE,
    &listeners::TABLE,
    &tls::OWN_TABLE,
    &tls::OWN_CERTIFICATE,
    &timeouts::TABLE,
    &limits::TABLE,
    &http2::TABLE,
    &issuer::TABLE,
    &upstream::TABLE,
    &ejection::TABLE,
    &health::TABLE,
    &lambda::TABLE,
    &shared::DEFAULTS,
    &route::TABLE,
    &group::TABLE,
    &errors::GROUP_TABLE,
    &route::GROUP_TABLE,
    &header_rules::TABLE,
    &respond::TABLE,
    &cors::TABLE,
    &token_cache::TABLE,
    &reload::TABLE,
    &errors::TABLE,
    &error_responses::TABLE,
    &log::TABLE,
    &dev::TABLE,
    &dev::CLIENT,
];

/// Returns the headers of the tables that have a key.
pub(super) fn headers_with(key: &str) -> Vec<String> {
    let mut headers = Vec::new();
    for table in TABLES {
        if table.key(key).is_some() {
            headers.push(table.header());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::language::document::literal;
    use crate::config::language::units;
    use crate::config::language::{AnyKey, Span};

    fn keys() -> impl Iterator<Item = &'static dyn AnyKey> {
        TABLES.iter().flat_map(|table| table.keys).copied()
    }

    #[test]
    fn no_key_has_two_meanings() {
        for table in TABLES {
            let mut names: Vec<_> = table.names().collect();
            names.extend(table.keys.iter().flat_map(|key| key.about().other_names));
            names.extend(table.refused.iter().map(|(name, _)| *name));
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "[{}]", table.path);
        }
    }

    #[test]
    fn every_default_and_example_is_toml() {
        let span = Span::new(0, 0..0);
        for key in keys() {
            let (name, about) = (key.name(), key.about());
            if let Some(text) = key.default() {
                assert!(literal(&text, span).is_some(), "{name}: {text}");
            }
            let example = key.example();
            let is_header = example.starts_with('[') && !example.contains('"');
            assert!(
                is_header || example.is_empty() || literal(&example, span).is_some(),
                "{name}: {example}"
            );
            assert!(about.doc.ends_with('.'), "{name}: {}", about.doc);
        }
    }

    /// Returns a number, a duration in milliseconds, or a size in bytes.
    fn amount(text: &str) -> u64 {
        let duration = units::duration(text).map(|duration| duration.as_millis());
        let duration = duration.map(|millis| u64::try_from(millis).unwrap());
        let number = text.parse().ok();
        number.or(duration.ok()).or(units::size(text).ok()).unwrap()
    }

    #[test]
    fn every_default_and_example_is_within_the_bounds_of_its_key() {
        for key in keys() {
            let Some(bounds) = key.kind().bounds() else {
                continue;
            };
            let (min, max) = bounds.split_once(" to ").unwrap();
            for text in key.default().into_iter().chain([key.example()]) {
                let amount = amount(text.trim_matches('"'));
                let within = amount >= self::amount(min) && amount <= self::amount(max);
                assert!(within, "{}: {text}", key.name());
            }
        }
    }

    #[test]
    fn a_header_reads_as_in_a_file() {
        let headers: Vec<_> = TABLES.iter().map(|table| table.header()).collect();
        assert!(headers.contains(&"[issuers.<name>]".to_owned()));
        assert!(headers.contains(&"[dev.clients.<id>]".to_owned()));
        assert!(headers.contains(&"[[groups.routes]]".to_owned()));
    }
}
