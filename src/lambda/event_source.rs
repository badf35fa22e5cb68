//! The source of an event of either format, and the members that both formats have.

use serde::Serialize;

use super::body::EventBody;
use super::{EventFacts, Function, domain_name, domain_prefix};

/// The source of an event.
pub(super) struct EventSource<'r> {
    pub(super) function: &'r Function,
    pub(super) facts: &'r EventFacts<'r>,
    pub(super) body: Option<EventBody<'r>>,
}

/// The members with which `requestContext` begins. The formats differ in what they tell of the
/// token, and in the members that follow.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiMembers<'e, A> {
    account_id: &'e str,
    api_id: &'e str,
    /// Absent on a public route.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<A>,
    domain_name: &'e str,
    domain_prefix: &'e str,
}

impl EventSource<'_> {
    pub(super) fn api_members<A>(&self, authorizer: Option<A>) -> ApiMembers<'_, A> {
        let host = self.facts.host.unwrap_or_default();
        ApiMembers {
            account_id: &self.function.account_id,
            api_id: &self.function.api_id,
            authorizer,
            domain_name: domain_name(host),
            domain_prefix: domain_prefix(host),
        }
    }

    pub(super) fn is_base64_encoded(&self) -> bool {
        self.body.as_ref().is_some_and(EventBody::is_base64)
    }
}
