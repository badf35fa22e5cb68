//! Readers of a path, as applications may be: each decodes at some moment, and folds by a set of
//! steps.

use std::collections::BTreeSet;

use super::Pattern;

/// The steps by which readers fold a path. Each reader takes a set of them. Each of the first five
/// depends on one character, which [`sets_of_folds`] relies on.
pub(super) const FOLDS: [fn(&str) -> String; 9] = [
    cut_query,
    cut_fragment,
    turn_backslashes,
    cut_parameters,
    trim_blanks,
    merge_slashes,
    trim_dots,
    cut_last_slash,
    lower,
];
pub(super) const TRIMS_DOTS: u32 = 1 << 6;
pub(super) const CUTS_LAST_SLASH: u32 = 1 << 7;
pub(super) const FOLDS_CASE: u32 = 1 << 8;
/// The folds that apply to patterns, too.
pub(super) const OF_PATTERNS: u32 = TRIMS_DOTS | CUTS_LAST_SLASH | FOLDS_CASE;

/// The moment at which a reader decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoding {
    /// Once, before anything else.
    First,
    /// Until decoding changes nothing, before anything else.
    ToTheEnd,
    /// Once in each round of folding.
    Always,
    /// Once, in segments that have been split and are not split again.
    Within,
    /// Once, in segments whose parameters have been cut.
    AfterCutting,
    /// Once, after all folds.
    Last,
}

pub(super) const DECODINGS: [Decoding; 6] = [
    Decoding::First,
    Decoding::ToTheEnd,
    Decoding::Always,
    Decoding::Within,
    Decoding::AfterCutting,
    Decoding::Last,
];

/// A character that stands for a slash that does not split.
const KEPT_SLASH: &str = "\u{1}";

pub(super) fn decode(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned()
}

pub(super) fn decode_to_the_end(path: &str) -> String {
    let next = decode(path);
    if next == path {
        next
    } else {
        decode_to_the_end(&next)
    }
}

fn cut_query(path: &str) -> String {
    path.split('?').next().unwrap().to_owned()
}

fn cut_fragment(path: &str) -> String {
    path.split('#').next().unwrap().to_owned()
}

fn turn_backslashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn cut_parameters(path: &str) -> String {
    by_segment(path, |segment| segment.split(';').next().unwrap())
}

fn trim_dots(path: &str) -> String {
    by_segment(path, |segment| segment.trim_end_matches('.'))
}

fn trim_blanks(path: &str) -> String {
    by_segment(path, |segment| segment.trim_end_matches(' '))
}

fn merge_slashes(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn cut_last_slash(path: &str) -> String {
    if path.len() > 1 {
        path.strip_suffix('/').unwrap_or(path).to_owned()
    } else {
        path.to_owned()
    }
}

fn lower(path: &str) -> String {
    path.to_lowercase()
}

fn by_segment(path: &str, change: impl Fn(&str) -> &str) -> String {
    path.split('/').map(change).collect::<Vec<_>>().join("/")
}

/// Returns the segments of a path after all steps of a reader.
pub(super) fn read(decoding: Decoding, folds: u32, path: &str) -> Vec<String> {
    let mut path = match decoding {
        Decoding::First => decode(path),
        Decoding::ToTheEnd => decode_to_the_end(path),
        Decoding::Within => {
            let within = |segment| decode(segment).replace('/', KEPT_SLASH);
            path.split('/').map(within).collect::<Vec<_>>().join("/")
        }
        Decoding::AfterCutting => {
            let cut = |segment| decode(segment).split(';').next().unwrap().to_owned();
            path.split('/').map(cut).collect::<Vec<_>>().join("/")
        }
        Decoding::Always | Decoding::Last => path.to_owned(),
    };
    loop {
        let start = if decoding == Decoding::Always {
            decode(&path)
        } else {
            path.clone()
        };
        let folded = FOLDS
            .iter()
            .enumerate()
            .filter(|(bit, _)| folds & 1 << bit != 0);
        let next = folded.fold(start, |path, (_, fold)| fold(&path));
        // A cut may leave nothing of a path, not even its first slash.
        let next = if next.starts_with('/') {
            next
        } else {
            format!("/{next}")
        };
        if next == path {
            break;
        }
        path = next;
    }
    let last = |segment: &str| match (decoding, folds & FOLDS_CASE) {
        (Decoding::Last, 0) => decode(segment),
        (Decoding::Last, _) => lower(&decode(segment)),
        _ => segment.to_owned(),
    };
    path[1..].split('/').map(last).collect()
}

/// A reading of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading {
    pub(super) segments: Vec<String>,
    /// The segments of the path that the reader changed, a bit for each.
    pub(super) changed: u32,
    /// The folds of the reader that apply to patterns, too.
    pub(super) folds: u32,
}

/// Returns the sets of folds that may give different readings of a path: without the folds that
/// depend on a character that the path lacks.
pub(super) fn sets_of_folds(path: &str) -> impl Iterator<Item = u32> {
    let text = decode_to_the_end(path);
    let of_one_character = ['?', '#', '\\', ';', ' '];
    let mut left_out = 0;
    for (bit, character) in of_one_character.into_iter().enumerate() {
        left_out |= u32::from(!text.contains(character)) << bit;
    }
    (0..1_u32 << FOLDS.len()).filter(move |folds| folds & left_out == 0)
}

pub(super) fn readings(path: &str) -> BTreeSet<Reading> {
    let last = path[1..].split('/').count() - 1;
    let mut readings = BTreeSet::new();
    for decoding in DECODINGS {
        for folds in sets_of_folds(path) {
            let is_changed =
                |(index, segment): (usize, &str)| match segment.is_empty() && index == last {
                    true => folds & CUTS_LAST_SLASH != 0,
                    false => read(decoding, folds, &format!("/{segment}")) != [decode(segment)],
                };
            let bits = path[1..]
                .split('/')
                .enumerate()
                .map(|part| u32::from(is_changed(part)) << part.0);
            readings.insert(Reading {
                segments: read(decoding, folds, path),
                changed: bits.sum(),
                folds: folds & OF_PATTERNS,
            });
        }
    }
    readings
}

/// Returns a pattern after the steps of a reader.
pub(super) fn folded(pattern: &str, folds: u32) -> Pattern {
    let folding = (0..FOLDS.len()).filter(|bit| folds & OF_PATTERNS & 1 << bit != 0);
    let text = folding.fold(pattern.to_owned(), |text, bit| FOLDS[bit](&text));
    Pattern::parse(&text).unwrap()
}
