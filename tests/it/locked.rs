//! What is built is what `Cargo.lock` names: the commands of the documentation and of the scripts
//! use it, and it has no version below the floors that advisories have set.

use std::fs;
use std::path::{Path, PathBuf};

/// The commands of cargo that read `Cargo.lock`, and would change it.
const COMMANDS: [&str; 11] = [
    "bench", "build", "check", "clippy", "doc", "fetch", "install", "metadata", "run", "test",
    "tree",
];

/// Returns the files below these paths whose names end in one of these ways.
fn files(paths: &[&str], endings: &[&str]) -> Vec<PathBuf> {
    let mut waiting: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() && !name.ends_with("node_modules") {
            let entries = fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the lines of a script, with those that go on in the next one put together, and without
/// comments.
fn lines(text: &str) -> Vec<String> {
    let whole = text.replace("\\\n", " ");
    let lines = whole.lines().filter(|line| !line.trim().starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Returns the lines of the blocks of shell commands in a page.
fn fenced(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for block in page.split("\n```sh\n").skip(1) {
        let end = block.find("\n```").unwrap_or(block.len());
        commands.extend(lines(&block[..end]));
    }
    commands
}

/// Whether a line runs a command of cargo that could change `Cargo.lock`.
fn is_unlocked(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    let runs = words.windows(2).any(|pair| {
        let program = pair[0].rsplit(['(', '"', '=']).next();
        let command = pair[1].trim_end_matches([')', '"']);
        program == Some("cargo") && COMMANDS.contains(&command)
    });
    // A package that a script writes itself has no lock file yet.
    let is_written = line.contains("--manifest-path \"$package/");
    runs && !is_written && !words.contains(&"--locked")
}

#[test]
fn every_command_builds_what_the_lock_file_names() {
    let mut wrong = Vec::new();
    let mut commands = 0;
    let mut look = |path: &Path, lines: Vec<String>| {
        commands += lines.iter().filter(|line| line.contains("cargo ")).count();
        let unlocked = lines.into_iter().filter(|line| is_unlocked(line));
        wrong.extend(unlocked.map(|line| format!("{}: {line}", path.display())));
    };
    for path in files(
        &[".ci", "deploy", "tests"],
        &[".sh", ".ci/run", ".ci/nightly", "Dockerfile"],
    ) {
        look(&path, lines(&fs::read_to_string(&path).unwrap()));
    }
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs",
        "tests",
    ];
    for path in files(&pages, &[".md"]) {
        look(&path, fenced(&fs::read_to_string(&path).unwrap()));
    }
    assert!(commands > 10, "only {commands} commands are found");
    assert!(wrong.is_empty(), "without --locked:\n{}", wrong.join("\n"));
}

#[test]
fn a_command_without_the_lock_file_is_found() {
    for line in [
        "cargo build --release",
        "x=$(cargo metadata --format-version 1)",
        "exec timeout 5 cargo test --test it",
        "(cargo run)",
    ] {
        assert!(is_unlocked(line), "{line}");
    }
    for line in [
        "cargo build --release --locked",
        "cargo fmt --check",
        "echo cargo",
        "cargo deny --locked check",
    ] {
        assert!(!is_unlocked(line), "{line}");
    }
    assert_eq!(
        lines("cargo test \\\n    --locked\n# cargo run"),
        ["cargo test      --locked"]
    );
    assert_eq!(
        fenced("text\n```sh\ncargo run\n```\nmore\n```toml\ncargo run\n```"),
        ["cargo run"]
    );
}

/// Returns a version as numbers, for comparison.
fn release(text: &str) -> Vec<u64> {
    let parts = text
        .split(['.', '+', '-'])
        .map_while(|part| part.parse().ok());
    parts.collect()
}

/// Returns the versions of a crate in the lock file.
fn versions<'l>(lock: &'l str, name: &str) -> Vec<&'l str> {
    let start = format!("name = \"{name}\"\nversion = \"");
    let parts = lock.split(start.as_str()).skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

// The database of advisories is in no package registry, and does not have all of them.
#[test]
fn no_library_is_older_than_the_floor_that_its_advisories_set() {
    let page = fs::read_to_string("docs/design/attacks.md").unwrap();
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let (_, text) = page.split_once("versions at or above these: ").unwrap();
    let (floors, _) = text.split_once(".\n\n").unwrap();
    let floors: Vec<_> = floors.split(',').map(str::trim).collect();
    assert!(floors.len() > 8, "{floors:?}");
    for floor in floors {
        let (name, least) = floor.split_once(char::is_whitespace).unwrap();
        let used = versions(&lock, name);
        assert!(!used.is_empty(), "{name} is not in Cargo.lock");
        for version in used {
            assert!(
                release(version) >= release(least),
                "{name} {version} is below {least}"
            );
        }
    }
}
