//! Values of tokens and times, as the command shows them.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::UnixTime;
use crate::policy::Claim;
use crate::telemetry::Quoted;

/// The most values of a list that are shown. A token may have any number.
const MAX_VALUES: usize = 50;

/// Returns a text of a peer as it is shown, or "none".
pub(super) fn quoted(value: Option<&str>) -> String {
    match value {
        Some(value) => Quoted(value).to_string(),
        None => "none".to_owned(),
    }
}

/// Returns texts of a peer as they are shown, or "none".
pub(super) fn all_quoted<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut count: usize = 0;
    for value in values {
        count += 1;
        if count <= MAX_VALUES {
            text.push_str(if text.is_empty() { "" } else { ", " });
            let _ = write!(text, "{}", Quoted(value));
        }
    }
    if count == 0 {
        return "none".to_owned();
    }
    match count.saturating_sub(MAX_VALUES) {
        0 => text,
        more => format!("{text}, and {more} more"),
    }
}

/// Returns the first texts of a list, as JSON has them.
pub(super) fn first_quoted<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let first = values.into_iter().take(MAX_VALUES);
    first.map(unquoted).collect()
}

/// Returns a text of a peer, escaped and cut like that of [`Quoted`], without quotation marks.
pub(super) fn unquoted(text: &str) -> String {
    let quoted = Quoted(text).to_string();
    let inside = quoted.strip_prefix('"').and_then(|rest| {
        rest.strip_suffix('"')
            .map(str::to_owned)
            .or_else(|| rest.strip_suffix("\"…").map(|rest| format!("{rest}…")))
    });
    inside.unwrap_or(quoted)
}

/// Returns the value of a claim as it is shown; of an object only that it is one.
pub(super) fn value_of(claim: Option<&Claim>) -> String {
    match claim {
        None => "none".to_owned(),
        Some(Claim::Text(text)) => Quoted(text).to_string(),
        Some(Claim::Bool(value)) => value.to_string(),
        Some(Claim::Number(digits)) => unquoted(digits),
        Some(claim) => match claim.as_texts() {
            Some(texts) => format!("[{}]", all_quoted(texts)),
            None => kind_of(claim).to_owned(),
        },
    }
}

/// Returns the kind of a claim, with its article.
pub(super) fn kind_of(claim: &Claim) -> &'static str {
    match claim {
        Claim::Null => "null",
        Claim::Bool(_) => "a boolean",
        Claim::Number(_) => "a number",
        Claim::Text(_) => "a string",
        Claim::List(_) if claim.as_texts().is_some() => "a list of strings",
        Claim::List(_) => "a list of other items than strings",
        Claim::Map(_) => "an object",
    }
}

/// Formats items as a list.
pub(super) fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// Formats a time together with its distance from now.
pub(super) fn moment(seconds: u64, now: UnixTime) -> String {
    // The end of the year 9999. Later times cannot be formatted as a date.
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return format!("{seconds}, after the year 9999");
    }
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let apart = humantime::format_duration(Duration::from_secs(seconds.abs_diff(now.0)));
    if seconds >= now.0 {
        format!("{date}, in {apart}")
    } else {
        format!("{date}, {apart} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_from_now() {
        assert_eq!(moment(3600, UnixTime(0)), "1970-01-01T01:00:00Z, in 1h");
        assert_eq!(moment(0, UnixTime(90)), "1970-01-01T00:00:00Z, 1m 30s ago");
        assert!(moment(u64::MAX, UnixTime(0)).ends_with("after the year 9999"));
    }

    #[test]
    fn a_list_is_shown_up_to_a_limit() {
        assert_eq!(all_quoted([]), "none");
        assert_eq!(all_quoted(["a", "b\n"]), "\"a\", \"b\\n\"");
        let many = all_quoted(["x"; 60]);
        assert!(many.ends_with("\"x\", and 10 more"), "{many}");
        assert_eq!(first_quoted(["x"; 60]).len(), MAX_VALUES);
    }

    #[test]
    fn a_value_shows_its_kind() {
        let text = |text: &str| Claim::Text(text.into());
        for (claim, shown) in [
            (text("a\u{1b}"), "\"a\\u{1b}\""),
            (Claim::Number("1.50".into()), "1.50"),
            (Claim::Bool(true), "true"),
            (Claim::Null, "null"),
            (Claim::List(vec![text("a"), text("b")]), "[\"a\", \"b\"]"),
            (
                Claim::List(vec![Claim::Null]),
                "a list of other items than strings",
            ),
            (Claim::Map(Default::default()), "an object"),
        ] {
            assert_eq!(value_of(Some(&claim)), shown);
        }
        assert_eq!(value_of(None), "none");
    }

    #[test]
    fn a_text_without_quotation_marks_is_cut_as_well() {
        assert_eq!(unquoted("a\nb"), "a\\nb");
        let long = unquoted(&"x".repeat(500));
        assert!(long.ends_with("x…") && long.len() < 200, "{long}");
        assert!(unquoted(&format!("eyJ{}", "x".repeat(40))).starts_with("(a token"));
    }
}
