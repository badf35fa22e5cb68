//! How applications read a path.

use std::collections::BTreeSet;
use std::slice;

use percent_encoding::percent_decode_str;

/// A path of a request or of a route: its segments, decoded once, and its readings, as it is
/// written and with its case folded.
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) ambiguities: Vec<&'static str>,
    readings: [Readings; 2],
}

/// The segments that applications see, each with whether they ended in a slash.
pub(crate) type Readings = BTreeSet<(Vec<String>, bool)>;

impl Path {
    /// Reads the path of a request.
    pub(crate) fn of_request(text: &str) -> Self {
        let segments = || text[1..].split('/');
        let raw: Vec<_> = segments()
            .map(|segment| format!("{RAW}{segment}"))
            .collect();
        Self {
            segments: segments().map(decode).collect(),
            ambiguities: ambiguities(text),
            readings: [false, true].map(|folds| read(&raw, folds, |_| true)),
        }
    }

    /// Reads the path of a route.
    pub(crate) fn of_route(text: &str) -> Self {
        let segment = |text: &str| match text.strip_prefix('{') {
            Some(name) if name.ends_with("+}") => "{+}".to_owned(),
            Some(_) => "{}".to_owned(),
            None => decode(text),
        };
        let segments: Vec<_> = text[1..].split('/').map(segment).collect();
        Self {
            readings: [false, true].map(|folds| read(&segments, folds, |_| true)),
            ambiguities: Vec::new(),
            segments,
        }
    }

    /// Returns all readings, with the case folded or not.
    pub(crate) fn readings(&self, folds: bool) -> &Readings {
        &self.readings[usize::from(folds)]
    }

    /// Returns the readings in which some segments alone are read.
    pub(crate) fn read_where(&self, folds: bool, is_read: impl Fn(usize) -> bool) -> Readings {
        read(&self.segments, folds, is_read)
    }

    /// Returns a key by which more specific paths stand before others: a literal, `{}`, `{+}`,
    /// `**`. The last slash counts last.
    pub(crate) fn rank(&self, slash: bool) -> (Vec<usize>, bool) {
        let kinds = ["{}", "{+}", "**"];
        let rank = |text: &String| {
            kinds
                .iter()
                .position(|kind| kind == text)
                .map_or(0, |at| at + 1)
        };
        let segments = self.segments.iter().filter(|text| !text.is_empty());
        (segments.map(rank).collect(), self.ends_in_slash() != slash)
    }

    pub(crate) fn ends_in_slash(&self) -> bool {
        self.segments.last().is_some_and(String::is_empty)
    }

    /// Returns whether the path has no open end.
    pub(crate) fn is_closed(&self) -> bool {
        self.segments
            .last()
            .is_none_or(|text| !["{+}", "**"].contains(&&**text))
    }
}

pub(crate) fn is_literal(segment: &str) -> bool {
    !["{}", "{+}", "**"].contains(&segment)
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\u{180e}\u{200b}\u{feff}".contains(c)
}

/// Marks of a segment that is not decoded yet, of a part that is left out, and of the path's end.
const RAW: &str = "\u{e000}";
const LEFT_OUT: &str = "\u{e001}";
const END: &str = "\u{e002}";

/// Returns what one step makes of a segment. A line break stands for a slash that was read.
fn steps(text: &str, folds: bool) -> [String; 10] {
    let each = |step: fn(&str) -> &str| text.split('\n').map(step).collect::<Vec<_>>().join("\n");
    let cut = |mark: char| match text.split_once(mark) {
        Some((before, _)) => format!("{before}\n{END}"),
        None => text.to_owned(),
    };
    [
        decode(text.trim_start_matches(RAW)),
        cut('?'),
        cut('#'),
        text.replace('/', "\n"),
        text.replace('\\', "\n"),
        each(|part| part.split(';').next().unwrap_or_default()),
        each(|part| part.trim_end_matches('.')),
        each(|part| part.trim_end_matches(is_blank)),
        each(|part| if part.is_empty() { LEFT_OUT } else { part }),
        if folds {
            text.to_lowercase()
        } else {
            text.to_owned()
        },
    ]
}

/// Returns all forms of a segment: applications take some of the steps, in any order.
fn forms(segment: &str, folds: bool) -> BTreeSet<String> {
    let (mut forms, mut open) = (BTreeSet::new(), vec![segment.to_owned()]);
    while let Some(form) = open.pop() {
        if !forms.contains(&form) {
            open.extend(steps(&form, folds));
            forms.insert(form);
        }
    }
    forms.retain(|form| !form.starts_with(RAW));
    forms
}

/// Returns all readings of the segments of a path: each is read by itself, if it is read at all.
fn read(segments: &[String], folds: bool, is_read: impl Fn(usize) -> bool) -> Readings {
    let mut paths = vec![Vec::new()];
    for (index, segment) in segments.iter().enumerate() {
        let forms = match is_read(index) {
            true => forms(segment, folds),
            false => BTreeSet::from([segment.clone()]),
        };
        let with = |path: &Vec<String>| {
            let longer = |form: &String| [&path[..], slice::from_ref(form)].concat();
            forms.iter().map(longer).collect::<Vec<_>>()
        };
        paths = paths.iter().flat_map(with).collect();
    }
    paths.iter().map(|path| ended(&path.join("\n"))).collect()
}

/// Returns the parts of a reading up to its end, and whether they end in a slash.
fn ended(text: &str) -> (Vec<String>, bool) {
    let parts: Vec<_> = text.split('\n').take_while(|part| *part != END).collect();
    let slash = parts
        .last()
        .is_some_and(|part| part.is_empty() || *part == LEFT_OUT);
    let kept = parts.into_iter().filter(|part| *part != LEFT_OUT);
    (kept.map(str::to_owned).collect(), slash)
}

/// Returns the names of the ambiguities of a path.
fn ambiguities(text: &str) -> Vec<&'static str> {
    let (upper, once) = (text.to_uppercase(), decode(text));
    let (mut whole, mut again) = (once.clone(), decode(&once));
    while whole != again {
        (whole, again) = (again.clone(), decode(&again));
    }
    let parts = whole
        .split(['/', '\\', ';'])
        .map(|part| part.split(['?', '#']).next());
    let mut parts = parts.map(|part| part.unwrap_or_default().trim_matches(is_blank));
    let mut escapes = text.split('%').skip(1);
    let is_hex = |c: char| c.is_ascii_hexdigit();
    let is_broken = |rest: &str| !rest.get(..2).is_some_and(|two| two.chars().all(is_hex));
    let all = [
        ("encoded-slash", upper.contains("%2F")),
        ("encoded-backslash", upper.contains("%5C")),
        ("backslash", text.contains('\\')),
        ("double-encoding", decode(&once) != once),
        ("empty-segment", text.contains("//")),
        ("matrix", once.contains(';')),
        ("dot-segment", parts.any(|part| part == "." || part == "..")),
        ("control-character", once.contains(char::is_control)),
        (
            "invalid-encoding",
            once.contains('\u{fffd}') || escapes.any(is_broken),
        ),
    ];
    all.into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(name, _)| name)
        .collect()
}
