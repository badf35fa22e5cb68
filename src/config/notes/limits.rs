//! Notes on limits that another limit always reaches first.

use std::time::Duration;

use crate::config::language::units::{show_duration, show_size};
use crate::config::language::{AnyKey, Reader};

/// A key with its value.
pub(crate) struct Set<'k, T> {
    pub(crate) key: &'k dyn AnyKey,
    pub(crate) value: T,
}

impl<'k, T> Set<'k, T> {
    pub(crate) fn new(key: &'k dyn AnyKey, value: T) -> Self {
        Self { key, value }
    }
}

/// Notes a size that does not fit into a head of the greatest size.
pub(crate) fn note_beyond_head(reader: &Reader<'_>, part: &Set<'_, usize>, head: &Set<'_, usize>) {
    if !reader.has(part.key) || part.value < head.value {
        return;
    }
    let message = format!(
        "\"{}\" cannot be reached: \"{}\" is {}, and a longer head is refused before (431)",
        part.key.name(),
        head.key.name(),
        show_size(head.value as u64),
    );
    reader.note(reader.value_span(part.key), message);
}

/// Notes a deadline that cannot expire because the whole request has a shorter one.
pub(crate) fn note_beyond_request(
    reader: &Reader<'_>,
    part: &Set<'_, Option<Duration>>,
    request: &Set<'_, Option<Duration>>,
) {
    let (Some(limit), Some(whole)) = (part.value, request.value) else {
        return;
    };
    // The time for a request may be "0", which is no limit.
    if !reader.has(part.key) || whole.is_zero() || limit < whole {
        return;
    }
    let message = format!(
        "\"{}\" cannot be reached: \"{}\" ends the whole request after {}",
        part.key.name(),
        request.key.name(),
        show_duration(whole),
    );
    reader.note(reader.value_span(part.key), message);
}
