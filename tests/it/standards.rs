//! The pages of `docs/design`: every entry of the requirements and the attacks names tests that
//! exist or states that there is none, and every reference in the sources leads to an entry.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = "docs/design/requirements.md";
const ATTACKS: &str = "docs/design/attacks.md";

/// The chapters of the requirements, and the number of entries of each.
const CHAPTERS: &[(char, usize)] = &[
    ('t', 20),
    ('k', 14),
    ('c', 8),
    ('r', 8),
    ('h', 7),
    ('p', 9),
    ('l', 8),
    ('x', 5),
    ('o', 13),
    ('u', 6),
    ('y', 7),
    ('f', 20),
    ('d', 73),
    ('g', 24),
];

/// Words with which an entry without a test says so.
const WITHOUT_TEST: [&str; 5] = [
    "No test",
    "Not under load",
    "Does not apply",
    "In part, each",
    "In part: `tests/chaos`",
];

fn page(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The anchors of a page, each with the text up to the next one.
fn entries(page: &str) -> Vec<(&str, &str)> {
    let parts = page.split("<a id=\"").skip(1);
    parts
        .filter_map(|part| part.split_once("\"></a>"))
        .collect()
}

/// The tests that a text names: `path::function` between backquotes.
fn tests(text: &str) -> Vec<(&str, &str)> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_once("::"))
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect()
}

/// Whether a file has a function of this name with a test attribute.
fn has_test(path: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(path) else {
        return false;
    };
    let start = format!("fn {name}(");
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.ends_with("test]") || line.contains("test(");
        } else if line.contains(&start) && is_test {
            return true;
        } else if !line.starts_with("//") && !line.is_empty() {
            is_test = false;
        }
    }
    false
}

#[test]
fn every_test_that_the_pages_name_exists() {
    for path in [REQUIREMENTS, ATTACKS] {
        let page = page(path);
        let missing: Vec<_> = tests(&page)
            .into_iter()
            .filter(|(file, name)| *name != "function" && !has_test(file, name))
            .collect();
        assert!(tests(&page).len() > 50, "{path}: its tests are not found");
        assert!(
            missing.is_empty(),
            "{path} names tests that do not exist: {missing:#?}"
        );
    }
}

#[test]
fn every_requirement_names_a_test_or_says_that_there_is_none() {
    let page = page(REQUIREMENTS);
    let silent: Vec<_> = entries(&page)
        .into_iter()
        .filter(|(_, text)| {
            tests(text).is_empty() && !WITHOUT_TEST.iter().any(|words| text.contains(words))
        })
        .map(|(id, _)| id)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

/// Returns what the table of the attacks has to say of an entry.
fn state(entry: &str) -> String {
    let tests: BTreeSet<_> = tests(entry).into_iter().collect();
    let count = match tests.len() {
        0 if entry.contains("Does not apply:") => return "does not apply".to_owned(),
        0 => return "**held by nothing**".to_owned(),
        1 => "1 test".to_owned(),
        many => format!("{many} tests"),
    };
    let is_partial = ["Not held:", "Held in part:"]
        .iter()
        .any(|words| entry.contains(words));
    match is_partial {
        true => format!("in part, by {count}"),
        false => format!("held by {count}"),
    }
}

// Whoever reads the table alone is not told of more than there is.
#[test]
fn the_table_of_the_attacks_tells_what_holds_each() {
    let page = page(ATTACKS);
    let rows: Vec<_> = entries(&page)
        .into_iter()
        .filter(|(id, _)| id.starts_with("row-"))
        .collect();
    for (id, entry) in &rows {
        let entry = entry.split("\n## ").next().unwrap_or_default();
        let (number, name) = entry.lines().next().unwrap().split_once(". ").unwrap();
        let line = format!("| [{number}](#{id}) | {name} | {} |", state(entry));
        assert!(page.contains(&line), "missing: {line}");
        let says_nothing_holds_it = entry.contains("Held by nothing");
        let has_no_test = state(entry) == "**held by nothing**";
        assert_eq!(says_nothing_holds_it, has_no_test, "{id}");
    }
    assert!(rows.len() > 30, "its rows are not found");
}

#[test]
fn the_pages_have_every_entry_once() {
    let (requirements, attacks) = (page(REQUIREMENTS), page(ATTACKS));
    let ids: Vec<_> = entries(&requirements)
        .into_iter()
        .map(|(id, _)| id.to_owned())
        .collect();
    let expected: Vec<_> = CHAPTERS
        .iter()
        .flat_map(|(chapter, count)| {
            // The items of the standards and the load tests have no leading zero.
            let width = if matches!(chapter, 'd' | 'f') { 1 } else { 2 };
            (1..=*count).map(move |number| format!("{chapter}{number:0width$}"))
        })
        .collect();
    assert_eq!(ids.len(), expected.len());
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>(),
        expected.iter().collect()
    );
    let ids: BTreeSet<_> = entries(&attacks)
        .into_iter()
        .map(|(id, _)| id.to_owned())
        .collect();
    let rows = (1..=37).map(|number| format!("row-{number}"));
    let advisories = (1..=25).map(|number| format!("advisory-{number}"));
    for id in rows.chain(advisories) {
        assert!(ids.contains(&id), "{id}");
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_reference_leads_to_an_entry() {
    let pages = [
        ("requirements.md#", page(REQUIREMENTS)),
        ("attacks.md#", page(ATTACKS)),
    ];
    let mut paths = Vec::new();
    for directory in ["src", "tests", "docs", "deploy"] {
        files(Path::new(directory), &mut paths);
    }
    let mut lost = Vec::new();
    for path in paths
        .iter()
        .filter(|path| !path.ends_with("tests/it/standards.rs"))
    {
        // Not text: certificates and the like.
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        for (link, page) in &pages {
            for rest in text.split(link).skip(1) {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .unwrap_or(rest.len());
                let anchor = rest[..end].trim_end_matches('-');
                let is_heading = path.starts_with("docs");
                if !page.contains(&format!("<a id=\"{anchor}\">")) && !is_heading {
                    lost.push(format!("{}: {link}{anchor}", path.display()));
                }
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}
