//! What is wrong with a configuration, and where: shown the way a compiler shows it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A place in one of the files that make up the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the files, in the order they were read.
    pub(super) file: usize,
    /// First byte.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
}

/// A file as far as problems show it.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// Its name as the operator knows it.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// One thing that the operator has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    place: Option<Place>,
    label: Option<String>,
    related: Option<(Place, String)>,
    hint: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::without_place(message) }
    }

    /// A problem of no place in particular, such as a file that is not there.
    pub(super) fn without_place(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: None, related: None, hint: None }
    }

    /// What stands next to the arrow.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Another place that has to do with it.
    pub(super) fn related(self, place: Place, label: impl Into<String>) -> Self {
        Self { related: Some((place, label.into())), ..self }
    }

    /// What to do, when the message alone does not say it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The problem in a sentence: lower case, the thing in quotes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// `file:line:column: message (hint)`, on one line and without the file's text, which may hold a secret.
    pub(super) fn line(&self, files: &[SourceFile]) -> String {
        let hint = self.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        let source = self.place.and_then(|place| Some((files.get(place.file)?, place)));
        let Some((file, place)) = source else {
            return format!("{}{hint}", self.message);
        };
        let (line, column) = line_and_column(&file.text, place.start);
        format!("{}:{line}:{column}: {}{hint}", file.name, self.message)
    }

    fn render(&self, files: &[SourceFile], renderer: &Renderer) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(self.message.as_str()));
        for snippet in self.snippets(files) {
            group = group.element(snippet);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    }

    /// The places, those of one file in one snippet.
    fn snippets<'a>(
        &'a self,
        files: &'a [SourceFile],
    ) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let mut snippets = Vec::new();
        let Some((place, file)) = self.place.and_then(|place| Some((place, files.get(place.file)?))) else {
            return snippets;
        };
        let primary = AnnotationKind::Primary.span(span(place, file)).label(self.label.as_deref());
        let snippet = Snippet::source(&file.text).path(&file.name).annotation(primary);
        let related = self.related.as_ref().and_then(|(at, label)| Some((at, label, files.get(at.file)?)));
        match related {
            Some((at, label, _)) if at.file == place.file => {
                let context = AnnotationKind::Context.span(span(*at, file)).label(label.as_str());
                snippets.push(snippet.annotation(context));
            }
            Some((at, label, other)) => {
                let context = AnnotationKind::Context.span(span(*at, other)).label(label.as_str());
                snippets.push(snippet);
                snippets.push(Snippet::source(&other.text).path(&other.name).annotation(context));
            }
            None => snippets.push(snippet),
        }
        snippets
    }
}

/// The bytes to underline: of several lines the first alone, and never half a character.
fn span(place: Place, file: &SourceFile) -> Range<usize> {
    let boundary = |at: usize| (0..=at.min(file.text.len())).rev().find(|at| file.text.is_char_boundary(*at));
    let (start, end) = (boundary(place.start).unwrap_or(0), boundary(place.end).unwrap_or(0));
    let text = file.text.get(start..end).unwrap_or_default();
    start..start + text.lines().next().unwrap_or_default().len()
}

/// Line and column of a byte, both from 1, the column in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// Every problem of a configuration, sorted by file and place. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    files: Vec<SourceFile>,
    paths: Vec<PathBuf>,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(files: Vec<SourceFile>, paths: Vec<PathBuf>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place);
        list.dedup();
        Self { files, paths, list }
    }

    /// Each problem with its line of the file, an arrow and a hint; with terminal colours if asked.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out: Vec<_> =
            self.list.iter().map(|problem| problem.render(&self.files, &renderer)).collect();
        let count = match self.list.len() {
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        let summary = format!("the configuration has {count}");
        out.push(renderer.render(&[Group::with_title(Level::ERROR.primary_title(summary))]));
        out.join("\n\n")
    }

    /// Each problem on one line, `file:line:column: message`, for logs: without the text of the file.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| problem.line(&self.files))
    }

    /// Every file that was read until then: where an edit may mend things.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

/// The one-line form of each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile { name: name.into(), text: text.into() }
    }

    fn place(file: usize, start: usize, end: usize) -> Place {
        Place { file, start, end }
    }

    #[test]
    fn a_problem_shows_its_line_an_arrow_and_a_hint() {
        let files = vec![file("gateway.toml", "a = 1\nbee = 2\n")];
        let problem = Problem::at(place(0, 6, 9), "unknown key \"bee\"").label("here").hint("write \"be\"");
        let shown = Problems::new(files, Vec::new(), vec![problem]).render(false);
        assert!(shown.contains("error: unknown key \"bee\""), "{shown}");
        assert!(shown.contains("--> gateway.toml:2:1"), "{shown}");
        assert!(shown.contains("2 | bee = 2"), "{shown}");
        assert!(shown.contains("^^^ here"), "{shown}");
        assert!(shown.contains("help: write \"be\""), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn colour_is_there_where_it_is_asked_for() {
        let problems =
            Problems::new(vec![file("a", "b")], Vec::new(), vec![Problem::at(place(0, 0, 1), "x")]);
        assert!(problems.render(true).contains('\u{1b}'));
    }

    #[test]
    fn a_line_for_logs_has_no_text_of_the_file() {
        let files = vec![file("gateway.toml", "ä = 1; secret\n")];
        let problems = Problems::new(files, Vec::new(), vec![Problem::at(place(0, 3, 4), "broken")]);
        assert_eq!(problems.to_string(), "gateway.toml:1:3: broken");
    }

    #[test]
    fn problems_come_in_the_order_of_files_and_places_and_once() {
        let files = vec![file("a", "12345"), file("b", "12345")];
        let list = [place(1, 0, 1), place(0, 3, 4), place(0, 1, 2), place(0, 1, 2)];
        let problems = Problems::new(files, Vec::new(), list.map(|at| Problem::at(at, "x")).into());
        assert_eq!(problems.lines().collect::<Vec<_>>(), ["a:1:2: x", "a:1:4: x", "b:1:1: x"]);
        assert_eq!(problems.iter().count(), 3);
    }

    #[test]
    fn a_place_in_another_file_gets_a_snippet_of_its_own() {
        let files = vec![file("a", "one"), file("b", "two")];
        let problem = Problem::at(place(1, 0, 3), "twice").related(place(0, 0, 3), "first defined here");
        let shown = Problems::new(files, Vec::new(), vec![problem]).render(false);
        assert!(shown.contains("b:1:1") && shown.contains("a:1:1"), "{shown}");
        assert!(shown.contains("first defined here"), "{shown}");
    }

    #[test]
    fn a_span_beyond_the_text_is_shown_at_its_end() {
        let files = vec![file("a", "é")];
        let list = vec![Problem::at(place(0, 1, 9), "x"), Problem::at(place(0, 7, 9), "y")];
        assert!(Problems::new(files, Vec::new(), list).render(false).contains("a:1"));
    }
}
