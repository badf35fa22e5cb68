//! The files of a room form no circle: a file uses files below it alone, so that they can be read
//! one after the other.
//!
//! A file that declares modules (`mod.rs`) is looked through: a name that it only re-exports counts
//! for the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::{Source, sources};

/// The path of a module, without `crate`: `["upstream", "pool"]` for `src/upstream/pool/mod.rs`.
type Module = Vec<String>;

/// A name that a file imports.
struct Import {
    /// The path as written, in words.
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// The code of a module's file.
struct File {
    path: String,
    imports: Vec<Import>,
    /// The code without its `use` declarations.
    rest: String,
    /// Set when other modules are below it.
    has_children: bool,
}

/// The files of the library, by module.
struct Files(BTreeMap<Module, File>);

impl Files {
    fn new(sources: &[Source]) -> Self {
        let mut files = BTreeMap::new();
        for source in sources {
            let module = module_of(source.path());
            if !module.is_empty() {
                files.insert(module, File::new(source));
            }
        }
        let parents: Vec<Module> = files.keys().map(parent).collect();
        for module in parents {
            if let Some(file) = files.get_mut(&module) {
                file.has_children = true;
            }
        }
        Self(files)
    }

    /// Returns the module in which a path of this module begins, and the words after it.
    fn start<'p>(&self, module: &Module, path: &'p [String]) -> Option<(Module, &'p [String])> {
        match path.first()?.as_str() {
            "crate" => return Some((Module::new(), &path[1..])),
            "self" => return Some((module.clone(), &path[1..])),
            _ => {}
        }
        let climbs = path.iter().take_while(|word| *word == "super").count();
        if climbs > 0 {
            let left = module.len().checked_sub(climbs)?;
            return Some((module[..left].to_vec(), &path[climbs..]));
        }
        let child = below(module, &path[0]);
        self.0.contains_key(&child).then(|| (child, &path[1..]))
    }

    /// Returns the module whose file defines what a path leads to.
    fn definition(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        let (mut at, mut rest) = self.start(module, path)?;
        while let Some((first, others)) = rest.split_first() {
            let child = below(&at, first);
            if self.0.contains_key(&child) {
                (at, rest) = (child, others);
                continue;
            }
            let file = self.0.get(&at)?;
            if let Some(import) = file.imports.iter().find(|import| import.name == *first)
                && file.has_children
                && depth < 10
            {
                let path = [&import.path[..], others].concat();
                return self.definition(&at, &path, depth + 1);
            }
            break;
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// Returns the modules of the same room that a module uses.
    fn uses(&self, module: &Module) -> BTreeSet<Module> {
        let file = &self.0[module];
        let mut paths = file.paths(module, self);
        for import in &file.imports {
            // A name that is only passed on is looked through.
            if !import.is_public || has_word(&file.rest, &import.name) {
                paths.push(import.path.clone());
            }
        }
        let mut uses = BTreeSet::new();
        for path in paths {
            if let Some(used) = self.definition(module, &path, 0)
                && used != *module
                && used[0] == module[0]
                // A folder that is imported by its own name is entered by paths.
                && !self.is_folder(module, &path)
            {
                uses.insert(used);
            }
        }
        uses
    }

    /// Returns whether a path leads to a module with other modules below it.
    fn is_folder(&self, module: &Module, path: &[String]) -> bool {
        let Some((at, rest)) = self.start(module, path) else {
            return false;
        };
        let whole = [&at[..], rest].concat();
        self.0.get(&whole).is_some_and(|file| file.has_children)
    }

    /// Returns the circles, each with its files and what they use of it.
    fn circles(&self) -> Vec<BTreeMap<Module, Vec<Module>>> {
        let mut left: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for module in self.0.keys() {
            left.insert(module.clone(), self.uses(module));
        }
        let mut circles = Vec::new();
        for module in self.0.keys() {
            if !left.contains_key(module) {
                continue;
            }
            let there = reached(&left, module);
            let circle: BTreeSet<Module> = there
                .into_iter()
                .filter(|other| reached(&left, other).contains(module))
                .collect();
            if circle.len() > 1 {
                let shown = circle.iter().map(|one| {
                    let used = left[one].intersection(&circle).cloned().collect();
                    (one.clone(), used)
                });
                circles.push(shown.collect());
            }
            left.retain(|other, _| other != module && !circle.contains(other));
        }
        circles
    }
}

impl File {
    fn new(source: &Source) -> Self {
        let mut imports = Vec::new();
        let mut rest = source.code().to_owned();
        while let Some((start, end)) = declaration(&rest) {
            let text = rest[start..end].trim_end_matches(';');
            let (before, tree) = text.split_once("use ").unwrap_or(("", text));
            expand(tree, &[], before.starts_with("pub"), &mut imports);
            rest.replace_range(start..end, "");
        }
        Self {
            path: source.path().to_owned(),
            imports,
            rest,
            has_children: false,
        }
    }

    /// Returns the paths in its code that lead to modules: those that begin with `super`, `self`,
    /// `crate`, a module below, or an imported one.
    fn paths(&self, module: &Module, files: &Files) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for text in self.rest.split(|c: char| !is_part(c) && c != ':') {
            let words = words_of(text);
            if words.len() < 2 {
                continue;
            }
            let import = self.imports.iter().find(|import| import.name == words[0]);
            match import {
                Some(import) if files.is_folder(module, &import.path) => {
                    paths.push([&import.path[..], &words[1..]].concat());
                }
                Some(_) => {}
                None => paths.push(words),
            }
        }
        paths
    }
}

/// Returns the module of a source file; empty for the root of the crate.
fn module_of(path: &str) -> Module {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    match inside.trim_end_matches("/mod") {
        "lib" | "main" => Module::new(),
        inside => inside.split('/').map(str::to_owned).collect(),
    }
}

fn parent(module: &Module) -> Module {
    module[..module.len() - 1].to_vec()
}

fn below(module: &Module, name: &str) -> Module {
    [&module[..], &[name.to_owned()]].concat()
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the words of a path.
fn words_of(path: &str) -> Vec<String> {
    path.split("::")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c| !is_part(c)).any(|other| other == word)
}

/// Returns where the next `use` declaration begins and ends, with the `pub` before it.
fn declaration(code: &str) -> Option<(usize, usize)> {
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].trim_end_matches(' ');
        let line = before.rsplit('\n').next().unwrap_or_default();
        if line.is_empty() || line.starts_with("pub") {
            let start = before.len() - line.len();
            let end = at + code[at..].find(';')? + 1;
            return Some((start, end));
        }
    }
    None
}

