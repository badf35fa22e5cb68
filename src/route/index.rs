//! An index of the patterns of one host by their folded literals.
//!
//! It finds the patterns that may match some tolerant reading of a path without comparing the path
//! with each pattern. A pattern is known by a number that the caller gives it.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::forms::{FoldedName, Form, Piece};
use super::tolerant::Readings;
use super::{Pattern, Segment, Tail};

/// The patterns of one host, by the folded names of their literals.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: Node,
    /// The patterns with an irregular literal, such as `/a%3Fb`: they are candidates for each path.
    irregular: Vec<usize>,
    /// The folded names of the literals of all other patterns.
    names: HashSet<Box<str>, RandomState>,
}

/// The patterns that begin with the same segments, with the numbers of those that end here.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    param: Option<Box<Node>>,
    here: Vec<usize>,
    rest: Vec<usize>,
    subtree: Vec<usize>,
}

impl Index {
    /// Adds a pattern.
    pub(super) fn insert(&mut self, pattern: &Pattern, number: usize) {
        if has_irregular_literal(pattern) {
            self.irregular.push(number);
            return;
        }
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Param(_) => node.param.get_or_insert_default(),
                Segment::Literal(text) => match FoldedName::of(text).text {
                    Some(name) => {
                        let name: Box<str> = name.into();
                        self.names.insert(name.clone());
                        node.literals.entry(name).or_default()
                    }
                    // The last slash has no node of its own.
                    None => node,
                },
            };
        }
        match pattern.tail() {
            None => node.here.push(number),
            Some(Tail::Rest(_)) => node.rest.push(number),
            Some(Tail::Subtree) => node.subtree.push(number),
        }
    }

    /// Returns the patterns that may match some reading; no other pattern matches any.
    pub(super) fn candidates(&self, readings: &Readings) -> Vec<usize> {
        let mut found = self.irregular.clone();
        let mut nodes = vec![&self.root];
        for forms in &readings.segments {
            let mut next = Vec::new();
            for form in forms {
                let reached = nodes_behind(nodes.clone(), form, &mut found);
                if form.is_cut {
                    record_all(&reached, &mut found);
                } else {
                    next.extend(reached);
                }
            }
            let mut known = HashSet::new();
            next.retain(|node| known.insert(std::ptr::from_ref(*node)));
            nodes = next;
        }
        record_all(&nodes, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns the patterns that may match a path that is its own only reading.
    pub(super) fn candidates_for_plain(&self, path: &str) -> Vec<usize> {
        let mut found = self.irregular.clone();
        let segments = path.strip_prefix('/').unwrap_or(path);
        self.root.collect_plain(Some(segments), &mut found);
        found
    }

    /// Returns whether some pattern has a literal with this folded name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns every pattern, for a path whose readings are not complete.
    pub(super) fn all(&self) -> Vec<usize> {
        let mut found = self.irregular.clone();
        self.root.collect_all(&mut found);
        found
    }
}

/// Returns the nodes behind a form of a segment, and records the patterns that end on the way.
fn nodes_behind<'n>(
    mut nodes: Vec<&'n Node>,
    form: &Form,
    found: &mut Vec<usize>,
) -> Vec<&'n Node> {
    for piece in &form.pieces {
        record_all(&nodes, found);
        let mut below = Vec::new();
        for node in nodes {
            node.push_below(piece, &mut below);
        }
        nodes = below;
    }
    nodes
}

fn record_all(nodes: &[&Node], found: &mut Vec<usize>) {
    for node in nodes {
        node.record(found);
    }
}

impl Node {
    /// Appends the patterns that end here, whatever follows in the path.
    fn record(&self, found: &mut Vec<usize>) {
        for numbers in [&self.here, &self.rest, &self.subtree] {
            found.extend(numbers);
        }
    }

    /// Appends the nodes behind a piece. An empty piece may be merged, and then leads to this node;
    /// so does the last slash of a pattern.
    fn push_below<'n>(&'n self, piece: &Piece, below: &mut Vec<&'n Self>) {
        below.extend(self.literals.get(&*piece.name));
        if piece.text.is_empty() {
            below.push(self);
        } else {
            below.extend(self.param.as_deref());
        }
    }

    /// Appends the patterns that may match a path without escapes, capitals and empty segments.
    fn collect_plain(&self, path: Option<&str>, found: &mut Vec<usize>) {
        self.record(found);
        let Some(path) = path else { return };
        let (segment, below) = match path.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path, None),
        };
        if let Some(node) = self.literals.get(segment) {
            node.collect_plain(below, found);
        }
        if let Some(node) = &self.param {
            node.collect_plain(below, found);
        }
    }

    fn collect_all(&self, found: &mut Vec<usize>) {
        self.record(found);
        for node in self.literals.values() {
            node.collect_all(found);
        }
        if let Some(node) = &self.param {
            node.collect_all(found);
        }
    }
}

/// Returns whether a pattern has an irregular literal: one that some reader takes for no segment,
/// though it is not the last slash, or that cuts the path for some reader. A literal that loses
/// only its parameters, or what is trimmed from its end, is still one segment.
pub(super) fn has_irregular_literal(pattern: &Pattern) -> bool {
    let last = pattern.segments().len().saturating_sub(1);
    for (index, segment) in pattern.segments().iter().enumerate() {
        let Segment::Literal(text) = segment else {
            continue;
        };
        if text.is_empty() && index == last {
            continue;
        }
        let name = FoldedName::of(text);
        if name.is_cut || name.text.is_none() {
            return true;
        }
    }
    false
}
