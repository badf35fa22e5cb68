//! The prefixes under which routes stand, for an operation that misses its route by one.

use super::paths::literal;
use crate::config::Config;
use crate::route::{Pattern, Segment};

/// The greatest number of prefixes that are tried.
const MAX_PREFIXES: usize = 32;

/// Returns the prefixes under which routes of a configuration stand, `/` first: the literal
/// segments at the beginning of their paths.
#[must_use]
pub fn prefixes(config: &Config) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    for route in &config.routes {
        for prefix in prefixes_of(&route.pattern) {
            if all.len() < MAX_PREFIXES && !all.contains(&prefix) {
                all.push(prefix);
            }
        }
    }
    all
}

fn prefixes_of(pattern: &Pattern) -> Vec<String> {
    let mut prefix = String::new();
    let mut found = Vec::new();
    for segment in pattern.segments() {
        match segment {
            Segment::Literal(text) if !text.is_empty() => {
                prefix.push('/');
                prefix.push_str(&literal(text));
                found.push(prefix.clone());
            }
            _ => break,
        }
    }
    found
}
