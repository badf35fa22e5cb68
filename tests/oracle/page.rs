//! The page that prints the oracle.

use std::{env, fs};

const PAGE: &str = "docs/design/decision.md";

/// The files of the oracle, in the order of the page.
const FILES: [&str; 4] = ["decide", "scopes", "shadows", "reading"];

/// The most lines of `decide.rs` that are neither blank nor a comment.
const MOST_LINES: usize = 100;

fn source(name: &str) -> String {
    fs::read_to_string(format!("tests/oracle/{name}.rs")).unwrap()
}

/// Returns the page with the files as they are.
fn printed(page: &str) -> String {
    let mut printed = page.to_owned();
    for name in FILES {
        let start = format!("<!-- {name}.rs -->\n```rust\n");
        let (before, rest) = printed.split_once(&start).expect("the page has the file");
        let (_, after) = rest.split_once("\n```\n").expect("the fence ends");
        printed = format!("{before}{start}{}\n```\n{after}", source(name).trim_end());
    }
    printed
}

#[test]
fn the_page_prints_the_oracle() {
    let page = fs::read_to_string(PAGE).unwrap();
    let printed = printed(&page);
    if env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some() && env::var_os("CI").is_none() {
        fs::write(PAGE, &printed).unwrap();
        return;
    }
    assert!(
        page == printed,
        "SCOPEGATE_UPDATE_VECTORS=1 cargo test --test oracle page"
    );
}

#[test]
fn the_decision_has_at_most_a_hundred_lines() {
    let text = source("decide");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = text.lines().filter(is_code).count();
    assert!(lines <= MOST_LINES, "{lines}");
}

/// The oracle knows the configuration alone, and the types of which that consists.
#[test]
fn the_oracle_shares_no_code_with_the_gateway() {
    for name in FILES {
        for line in source(name)
            .lines()
            .filter(|line| line.contains("scopegate::"))
        {
            let known = ["use scopegate::config::", "use scopegate::policy::"];
            assert!(
                known.iter().any(|start| line.starts_with(start)),
                "{name}: {line}"
            );
        }
    }
}
