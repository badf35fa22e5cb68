//! The state of one reading of a configuration: the files that were read, and the problems and
//! notes found so far.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::files::{self, Found, MAX_FILE_BYTES, ReadError, ReadFile};
use super::language::problem::{Problem, Problems};
use super::language::{SourceFile, Span};
use super::links::Links;
use super::variables::Variables;
use crate::transform::Template;

/// The state that all parts of the lowering share: the files that were read, and the problems and
/// notes found so far.
pub(super) struct Context {
    /// Returns the tables of the language that have a key, for advice about unknown keys.
    tables_with: fn(&str) -> Vec<String>,
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
    files: RefCell<Files>,
    links: RefCell<Links>,
    variables: OnceCell<Variables>,
    /// The values with references, by their positions.
    templates: RefCell<HashMap<Span, TemplateState>>,
    stand_ins: bool,
}

/// The state of a value with references to variables.
pub(super) enum TemplateState {
    /// All have values. The text names them for messages.
    Filled(String),
    /// A problem was reported. Others of the same value would follow from it.
    Broken,
}

#[derive(Debug, Default)]
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
pub(super) enum Consistency {
    /// The files are unchanged since they were read.
    Unchanged,
    /// All contents are of one generation, but a symbolic link leads to another one now.
    LinkMoved,
    /// A file was changed, so that the contents may be of two generations.
    FileChanged,
}

/// The parts of a context that remain after the lowering.
pub(super) struct Record {
    pub(super) files: Vec<ReadFile>,
    pub(super) hash: Box<str>,
    pub(super) notes: Vec<String>,
}

impl Context {
    pub(super) fn new(tables_with: fn(&str) -> Vec<String>) -> Self {
        Self {
            tables_with,
            problems: RefCell::default(),
            notes: RefCell::default(),
            files: RefCell::default(),
            links: RefCell::default(),
            variables: OnceCell::new(),
            templates: RefCell::default(),
            stand_ins: false,
        }
    }

    pub(super) fn with_stand_ins(self, stand_ins: bool) -> Self {
        Self { stand_ins, ..self }
    }

    /// Returns the headers of the tables that have a key.
    pub(super) fn tables_with(&self, key: &str) -> Vec<String> {
        (self.tables_with)(key)
    }

    /// Returns whether stand-ins replace the keys and certificates that files hold, as in
    /// `scopegate dev`.
    pub(super) fn has_stand_ins(&self) -> bool {
        self.stand_ins
    }

    /// Adds a problem. That of a value with variables names them, since the text of the file does
    /// not show their values.
    pub(super) fn problem(&self, problem: Problem) {
        let templates = self.templates.borrow();
        let state = problem.span().and_then(|span| templates.get(&span));
        let problem = match state {
            Some(TemplateState::Broken) => return,
            Some(TemplateState::Filled(variables)) => problem.noting(variables),
            None => problem,
        };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes the state of the value at a position.
    pub(super) fn set_template(&self, span: Span, state: TemplateState) {
        self.templates.borrow_mut().insert(span, state);
    }

    /// Sets the variables. Those that do not come from a file become a part of the hash.
    pub(super) fn set_variables(&self, variables: Variables) {
        let outside = variables.outside();
        self.files.borrow_mut().contents.extend(outside.bytes());
        // Each document is filled in once.
        let _ = self.variables.set(variables);
    }

    /// Returns a template with the values of variables.
    pub(super) fn filled(&self, template: &Template) -> Template {
        match self.variables() {
            Some(variables) => template.filled(|name| variables.value(name)),
            None => template.clone(),
        }
    }

    pub(super) fn variables(&self) -> Option<&Variables> {
        self.variables.get()
    }

    /// Returns the position of a part of a string, or that of the string if the file spells it with
    /// escapes.
    pub(super) fn span_within(&self, string: Span, text: &str, part: &Range<usize>) -> Span {
        let files = self.files.borrow();
        let source = files.sources.get(string.file).map(|source| &*source.text);
        let written = source.and_then(|source| source.get(string.start..string.end));
        let Some(quotes) = written.and_then(|written| quotes(written, text)) else {
            return string;
        };
        let start = string.start + quotes;
        Span::new(string.file, start + part.start..start + part.end)
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
        let name = path.display().to_string();
        if text.trim().is_empty() {
            return Err(format!("\"{name}\" is empty"));
        }
        let mut files = self.files.borrow_mut();
        files.sources.push(SourceFile::new(name, text));
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
        let files = self.files.borrow();
        let mut visited = files.visited.iter();
        visited.any(|known| identity(&known.path) == path)
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
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(ReadError::Io(error)) => {
                return Err(format!("cannot read \"{shown}\": {}", reason(&error)));
            }
            Err(ReadError::TooLong) => {
                let limit = MAX_FILE_BYTES >> 20;
                return Err(format!("\"{shown}\" has more than {limit} MiB"));
            }
        };
        if is_new {
            self.files.borrow_mut().contents.extend_from_slice(&bytes);
        }
        String::from_utf8(bytes).map_err(|error| {
            let position = error.utf8_error().valid_up_to() + 1;
            format!("\"{shown}\" is not UTF-8: byte {position} is broken")
        })
    }

