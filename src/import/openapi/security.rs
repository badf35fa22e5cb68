//! Who may call an operation, as the document says it.

use super::error::{ApiError, ApiFault};
use super::limits::MAX_INHERITED;
use crate::import::document::{Node, Place};

/// The requirements of an operation, in the form of the document: a list of alternatives, each with
/// its members. How alternatives and members stand together is for the reader to know: OpenAPI asks
/// for one alternative, and for all members of it; API Gateway asks for all of all.
#[derive(Clone, Debug)]
pub struct Security<'d> {
    /// Where they stand.
    pub origin: Origin,
    /// The alternatives, in the order of the document; or the reason for which they are not known.
    pub alternatives: Result<Vec<Alternative<'d>>, Unreadable>,
}

/// Where the requirements of an operation stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// At the operation.
    Operation,
    /// At the root of the document.
    Root,
    /// Nowhere: the document does not speak about it.
    Nowhere,
}

/// One item of a `security` list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative<'d> {
    /// Its place.
    pub place: Place,
    /// Its schemes; none for the empty requirement `{}`, which everybody meets.
    pub members: Vec<Member<'d>>,
}

/// A scheme that a requirement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'d> {
    /// The name of the scheme.
    pub scheme: &'d str,
    /// The place of the name.
    pub place: Place,
    /// The scopes, or other roles, that stand with it.
    pub scopes: Vec<&'d str>,
}

/// A requirement that has no meaning, or one that only a deployment knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its place.
    pub place: Place,
    /// The CloudFormation function that stands in its place, if there is one.
    pub intrinsic: Option<Box<str>>,
}

/// The requirements at the root, which operations without their own inherit.
pub(super) struct Inherited<'d> {
    /// The root, if a function in it may change who may call any operation.
    function: Option<Unreadable>,
    security: Option<Result<Vec<Alternative<'d>>, Unreadable>>,
    place: Place,
    /// The schemes and scopes of one operation.
    weight: usize,
    left: usize,
}

impl<'d> Inherited<'d> {
    pub(super) fn of(root: &'d Node) -> Self {
        let node = root.get("security");
        let security = node.map(alternatives);
        let known = security
            .as_ref()
            .and_then(|security| security.as_ref().ok());
        let mut weight = 0;
        for alternative in known.into_iter().flatten() {
            let members = alternative.members.iter();
            weight += 1 + members.map(|member| 1 + member.scopes.len()).sum::<usize>();
        }
        Self {
            function: root.intrinsic().map(|_| unreadable(root)),
            security,
            place: node.map_or(root.place, |node| node.place),
            weight,
            left: MAX_INHERITED,
        }
    }

    fn security(&mut self) -> Result<Security<'d>, ApiError> {
        let Some(security) = &self.security else {
            return Ok(Security {
                origin: Origin::Nowhere,
                alternatives: Ok(Vec::new()),
            });
        };
        let left = self.left.checked_sub(self.weight);
        self.left = left.ok_or(ApiError::at(self.place, ApiFault::TooManyInherited))?;
        Ok(Security {
            origin: Origin::Root,
            alternatives: security.clone(),
        })
    }
}

impl<'d> Security<'d> {
    /// Returns the requirements of an operation of a document, which stands in `item`.
    pub(super) fn of(
        inherited: &mut Inherited<'d>,
        item: &'d Node,
        operation: &'d Node,
    ) -> Result<Self, ApiError> {
        let is_readable = operation.is_map() && operation.intrinsic().is_none();
        // A function beside the operation, or at the root, may change who may call it.
        let reason = match (is_readable, item.intrinsic(), &inherited.function) {
            (false, _, _) => Some(unreadable(operation)),
            (true, Some(_), _) => Some(unreadable(item)),
            (true, None, root) => root.clone(),
        };
        match (reason, operation.get("security")) {
            (Some(reason), _) => Ok(Self {
                origin: Origin::Operation,
                alternatives: Err(reason),
            }),
            (None, Some(own)) => Ok(Self {
                origin: Origin::Operation,
                alternatives: alternatives(own),
            }),
            (None, None) => inherited.security(),
        }
    }

    /// Returns every scheme that it names.
    pub fn members(&self) -> impl Iterator<Item = &Member<'d>> {
        let alternatives = self.alternatives.as_deref().unwrap_or_default();
        alternatives.iter().flat_map(|one| &one.members)
    }
}

fn alternatives(node: &Node) -> Result<Vec<Alternative<'_>>, Unreadable> {
    if !node.is_list() {
        return Err(unreadable(node));
    }
    node.items().iter().map(alternative).collect()
}

fn alternative(node: &Node) -> Result<Alternative<'_>, Unreadable> {
    if !node.is_map() || node.elsewhere().is_some() {
        return Err(unreadable(node));
    }
    let mut members = Vec::with_capacity(node.entries().len());
    for entry in node.entries() {
        // A function beside a scheme.
        let is_function = entry.key.starts_with("Fn::") || entry.key.starts_with('!');
        if is_function || !entry.value.is_list() {
            return Err(unreadable(&entry.value));
        }
        let scopes = entry.value.items().iter();
        let scopes = scopes.map(|scope| scope.text().ok_or_else(|| unreadable(scope)));
        members.push(Member {
            scheme: &entry.key,
            place: entry.place,
            scopes: scopes.collect::<Result<_, _>>()?,
        });
    }
    Ok(Alternative {
        place: node.place,
        members,
    })
}

fn unreadable(node: &Node) -> Unreadable {
    Unreadable {
        place: node.place,
        intrinsic: node.elsewhere().map(Into::into),
    }
}
