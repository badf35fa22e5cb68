//! The rooms of `src/` and the rooms that each of them may use: no arrow runs back up.
//!
//! The sources are read as text. Comments, strings and code that is only compiled for tests do not
//! count.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A room, and the rooms that it may name. What stands here is the whole of it: a room that is
/// missing is a mistake.
const ARROWS: &[(&str, &str)] = &[
    ("main", "cli"),
    (
        "cli",
        "gateway server proxy decision lambda route transform token issuer policy web net tls \
         config snapshot \
         reload telemetry dev import clock",
    ),
    (
        "gateway",
        "server proxy decision token issuer upstream net tls config snapshot reload admin \
         telemetry blocking carry_over clock",
    ),
    (
        "server",
        "proxy snapshot config net tls telemetry clock content",
    ),
    (
        "admin",
        "proxy snapshot config web telemetry blocking clock",
    ),
    ("reload", "snapshot config telemetry blocking"),
    (
        "proxy",
        "decision snapshot config lambda route transform token policy upstream telemetry net \
         carry_over clock content",
    ),
    (
        "decision",
        "snapshot config lambda route transform token policy upstream telemetry net content",
    ),
    (
        "snapshot",
        "config route transform token issuer policy upstream telemetry net tls carry_over sync",
    ),
    (
        "dev",
        "config lambda route token issuer policy upstream web net tls clock content",
    ),
    ("import", "config route transform token policy net content"),
    // Value types alone: what a file can say of these rooms. Key sets and certificates are tried by
    // parsing them.
    (
        "config",
        "lambda route transform token issuer policy upstream telemetry net tls content",
    ),
    ("token", "issuer transform policy tls telemetry sync clock"),
    ("issuer", "web net telemetry sync clock"),
    (
        "upstream",
        "lambda web net tls telemetry carry_over sync clock content",
    ),
    ("lambda", "route policy telemetry content"),
    ("web", "net tls clock"),
    ("net", "tls clock"),
    ("tls", ""),
    ("telemetry", "sync clock"),
    ("transform", "route content"),
    ("policy", ""),
    ("route", ""),
    ("blocking", ""),
    ("carry_over", ""),
    ("sync", ""),
    ("clock", ""),
    ("content", ""),
];

/// A constructor of a proof, and the one function that may call it.
const CALLERS: &[(&str, &str, &str)] = &[
    (
        "Identity::verified",
        "src/token/verifier.rs",
        "authenticate",
    ),
    ("Identity::anonymous", "src/decision/mod.rs", "identify"),
    ("Permit::granted", "src/policy/requirement.rs", "authorize"),
];

/// How code that is compiled for tests alone begins.
const TESTS: &[&str] = &["#[cfg(test)]", "#[cfg(all(test,"];

/// What reads the time.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", ".elapsed()"];

/// A source file: its path from the root of the repository, and what it says outside of tests,
/// comments and strings.
pub(crate) struct Source {
    path: String,
    code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            code: without_tests(&code_of(text)),
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// `proxy` for `src/proxy/…` and for `src/proxy.rs`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs")
    }

    /// How many `super` lead from it to the root of the crate.
    fn depth(&self) -> usize {
        let parts = self.path.trim_end_matches("/mod.rs").split('/').count();
        parts.saturating_sub(1)
    }

    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.code[..at].lines().count().max(1))
    }

    /// Where `text` stands as a whole word, or as the whole words of a path.
    fn find<'s>(&'s self, text: &'s str) -> impl Iterator<Item = usize> + 's {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .match_indices(text)
            .map(|(at, _)| at)
            .filter(move |at| {
                let before = self.code[..*at].chars().next_back();
                let after = self.code[at + text.len()..].chars().next();
                !(text.starts_with(part) && before.is_some_and(part)
                    || text.ends_with(part) && after.is_some_and(part))
            })
    }

    /// The rooms that it names, by `crate::`, or by its name in `main.rs`.
    fn uses(&self) -> Vec<(usize, String)> {
        let root = if self.room() == "main" {
            "scopegate::"
        } else {
            "crate::"
        };
        let mut uses = Vec::new();
        for at in self.find(root) {
            let rest = &self.code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(list) => uses.extend(heads(list).map(|room| (at, room))),
                None => uses.push((at, first_word(rest))),
            }
        }
        uses
    }
}

