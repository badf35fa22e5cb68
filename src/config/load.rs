//! Reads a file of the configuration, and merges its includes into one document.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::context::{Context, identity, reason};
use super::language::document::{self, KeyValue, Kind, Table, Value};
use super::language::suggestion::unknown_key;
use super::language::{Problem, Span, Text, quoted};
use super::tables::FILE;

/// The top-level keys that an included file may hold.
const INCLUDABLE: [&str; 4] = ["issuers", "upstreams", "routes", "groups"];

/// Returns the document of a file, with everything that it includes merged in. Problems are added
/// to the context.
pub(super) fn document(context: &Context, file: usize) -> Table {
    let mut root = parse(context, file);
    let Some(include) = root.get("include").cloned() else {
        return root;
    };
    let mut seen = HashSet::from([identity(&context.path(file))]);
    for pattern in patterns(&include) {
        for path in matches(context, &pattern) {
            if !seen.insert(identity(&path)) {
                report_second_reading(context, &pattern, &path);
                continue;
            }
            match context.read_source(&path) {
                Ok(included) => merge(context, &mut root, parse(context, included)),
                Err(error) => {
                    context.problem(Problem::at(pattern.span, format!("include: {error}")));
                }
            }
        }
    }
    refuse_twice(context, &mut root);
    root
}

fn report_second_reading(context: &Context, pattern: &Text, path: &Path) {
    let message = format!(
        "include: \"{}\" reads \"{}\" a second time",
        pattern.text,
        path.display()
    );
    let hint = "name each file once, and keep included files in a directory of their own";
    context.problem(Problem::at(pattern.span, message).hint(hint));
}

fn parse(context: &Context, file: usize) -> Table {
    let (table, problems) = document::parse(file, &context.text(file));
    for problem in problems {
        context.problem(problem);
    }
    table
}

/// Returns the patterns of `include`. Items of a wrong type are skipped here; the reader reports
/// them when it reads the key.
fn patterns(include: &KeyValue) -> Vec<Text> {
    let mut patterns = Vec::new();
    for value in include.value.items() {
        if let Kind::Text(text) = &value.kind {
            patterns.push(Text {
                text: text.clone(),
                span: value.span,
            });
        }
    }
    patterns
}

/// Returns the files that a pattern names, in the order of their names. Only the last component may
/// hold stars.
fn matches(context: &Context, pattern: &Text) -> Vec<PathBuf> {
    let Text { text, span } = pattern;
    let path = context.beside(span.file, text);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = path.parent().unwrap_or(Path::new(""));
    if directory.to_string_lossy().contains('*') && text.trim_end_matches(&*name).contains('*') {
        let message =
            format!("include: \"{text}\": a \"*\" is allowed in the last part of the path only");
        context.problem(Problem::at(*span, message));
        return Vec::new();
    }
    if !name.contains('*') {
        return vec![path];
    }
    match context.names(&path) {
        Ok(names) => names
            .into_iter()
            .map(|name| path.with_file_name(name))
            .collect(),
        Err(error) => {
            let (directory, reason) = (directory.display(), reason(&error));
            let message = format!("include: cannot read \"{directory}\": {reason}");
            context.problem(Problem::at(*span, message));
            Vec::new()
        }
    }
}

/// Merges the content of an included file into the document.
fn merge(context: &Context, root: &mut Table, included: Table) {
    for entry in included.entries {
        if INCLUDABLE.contains(&entry.key.as_str()) {
            merge_entry(root, entry);
        } else if FILE.key(&entry.key).is_some() {
            let message = format!(
                "\"{}\" is not allowed in an included file: write it in the main file",
                entry.key
            );
            let allowed = quoted(&INCLUDABLE, "and");
            let problem = Problem::at(entry.key_span, message);
            context.problem(problem.hint(format!("an included file holds {allowed}")));
        } else {
            let elsewhere = context.tables_with(&entry.key);
            context.problem(unknown_key(&FILE, "the file", &entry, &elsewhere));
        }
    }
}

fn merge_entry(root: &mut Table, entry: KeyValue) {
    let Some(known) = root.entries.iter_mut().find(|known| known.key == entry.key) else {
        return root.entries.push(entry);
    };
    match (&mut known.value.kind, entry.value.kind) {
        (Kind::List(known), Kind::List(more)) => known.extend(more),
        (Kind::Table(known), Kind::Table(more)) => known.entries.extend(more.entries),
        // One of the two has the wrong type. It stays in the document, so that the reader reports
        // it.
        (Kind::List(_) | Kind::Table(_), other) => {
            known.value = Value {
                kind: other,
                span: entry.value.span,
            }
        }
        _ => {}
    }
}

/// Keeps the first definition of each name and reports the others. Runs once for all files, because
/// each of them may define some of the names.
fn refuse_twice(context: &Context, root: &mut Table) {
    for entry in &mut root.entries {
        if let Kind::Table(table) = &mut entry.value.kind
            && INCLUDABLE.contains(&entry.key.as_str())
        {
            keep_first(context, table);
        }
    }
}

/// Keeps the first entry of each name, and reports the others.
fn keep_first(context: &Context, table: &mut Table) {
    let mut known: HashMap<String, Span> = HashMap::with_capacity(table.entries.len());
    table.entries.retain(|entry| {
        let span = entry.value.span;
        let first = *known.entry(entry.key.clone()).or_insert(span);
        if first != span {
            let problem = Problem::at(span, format!("\"{}\" is defined twice", entry.key));
            let problem = problem.label("and again here");
            context.problem(problem.related(first, "first defined here"));
        }
        first == span
    });
}
