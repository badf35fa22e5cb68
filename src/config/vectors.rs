//! Runs the vectors in `tests/vectors/config`: each `*.toml` has a `*.txt` beside it with the
//! output for the operator.
//!
//! `SCOPEGATE_UPDATE_VECTORS=1 cargo test --lib config::vectors` accepts new output; review the
//! difference.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, Overrides, effective_policy};

const DIRECTORY: &str = "tests/vectors/config";
const UPDATE: &str = "SCOPEGATE_UPDATE_VECTORS";

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    cases.sort();
    cases
}

/// Returns the output of `scopegate check`.
fn shown(path: &Path) -> String {
    match Config::load(path, &Overrides::default()) {
        Ok(config) => effective_policy(&config),
        Err(problems) => problems.render(false) + "\n",
    }
}

#[test]
fn every_vector_reads_as_written_beside_it() {
    let update = std::env::var_os(UPDATE).is_some();
    assert!(
        !update || std::env::var_os("CI").is_none(),
        "{UPDATE} is not for CI: vectors are accepted by people"
    );
    let mut wrong = Vec::new();
    for path in cases() {
        let (shown, expected_path) = (shown(&path), path.with_extension("txt"));
        if update {
            fs::write(&expected_path, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if shown != expected {
            wrong.push(format!(
                "{}:\n--- expected\n{expected}\n--- shown\n{shown}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_expectation_has_its_vector() {
    for entry in fs::read_dir(DIRECTORY).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "txt") {
            assert!(path.with_extension("toml").exists(), "{}", path.display());
        }
    }
    assert!(cases().len() >= 50, "vectors went missing");
}

/// Cuts files at many places, since editors save half-written files: each part gets a problem, and
/// none panics.
#[test]
fn no_part_of_a_file_panics() {
    for path in cases() {
        let text = fs::read_to_string(&path).unwrap();
        for cut in (0..text.len())
            .step_by(29)
            .filter(|cut| text.is_char_boundary(*cut))
        {
            let (part, rest) = text.split_at(cut);
            for text in [part, rest] {
                if let Err(problems) = Config::parse(text, &path.to_string_lossy()) {
                    assert!(
                        problems.render(false).contains("error: "),
                        "{}",
                        path.display()
                    );
                    assert_eq!(problems.lines().count(), problems.iter().count());
                }
            }
        }
    }
}

/// Tests that a vector loads if, and only if, its name begins with `good-`.
#[test]
fn good_vectors_load_and_bad_ones_do_not() {
    for path in cases() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let loaded = Config::load(&path, &Overrides::default());
        assert_eq!(
            loaded.is_ok(),
            name.starts_with("good-"),
            "{name}: {loaded:?}"
        );
    }
}
