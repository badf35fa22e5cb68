//! From files to one document: reading, includes, and the account of what was read.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::catalogue;
use super::document::{self, Entry, Kind, Table, Value};
use super::problem::{Problem, Problems};
use super::source::{Place, SourceFile};
use super::suggestion::unknown_key;

/// Bytes of one file: a configuration, key set or certificate bundle beyond it is some other file.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// What an included file may hold.
const INCLUDABLE: [&str; 4] = ["issuers", "upstreams", "routes", "groups"];

/// What every part of the lowering shares: the files read and the problems found so far.
#[derive(Debug)]
pub(super) struct Context {
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
    files: RefCell<Files>,
    stand_ins: bool,
}

#[derive(Debug)]
struct Files {
    /// Those that places refer to.
    sources: Vec<SourceFile>,
    /// Every file that was read, in that order.
    paths: Vec<PathBuf>,
    known: HashSet<PathBuf>,
    contents: Vec<u8>,
}

/// What is left of a context when all is lowered.
pub(super) struct Account {
    pub(super) files: Vec<PathBuf>,
    pub(super) hash: Box<str>,
    pub(super) notes: Vec<String>,
}

impl Context {
    pub(super) fn new() -> Self {
        let files =
            Files { sources: Vec::new(), paths: Vec::new(), known: HashSet::new(), contents: Vec::new() };
        let (problems, notes) = (RefCell::default(), RefCell::default());
        Self { problems, notes, files: RefCell::new(files), stand_ins: false }
    }

    pub(super) fn with_stand_ins(self, stand_ins: bool) -> Self {
        Self { stand_ins, ..self }
    }

    /// Whether keys and certificates of others come in the place of those that files hold.
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

    /// Adds a text that was not read from a file.
    pub(super) fn add_source(&self, name: &str, text: &str) -> usize {
        let mut files = self.files.borrow_mut();
        files.contents.extend_from_slice(text.as_bytes());
        files.sources.push(SourceFile::new(name, text));
        files.sources.len() - 1
    }

    /// Reads a file of the configuration language.
    pub(super) fn read_source(&self, path: &Path) -> Result<usize, String> {
        let text = self.read(path)?;
        if text.trim().is_empty() {
            return Err(format!("\"{}\" is empty", path.display()));
        }
        let mut files = self.files.borrow_mut();
        files.sources.push(SourceFile::new(path.display().to_string(), text));
        Ok(files.sources.len() - 1)
    }

    /// Reads a file that the value at `place` names, relative to the file that the value stands in.
    pub(super) fn read_named(&self, place: Place, path: &str) -> Result<String, String> {
        self.read(&self.path_named(place, path))
    }

    /// The path that the value at `place` names.
    pub(super) fn path_named(&self, place: Place, path: &str) -> PathBuf {
        self.beside(place.file, path)
    }

    /// Whether a path was read, under this name or another.
    pub(super) fn has_read(&self, path: &Path) -> bool {
        let path = identity(path);
        self.files.borrow().paths.iter().any(|known| identity(known) == path)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let shown = path.display();
        let seen = !self.follow(path);
        let size =
            fs::metadata(path).map_err(|error| format!("cannot read \"{shown}\": {}", reason(&error)))?.len();
        if size > MAX_FILE_BYTES {
            return Err(format!("\"{shown}\" has more than {} MiB", MAX_FILE_BYTES >> 20));
        }
        let bytes = fs::read(path).map_err(|error| format!("cannot read \"{shown}\": {}", reason(&error)))?;
        if !seen {
            self.files.borrow_mut().contents.extend_from_slice(&bytes);
        }
        String::from_utf8(bytes).map_err(|error| {
            format!("\"{shown}\" is not UTF-8: byte {} is broken", error.utf8_error().valid_up_to() + 1)
        })
    }

    /// Notes a path whose change is a change of the configuration, before it is read: what is missing now may come.
    /// `false` when it was noted before.
    fn follow(&self, path: &Path) -> bool {
        let mut files = self.files.borrow_mut();
        let new = files.known.insert(path.into());
        if new {
            files.paths.push(path.into());
        }
        new
    }

    fn beside(&self, file: usize, path: &str) -> PathBuf {
        let files = self.files.borrow();
        let name = files.sources.get(file).map_or("", |source| source.name.as_str());
        Path::new(name).parent().unwrap_or(Path::new("")).join(path)
    }

    fn path(&self, file: usize) -> PathBuf {
        self.files.borrow().sources.get(file).map(|source| source.name.clone().into()).unwrap_or_default()
    }

    fn text(&self, file: usize) -> String {
        self.files.borrow().sources.get(file).map(|source| source.text.clone()).unwrap_or_default()
    }

    pub(super) fn into_problems(self) -> Problems {
        let files = self.files.into_inner();
        Problems::new(files.sources, files.paths, self.problems.into_inner())
    }

    pub(super) fn into_account(self) -> Account {
        let files = self.files.into_inner();
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(Problem::place);
        notes.dedup();
        let hash = digest::digest(&digest::SHA256, &files.contents);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Account {
            notes: notes.iter().map(|note| note.line(&files.sources)).collect(),
            files: files.paths,
            hash: hash.into(),
        }
    }
}

/// The system's reason without Rust's `(os error 2)`.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

