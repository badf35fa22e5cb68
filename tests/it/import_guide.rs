//! The page for those who move from API Gateway, held against the importer.

use std::collections::BTreeMap;

use scopegate::import::{Code, Level};

const PAGE: &str = "docs/migrating-from-api-gateway.md";
const SECTION: &str = "\n## The findings of the importer\n";

/// Returns the names in the first column of each table of findings, with the heading of the table.
fn rows() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, page) = page.split_once(SECTION).unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let (mut rows, mut heading) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("**") {
            heading = title.split(':').next().unwrap().to_owned();
        }
        if let Some(row) = line.strip_prefix("| `") {
            let column = row.split(" |").next().unwrap();
            for name in column.split(", ") {
                let names = rows.entry(name.trim_matches('`').to_owned()).or_default();
                names.push(heading.clone());
            }
        }
    }
    rows
}

#[test]
fn the_guide_says_what_to_do_with_each_finding() {
    let mut rows = rows();
    for code in Code::ALL {
        let heading = match code.level() {
            Level::Error => "Errors",
            Level::Warning => "Warnings",
            Level::Info => "Infos",
        };
        let found = rows.remove(code.name());
        assert_eq!(
            found,
            Some(vec![heading.to_owned()]),
            "{PAGE}: {}",
            code.name()
        );
    }
    assert!(
        rows.is_empty(),
        "{PAGE} has findings that there are not: {rows:?}"
    );
}
