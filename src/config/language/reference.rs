//! Generates the reference of the configuration language, `docs/configuration.md`, from the
//! tables of the language.

use std::fmt::Write as _;

use super::key::{About, AnyKey, Table};
use crate::transform::ReferenceKind;

/// The text before the tables: the rules that hold for all of them.
const HEAD: &str = "\
<!-- Written by `scopegate schema --reference > docs/configuration.md` from src/config/tables/: \
change it there. -->

# The configuration: gateway.toml

One TOML file. The smallest has ten lines:

```toml
[issuers.idp]
issuer   = \"https://idp.example.com/\"
audience = \"https://api.example.com\"

[upstreams.orders]
url = \"http://orders:8080\"

[[routes]]
path     = \"/orders\"
upstream = \"orders\"
methods  = { GET = \"orders.read\", POST = \"orders.write\" }
```

- An unknown key is an error, and `scopegate check` shows all problems of all files at once.
- Durations are whole numbers with a unit: `ms`, `s`, `m`, `h` or `d`. Sizes have `B`, `KiB`, \
`MiB` or `GiB` (powers of
  1024) or `KB`, `MB` or `GB` (powers of 1000). Zero needs no unit.
- Paths are relative to the file in which they stand.
- A flag takes precedence over a `SCOPEGATE_*` variable, and the variable over the file.
- A key without effect, such as `ca_file` for an `http` upstream, is an error.
";

/// Returns the reference of all tables in Markdown.
pub(crate) fn reference(tables: &[&Table]) -> String {
    let mut out = HEAD.to_owned();
    for (index, table) in tables.iter().enumerate() {
        let earlier = tables.get(..index).unwrap_or_default();
        write_table(&mut out, table, earlier);
    }
    out
}

fn write_table(out: &mut String, table: &Table, earlier: &[&Table]) {
    let title = match table.path {
        "" => "The file".to_owned(),
        _ => format!("`{}`", table.header()),
    };
    let _ = write!(out, "\n## {title}\n\n{}\n", table.doc);
    if repeats_keys(table, earlier) {
        return;
    }
    out.push_str("\n| Key | Type | If absent | Meaning | Example |\n|---|---|---|---|---|\n");
    for key in table.keys {
        write_key(out, *key);
    }
    for refused in table.refused.chunk_by(|(_, a), (_, b)| a == b) {
        write_refused(out, refused);
    }
}

/// Writes keys that are refused for the same reason.
fn write_refused(out: &mut String, refused: &[(&str, &str)]) {
    let Some((_, why)) = refused.first() else {
        return;
    };
    let mut names = Vec::new();
    for (name, _) in refused {
        names.push(format!("`{name}`"));
    }
    let (names, why) = (names.join(", "), sentence(why));
    let _ = write!(out, "\nNot allowed here: {names}. {why}.\n");
}

/// Returns whether an earlier table has the same keys, so that they need not be repeated: the
/// routes of a group have the keys of other routes.
fn repeats_keys(table: &Table, earlier: &[&Table]) -> bool {
    let mut earlier = earlier.iter();
    earlier.any(|earlier| std::ptr::eq(earlier.keys, table.keys))
}

/// Returns a reason as a sentence: with a capital letter, and with backticks for quotes.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().to_string() + &chars.as_str().replace('"', "`"),
        None => String::new(),
    }
}

/// Returns the documentation of a key, with the variables that it may hold.
fn meaning(about: &About) -> String {
    match about.place {
        Some(place) if place.takes(ReferenceKind::Variable) => {
            format!("{} May hold [`${{variables}}`](variables.md).", about.doc)
        }
        _ => about.doc.to_owned(),
    }
}

fn write_key(out: &mut String, key: &dyn AnyKey) {
    let mut kind = key.kind().describe();
    if let Some(bounds) = key.kind().bounds() {
        kind = format!("{kind}, {bounds}");
    }
    let about = key.about();
    let absent = match key.default() {
        Some(text) => format!("`{text}`"),
        None => about.absence.unwrap_or("an error").to_owned(),
    };
    let cells = [
        format!("`{}`", about.name),
        kind,
        absent,
        meaning(about),
        format!("`{}`", key.example()),
    ];
    let _ = writeln!(
        out,
        "| {} |",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tables::TABLES;

    #[test]
    fn every_key_of_the_schema_has_its_row() {
        let reference = reference(TABLES);
        for (index, table) in TABLES.iter().enumerate() {
            if table.path.is_empty() || repeats_keys(table, &TABLES[..index]) {
                continue;
            }
            let (_, section) = reference
                .split_once(&format!("\n## `{}`\n", table.header()))
                .unwrap();
            let section = section.split("\n## ").next().unwrap();
            for key in table.keys {
                assert!(
                    section.contains(&format!("\n| `{}` |", key.name())),
                    "[{}] {}",
                    table.path,
                    key.name()
                );
            }
        }
    }

    #[test]
    fn the_reference_is_current() {
        let path = "docs/configuration.md";
        if std::env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some() {
            std::fs::write(path, reference(TABLES)).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(TABLES),
            "{path}: run `scopegate schema --reference > {path}`"
        );
    }
}