/// The document of a file and all that it includes, merged. Problems are left in the context.
pub(super) fn document(context: &Context, file: usize) -> Table {
    let mut root = parse(context, file);
    let Some(include) = root.get("include").cloned() else { return root };
    let mut seen = HashSet::from([identity(&context.path(file))]);
    for pattern in patterns(&include) {
        for path in matches(context, &pattern) {
            let (place, text) = &pattern;
            if !seen.insert(identity(&path)) {
                let message = format!("include: \"{text}\" reads \"{}\" a second time", path.display());
                let problem = Problem::at(*place, message);
                context.problem(
                    problem.hint("name each file once, and keep included files in a directory of their own"),
                );
                continue;
            }
            match context.read_source(&path) {
                Ok(included) => merge(context, &mut root, parse(context, included)),
                Err(error) => context.problem(Problem::at(*place, format!("include: {error}"))),
            }
        }
    }
    refuse_twice(context, &mut root);
    root
}

/// What makes two names one file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn parse(context: &Context, file: usize) -> Table {
    let (table, problems) = document::parse(file, &context.text(file));
    problems.into_iter().for_each(|problem| context.problem(problem));
    table
}

/// The patterns of `include`. Their types are the reader's to complain of, when the rest is read.
fn patterns(include: &Entry) -> Vec<(Place, String)> {
    let values = match &include.value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&include.value),
    };
    let text = |value: &Value| match &value.kind {
        Kind::Text(text) => Some((value.place, text.clone())),
        _ => None,
    };
    values.iter().filter_map(text).collect()
}

/// The files that a pattern names, in the order of their names. Only the last component may hold stars.
fn matches(context: &Context, (place, pattern): &(Place, String)) -> Vec<PathBuf> {
    let path = context.beside(place.file, pattern);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
    if directory.to_string_lossy().contains('*') && pattern.trim_end_matches(&name).contains('*') {
        let message = format!("include: \"{pattern}\": a \"*\" stands in the last part of the path alone");
        context.problem(Problem::at(*place, message));
        return Vec::new();
    }
    if !name.contains('*') {
        return vec![path];
    }
    context.follow(&path);
    let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        // No directory is no file: the pattern says "whatever is there".
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let message = format!("include: cannot read \"{}\": {}", directory.display(), reason(&error));
            context.problem(Problem::at(*place, message));
            return Vec::new();
        }
    };
    let fits = |entry: &fs::DirEntry| {
        let candidate = entry.file_name().to_string_lossy().into_owned();
        // As in a shell, a star does not reach hidden files: editors keep their swap files there.
        !candidate.starts_with('.') && star_match(&name, &candidate)
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(fits)
        .map(|entry| path.with_file_name(entry.file_name()))
        .collect();
    found.sort();
    found
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn star_match(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| {
        let (_, after) = rest.split_at(at);
        star_match(tail, after)
    })
}

/// Takes what an included file may hold into the document.
fn merge(context: &Context, root: &mut Table, included: Table) {
    for entry in included.entries {
        if INCLUDABLE.contains(&entry.key.as_str()) {
            merge_entry(root, entry);
        } else if catalogue::FILE.key(&entry.key).is_some() {
            let message = format!("\"{}\" is not for an included file: write it in the main one", entry.key);
            context.problem(
                Problem::at(entry.key_place, message)
                    .hint(format!("an included file holds {}", catalogue::quoted(&INCLUDABLE, "and"))),
            );
        } else {
            context.problem(unknown_key(&catalogue::FILE, "the file", &entry));
        }
    }
}

fn merge_entry(root: &mut Table, entry: Entry) {
    let Some(known) = root.entries.iter_mut().find(|known| known.key == entry.key) else {
        return root.entries.push(entry);
    };
    match (&mut known.value.kind, entry.value.kind) {
        (Kind::List(known), Kind::List(more)) => known.extend(more),
        (Kind::Table(known), Kind::Table(more)) => known.entries.extend(more.entries),
        // One of the two is not what the key asks for. Let the reader see that one.
        (Kind::List(_) | Kind::Table(_), other) => {
            known.value = Value { kind: other, place: entry.value.place }
        }
        _ => {}
    }
}

/// Leaves the first of each name, and reports the others. Once for all files: each may define a part of the names.
fn refuse_twice(context: &Context, root: &mut Table) {
    for entry in root.entries.iter_mut().filter(|entry| INCLUDABLE.contains(&entry.key.as_str())) {
        let Kind::Table(table) = &mut entry.value.kind else { continue };
        let mut known: HashMap<String, Place> = HashMap::with_capacity(table.entries.len());
        table.entries.retain(|entry| {
            let place = entry.value.place;
            let first = *known.entry(entry.key.clone()).or_insert(place);
            if first != place {
                let problem = Problem::at(place, format!("\"{}\" is defined twice", entry.key));
                context.problem(problem.label("and again here").related(first, "first defined here"));
            }
            first == place
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("*", "ä", true),
            ("a", "a", true),
        ] {
            assert_eq!(star_match(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.toml");
        let context = Context::new();
        assert!(context.read_source(&path).unwrap_err().ends_with("there is no such file"));
        fs::write(&path, " \n").unwrap();
        assert!(context.read_source(&path).unwrap_err().ends_with("is empty"));
        fs::write(&path, b"a = \"\xff\"").unwrap();
        assert!(context.read_source(&path).unwrap_err().ends_with("is not UTF-8: byte 6 is broken"));
        assert!(context.read_source(directory.path()).unwrap_err().ends_with("it is a directory"));
    }

    #[test]
    fn the_hash_of_one_file_is_its_sha256() {
        let context = Context::new();
        context.add_source("a", "abc");
        let hash = context.into_account().hash;
        assert_eq!(&*hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
