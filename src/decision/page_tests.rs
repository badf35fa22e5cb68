//! The tables of `docs/answers.md`, which are written from the rows of the reasons.

use std::path::Path;

use super::{Reason, aws_http, aws_rest};
use crate::telemetry::Label as _;

const PAGE: &str = "docs/answers.md";

const REASONS: &str = "| reason | status | code | cause, and what to do |\n|---|---|---|---|\n";

const PROFILES: &str = "| reason | `rfc6750` | `aws-rest` | `aws-http` |\n|---|---|---|---|\n";

#[test]
fn the_page_of_the_answers_is_written_from_the_rows() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&file).unwrap();
    let expected = with_table(&page, REASONS, &reasons());
    let expected = with_table(&expected, PROFILES, &profiles());
    if page == expected {
        return;
    }
    assert!(
        std::env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some(),
        "{PAGE} is not what the tables say; SCOPEGATE_UPDATE_VECTORS=1 writes it anew"
    );
    std::fs::write(&file, expected).unwrap();
}

/// Returns the page with other rows below a header.
fn with_table(page: &str, header: &str, rows: &str) -> String {
    let start = page.find(header).expect("the page has the table") + header.len();
    let length = match page[start..].find("\n\n") {
        Some(length) => length + 1,
        None => page.len() - start,
    };
    [&page[..start], rows, &page[start + length..]].concat()
}

fn reasons() -> String {
    let mut table = String::new();
    for reason in Reason::ALL {
        let (name, code) = (reason.name(), reason.code());
        let status = reason.status().as_u16();
        table += &format!("| `{name}` | {status} | `{code}` | {} |\n", reason.help());
    }
    table
}

fn profiles() -> String {
    let mut table = String::new();
    for reason in Reason::ALL {
        let (rest, http) = (aws_rest::row(*reason), aws_http::row(*reason));
        table += &format!(
            "| `{}` | {} | {} `{}` | {} `{}` |\n",
            reason.name(),
            reason.status().as_u16(),
            rest.status.as_u16(),
            rest.body.shown(),
            http.status.as_u16(),
            http.shown(),
        );
    }
    table
}
