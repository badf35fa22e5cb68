//! The problems of a configuration with their positions, rendered in the style of a compiler.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::printable::{printable, same_length};
use super::source::{SourceFile, Span};
use crate::config::files::ReadFile;

/// A problem that the operator has to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    span: Option<Span>,
    label: Option<String>,
    related: Option<(Span, String)>,
    hint: Option<String>,
}

impl Problem {
    /// Creates a problem at a position.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            ..Self::without_span(message)
        }
    }

    /// Creates a problem without a position, such as a missing file.
    pub(crate) fn without_span(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            label: None,
            related: None,
            hint: None,
        }
    }

    /// Sets the text beside the arrow.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self {
            label: Some(label.into()),
            ..self
        }
    }

    /// Adds a second position that the problem refers to.
    pub(crate) fn related(self, span: Span, label: impl Into<String>) -> Self {
        Self {
            related: Some((span, label.into())),
            ..self
        }
    }

    /// Sets the advice that the message alone does not give.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Adds a remark to the message.
    pub(crate) fn noting(self, remark: &str) -> Self {
        Self {
            message: format!("{}; {remark}", self.message),
            ..self
        }
    }

    /// Returns the message: a sentence in lower case that names things in quotes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn span(&self) -> Option<Span> {
        self.span
    }

    /// Returns `file:line:column: message (hint)` on one line. It does not quote the file, whose
    /// text may hold a secret.
    pub(crate) fn line(&self, files: &[SourceFile]) -> String {
        let hint = match &self.hint {
            Some(hint) => format!(" ({hint})"),
            None => String::new(),
        };
        let text = format!("{}{hint}", self.message);
        let text = printable(&text);
        let Some((file, span)) = self.place(files) else {
            return text.into_owned();
        };
        format!("{}: {text}", file.place(span))
    }

    /// Returns the file of the problem, with the position in it.
    fn place<'a>(&self, files: &'a [SourceFile]) -> Option<(&'a SourceFile, Span)> {
        let span = self.span?;
        Some((files.get(span.file)?, span))
    }

    fn render(&self, files: &[SourceFile], renderer: &Renderer) -> String {
        // The texts may quote the file, whose strings can hold any character.
        let title = Level::ERROR.primary_title(printable(&self.message));
        let mut group = Group::with_title(title);
        for snippet in self.snippets(files) {
            group = group.element(snippet);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(printable(hint)));
        }
        renderer.render(&[group])
    }

    /// Returns the positions as snippets; positions in one file share a snippet.
    fn snippets<'a>(&'a self, files: &'a [SourceFile]) -> Vec<AnnotatedSnippet<'a>> {
        let Some((file, span)) = self.place(files) else {
            return Vec::new();
        };
        let primary = Mark {
            kind: AnnotationKind::Primary,
            span,
            label: self.label.as_deref(),
        };
        let Some((related_span, label)) = &self.related else {
            return vec![snippet(file, &[primary])];
        };
        let related = Mark {
            kind: AnnotationKind::Context,
            span: *related_span,
            label: Some(label.as_str()),
        };
        if related.span.file == span.file {
            return vec![snippet(file, &[primary, related])];
        }
        let mut snippets = vec![snippet(file, &[primary])];
        if let Some(other) = files.get(related.span.file) {
            snippets.push(snippet(other, &[related]));
        }
        snippets
    }
}

type AnnotatedSnippet<'a> = Snippet<'a, Annotation<'a>>;

/// A position that a snippet marks.
struct Mark<'a> {
    kind: AnnotationKind,
    span: Span,
    label: Option<&'a str>,
}

