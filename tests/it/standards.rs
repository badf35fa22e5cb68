//! What the standards ask of a resource server behind a proxy, and that a test names each item: `//
//! D11` above it, or in the vector that it runs. Beside it the checklist and the attacks that tests
//! name by their numbers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Each item, where it is written, and what it comes to.
const ITEMS: &[(&str, &str, &str)] = &[
    (
        "D1",
        "RFC 6750 §2.1",
        "a token is taken from `Authorization: Bearer`",
    ),
    ("D2", "RFC 6750 §3", "a 401 challenges with `Bearer`"),
    (
        "D3",
        "RFC 6750 §3.1",
        "who sent no credentials hears of no error",
    ),
    (
        "D4",
        "RFC 6750 §3.1",
        "a token that is not good is 401, `invalid_token`",
    ),
    (
        "D5",
        "RFC 6750 §3.1",
        "a scope that is missing is 403, `insufficient_scope`, and named",
    ),
    (
        "D6",
        "RFC 6750 §3.1",
        "two tokens are 400, `invalid_request`",
    ),
    (
        "D7",
        "RFC 6750 §2.3",
        "what a token in a URI led to is private",
    ),
    (
        "D8",
        "RFC 6749 §3.3",
        "scopes are words between spaces, in any order, with case",
    ),
    (
        "D9",
        "RFC 7515 §7.1",
        "three parts of base64url without padding",
    ),
    ("D10", "RFC 7515 §4", "a header member occurs once"),
    (
        "D11",
        "RFC 7515 §4.1.11",
        "what `crit` names must be understood",
    ),
    (
        "D12",
        "RFC 7515 §4.1.4",
        "a `kid` is a string, compared with case",
    ),
    (
        "D13",
        "RFC 7515 §5.2",
        "an algorithm has to be acceptable here",
    ),
    (
        "D14",
        "RFC 7797 §7",
        "no JWT has a payload that is not encoded",
    ),
    (
        "D15",
        "RFC 7517 §5",
        "a key that is not understood leaves its set alone",
    ),
    (
        "D16",
        "RFC 7517 §4.2 to §4.4",
        "`use`, `key_ops` and `alg` narrow what a key is for",
    ),
    (
        "D17",
        "RFC 7517 §4.5",
        "keys of several kinds may share a `kid`",
    ),
    ("D18", "RFC 7518 §3.3, §3.5", "RSA has 2048 bits or more"),
    (
        "D19",
        "RFC 7518 §3.5",
        "the salt of PSS is as long as its hash, and the mask is of that hash",
    ),
    (
        "D20",
        "RFC 7518 §3.4",
        "ECDSA signs with two numbers of fixed length, and no DER",
    ),
    (
        "D21",
        "RFC 7518 §3.2",
        "no shared secret comes out of a public set",
    ),
    (
        "D22",
        "RFC 7638 §3",
        "a thumbprint is of the required members alone",
    ),
    ("D23", "RFC 7519 §4.1.4", "`exp` has not come"),
    ("D24", "RFC 7519 §4.1.5", "`nbf` has come"),
    (
        "D25",
        "RFC 7519 §2",
        "a time is a JSON number, and may be a fraction",
    ),
    (
        "D26",
        "RFC 7519 §4.1.3",
        "`aud`, a string or a list, names us",
    ),
    ("D27", "RFC 7519 §4", "a claim occurs once"),
    (
        "D28",
        "RFC 7519 §2",
        "strings and URIs are compared as they are",
    ),
    (
        "D29",
        "RFC 8725 §3.1",
        "algorithms come from a list, and a key has its own",
    ),
    ("D30", "RFC 8725 §3.2", "never `none`, in no spelling"),
    (
        "D31",
        "RFC 8725 §3.4",
        "a key is checked before it is used, and a point is on its curve",
    ),
    (
        "D32",
        "RFC 8725 §3.6",
        "nothing is decrypted or decompressed",
    ),
    (
        "D33",
        "RFC 8725 §3.8",
        "the key belongs to the issuer that the token names",
    ),
    ("D34", "RFC 8725 §3.9", "the audience is checked"),
    (
        "D35",
        "RFC 8725 §3.10",
        "no key that a token brings or points to is trusted",
    ),
    (
        "D36",
        "RFC 8725 §3.11, §3.12",
        "a token of another kind is no access token",
    ),
    (
        "D37",
        "RFC 9068 §2.1, §4",
        "in the profile, the type is `at+jwt`",
    ),
    (
        "D38",
        "RFC 9068 §4",
        "in the profile, issuer, audience, time and signature are checked",
    ),
    (
        "D39",
        "RFC 9068 §4",
        "an encrypted token is refused where none was agreed on",
    ),
    (
        "D40",
        "RFC 9068 §2.2",
        "in the profile, seven claims are there",
    ),
    (
        "D43",
        "RFC 8414 §3.3",
        "metadata of another issuer is not used",
    ),
    (
        "D44",
        "RFC 9728 §3, §5.1",
        "a challenge leads to the metadata of the resource",
    ),
    (
        "D48",
        "RFC 9700 §2.3",
        "a token for another audience is refused",
    ),
    (
        "D49",
        "RFC 9700 §2.3",
        "a client is asked for no more scopes than it needs",
    ),
    (
        "D50",
        "RFC 9700 §4.13",
        "a client's own copy of an identity header is removed",
    ),
    (
        "D51",
        "RFC 9700 §4.3.2",
        "no token is taken from a query unless the route says so",
    ),
    ("D52", "RFC 9700 §4.9", "a token is a secret, and in no log"),
    ("D53", "RFC 9457 §3", "a refusal is a problem document"),
    (
        "D54",
        "RFC 9110 §7.6.1",
        "fields of one connection go no further",
    ),
    ("D55", "RFC 9110 §7.6.3", "`Via` tells the way"),
    ("D56", "RFC 9110 §10.1.1", "an expectation is answered here"),
    (
        "D57",
        "RFC 9110 §6.5.1",
        "trailers are not joined to the head",
    ),
    ("D58", "RFC 9110 §5.5", "no CR, LF or NUL in a value"),
    (
        "D59",
        "RFC 9110 §9.2.2",
        "what is not idempotent is not repeated",
    ),
    ("D60", "RFC 9112 §5.1", "no space before the colon"),
    ("D61", "RFC 9112 §5.2", "no folded lines"),
    (
        "D62",
        "RFC 9112 §6.3",
        "a coding and a length are one too many",
    ),
    (
        "D63",
        "RFC 9112 §6.3",
        "no coding but `chunked` ends a request",
    ),
    ("D64", "RFC 9112 §6.1", "no coding in HTTP/1.0"),
    ("D65", "RFC 9112 §6.3", "a length is one number"),
    ("D66", "RFC 9112 §3.2", "a request has one `Host`"),
    (
        "D67",
        "RFC 9112 §3.2.2",
        "the host of an absolute target goes before `Host`",
    ),
    ("D68", "RFC 9112 §3", "a request line may have 8000 bytes"),
    (
        "D69",
        "RFC 9112 §7.1.1",
        "chunk extensions are ignored, and have a bound",
    ),
    ("D70", "RFC 9112 §8", "what was cut never looks complete"),
    (
        "D71",
        "RFC 9113 §8",
        "what is malformed is a stream's error",
    ),
    (
        "D72",
        "RFC 9113 §8.3.1",
        "a host and an authority that differ are refused",
    ),
    ("D73", "RFC 9113 §10.5", "floods of frames are bounded"),
];