    /// Returns the names that match a path with a star.
    pub(super) fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
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
    pub(super) fn consistency(&self) -> Consistency {
        let files = self.files.borrow();
        if files.visited.len() > 1 && files.visited.iter().any(Visited::has_changed) {
            return Consistency::FileChanged;
        }
        match self.links.borrow().have_moved() {
            true => Consistency::LinkMoved,
            false => Consistency::Unchanged,
        }
    }

    /// Returns a path relative to the directory of a file.
    pub(super) fn beside(&self, file: usize, path: &str) -> PathBuf {
        match self.path(file).parent() {
            Some(directory) => directory.join(path),
            None => path.into(),
        }
    }

    /// Returns a position for people: `file:line:column`.
    pub(super) fn place(&self, span: Span) -> Box<str> {
        match self.files.borrow().sources.get(span.file) {
            Some(source) => source.place(span).into(),
            None => Box::default(),
        }
    }

    pub(super) fn path(&self, file: usize) -> PathBuf {
        match self.files.borrow().sources.get(file) {
            Some(source) => source.name.clone().into(),
            None => PathBuf::new(),
        }
    }

    pub(super) fn text(&self, file: usize) -> String {
        match self.files.borrow().sources.get(file) {
            Some(source) => source.text.clone(),
            None => String::new(),
        }
    }

    pub(super) fn into_problems(self) -> Problems {
        let files = self.files.into_inner();
        let read = files.visited.into_iter().map(Visited::into_read).collect();
        Problems::new(files.sources, read, self.problems.into_inner())
    }

    /// Returns the one problem of files that changed in each of `readings` readings. Other problems
    /// are dropped: they may come from a mixture of two generations.
    pub(super) fn into_unsettled(self, readings: usize) -> Problems {
        self.problems.replace(vec![
            Problem::without_span(format!("the files changed in each of {readings} readings"))
                .hint(
                    "replace all of them at once, by swapping a symbolic link or renaming their \
                       directory",
                ),
        ]);
        self.into_problems()
    }

    pub(super) fn into_record(self) -> Record {
        let files = self.files.into_inner();
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(Problem::span);
        notes.dedup();
        Record {
            notes: notes.iter().map(|note| note.line(&files.sources)).collect(),
            hash: hexadecimal(digest::digest(&digest::SHA256, &files.contents).as_ref()),
            files: files.visited.into_iter().map(Visited::into_read).collect(),
        }
    }
}

/// Returns the number of quotes before a string whose text the file spells without escapes.
fn quotes(written: &str, text: &str) -> Option<usize> {
    let around = written.len().checked_sub(text.len())?;
    let is_same = written.get(around / 2..around / 2 + text.len()) == Some(text);
    (is_same && matches!(around, 2 | 6)).then_some(around / 2)
}

fn hexadecimal(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

impl Visited {
    fn has_changed(&self) -> bool {
        self.found.has_changed(&self.real)
    }
    fn into_read(self) -> ReadFile {
        ReadFile::new(&self.path, self.found)
    }
}

/// Returns the system's reason without Rust's suffix `(os error 2)`.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

/// Returns the path by which two names of the same file are recognized.
pub(super) fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.toml");
        let context = Context::new(|_| Vec::new());
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
        let context = Context::new(|_| Vec::new());
        let text = |name: &str| context.read(&root.join(name)).unwrap();
        assert_eq!(text("gateway.toml"), "a = 1");
        assert_eq!(context.consistency(), Consistency::Unchanged);
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
        assert_eq!(context.consistency(), Consistency::LinkMoved);
        // The kubelet removes the generation that is no longer in use.
        fs::remove_dir_all(root.join("..1")).unwrap();
        assert!(context.read(&root.join("old.toml")).is_err());
        assert_eq!(context.consistency(), Consistency::FileChanged);
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
            let context = Context::new(|_| Vec::new());
            context.read(&one).unwrap();
            context
        };
        let alone = reading();
        fs::write(&one, "a = 22").unwrap();
        assert_eq!(
            alone.consistency(),
            Consistency::Unchanged,
            "one file is a generation by itself"
        );
        let two = reading();
        two.read(&other).unwrap();
        assert_eq!(two.consistency(), Consistency::Unchanged);
        fs::write(&one, "a = 333").unwrap();
        assert_eq!(two.consistency(), Consistency::FileChanged);
        let listed = reading();
        assert!(listed.names(&pattern).unwrap().is_empty());
        assert_eq!(listed.consistency(), Consistency::Unchanged);
        fs::write(folder.path().join("new.toml"), "").unwrap();
        assert_eq!(listed.consistency(), Consistency::FileChanged);
        let missing = reading();
        assert!(missing.read(&folder.path().join("missing")).is_err());
        fs::write(folder.path().join("missing"), "").unwrap();
        assert_eq!(missing.consistency(), Consistency::FileChanged);
    }

    #[test]
    fn the_hash_of_one_file_is_its_sha256() {
        let context = Context::new(|_| Vec::new());
        context.add_source("a", "abc");
        let hash = context.into_record().hash;
        assert_eq!(
            &*hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
