//! The reasons for which a file cannot be read.

use std::borrow::Cow;
use std::fmt;

use super::limits::{MAX_ALIASED, MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_REFERENCED};
use super::node::Place;

/// A fault of a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The place; `None` for a fault of the file as a whole.
    pub place: Option<Place>,
    /// The fault.
    pub fault: Fault,
}

/// A fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file has more than [`MAX_BYTES`].
    TooLong,
    /// The file holds nothing.
    Empty,
    /// The file is not UTF-8.
    NotText,
    /// The file is neither JSON nor YAML.
    Syntax(Box<str>),
    /// The file holds a second document.
    SecondDocument,
    /// Lists and maps are nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The document has more than [`MAX_NODES`].
    TooManyNodes,
    /// Aliases stand for more than [`MAX_ALIASED`] nodes.
    TooManyAliases,
    /// An alias stands inside of its own anchor.
    AliasOfItself,
    /// A key is a list or a map.
    KeyOfOtherKind,
    /// A key holds a control character, or one that changes how others are shown.
    ControlCharacter,
    /// A map has a key twice; the place is that of the first.
    DuplicateKey(Box<str>, Place),
    /// A merge key stands for something else than maps.
    MergeOfOtherKind,
    /// A key is `<<` between quotation marks, or with a tag: some readers merge there.
    DoubtfulMerge,
    /// A character outside of quotation marks that ends a line for some readers alone.
    DoubtfulBreak,
    /// A tag of YAML that the value does not have, or whose values the document cannot hold.
    Tag(Box<str>),
    /// A `$ref` leads to another document.
    RemoteReference(Box<str>),
    /// A `$ref` leads to nothing.
    BrokenReference(Box<str>),
    /// A `$ref` leads to itself.
    ReferenceLoop(Box<str>),
    /// A `$ref` has other keys beside it.
    BesideReference,
    /// The `$ref`s lead to more than [`MAX_REFERENCED`] nodes.
    TooManyReferenced,
}

impl DocumentError {
    pub(super) fn at(place: Place, fault: Fault) -> Self {
        Self {
            place: Some(place),
            fault,
        }
    }

    pub(super) fn whole(fault: Fault) -> Self {
        Self { place: None, fault }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the file has more than {} MiB", MAX_BYTES >> 20),
            Self::Empty => write!(f, "the file is empty"),
            Self::NotText => write!(f, "the file is not UTF-8"),
            Self::Syntax(reason) => write!(f, "neither JSON nor YAML: {reason}"),
            Self::SecondDocument => write!(f, "a second document begins: the file may hold one"),
            Self::TooDeep => write!(f, "more than {MAX_DEPTH} levels of lists and maps"),
            Self::TooManyNodes => write!(f, "more than {MAX_NODES} values"),
            Self::TooManyAliases => write!(f, "aliases stand for more than {MAX_ALIASED} values"),
            Self::AliasOfItself => write!(f, "an alias stands inside of its own anchor"),
            Self::KeyOfOtherKind => write!(f, "a key is a list or a map"),
            Self::ControlCharacter => write!(f, "a name holds a control character"),
            Self::DuplicateKey(key, first) => {
                write!(f, "the key {:?} stands here and at {first}", shortened(key))
            }
            Self::MergeOfOtherKind => write!(f, "\"<<\" merges maps alone"),
            Self::DoubtfulMerge => write!(
                f,
                "readers differ about whether this \"<<\" merges: write it without quotation marks and \
                 tag, or another name"
            ),
            Self::DoubtfulBreak => write!(
                f,
                "a line break that readers of YAML treat differently: write an ordinary one, or \
                 quotation marks around the text"
            ),
            Self::Tag(name) => write!(f, "the value cannot have the tag \"!!{name}\""),
            Self::RemoteReference(target) => write!(
                f,
                "$ref {:?} leads to another document, which is not fetched",
                shortened(target)
            ),
            Self::BrokenReference(target) => {
                write!(f, "$ref {:?} leads to nothing", shortened(target))
            }
            Self::ReferenceLoop(target) => {
                write!(f, "$ref {:?} leads back to itself", shortened(target))
            }
            Self::BesideReference => write!(
                f,
                "a \"$ref\" stands beside other keys, of which one alone can count"
            ),
            Self::TooManyReferenced => {
                write!(f, "\"$ref\"s stand for more than {MAX_REFERENCED} values")
            }
        }
    }
}

/// The longest text of a document in a message, in bytes.
const MAX_SHOWN: usize = 200;

/// Returns the beginning of a text of a document, as far as a message shows it.
pub(in crate::import) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_SHOWN {
        return text.into();
    }
    let mut ends = (0..=MAX_SHOWN).rev();
    let beginning = ends.find_map(|end| text.get(..end));
    format!("{}…", beginning.unwrap_or_default()).into()
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl std::error::Error for DocumentError {}
