//! Reads the files of a configuration, merges includes into one document, and records what was
//! read.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::document::{self, KeyValue, Kind, Table, Value};
use super::files::{self, Found, MAX_FILE_BYTES, ReadError, ReadFile};
use super::links::Links;
use super::problem::{Problem, Problems};
use super::schema;
use super::source::{SourceFile, Span};
use super::suggestion::unknown_key;

/// The top-level keys that an included file may hold.
const INCLUDABLE: [&str; 4] = ["issuers", "upstreams", "routes", "groups"];

/// The state that all parts of the lowering share: the files that were read, and the problems and
/// notes found so far.
#[derive(Debug)]
pub(super) struct Context {
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
    files: RefCell<Files>,
    links: RefCell<Links>,
    stand_ins: bool,
}

#[derive(Debug)]
struct Files {
    /// The sources that spans refer to, by index.
    sources: Vec<SourceFile>,
    /// Every path that was read or listed, in that order.
    visited: Vec<Visited>,
    known: HashSet<PathBuf>,
    contents: Vec<u8>,
}

/// A path that was read or listed.
#[derive(Debug)]
struct Visited {
    path: PathBuf,
    /// The path with all symbolic links resolved.
    real: PathBuf,
    found: Found,
}

/// The result of comparing the files before and after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stillness {
    /// The files are unchanged since they were read.
    Still,
    /// All contents are of one generation, but a symbolic link leads to another one now.
    Moved,
    /// A file was changed, so that the contents may be of two generations.
    Changed,
}

/// The parts of a context that remain after the lowering.
pub(super) struct Account {
    pub(super) files: Vec<ReadFile>,
    pub(super) hash: Box<str>,
    pub(super) notes: Vec<String>,
}

impl Context {
    pub(super) fn new() -> Self {
        let files = Files {
            sources: Vec::new(),
            visited: Vec::new(),
            known: HashSet::new(),
            contents: Vec::new(),
        };
        let (problems, notes) = (RefCell::default(), RefCell::default());
        Self {
            problems,
            notes,
            files: RefCell::new(files),
            links: RefCell::default(),
            stand_ins: false,
        }
    }

    pub(super) fn with_stand_ins(self, stand_ins: bool) -> Self {
        Self { stand_ins, ..self }
    }

    /// Returns whether stand-ins replace the keys and certificates that files hold, as in
    /// `scopegate dev`.
    pub(super) fn has_stand_ins(&self) -> bool {
        self.stand_ins
    }

    pub(super) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn note(&self, note: Problem) {
        self.notes.borrow_mut().push(note);
    }

    pub(super) fn has_problems(&self) -> bool {
        self.problem_count() > 0
    }

    pub(super) fn problem_count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Adds a text that was not read from a file. Returns its index.
    pub(super) fn add_source(&self, name: &str, text: &str) -> usize {
        let mut files = self.files.borrow_mut();
        files.contents.extend_from_slice(text.as_bytes());
        files.sources.push(SourceFile::new(name, text));
        files.sources.len() - 1
    }

    /// Reads a file of the configuration language. Returns its index.
    pub(super) fn read_source(&self, path: &Path) -> Result<usize, String> {
        let text = self.read(path)?;
        if text.trim().is_empty() {
            return Err(format!("\"{}\" is empty", path.display()));
        }
        let mut files = self.files.borrow_mut();
        files
            .sources
            .push(SourceFile::new(path.display().to_string(), text));
        Ok(files.sources.len() - 1)
    }

    /// Reads a file that the value at `span` names, relative to the file in which the value stands.
    pub(super) fn read_named(&self, span: Span, path: &str) -> Result<String, String> {
        self.read(&self.path_named(span, path))
    }

    /// Returns the path that the value at `span` names.
    pub(super) fn path_named(&self, span: Span, path: &str) -> PathBuf {
        self.beside(span.file, path)
    }

    /// Returns whether a path was read, under this name or another.
    pub(super) fn has_read(&self, path: &Path) -> bool {
        let path = identity(path);
        self.files
            .borrow()
            .visited
            .iter()
            .any(|known| identity(&known.path) == path)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let shown = path.display();
        let real = self.links.borrow_mut().real(path);
        let (found, bytes) = files::read(&real);
        let is_new = self.visit(Visited {
            path: path.into(),
            real,
            found,
        });
        let bytes = bytes.map_err(|error| match error {
            ReadError::Io(error) => format!("cannot read \"{shown}\": {}", reason(&error)),
            ReadError::TooLong => format!("\"{shown}\" has more than {} MiB", MAX_FILE_BYTES >> 20),
        })?;
        if is_new {
            self.files.borrow_mut().contents.extend_from_slice(&bytes);
        }
        String::from_utf8(bytes).map_err(|error| {
            format!(
                "\"{shown}\" is not UTF-8: byte {} is broken",
                error.utf8_error().valid_up_to() + 1
            )
        })
    }