/// The first words of a use list's members, up to its end.
fn heads(list: &str) -> impl Iterator<Item = String> + '_ {
    let mut depth = 0_i32;
    let mut starts = vec![0];
    let mut end = list.len();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                end = at;
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let words = starts.into_iter().filter(move |start| *start < end);
    words
        .map(|start| first_word(&list[start..]))
        .filter(|word| !word.is_empty())
}

fn first_word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The text with every comment and every string blanked, so that what is left is code at its old
/// place.
fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quiet = comment(rest).or_else(|| literal(rest, out.chars().next_back()));
        let length = quiet.unwrap_or(first.len_utf8());
        let (piece, after) = rest.split_at(length);
        match quiet {
            Some(_) => out.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' })),
            None => out.push_str(piece),
        }
        rest = after;
    }
    out
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while text.starts_with("/*") {
        let rest = &text[at..];
        match (rest.starts_with("/*"), rest.starts_with("*/")) {
            (true, _) => (depth, at) = (depth + 1, at + 2),
            (_, true) if depth == 1 => return Some(at + 2),
            (_, true) => (depth, at) = (depth - 1, at + 2),
            _ => at += rest.chars().next().map_or(2, char::len_utf8),
        }
        if at >= text.len() {
            return Some(text.len());
        }
    }
    None
}

/// The length of the string or character that the text begins with.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text
        .strip_prefix('r')
        .filter(|_| !in_word || before == Some('b'))
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(2 + hashes + body.find(&close)? + close.len());
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 1),
            // A lifetime: a character is one character long.
            _ if quote == '\'' && !text.starts_with("'\\") && at > 1 + c.len_utf8() => return None,
            _ => {}
        }
        if quote == '\'' && at == 1 && !text[1 + c.len_utf8()..].starts_with('\'') && c != '\\' {
            return None;
        }
    }
    None
}

/// The code without the items that are compiled for tests alone.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = TESTS.iter().filter_map(|begin| out.find(begin)).min() {
        let rest = &out[start..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let brace = rest.find('{').unwrap_or(rest.len());
        let length = if brace < semicolon {
            brace + block(&rest[brace..])
        } else {
            (semicolon + 1).min(rest.len())
        };
        let blank: String = rest[..length]
            .chars()
            .map(|c| {
                if c == '\n' {
                    "\n".into()
                } else {
                    " ".repeat(c.len_utf8())
                }
            })
            .collect();
        out.replace_range(start..start + length, &blank);
    }
    out
}

/// The length of the block that the text begins with.
fn block(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Every `use` that runs against an arrow.
fn against_arrows(source: &Source) -> Vec<String> {
    let room = source.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![format!(
            "{}: room \"{room}\" has no place in the direction table",
            source.path
        )];
    };
    let allowed: BTreeSet<&str> = allowed.split_whitespace().collect();
    let may = |used: &str| used == room || used == "self" || allowed.contains(used);
    let uses = source.uses().into_iter().filter(|(_, used)| !may(used));
    let mut found: Vec<String> = uses
        .map(|(at, used)| format!("{}: \"{room}\" may not use \"{used}\"", source.place(at)))
        .collect();
    let climb = "super::".repeat(source.depth());
    let climbs = source.find(&climb).map(|at| {
        format!(
            "{}: \"{climb}\" leaves the room; name the other one by \"crate::\"",
            source.place(at)
        )
    });
    found.extend(climbs);
    found
}

/// In `policy`, every name of a crate other than the standard library.
fn beyond_std(source: &Source, crates: &[String]) -> Vec<String> {
    if source.room() != "policy" {
        return Vec::new();
    }
    let others = crates
        .iter()
        .map(String::as_str)
        .chain(["alloc", "proc_macro"]);
    let found = others.flat_map(|name| {
        let uses = source.find(name);
        uses.map(move |at| {
            format!(
                "{}: \"policy\" uses the crate \"{name}\"; it knows std alone",
                source.place(at)
            )
        })
    });
    found.collect()
}