/// Adds the names of a `use` tree to the imports.
fn expand(tree: &str, prefix: &[String], is_public: bool, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((path, list)) = tree.split_once('{') {
        let prefix = [prefix, &words_of(path)].concat();
        let list = list.trim_end().strip_suffix('}').unwrap_or(list);
        for member in members(list) {
            expand(member, &prefix, is_public, imports);
        }
        return;
    }
    let (path, renamed) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim())),
        None => (tree, None),
    };
    let mut path = [prefix, &words_of(path)].concat();
    if path.last().is_some_and(|word| word == "self") {
        path.pop();
    }
    if let Some(last) = path.last() {
        let name = renamed.unwrap_or(last).to_owned();
        imports.push(Import {
            path,
            name,
            is_public,
        });
    }
}

/// Returns the members of a list, between commas outside of braces.
fn members(list: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(&list[start..]);
    members.retain(|member| !member.trim().is_empty());
    members
}

/// Returns what can be reached from a module.
fn reached(uses: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from.clone()];
    while let Some(module) = next.pop() {
        for used in uses.get(&module).into_iter().flatten() {
            if uses.contains_key(used) && reached.insert(used.clone()) {
                next.push(used.clone());
            }
        }
    }
    reached
}

/// Returns a circle as text, a line for each file.
fn shown(files: &Files, circle: &BTreeMap<Module, Vec<Module>>) -> String {
    let mut text = String::from("a circle of files:\n");
    for (module, used) in circle {
        let used: Vec<&str> = used.iter().map(|one| &*files.0[one].path).collect();
        let path = &files.0[module].path;
        text.push_str(&format!("  {path} uses {}\n", used.join(", ")));
    }
    text
}

#[test]
fn the_files_of_a_room_form_no_circle() {
    let files = Files::new(&sources());
    let mut found = String::new();
    for circle in files.circles() {
        found.push_str(&shown(&files, &circle));
    }
    assert!(found.is_empty(), "\n{found}");
}

// The checker itself, on made-up text.

#[test]
fn a_circle_of_files_is_found_through_the_file_that_declares_them() {
    let source = |path, text| Source::new(path, text);
    let above = source(
        "src/a/mod.rs",
        "mod b;\nmod c;\nmod d;\npub use b::B;\npub(crate) use c::{self, C as Other};\n",
    );
    let circle = [
        above,
        source(
            "src/a/b.rs",
            "use super::Other;\nuse std::fmt;\npub struct B;\n",
        ),
        source("src/a/c.rs", "use crate::{a::{B}, clock};\npub struct C;\n"),
        source(
            "src/a/d.rs",
            "use super::{B, c};\n#[cfg(test)]\nmod tests { use super::D; }\n",
        ),
        source("src/clock.rs", "use crate::a::B;\n"),
    ];
    let files = Files::new(&circle);
    let circles = files.circles();
    assert_eq!(circles.len(), 1);
    assert_eq!(
        shown(&files, &circles[0]),
        "a circle of files:\n  src/a/b.rs uses src/a/c.rs\n  src/a/c.rs uses src/a/b.rs\n"
    );
    let parent = [
        source("src/a/mod.rs", "mod b;\npub struct A;\nfn f() { b::g() }\n"),
        source("src/a/b.rs", "pub fn g() -> super::A { super::A }\n"),
    ];
    assert_eq!(Files::new(&parent).circles().len(), 1);
    let line = [
        source(
            "src/a/mod.rs",
            "mod b;\nmod c;\npub use c::C;\nfn f() { b::g() }\n",
        ),
        source("src/a/b.rs", "use super::C;\npub fn g(c: C) {}\n"),
        source("src/a/c.rs", "pub struct C;\n"),
    ];
    assert!(Files::new(&line).circles().is_empty());
}
