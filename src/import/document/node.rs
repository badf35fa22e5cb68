//! A node of a document.

use std::fmt;

/// A place in a file: a line and a column in characters, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    line: u32,
    column: u32,
}

/// A value of a document, with the place at which it begins. A value that an alias brought has the
/// place of its anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The place at which it begins.
    pub place: Place,
    /// The value.
    pub kind: Kind,
    /// The entries of a large map in the order of their keys; empty for another value.
    order: Box<[u32]>,
}

/// The number of entries from which on a map is looked up by its order.
const MANY_ENTRIES: usize = 16;

/// The value of a [`Node`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number, as the file has it.
    Number(Box<str>),
    /// A string.
    Text(Box<str>),
    /// A list.
    List(Vec<Node>),
    /// The entries of a map in the order of the file. Keys are unique, and hold no control
    /// character.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Box<str>,
    /// The place of the key.
    pub place: Place,
    /// The value.
    pub value: Node,
}

impl Place {
    pub(super) fn new(line: usize, column: usize) -> Self {
        // A document of six million bytes has fewer lines and columns.
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            line: number(line),
            column: number(column),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Node {
    pub(super) fn new(place: Place, kind: Kind) -> Self {
        let order = match &kind {
            Kind::Map(entries) if entries.len() >= MANY_ENTRIES => order(entries),
            _ => Box::default(),
        };
        Self { place, kind, order }
    }

    /// Returns the value of a key, if the node is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns the entry of a key, if the node is a map that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let entries = self.entries();
        if self.order.is_empty() {
            return entries.iter().find(|entry| &*entry.key == key);
        }
        let entry = |number: &u32| usize::try_from(*number).ok().and_then(|at| entries.get(at));
        let own = |number: &u32| entry(number).map_or("", |entry| &entry.key);
        let found = self.order.binary_search_by(|number| own(number).cmp(key));
        entry(self.order.get(found.ok()?)?)
    }

    /// Returns the value at the end of a chain of keys.
    #[must_use]
    pub fn find(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the entries of a map; none for another value.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the items of a list; none for another value.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the text of a string; `None` for a number or a flag as well.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a string, a number or a flag.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::Number(text) => Some(text),
            Kind::Flag(true) => Some("true"),
            Kind::Flag(false) => Some("false"),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Returns the value of a flag, or of a string that spells one.
    #[must_use]
    pub fn flag(&self) -> Option<bool> {
        match self.scalar()? {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Returns whether the node is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    /// Returns whether the node is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    /// Returns the name of the function, if the node is a call of CloudFormation, such as
    /// `Fn::Sub` or `Ref`, whose value the file does not have; or if a call stands beside its
    /// other keys, as `Fn::Transform` does, which may change each of them.
    #[must_use]
    pub fn intrinsic(&self) -> Option<&str> {
        match self.entries() {
            [only] if is_intrinsic(&only.key) => Some(&only.key),
            entries => {
                let mut keys = entries.iter().map(|entry| &*entry.key);
                // A condition is called alone: beside others it is a name like them.
                keys.find(|key| is_intrinsic(key) && *key != "Condition")
            }
        }
    }

    /// Returns the function that the node is, or whose name stands among its keys, or else `$ref` if
    /// that does: the value is not the one that is written here.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&str> {
        let reference = || self.entry("$ref").map(|entry| &*entry.key);
        self.intrinsic().or_else(reference)
    }

    /// Returns the first function or `$ref` in the node, at any depth.
    #[must_use]
    pub fn unresolved(&self) -> Option<&str> {
        let below = || match &self.kind {
            Kind::List(items) => items.iter().find_map(Self::unresolved),
            Kind::Map(entries) => entries.iter().find_map(|entry| entry.value.unresolved()),
            _ => None,
        };
        self.elsewhere().or_else(below)
    }

    /// Returns the number of nodes, itself included.
    pub(super) fn size(&self) -> usize {
        let inner: usize = match &self.kind {
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
            _ => 0,
        };
        inner + 1
    }

    /// Returns the levels of lists and maps: 0 for another value.
    pub(super) fn height(&self) -> usize {
        match &self.kind {
            Kind::List(items) => 1 + items.iter().map(Self::height).max().unwrap_or(0),
            Kind::Map(entries) => {
                let heights = entries.iter().map(|entry| entry.value.height());
                1 + heights.max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// Returns the numbers of entries in the order of their keys.
fn order(entries: &[Entry]) -> Box<[u32]> {
    let mut order: Vec<(&str, u32)> = Vec::with_capacity(entries.len());
    for (entry, number) in entries.iter().zip(0..) {
        order.push((&entry.key, number));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

/// Returns whether a key names a function of CloudFormation. The short form of YAML, `!Sub`, is
/// read as the long one; another tag keeps its `!`.
fn is_intrinsic(key: &str) -> bool {
    key == "Ref" || key == "Condition" || key.starts_with("Fn::") || key.starts_with('!')
}
