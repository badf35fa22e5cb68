//! The operations of a document.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::error::{ApiError, ApiFault};
use super::extension::INTEGRATION;
use super::limits::MAX_PATH;
use super::security::{Inherited, Security};
use super::spelling;
use crate::import::document::{Allowance, Document, Node, Place};

/// The extension for the methods that a path does not name.
const ANY_METHOD: &str = "x-amazon-apigateway-any-method";

/// The path of an HTTP API's default route.
pub(in crate::import) const DEFAULT_ROUTE: &str = "$default";

/// A method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `TRACE`
    Trace,
    /// Every method that the path does not name.
    Any,
}

/// An operation of a document.
#[derive(Debug)]
pub struct Operation<'d> {
    /// The path as the document has it; `$default` is the default route of an HTTP API.
    pub path: &'d str,
    /// The method.
    pub method: Method,
    /// The place of the method's key.
    pub place: Place,
    /// The operation itself.
    pub node: &'d Node,
    /// The path that it stands under.
    pub item: &'d Node,
    /// Who may call it.
    pub security: Security<'d>,
}

impl Method {
    const ALL: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Trace,
        Self::Any,
    ];

    /// Returns the method as the configuration has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Trace => "TRACE",
            Self::Any => "ANY",
        }
    }

    /// Returns whether requests of this method change something.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Post | Self::Put | Self::Patch | Self::Delete | Self::Any
        )
    }

    /// Returns the method of a key, in any case.
    fn of_key(key: &str) -> Option<Self> {
        if key == ANY_METHOD {
            return Some(Self::Any);
        }
        let mut named = Self::ALL.into_iter().filter(|method| *method != Self::Any);
        named.find(|method| key.eq_ignore_ascii_case(method.as_str()))
    }
}

impl Operation<'_> {
    /// Returns whether it is the default route of an HTTP API.
    #[must_use]
    pub fn is_default_route(&self) -> bool {
        self.path == DEFAULT_ROUTE
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)
    }
}

/// Returns the operations of a document.
pub(super) fn operations(document: &Document) -> Result<Vec<Operation<'_>>, ApiError> {
    let root = document.root();
    let paths = root.get("paths").unwrap_or(root);
    if !paths.is_map() {
        return Err(ApiError::at(paths.place, ApiFault::NoMap("paths")));
    }
    if paths.get("$ref").is_some() {
        return Err(ApiError::at(paths.place, ApiFault::ReferenceHere("paths")));
    }
    let mut reading = Reading {
        document,
        inherited: Inherited::of(root),
        allowance: Allowance::default(),
        operations: Vec::new(),
    };
    for entry in root.get("paths").map_or(&[][..], Node::entries) {
        if entry.key.starts_with("x-") {
            continue;
        }
        let path = path(&entry.key);
        let path =
            path.ok_or_else(|| ApiError::at(entry.place, ApiFault::Path(entry.key.clone())))?;
        if path.len() > MAX_PATH {
            let reason = format!("it has more than {MAX_PATH} bytes").into();
            let fault = ApiFault::Pattern(path.into(), reason);
            return Err(ApiError::at(entry.place, fault));
        }
        // Methods may stand beside a `$ref`.
        for (step, item) in document.steps(&entry.value)?.into_iter().enumerate() {
            if step > 0 {
                reading.allowance.take(item)?;
            }
            reading.item(path, item)?;
        }
    }
    let operations = reading.operations;
    refuse_twins(&operations)?;
    match operations.is_empty() {
        true => Err(ApiError::at(paths.place, ApiFault::NoOperations)),
        false => Ok(operations),
    }
}

fn path(key: &str) -> Option<&str> {
    match key {
        "/$default" => Some(DEFAULT_ROUTE),
        _ if key == DEFAULT_ROUTE || key.starts_with('/') => Some(key),
        _ => None,
    }
}

/// The operations so far.
struct Reading<'d> {
    document: &'d Document,
    inherited: Inherited<'d>,
    allowance: Allowance,
    operations: Vec<Operation<'d>>,
}

impl<'d> Reading<'d> {
    fn item(&mut self, path: &'d str, item: &'d Node) -> Result<(), ApiError> {
        spelling::PATH.refuse_other_case(item)?;
        // The methods of a path that only a deployment knows: all of them, and nobody may call them.
        let is_open = item.intrinsic().is_some() || !item.is_map();
        if is_open && item.get(ANY_METHOD).is_none() {
            self.push(path, Method::Any, item.place, [item, item])?;
        }
        for entry in item.entries() {
            if let Some(method) = Method::of_key(&entry.key) {
                // An operation may be a `$ref`.
                let node = self.document.alone(&entry.value)?;
                if !std::ptr::eq(node, &raw const entry.value) {
                    self.allowance.take(node)?;
                }
                spelling::OPERATION.refuse_other_case(node)?;
                if let Some(integration) = node.get(INTEGRATION) {
                    let integration = self.document.alone(integration)?;
                    spelling::INTEGRATION_KEYS.refuse_other_case(integration)?;
                }
                self.push(path, method, entry.place, [item, node])?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        path: &'d str,
        method: Method,
        place: Place,
        [item, node]: [&'d Node; 2],
    ) -> Result<(), ApiError> {
        self.operations.push(Operation {
            path,
            method,
            place,
            node,
            item,
            security: Security::of(&mut self.inherited, item, node)?,
        });
        Ok(())
    }
}

/// Refuses two operations with the same requests: paths that differ in the names of parameters
/// alone, or a method in two spellings.
fn refuse_twins(operations: &[Operation<'_>]) -> Result<(), ApiError> {
    let mut known: HashMap<(Method, String), Place> = HashMap::with_capacity(operations.len());
    for operation in operations {
        let key = (operation.method, shape(operation.path));
        if let Some(first) = known.insert(key, operation.place) {
            let fault = ApiFault::SameOperation(operation.to_string().into(), first);
            return Err(ApiError::at(operation.place, fault));
        }
    }
    Ok(())
}

/// Returns a path as it is compared: decoded, and without the names of its parameters.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    for segment in path.split('/') {
        let is_parameter = segment.starts_with('{') && segment.ends_with('}');
        shape.push('/');
        match (is_parameter, segment.ends_with("+}")) {
            (true, true) => shape.push_str("{+}"),
            (true, false) => shape.push_str("{}"),
            (false, _) => shape.push_str(&percent_decode_str(segment).decode_utf8_lossy()),
        }
    }
    shape
}