/// Every caller of a proof's constructor that is not the named one.
fn unnamed_callers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (call, path, function) in CALLERS {
        for at in source.find(call) {
            let before = source.code[..at]
                .rfind("fn ")
                .map_or("", |start| &source.code[start + 3..at]);
            let caller = first_word(before);
            if source.path != *path || caller != *function {
                let place = source.place(at);
                found.push(format!(
                    "{place}: {call} is for \"{function}\" in {path}, not for \"{caller}\""
                ));
            }
        }
    }
    found
}

/// Every reader of the time but the clock.
fn other_clocks(source: &Source) -> Vec<String> {
    if source.path == "src/clock.rs" {
        return Vec::new();
    }
    let reads = CLOCKS
        .iter()
        .flat_map(|read| source.find(read).map(move |at| (at, read)));
    reads
        .map(|(at, read)| format!("{}: {read} is for src/clock.rs alone", source.place(at)))
        .collect()
}

/// Every source of random numbers but the one that a simulation can repeat. Hash tables, whose order
/// nothing depends on, have hashers of another crate.
fn other_chances(source: &Source) -> Vec<String> {
    if source.path == "src/net/random.rs" {
        return Vec::new();
    }
    let draws = source.find("RandomState::new");
    draws
        .map(|at| {
            format!(
                "{}: random numbers are of src/net/random.rs alone",
                source.place(at)
            )
        })
        .collect()
}

/// Every choice between futures whose order is drawn at random: tokio draws it from a generator that
/// a simulation cannot repeat.
fn random_orders(source: &Source) -> Vec<String> {
    let choices = source.find("select!").filter(|at| {
        let branches = source.code[*at..]
            .split_once('{')
            .map_or("", |(_, rest)| rest);
        first_word(branches) != "biased"
    });
    choices
        .map(|at| format!("{}: \"select!\" is not biased", source.place(at)))
        .collect()
}

/// Every way into the sandbox but the one command, which `run` does not name.
fn ways_into_dev(source: &Source) -> Vec<String> {
    let uses = source
        .uses()
        .into_iter()
        .filter(|(_, used)| used == "dev")
        .map(|(at, _)| at);
    let found: Vec<usize> = match source.path.as_str() {
        "src/cli/dev.rs" => Vec::new(),
        "src/cli/run.rs" => uses.chain(source.find("dev")).collect(),
        _ if source.room() == "dev" => Vec::new(),
        _ => uses.collect(),
    };
    found
        .into_iter()
        .map(|at| format!("{}: only src/cli/dev.rs leads to \"dev\"", source.place(at)))
        .collect()
}

/// Every source file of the library and the binary that is not compiled for tests alone, and all
/// their lengths.
pub(crate) fn sources() -> Vec<Source> {
    let mut texts = Vec::new();
    read(Path::new(env!("CARGO_MANIFEST_DIR")), "src", &mut texts);
    let tests: BTreeSet<String> = texts
        .iter()
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    let code = texts.iter().filter(|(path, _)| !tests.contains(path));
    code.map(|(path, text)| Source::new(path, text)).collect()
}

fn read(root: &Path, folder: &str, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            read(root, &path, texts);
        } else if path.ends_with(".rs") {
            texts.push((path, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    texts.sort();
}

/// The files of the modules that this one declares for tests.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = match path.strip_suffix("/mod.rs") {
        Some(folder) => folder.to_owned(),
        None => path.trim_end_matches(".rs").to_owned(),
    };
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let mut named = None;
        for line in lines.by_ref() {
            if let Some(name) = line.strip_prefix("#[path = \"") {
                let (parent, _) = path.rsplit_once('/').unwrap();
                named = Some(format!("{parent}/{}", name.trim_end_matches("\"]")));
            } else if !line.starts_with('#') {
                let module = line
                    .strip_suffix(';')
                    .and_then(|line| line.rsplit_once("mod "))
                    .map(|(_, name)| name);
                let file = module.map(|name| named.take().unwrap_or(format!("{folder}/{name}.rs")));
                found.extend(file);
                break;
            }
        }
    }
    found
}