/// The items that bind nobody here, and why. Who builds what is missing moves them up.
const EXCEPTED: &[(&str, &str, &str)] = &[
    (
        "D41",
        "RFC 7662 §4",
        "there is no introspection whose answers could be kept",
    ),
    (
        "D42",
        "RFC 7662 §2",
        "there is no introspection: a token that is no JWT is refused",
    ),
    (
        "D45",
        "RFC 8705 §3",
        "a token bound to a certificate is refused, whoever shows it",
    ),
    (
        "D46",
        "RFC 9449 §7.1",
        "a token bound to a proof is refused, whoever shows it",
    ),
    (
        "D47",
        "RFC 9470 §3",
        "no route asks how its caller has logged in",
    ),
];

/// The checklist's chapters on tokens, key sets, the cache, routes, heads, the protocol, limits,
/// TLS, operation and upstreams, and how many requirements each has.
const CHECKLIST: &[(char, usize)] = &[
    ('T', 20),
    ('K', 14),
    ('C', 8),
    ('R', 8),
    ('H', 7),
    ('P', 9),
    ('L', 8),
    ('X', 5),
    ('O', 12),
    ('U', 6),
];

/// The rows of `attacks.md` that have a test of their own.
const ATTACKS: usize = 20;

/// Words and numbers, without what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// The ids in a comment, and `row 7` for each row that it names, alone, in a list or between two.
fn ids(comment: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rows: Option<usize> = None;
    let mut to = false;
    for word in words(comment) {
        match (word, word.parse::<usize>(), rows) {
            ("row" | "rows" | "Row" | "Rows", ..) => (rows, to) = (Some(0), false),
            (_, Ok(row), Some(before)) => {
                let first = if to { before + 1 } else { row };
                found.extend((first..=row).map(|row| format!("row {row}")));
                (rows, to) = (Some(row), false);
            }
            ("and", _, Some(_)) => {}
            ("to", _, Some(_)) => to = true,
            _ => rows = None,
        }
        let (letter, number) = word.split_at(1);
        if letter.chars().all(|c| c.is_ascii_uppercase()) && number.parse::<u8>().is_ok() {
            found.insert(word.to_owned());
        }
    }
    found
}

