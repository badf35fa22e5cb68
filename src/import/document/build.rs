//! Builds the tree from the events of the parser, without recursion.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Tag};

use super::error::{DocumentError, Fault, shortened};
use super::limits::{MAX_ALIASED, MAX_DEPTH, MAX_NODES};
use super::marks::Marks;
use super::node::{Entry, Kind, Node, Place};
use super::scalar::{self, Merging};
use crate::config::is_printable;

/// The tree so far.
pub(super) struct Builder<'m> {
    marks: &'m Marks,
    /// The lists and maps that are not at their end, from the outermost.
    open: Vec<Open>,
    /// The nodes with an anchor that are at their end, by the number of the anchor.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliased: usize,
    root: Option<Node>,
}

/// A list or map that is not at its end.
struct Open {
    place: Place,
    content: Content,
    anchor: usize,
    tag: Option<Tag>,
}

enum Content {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// The key whose value comes next.
    key: Option<Key>,
    /// The place of its merge key.
    merge: Option<Place>,
    /// The entries of the maps that it merges.
    merged: Vec<Entry>,
}

enum Key {
    Name(Box<str>, Place),
    Merge(Place),
}

type Result<T> = std::result::Result<T, DocumentError>;

impl<'m> Builder<'m> {
    pub(super) fn new(marks: &'m Marks) -> Self {
        Self {
            marks,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            aliased: 0,
            root: None,
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<()> {
        let place = self.marks.place(mark);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(DocumentError::at(place, Fault::SecondDocument))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(place)?;
                if self.awaits_key() {
                    match scalar::merging(&text, style, tag.as_deref()) {
                        Merging::Merges => return self.begin_merge(place),
                        Merging::Doubtful => {
                            return Err(DocumentError::at(place, Fault::DoubtfulMerge));
                        }
                        Merging::Name => {}
                    }
                }
                let kind = scalar::value(&text, style, tag.as_deref());
                // As a key, a number or a flag is its own text.
                if self.awaits_key() && anchor == 0 && tag.is_none() {
                    return self.begin_entry(&text, place);
                }
                let node = tagged((place, kind).into(), tag.as_deref())?;
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                self.begin(place, Content::List(Vec::new()), anchor, tag)
            }
            Event::MappingStart(anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                self.begin(place, Content::Map(OpenMap::default()), anchor, tag)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(place, anchor),
            _ => Ok(()),
        }
    }

    /// Returns the tree; `None` if there was no event with a value.
    pub(super) fn finish(self) -> Option<Node> {
        self.root
    }

    fn count(&mut self, place: Place) -> Result<()> {
        self.nodes += 1;
        match self.nodes > MAX_NODES {
            true => Err(DocumentError::at(place, Fault::TooManyNodes)),
            false => Ok(()),
        }
    }

    fn begin(
        &mut self,
        place: Place,
        content: Content,
        anchor: usize,
        tag: Option<Tag>,
    ) -> Result<()> {
        self.count(place)?;
        if self.awaits_key() {
            return Err(DocumentError::at(place, Fault::KeyOfOtherKind));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(DocumentError::at(place, Fault::TooDeep));
        }
        self.open.push(Open {
            place,
            content,
            anchor,
            tag,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map(map) => Kind::Map(map.finish()?),
        };
        let node = Node::new(open.place, kind);
        self.close(tagged(node, open.tag.as_ref())?, open.anchor)
    }

    /// Adds a node that is at its end to what it stands in.
    fn close(&mut self, node: Node, anchor: usize) -> Result<()> {
        if anchor != 0 {
            self.copy(&node, node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node)
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(DocumentError::at(place, Fault::AliasOfItself));
        };
        self.copy(&node, place)?;
        if self.open.len() + node.height() > MAX_DEPTH {
            return Err(DocumentError::at(place, Fault::TooDeep));
        }
        self.add(node)
    }

    /// Counts a copy.
    fn copy(&mut self, node: &Node, place: Place) -> Result<()> {
        self.aliased += node.size();
        match self.aliased > MAX_ALIASED {
            true => Err(DocumentError::at(place, Fault::TooManyAliases)),
            false => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Result<()> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(map)) => match map.key.take() {
                Some(Key::Name(key, place)) => map.entries.push(Entry {
                    key,
                    place,
                    value: node,
                }),
                Some(Key::Merge(place)) => map.merge(node, place)?,
                None => {
                    let text = node.scalar().map(str::to_owned);
                    let text = text.ok_or(DocumentError::at(node.place, Fault::KeyOfOtherKind))?;
                    return self.begin_entry(&text, node.place);
                }
            },
        }
        Ok(())
    }

    fn map(&mut self) -> Option<&mut OpenMap> {
        match self.open.last_mut().map(|open| &mut open.content) {
            Some(Content::Map(map)) => Some(map),
            _ => None,
        }
    }

    fn awaits_key(&mut self) -> bool {
        self.map().is_some_and(|map| map.key.is_none())
    }

    fn begin_entry(&mut self, key: &str, place: Place) -> Result<()> {
        if !key.chars().all(is_printable) {
            return Err(DocumentError::at(place, Fault::ControlCharacter));
        }
        if let Some(map) = self.map() {
            map.key = Some(Key::Name(key.into(), place));
        }
        Ok(())
    }

    fn begin_merge(&mut self, place: Place) -> Result<()> {
        let Some(map) = self.map() else {
            return Ok(());
        };
        if let Some(first) = map.merge.replace(place) {
            return Err(duplicate("<<", place, first));
        }
        map.key = Some(Key::Merge(place));
        Ok(())
    }
}

impl OpenMap {
    /// Keeps the entries of a map, or of a list of maps, for the end.
    fn merge(&mut self, node: Node, place: Place) -> Result<()> {
        let maps = match node.kind {
            Kind::List(items) => items,
            _ => vec![node],
        };
        for map in maps {
            let Kind::Map(entries) = map.kind else {
                return Err(DocumentError::at(place, Fault::MergeOfOtherKind));
            };
            self.merged.extend(entries);
        }
        Ok(())
    }

    /// Returns the entries: its own, and those of merged maps whose keys it does not have. An
    /// earlier map precedes a later one.
    fn finish(self) -> Result<Vec<Entry>> {
        let mut entries = self.entries;
        refuse_duplicates(&entries)?;
        if self.merged.is_empty() {
            return Ok(entries);
        }
        let mut known: HashSet<Box<str>> = HashSet::with_capacity(entries.len());
        known.extend(entries.iter().map(|entry| entry.key.clone()));
        for entry in self.merged {
            if known.insert(entry.key.clone()) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// Returns a node with its tag.
fn tagged(node: Node, tag: Option<&Tag>) -> Result<Node> {
    match tag {
        Some(tag) if !scalar::has_tag(&node.kind, tag) => {
            let name = shortened(&tag.suffix).into_owned();
            Err(DocumentError::at(node.place, Fault::Tag(name.into())))
        }
        tag => Ok(scalar::tagged(node, tag)),
    }
}

/// Refuses the first key that stands in a map twice: which of the two a reader takes differs.
fn refuse_duplicates(entries: &[Entry]) -> Result<()> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| &entry.key);
    let pairs = sorted.windows(2).filter_map(|pair| match pair {
        [first, second] if first.key == second.key => Some((*second, *first)),
        _ => None,
    });
    match pairs.min_by_key(|(second, _)| second.place) {
        Some((second, first)) => Err(duplicate(&second.key, second.place, first.place)),
        None => Ok(()),
    }
}

fn duplicate(key: &str, place: Place, first: Place) -> DocumentError {
    DocumentError::at(place, Fault::DuplicateKey(key.into(), first))
}