/// The crates of the manifest, as code names them.
fn crates() -> Vec<String> {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, dependencies) = manifest
        .split_once("[dependencies]\n")
        .expect("there are dependencies");
    let lines = dependencies
        .lines()
        .take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect()
}

#[track_caller]
fn holds(check: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(
        sources.len() > 50,
        "the sources are not where they are looked for"
    );
    let found: Vec<String> = sources.iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_use_runs_against_the_direction_of_the_rooms() {
    holds(against_arrows);
}

#[test]
fn every_room_of_the_directions_exists() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    for (room, used) in ARROWS {
        for name in used.split_whitespace().chain([*room]) {
            assert!(rooms.contains(name), "{name}");
        }
    }
}

#[test]
fn every_direction_is_taken() {
    let sources = sources();
    let mut taken = BTreeSet::new();
    for source in &sources {
        for (_, used) in source.uses() {
            taken.insert((source.room(), used));
        }
    }
    let mut idle = Vec::new();
    for (room, used) in ARROWS {
        for name in used.split_whitespace() {
            if !taken.contains(&(*room, name.to_owned())) {
                idle.push(format!("{room} -> {name}"));
            }
        }
    }
    assert!(idle.is_empty(), "no source takes these: {idle:?}");
}

#[test]
fn the_directions_form_no_circle() {
    let mut left: Vec<_> = ARROWS.to_vec();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(room, _)| *room).collect();
        let before = left.len();
        left.retain(|(_, used)| used.split_whitespace().any(|room| names.contains(&room)));
        assert!(left.len() < before, "these use each other: {names:?}");
    }
}

#[test]
fn the_policy_knows_the_standard_library_alone() {
    let crates = crates();
    assert!(crates.contains(&"serde_json".to_owned()), "{crates:?}");
    holds(|source| beyond_std(source, &crates));
}

