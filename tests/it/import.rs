//! `scopegate import`: the documents of `tests/vectors/import`, the configurations and findings
//! that become of them, and what these configurations let pass when they are served.
//!
//! `SCOPEGATE_UPDATE_VECTORS=1 cargo test --test it import::` writes `*.toml` and `*.findings`
//! anew. The tables of verdicts (see `import_table.rs`) are written by hand.

use std::fs;
use std::path::Path;
use std::process::Output;

use scopegate::decision::Reason;
use scopegate::telemetry::Label as _;

use crate::import_served::Served;
use crate::import_table::{DIRECTORY, Table};
use crate::support::scopegate;

#[track_caller]
fn import(table: &Table) -> Output {
    let mut command = scopegate(&["import"]);
    command.args(&table.command).arg(&table.document);
    command.current_dir(DIRECTORY).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares a text with a file, or writes the file.
fn compare(table: &Table, extension: &str, found: &str, wrong: &mut Vec<String>) {
    let path = Path::new(DIRECTORY).join(format!("{}.{extension}", table.name));
    if std::env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some() {
        match found {
            "" => drop(fs::remove_file(&path)),
            text => fs::write(&path, text).unwrap(),
        }
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if found != expected {
        wrong.push(format!(
            "{}:\n--- expected\n{expected}\n--- found\n{found}",
            path.display()
        ));
    }
}

/// Returns whether one line of the findings has all these words.
fn has_line(findings: &str, words: &[String]) -> bool {
    let has_word = |line: &str, word: &String| line.to_lowercase().contains(&word.to_lowercase());
    findings
        .lines()
        .any(|line| words.iter().all(|word| has_word(line, word)))
}

/// Imports, serves and probes the documents whose name begins so.
#[track_caller]
fn serve(prefix: &str) {
    let mut wrong = Vec::new();
    let tables = Table::all();
    let mine = tables.iter().filter(|table| table.name.starts_with(prefix));
    let mut served = 0;
    for table in mine.filter(|table| !table.rows.is_empty()) {
        let output = import(table);
        if output.stdout.is_empty() {
            wrong.push(format!("{}: {}", table.name, text(&output.stderr)));
            continue;
        }
        let served_wrong = Served::start(table, &text(&output.stdout)).probe();
        wrong.extend(
            served_wrong
                .iter()
                .map(|line| format!("{}: {line}", table.name)),
        );
        served += 1;
    }
    assert!(served > 0, "there is no table for {prefix}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// P-32 of the parity matrix, in two halves: the text, and what it does.
#[test]
fn p32_each_document_becomes_the_configuration_and_the_findings_beside_it() {
    let mut wrong = Vec::new();
    for table in Table::all() {
        let output = import(&table);
        compare(&table, "toml", &text(&output.stdout), &mut wrong);
        compare(&table, "findings", &text(&output.stderr), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn p32_nothing_of_a_rest_api_is_open_by_accident() {
    serve("rest-");
}

#[test]
fn p32_nothing_of_an_http_api_is_open_by_accident() {
    serve("http-");
}

#[test]
fn p32_a_base_path_is_the_prefix_of_the_routes() {
    serve("basepath-");
}

#[test]
fn a_plain_document_is_read_as_openapi_says() {
    serve("plain-");
}

#[test]
fn findings_have_their_level_and_the_exit_code_says_the_worst() {
    let mut wrong = Vec::new();
    for table in Table::all() {
        let output = import(&table);
        let findings = text(&output.stderr);
        if table
            .exit
            .is_some_and(|exit| output.status.code() != Some(exit))
        {
            wrong.push(format!("{}: {:?}\n{findings}", table.name, output.status));
        }
        let missing = table
            .finds
            .iter()
            .filter(|words| !has_line(&findings, words));
        wrong.extend(missing.map(|words| format!("{}: no {words:?} in\n{findings}", table.name)));
        let unsaid = table
            .says
            .iter()
            .filter(|word| !findings.contains(word.as_str()));
        wrong.extend(unsaid.map(|word| format!("{}: no {word} in\n{findings}", table.name)));
        if table.exit == Some(1) && !output.stdout.is_empty() {
            wrong.push(format!("{}: there is an output", table.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_output_is_accepted_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    for table in Table::all() {
        let output = import(&table);
        if output.stdout.is_empty() {
            continue;
        }
        fs::write(&file, &output.stdout).unwrap();
        let check = scopegate(&["check", file.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(check.status.success(), "{}: {check:?}", table.name);
    }
}

#[test]
fn every_file_belongs_to_a_table() {
    let tables = Table::all();
    for entry in fs::read_dir(DIRECTORY).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_known = tables.iter().any(|table| {
            let snapshots = ["verdicts", "toml", "findings"];
            let mut snapshots = snapshots
                .iter()
                .map(|kind| format!("{}.{kind}", table.name));
            table.document == name || snapshots.any(|snapshot| snapshot == name)
        });
        assert!(is_known, "{name} belongs to no table");
    }
}

// A reason that is new, and about a token, has to be among those of `UNAUTHORIZED`.
#[test]
fn unauthorized_is_for_each_refusal_of_a_token() {
    let name = "rest-gateway-responses.toml";
    let toml = fs::read_to_string(Path::new(DIRECTORY).join(name)).unwrap();
    let after = toml
        .split_once("# The gateway response UNAUTHORIZED.")
        .unwrap()
        .1;
    let line = after
        .lines()
        .find(|line| line.starts_with("for = "))
        .unwrap();
    let is_named = |name: &str| line.contains(&format!("\"{name}\""));
    for reason in Reason::ALL {
        let others = [Reason::SeveralTokens, Reason::InsufficientScope];
        let is_of_token = reason.status() == 401 || others.contains(reason);
        let has_reason = is_named(reason.name()) || is_named(reason.code());
        assert_eq!(has_reason, is_of_token, "{}", reason.name());
    }
}
