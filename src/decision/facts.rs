//! The facts of a request that a decision depends on.

use http::request::Parts;

use super::Cause;
use crate::config::Group;
use crate::net::Peer;
use crate::route::{Target, TargetError};
use crate::snapshot::Snapshot;

/// The head of a request, and the connection on which it came. Only [`super::admit`] makes it, so
/// that no decision is made about a head that was not checked.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'r> {
    pub(super) head: &'r Parts,
    /// The other end of the connection; `None` if there is no connection.
    pub(super) peer: Option<&'r Peer>,
}

impl<'r> RequestFacts<'r> {
    /// Returns the target of the request.
    ///
    /// # Errors
    /// The cause of a refusal: 400, 414 or 421. A host that the connection is not for goes before
    /// the other errors, since another connection may lead to another gateway.
    pub(super) fn target(&self, max_bytes: usize) -> Result<Target<'r>, Cause> {
        let head = self.head;
        let parsed = self.parsed();
        if let Ok(target) = &parsed
            && self.is_misdirected(target)
        {
            return Err(Cause::Misdirected);
        }
        if target_bytes(head) > max_bytes {
            return Err(Cause::TargetTooLong);
        }
        parsed.map_err(Cause::Target)
    }

    fn parsed(&self) -> Result<Target<'r>, TargetError> {
        let head = self.head;
        Target::parse(&head.method, &head.uri, head.version, &head.headers)
    }

    /// Returns the group that the request belongs to before a route is chosen for it; `None` if the
    /// connection is not for its host.
    pub(super) fn group<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Group> {
        if !snapshot.groups.are_any() {
            return None;
        }
        let target = self.parsed().ok()?;
        if self.is_misdirected(&target) {
            return None;
        }
        snapshot.groups.find(&target)
    }

    /// Returns whether the target names a host that the TLS connection was not opened for
    /// (attacks.md#row-6).
    fn is_misdirected(&self, target: &Target<'_>) -> bool {
        let Some(session) = self.peer.and_then(|peer| peer.tls.as_ref()) else {
            return false;
        };
        target.host().is_some_and(|host| !session.may_ask(host))
    }
}

/// Returns the length of the path and query.
fn target_bytes(head: &Parts) -> usize {
    match head.uri.path_and_query() {
        Some(text) => text.as_str().len(),
        None => 0,
    }
}