    /// Returns the names that match a path with a star.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let real = self.links.borrow_mut().real(path);
        let names = files::names(&real);
        self.visit(Visited {
            path: path.into(),
            real,
            found: Found::names(&names),
        });
        names
    }

    /// Records a path whose change is a change of the configuration. A missing file is recorded
    /// too, because it may appear. Returns `false` if the path was recorded before.
    fn visit(&self, visited: Visited) -> bool {
        let mut files = self.files.borrow_mut();
        let new = files.known.insert(visited.path.clone());
        if new {
            files.visited.push(visited);
        }
        new
    }

    /// Compares the files with their state when they were read. A single file is always of one
    /// generation, because it is read from one descriptor.
    pub(super) fn stillness(&self) -> Stillness {
        let files = self.files.borrow();
        let is_changed = |visited: &Visited| visited.found.has_changed(&visited.real);
        if files.visited.len() > 1 && files.visited.iter().any(is_changed) {
            return Stillness::Changed;
        }
        if self.links.borrow().have_moved() {
            Stillness::Moved
        } else {
            Stillness::Still
        }
    }

    fn beside(&self, file: usize, path: &str) -> PathBuf {
        let files = self.files.borrow();
        let name = files
            .sources
            .get(file)
            .map_or("", |source| source.name.as_str());
        Path::new(name).parent().unwrap_or(Path::new("")).join(path)
    }

    fn path(&self, file: usize) -> PathBuf {
        self.files
            .borrow()
            .sources
            .get(file)
            .map(|source| source.name.clone().into())
            .unwrap_or_default()
    }

    fn text(&self, file: usize) -> String {
        self.files
            .borrow()
            .sources
            .get(file)
            .map(|source| source.text.clone())
            .unwrap_or_default()
    }

    pub(super) fn into_problems(self) -> Problems {
        let files = self.files.into_inner();
        let read = files.visited.into_iter().map(Visited::into_read).collect();
        Problems::new(files.sources, read, self.problems.into_inner())
    }

    /// Returns the one problem of files that changed in each of `readings` readings. Other problems
    /// are dropped: they may come from a mixture of two generations.
    pub(super) fn into_restlessness(self, readings: usize) -> Problems {
        self.problems.replace(vec![
            Problem::without_span(format!("the files changed in each of {readings} readings"))
                .hint(
                    "replace all of them at once, by swapping a symbolic link or renaming their \
                       directory",
                ),
        ]);
        self.into_problems()
    }

    pub(super) fn into_account(self) -> Account {
        let files = self.files.into_inner();
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(Problem::span);
        notes.dedup();
        let hash = digest::digest(&digest::SHA256, &files.contents);
        let hash: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Account {
            notes: notes.iter().map(|note| note.line(&files.sources)).collect(),
            files: files.visited.into_iter().map(Visited::into_read).collect(),
            hash: hash.into(),
        }
    }
}

impl Visited {
    fn into_read(self) -> ReadFile {
        ReadFile::new(&self.path, self.found)
    }
}

/// Returns the system's reason without Rust's suffix `(os error 2)`.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

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
            let (span, text) = &pattern;
            if !seen.insert(identity(&path)) {
                let message = format!(
                    "include: \"{text}\" reads \"{}\" a second time",
                    path.display()
                );
                let problem = Problem::at(*span, message);
                context.problem(problem.hint(
                    "name each file once, and keep included files in a directory of their own",
                ));
                continue;
            }
            match context.read_source(&path) {
                Ok(included) => merge(context, &mut root, parse(context, included)),
                Err(error) => context.problem(Problem::at(*span, format!("include: {error}"))),
            }
        }
    }
    refuse_twice(context, &mut root);
    root
}

/// Returns the path by which two names of the same file are recognized.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn parse(context: &Context, file: usize) -> Table {
    let (table, problems) = document::parse(file, &context.text(file));
    problems
        .into_iter()
        .for_each(|problem| context.problem(problem));
    table
}

/// Returns the patterns of `include`. Items of a wrong type are skipped here; the reader reports
/// them when it reads the key.
fn patterns(include: &KeyValue) -> Vec<(Span, String)> {
    let values = match &include.value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&include.value),
    };
    let text = |value: &Value| match &value.kind {
        Kind::Text(text) => Some((value.span, text.clone())),
        _ => None,
    };
    values.iter().filter_map(text).collect()
}