#[test]
fn each_proof_has_one_named_maker() {
    holds(unnamed_callers);
    let sources = sources();
    for (call, path, _) in CALLERS {
        let source = sources
            .iter()
            .find(|source| source.path == *path)
            .expect("the named caller is there");
        assert!(
            source.find(call).next().is_some(),
            "nobody calls {call} any more"
        );
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    holds(other_clocks);
}

#[test]
fn every_random_number_is_of_one_source() {
    holds(other_chances);
}

#[test]
fn every_choice_between_futures_has_an_order() {
    holds(random_orders);
}

#[test]
fn run_does_not_lead_into_dev() {
    holds(ways_into_dev);
}

// The checker itself, on made-up text: it would be worth nothing if it saw nothing.

#[test]
fn a_use_against_the_direction_is_named_with_file_and_line() {
    let text = "//! crate::gateway\nuse crate::{clock, proxy::{self, Worker}, tls::Names};\n\
                fn a() { crate::server::bind() }\nconst B: &str = \"crate::dev\"; // crate::dev\n\
                #[cfg(test)]\nmod tests {\n    use crate::cli;\n    fn b() { '{' }\n}\n\
                use super::super::admin;\n";
    assert_eq!(
        against_arrows(&Source::new("src/token/made_up.rs", text)),
        [
            "src/token/made_up.rs:2: \"token\" may not use \"proxy\"",
            "src/token/made_up.rs:3: \"token\" may not use \"server\"",
            "src/token/made_up.rs:10: \"super::super::\" leaves the room; name the other one \
             by \"crate::\"",
        ]
    );
    let good = "use super::cache;\nuse crate::policy::Scope;\nuse crate::token::{self, Rules};\n";
    assert!(against_arrows(&Source::new("src/token/made_up.rs", good)).is_empty());
    let unknown = against_arrows(&Source::new("src/attic/mod.rs", ""));
    assert_eq!(
        unknown,
        ["src/attic/mod.rs: room \"attic\" has no place in the direction table"]
    );
    let main = against_arrows(&Source::new(
        "src/main.rs",
        "fn main() { scopegate::gateway::run() }",
    ));
    assert_eq!(main, ["src/main.rs:1: \"main\" may not use \"gateway\""]);
}

#[test]
fn a_crate_in_the_policy_is_named_with_file_and_line() {
    let crates = ["serde".to_owned(), "http".to_owned()];
    let text = "use std::fmt;\n#[derive(serde::Serialize)]\nstruct A; // http\n";
    let found = beyond_std(&Source::new("src/policy/made_up.rs", text), &crates);
    assert_eq!(
        found,
        ["src/policy/made_up.rs:2: \"policy\" uses the crate \"serde\"; it knows std alone"]
    );
    assert!(beyond_std(&Source::new("src/route/made_up.rs", text), &crates).is_empty());
}

#[test]
fn another_caller_of_a_constructor_is_named_with_file_and_line() {
    let text = "fn authorize() {\n    Permit::granted(a)\n}\n\
                fn other() -> Permit {\n    Permit::granted(b)\n}\n";
    let place = "Permit::granted is for \"authorize\" in src/policy/requirement.rs, not for";
    let found = unnamed_callers(&Source::new("src/policy/requirement.rs", text));
    assert_eq!(
        found,
        [format!("src/policy/requirement.rs:5: {place} \"other\"")]
    );
    let found = unnamed_callers(&Source::new("src/proxy/mod.rs", text));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn another_reader_of_the_time_is_named_with_file_and_line() {
    let text = "use std::time::Instant;\nfn a() -> bool {\n    Instant::now().elapsed() > B\n}\n";
    let found = other_clocks(&Source::new("src/net/made_up.rs", text));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[0],
        "src/net/made_up.rs:3: Instant::now is for src/clock.rs alone"
    );
    assert!(other_clocks(&Source::new("src/clock.rs", text)).is_empty());
}

#[test]
fn another_source_of_random_numbers_is_named_with_file_and_line() {
    let text = "fn a() -> u64 {\n    RandomState::new().hash_one(0)\n}\n";
    assert_eq!(
        other_chances(&Source::new("src/proxy/made_up.rs", text)),
        ["src/proxy/made_up.rs:2: random numbers are of src/net/random.rs alone"]
    );
    assert!(other_chances(&Source::new("src/net/random.rs", text)).is_empty());
}

#[test]
fn a_choice_without_an_order_is_named_with_file_and_line() {
    let text = "tokio::select! {\n    // biased\n    () = a => {}\n}\n\
                tokio::select! {\n    biased;\n    () = b => {}\n}\n";
    assert_eq!(
        random_orders(&Source::new("src/proxy/made_up.rs", text)),
        ["src/proxy/made_up.rs:1: \"select!\" is not biased"]
    );
}

#[test]
fn another_way_into_dev_is_named_with_file_and_line() {
    let line = "\nuse crate::dev::Sandbox;\n";
    for (path, found) in [
        ("src/cli/dev.rs", 0),
        ("src/dev/a.rs", 0),
        ("src/cli/token.rs", 1),
        ("src/gateway.rs", 1),
    ] {
        assert_eq!(
            ways_into_dev(&Source::new(path, line)).len(),
            found,
            "{path}"
        );
    }
    let run = ways_into_dev(&Source::new("src/cli/run.rs", "\nuse super::dev::load;\n"));
    assert_eq!(
        run,
        ["src/cli/run.rs:2: only src/cli/dev.rs leads to \"dev\""]
    );
}

#[test]
fn strings_comments_and_tests_are_no_code() {
    let text = "a(\"\\\" b\", '\"', 'c', r#\"d \" e\"#); fn f<'g>(h: &'g str) {} /* i /* j */ k */ \
                l // m\nn";
    let code = code_of(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<&str> = code
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(words, ["a", "fn", "f", "g", "h", "g", "str", "l", "n"]);
    let text = "b\n#[cfg(test)]\nfn c() { d }\n#[cfg(test)]\nmod e;\nf";
    assert_eq!(
        without_tests(text).split_whitespace().collect::<Vec<_>>(),
        ["b", "f"]
    );
    let text =
        "#[cfg(test)]\nmod fixture;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\nmod c;\n";
    assert_eq!(
        test_files("src/a/mod.rs", text),
        ["src/a/fixture.rs", "src/a/b_tests.rs"]
    );
    assert_eq!(test_files("src/a/b.rs", "#[cfg(test)]\nmod d {\n"), [""; 0]);
}