/// What the comments right above tests name.
fn ids_of_tests(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut comment = String::new();
    for line in source.lines().map(str::trim) {
        match line {
            _ if line.starts_with("//") && !line.starts_with("//!") => comment.push_str(line),
            _ if line.starts_with("#[") && line.ends_with("test]") => found.extend(ids(&comment)),
            _ if line.starts_with("#[") => {}
            _ => comment.clear(),
        }
        comment.push('\n');
    }
    found
}

/// What a vector names: in its comments, or as the reason of a case.
fn ids_of_vector(path: &Path, text: &str) -> BTreeSet<String> {
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('#'))
            .flat_map(ids)
            .collect();
    }
    let cases: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    cases
        .iter()
        .filter_map(|case| case["why"].as_str())
        .flat_map(ids)
        .collect()
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

/// Everything that some test or vector names.
fn named() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in ["src", "tests/it", "tests/vectors"] {
        files(&root.join(directory), &mut paths);
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        match extension {
            "rs" => found.extend(ids_of_tests(&fs::read_to_string(&path).unwrap())),
            "toml" | "json" => {
                found.extend(ids_of_vector(&path, &fs::read_to_string(&path).unwrap()))
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_item_of_the_standards_has_a_test_that_names_it() {
    let named = named();
    let missing: Vec<_> = ITEMS
        .iter()
        .filter(|(id, ..)| !named.contains(*id))
        .collect();
    assert!(missing.is_empty(), "no test names {missing:#?}");
    let numbers: BTreeSet<_> = ITEMS
        .iter()
        .chain(EXCEPTED)
        .map(|(id, ..)| (*id).to_owned())
        .collect();
    assert_eq!(
        numbers,
        (1..=73).map(|number| format!("D{number}")).collect()
    );
    assert_eq!(
        numbers.len(),
        ITEMS.len() + EXCEPTED.len(),
        "an item stands twice"
    );
    let unknown: Vec<_> = named
        .iter()
        .filter(|id| id.starts_with('D') && !numbers.contains(*id))
        .collect();
    assert!(
        unknown.is_empty(),
        "a test names what is no item: {unknown:?}"
    );
}

#[test]
fn every_requirement_and_attack_has_a_test_that_names_it() {
    let named = named();
    let requirements = CHECKLIST.iter().flat_map(|(chapter, count)| {
        (1..=*count).map(move |number| format!("{chapter}{number:02}"))
    });
    let attacks = (1..=ATTACKS).map(|row| format!("row {row}"));
    let missing: Vec<_> = requirements
        .chain(attacks)
        .filter(|id| !named.contains(id))
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

// The reader itself, on made-up text.
#[test]
fn a_name_counts_where_a_test_or_a_vector_has_it_and_nowhere_else() {
    let all = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>().join(" ");
    let comment =
        "attacks.md rows 2, 4 to 6 and 9 (CVE-2026-1), row 12; T01, D7: RFC 7515 §4, D888";
    assert_eq!(
        all(ids(comment)),
        "D7 T01 row 12 row 2 row 4 row 5 row 6 row 9"
    );
    let source = "//! D80\n// D81\nfn a() {}\n// D82\n// and D83.\n#[cfg(unix)]\n#[tokio::test]\nfn b() { // D84\n\
                  /* D85 */ }\n/// D86\n#[derive(Debug)]\nstruct C;\n// D87\n#[cfg(test)]\nmod d {\n    // D88\n    #[test]\n";
    assert_eq!(all(ids_of_tests(source)), "D82 D83 D88");
    let toml = "# D80\na = \"D81\" # D82\n  # D83\n";
    assert_eq!(all(ids_of_vector(Path::new("a.toml"), toml)), "D80 D83");
    let json = r#"[{"why": "D80, row 3", "name": "D81"}, {"name": "D82"}]"#;
    assert_eq!(all(ids_of_vector(Path::new("a.json"), json)), "D80 row 3");
}
