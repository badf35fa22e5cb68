//! Generates the reference of the configuration language, `docs/configuration.md`, from the schema
//! tables.

use std::fmt::Write as _;

use super::schema::{Absent, Key, TABLES, Table};

/// The text before the tables: the rules that hold for all of them.
const HEAD: &str = "\
<!-- Written by `scopegate schema --reference > docs/configuration.md` from src/config/schema/: change it there. -->

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
- Durations are whole numbers with a unit: `ms`, `s`, `m`, `h` or `d`. Sizes have `B`, `KiB`, `MiB` or `GiB` (powers of
  1024) or `KB`, `MB` or `GB` (powers of 1000). Zero needs no unit.
- Paths are relative to the file in which they stand.
- A flag takes precedence over a `SCOPEGATE_*` variable, and the variable over the file.
- A key without effect, such as `ca_file` for an `http` upstream, is an error.
";

/// Returns the reference in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    TABLES
        .iter()
        .copied()
        .for_each(|table| write_table(&mut out, table));
    out
}

fn write_table(out: &mut String, table: &Table) {
    let title = if table.path.is_empty() {
        "The file".to_owned()
    } else {
        format!("`{}`", table.header())
    };
    let _ = write!(out, "\n## {title}\n\n{}\n", table.doc);
    if is_told_elsewhere(table) {
        return;
    }
    out.push_str("\n| Key | Type | If absent | Meaning | Example |\n|---|---|---|---|---|\n");
    table.keys.iter().for_each(|key| write_key(out, key));
    for reasons in table.refused.chunk_by(|(_, a), (_, b)| a == b) {
        let names: Vec<_> = reasons
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let why = reasons.first().map_or("", |(_, why)| why);
        let _ = write!(
            out,
            "\nNot allowed here: {}. {}.\n",
            names.join(", "),
            sentence(why)
        );
    }
}

/// Returns whether an earlier table has the same keys, so that they need not be repeated: the
/// routes of a group have the keys of other routes.
fn is_told_elsewhere(table: &Table) -> bool {
    let earlier = TABLES
        .iter()
        .copied()
        .take_while(|other| other.path != table.path);
    earlier
        .into_iter()
        .any(|other| std::ptr::eq(other.keys, table.keys))
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    first + &chars.as_str().replace('"', "`")
}

fn write_key(out: &mut String, key: &Key) {
    let absent = match key.absent {
        Absent::Required => "an error".into(),
        Absent::Default(text) => format!("`{text}`"),
        Absent::Means(words) => words.to_owned(),
    };
    let bounds = key
        .kind
        .bounds()
        .map_or(String::new(), |bounds| format!(", {bounds}"));
    let kind = format!("{}{bounds}", key.kind.describe());
    let cells = [
        format!("`{}`", key.name),
        kind,
        absent,
        key.doc.to_owned(),
        format!("`{}`", key.example),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_schema_has_its_row() {
        let reference = reference();
        let told = |table: &&Table| !table.path.is_empty() && !is_told_elsewhere(table);
        for table in TABLES.iter().copied().filter(told) {
            let (_, section) = reference
                .split_once(&format!("\n## `{}`\n", table.header()))
                .unwrap();
            let section = section.split("\n## ").next().unwrap();
            for key in table.keys {
                assert!(
                    section.contains(&format!("\n| `{}` |", key.name)),
                    "[{}] {}",
                    table.path,
                    key.name
                );
            }
        }
    }

    #[test]
    fn the_reference_is_current() {
        let path = "docs/configuration.md";
        if std::env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(),
            "{path}: run `scopegate schema --reference > {path}`"
        );
    }
}
