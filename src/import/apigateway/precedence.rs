//! Paths at which a greedy path goes before another one in the gateway, and behind it in API
//! Gateway.
//!
//! The gateway compares paths segment by segment, a literal before a parameter: of `/a/{proxy+}` and
//! `/{x}/b` the first one answers `/a/b`. An HTTP API takes a full match before a greedy one, and
//! the order of a REST API is not documented. Where the two ask their callers for different things,
//! the paths that both match are denied.

use std::collections::{HashMap, HashSet};

use super::super::document::Place;
use super::super::finding::{Code, Finding, Untranslated};
use super::super::gather::Planned;
use super::super::openapi::{ApiError, ApiFault};
use super::super::plan::{Access, Asked, Handler, Rule, Settings, Tokens};

/// The most paths that are denied: each greedy path can meet each other path.
const MAX_MEETINGS: usize = 10_000;

/// The method that stands for every one.
const ANY: &str = "ANY";

/// The operations that are denied, with the findings about them.
#[derive(Default)]
pub(super) struct Denials {
    pub(super) operations: Vec<Planned>,
    pub(super) findings: Vec<Finding>,
}

impl Denials {
    /// Finds the paths at which a greedy operation would answer in place of a stricter one. `root` is
    /// the place of what has no other.
    ///
    /// # Errors
    /// Returns an error if there are more than [`MAX_MEETINGS`].
    pub(super) fn of(planned: &[Planned], root: Place) -> Result<Self, ApiError> {
        let mut tree = GreedyTree::default();
        for operation in planned {
            tree.insert(operation);
        }
        let mut known: HashSet<_> = planned
            .iter()
            .map(|one| (shape(&one.path), one.rule.method))
            .collect();
        let mut denials = Self::default();
        for operation in planned {
            let fixed = fixed_segments(&operation.path);
            let mut greedy = Vec::new();
            tree.collect(&fixed, false, &mut greedy);
            for other in greedy {
                let Some(method) = common_method(operation, other) else {
                    continue;
                };
                let path = meeting(operation, other);
                let is_stated = known.contains(&(shape(&path), ANY));
                if !may_differ(operation, other)
                    || is_stated
                    || !known.insert((shape(&path), method))
                {
                    continue;
                }
                if denials.operations.len() == MAX_MEETINGS {
                    let fault = ApiFault::TooMany("paths of two operations", MAX_MEETINGS);
                    return Err(ApiError::at(root, fault));
                }
                denials.deny(operation, other, path, method);
            }
        }
        Ok(denials)
    }

    fn deny(&mut self, operation: &Planned, other: &Planned, path: String, method: &'static str) {
        let rule = &operation.rule;
        let about = format!("{path:?}, by {}", other.rule.operation);
        let reason = Untranslated::new(Code::GreedyPath, operation.place, about);
        self.findings.push(reason.of(&rule.operation));
        let asked = rule.access.takes_tokens().then(|| Asked {
            access: rule.access.clone(),
            tokens: operation.tokens.clone(),
        });
        self.operations.push(Planned {
            place: operation.place,
            path,
            handler: match &operation.handler {
                Handler::Upstream(name) => Handler::Upstream(name.clone()),
                Handler::Respond(_) | Handler::Nobody => Handler::Nobody,
            },
            tokens: Tokens::default(),
            settings: Settings::default(),
            rule: Rule {
                place: operation.place,
                operation: rule.operation.clone(),
                method,
                access: Access::Deny,
                comments: vec![reason.sentence()],
                asked: asked.or_else(|| rule.asked.clone()),
            },
        });
    }
}

/// The greedy operations by the segments before their open ends.
#[derive(Default)]
struct GreedyTree<'p> {
    literals: HashMap<&'p str, GreedyTree<'p>>,
    param: Option<Box<GreedyTree<'p>>>,
    here: Vec<&'p Planned>,
}

impl<'p> GreedyTree<'p> {
    fn insert(&mut self, operation: &'p Planned) {
        if !is_greedy(&operation.path) {
            return;
        }
        let mut node = self;
        for segment in fixed_segments(&operation.path) {
            node = match is_param(segment) {
                true => node.param.get_or_insert_default(),
                false => node.literals.entry(segment).or_default(),
            };
        }
        node.here.push(operation);
    }

    /// Collects the operations that match a path of these segments, and go before its own operation.
    /// `is_before` tells whether a literal has stood in the place of a parameter.
    fn collect(&self, segments: &[&str], is_before: bool, found: &mut Vec<&'p Planned>) {
        let Some((first, below)) = segments.split_first() else {
            return;
        };
        if is_before {
            found.extend(&self.here);
        }
        let is_param = is_param(first);
        if is_param {
            for node in self.literals.values() {
                node.collect(below, true, found);
            }
        } else if let Some(node) = self.literals.get(first) {
            node.collect(below, is_before, found);
        }
        // A literal goes before a parameter, unless the order is decided.
        if let Some(node) = self.param.as_ref().filter(|_| is_param || is_before) {
            node.collect(below, is_before, found);
        }
    }
}

/// Returns whether callers whom an operation refuses may get through by another one.
fn may_differ(operation: &Planned, other: &Planned) -> bool {
    let (own, others) = (&operation.rule.access, &other.rule.access);
    *own != Access::Public
        && *others != Access::Deny
        && (own, &operation.tokens) != (others, &other.tokens)
}

/// Returns the method that both operations have.
fn common_method(operation: &Planned, other: &Planned) -> Option<&'static str> {
    match (operation.rule.method, other.rule.method) {
        (ANY, method) | (method, ANY) => Some(method),
        (own, method) => (own == method).then_some(own),
    }
}

/// Returns the path of an operation with the literals of another one in the place of parameters.
fn meeting(operation: &Planned, other: &Planned) -> String {
    let literals = fixed_segments(&other.path);
    let mut path = String::new();
    for (index, segment) in operation.path.split('/').skip(1).enumerate() {
        let literal = literals.get(index).filter(|_| is_param(segment));
        path.push('/');
        path.push_str(literal.filter(|text| !is_param(text)).unwrap_or(&segment));
    }
    path
}

/// Returns a path without the names of its parameters.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| match is_param(segment) {
        true if segment.ends_with("+}") => "{+}",
        true => "{}",
        false => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Returns the segments before the open end of a path.
fn fixed_segments(path: &str) -> Vec<&str> {
    let mut segments: Vec<_> = path.split('/').skip(1).collect();
    if is_greedy(path) || path.ends_with("/**") {
        segments.pop();
    }
    segments
}

fn is_greedy(path: &str) -> bool {
    path.ends_with("+}")
}

fn is_param(segment: &str) -> bool {
    segment.starts_with('{')
}