/// Returns the files that a pattern names, in the order of their names. Only the last component may
/// hold stars.
fn matches(context: &Context, (span, pattern): &(Span, String)) -> Vec<PathBuf> {
    let path = context.beside(span.file, pattern);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
    if directory.to_string_lossy().contains('*') && pattern.trim_end_matches(&name).contains('*') {
        let message =
            format!("include: \"{pattern}\": a \"*\" is allowed in the last part of the path only");
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
            let message = format!(
                "include: cannot read \"{}\": {}",
                directory.display(),
                reason(&error)
            );
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
        } else if schema::FILE.key(&entry.key).is_some() {
            let message = format!(
                "\"{}\" is not allowed in an included file: write it in the main file",
                entry.key
            );
            context.problem(Problem::at(entry.key_span, message).hint(format!(
                "an included file holds {}",
                schema::quoted(&INCLUDABLE, "and")
            )));
        } else {
            context.problem(unknown_key(&schema::FILE, "the file", &entry));
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
    for entry in root
        .entries
        .iter_mut()
        .filter(|entry| INCLUDABLE.contains(&entry.key.as_str()))
    {
        let Kind::Table(table) = &mut entry.value.kind else {
            continue;
        };
        let mut known: HashMap<String, Span> = HashMap::with_capacity(table.entries.len());
        table.entries.retain(|entry| {
            let span = entry.value.span;
            let first = *known.entry(entry.key.clone()).or_insert(span);
            if first != span {
                let problem = Problem::at(span, format!("\"{}\" is defined twice", entry.key));
                context.problem(
                    problem
                        .label("and again here")
                        .related(first, "first defined here"),
                );
            }
            first == span
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.toml");
        let context = Context::new();
        assert!(
            context
                .read_source(&path)
                .unwrap_err()
                .ends_with("there is no such file")
        );
        fs::write(&path, " \n").unwrap();
        assert!(
            context
                .read_source(&path)
                .unwrap_err()
                .ends_with("is empty")
        );
        fs::write(&path, b"a = \"\xff\"").unwrap();
        assert!(
            context
                .read_source(&path)
                .unwrap_err()
                .ends_with("is not UTF-8: byte 6 is broken")
        );
        assert!(
            context
                .read_source(directory.path())
                .unwrap_err()
                .ends_with("it is a directory")
        );
    }

    /// Swaps the generation of a folder as the kubelet does.
    fn publish(root: &Path, version: &str, files: &[(&str, &str)]) {
        use std::os::unix::fs::symlink;
        fs::create_dir(root.join(version)).unwrap();
        for (name, text) in files {
            fs::write(root.join(version).join(name), text).unwrap();
            let _ = symlink(format!("..data/{name}"), root.join(name));
        }
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    #[test]
    fn the_files_of_one_reading_are_of_one_generation() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        publish(
            root,
            "..1",
            &[
                ("gateway.toml", "a = 1"),
                ("routes.toml", "b = 1"),
                ("old.toml", "c = 1"),
            ],
        );
        let context = Context::new();
        let text = |name: &str| context.read(&root.join(name)).unwrap();
        assert_eq!(text("gateway.toml"), "a = 1");
        assert_eq!(context.stillness(), Stillness::Still);
        publish(
            root,
            "..2",
            &[
                ("gateway.toml", "a = 2"),
                ("routes.toml", "b = 2"),
                ("new.toml", "d = 2"),
            ],
        );
        assert_eq!(
            (text("gateway.toml").as_str(), text("routes.toml").as_str()),
            ("a = 1", "b = 1")
        );
        assert_eq!(context.stillness(), Stillness::Moved);
        // The kubelet removes the generation that is no longer in use.
        fs::remove_dir_all(root.join("..1")).unwrap();
        assert!(context.read(&root.join("old.toml")).is_err());
        assert_eq!(context.stillness(), Stillness::Changed);
    }

    #[test]
    fn a_file_that_changes_while_others_are_read_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let pattern = folder.path().join("*.toml");
        for file in [&one, &other] {
            fs::write(file, "a = 1").unwrap();
        }
        let reading = || {
            let context = Context::new();
            context.read(&one).unwrap();
            context
        };
        let alone = reading();
        fs::write(&one, "a = 22").unwrap();
        assert_eq!(
            alone.stillness(),
            Stillness::Still,
            "one file is a generation by itself"
        );
        let two = reading();
        two.read(&other).unwrap();
        assert_eq!(two.stillness(), Stillness::Still);
        fs::write(&one, "a = 333").unwrap();
        assert_eq!(two.stillness(), Stillness::Changed);
        let listed = reading();
        assert!(listed.names(&pattern).unwrap().is_empty());
        assert_eq!(listed.stillness(), Stillness::Still);
        fs::write(folder.path().join("new.toml"), "").unwrap();
        assert_eq!(listed.stillness(), Stillness::Changed);
        let missing = reading();
        assert!(missing.read(&folder.path().join("missing")).is_err());
        fs::write(folder.path().join("missing"), "").unwrap();
        assert_eq!(missing.stillness(), Stillness::Changed);
    }

    #[test]
    fn the_hash_of_one_file_is_its_sha256() {
        let context = Context::new();
        context.add_source("a", "abc");
        let hash = context.into_account().hash;
        assert_eq!(
            &*hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