/// Returns the lines of a file around its marks. It takes no more lines than it needs, because the
/// renderer scans all that it gets.
fn snippet<'a>(file: &'a SourceFile, marks: &[Mark<'a>]) -> AnnotatedSnippet<'a> {
    let mut starts: Vec<_> = marks.iter().map(|mark| mark.span.start).collect();
    starts.sort_unstable();
    let first = starts.first().copied().unwrap_or_default();
    let last = starts.last().copied().unwrap_or_default();
    let window = file.window(first, last);
    let mut snippet = Snippet::source(same_length(window.text))
        .path(&file.name)
        .line_start(window.line);
    for mark in marks {
        let range = window.span(file.span(mark.span));
        let label = mark.label.map(printable);
        snippet = snippet.annotation(mark.kind.span(range).label(label));
    }
    snippet
}

/// The problems of a configuration, sorted by file and position. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    files: Vec<SourceFile>,
    read: Vec<ReadFile>,
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(files: Vec<SourceFile>, read: Vec<ReadFile>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.span);
        list.dedup();
        Self { files, read, list }
    }

    /// Renders each problem with its line of the file, an arrow and a hint; with terminal colours
    /// if `colour` is set.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = match colour {
            true => Renderer::styled(),
            false => Renderer::plain(),
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = Vec::with_capacity(self.list.len() + 1);
        for problem in &self.list {
            out.push(problem.render(&self.files, &renderer));
        }
        let count = match self.list.len() {
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        let summary = format!("the configuration has {count}");
        out.push(renderer.render(&[Group::with_title(Level::ERROR.primary_title(summary))]));
        out.join("\n\n")
    }

    /// Returns each problem on one line, `file:line:column: message`, for logs. The lines do not
    /// quote the file.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| problem.line(&self.files))
    }

    /// Returns every file that was read up to the problems. An edit of one of them may solve the
    /// problems.
    #[must_use]
    pub fn files(&self) -> &[ReadFile] {
        &self.read
    }

    /// Returns the problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

/// Formats the problems as lines, without a newline at the end.
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
        SourceFile::new(name, text)
    }

    fn span(file: usize, start: usize, end: usize) -> Span {
        Span { file, start, end }
    }

    #[test]
    fn a_problem_shows_its_line_an_arrow_and_a_hint() {
        let files = vec![file("gateway.toml", "a = 1\nbee = 2\n")];
        let problem = Problem::at(span(0, 6, 9), "unknown key \"bee\"")
            .label("here")
            .hint("write \"be\"");
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
        let problems = Problems::new(
            vec![file("a", "b")],
            Vec::new(),
            vec![Problem::at(span(0, 0, 1), "x")],
        );
        assert!(problems.render(true).contains('\u{1b}'));
    }

    #[test]
    fn a_line_for_logs_has_no_text_of_the_file() {
        let files = vec![file("gateway.toml", "ä = 1; secret\n")];
        let problems = Problems::new(
            files,
            Vec::new(),
            vec![Problem::at(span(0, 3, 4), "broken")],
        );
        assert_eq!(problems.to_string(), "gateway.toml:1:3: broken");
    }

    #[test]
    fn problems_come_in_the_order_of_files_and_places_and_once() {
        let files = vec![file("a", "12345"), file("b", "12345")];
        let list = [span(1, 0, 1), span(0, 3, 4), span(0, 1, 2), span(0, 1, 2)];
        let problems = Problems::new(
            files,
            Vec::new(),
            list.map(|at| Problem::at(at, "x")).into(),
        );
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            ["a:1:2: x", "a:1:4: x", "b:1:1: x"]
        );
        assert_eq!(problems.iter().count(), 3);
    }

    #[test]
    fn a_place_in_another_file_gets_a_snippet_of_its_own() {
        let files = vec![file("a", "one"), file("b", "two")];
        let problem =
            Problem::at(span(1, 0, 3), "twice").related(span(0, 0, 3), "first defined here");
        let shown = Problems::new(files, Vec::new(), vec![problem]).render(false);
        assert!(
            shown.contains("b:1:1") && shown.contains("a:1:1"),
            "{shown}"
        );
        assert!(shown.contains("first defined here"), "{shown}");
    }

    #[test]
    fn a_span_beyond_the_text_is_shown_at_its_end() {
        let files = vec![file("a", "é")];
        let list = vec![
            Problem::at(span(0, 1, 9), "x"),
            Problem::at(span(0, 7, 9), "y"),
        ];
        assert!(
            Problems::new(files, Vec::new(), list)
                .render(false)
                .contains("a:1")
        );
    }
}
