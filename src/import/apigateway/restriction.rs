//! Restrictions of the whole API that are no part of an operation: the resource policy, and an
//! endpoint that is private or turned off. They are access control.

use std::cell::Cell;
use std::net::Ipv4Addr;

use super::arn::Resource;
use super::glob::{UNKNOWN, UNKNOWN_REST, covers, touches};
use crate::import::document::{Entry, Kind, Node, Place};
use crate::import::finding::{Code, Untranslated};
use crate::import::openapi::{Api, ENDPOINT, Method, Operation, Server};
use crate::import::path::parameter;

const POLICY: &str = "x-amazon-apigateway-policy";

/// The hosts of API Gateway itself.
const DEFAULT_HOST: &str = ".execute-api.";

/// About the length of what stands before the stage in the name of a request, in bytes.
const LONGEST_OWNER: usize = 80;

/// The restrictions of an API.
#[derive(Debug, Default)]
pub(super) struct Restrictions {
    /// Those of every operation.
    whole: Option<Untranslated>,
    policy: Option<Policy>,
}

#[derive(Debug)]
struct Policy {
    place: Place,
    /// The statements; `None` if one of them cannot be read.
    statements: Option<Vec<Statement>>,
    address: Address,
    /// The characters of all patterns.
    length: usize,
    /// The comparisons of characters that may still be made.
    left: Cell<usize>,
}

/// The limit on the comparisons of characters of patterns with those of operations. The policies that
/// API Gateway takes, which have 8 KiB, need less for the operations that an API can have.
const MAX_COMPARISONS: usize = 300_000_000;

/// The parts of the API's name in policies that the document states.
#[derive(Debug, Default)]
struct Address {
    region: Option<String>,
    api: Option<String>,
}

#[derive(Debug)]
struct Statement {
    is_allow: bool,
    /// Whether it is for every caller, without a condition.
    is_plain: bool,
    resources: Vec<Resource>,
}

impl Restrictions {
    pub(super) fn of(api: &Api<'_>) -> Self {
        let root = api.root();
        let policy = root.get(POLICY).map(|node| Policy::of(node, api));
        let servers = root.get("servers").map_or(&[][..], Node::items).iter();
        let mut endpoints = servers.chain([root]).filter_map(|node| node.get(ENDPOINT));
        let mut hosts = api.servers.iter().map(Server::host);
        let has_own_domain = hosts.any(is_own_domain);
        Self {
            whole: endpoints.find_map(|node| endpoint(node, has_own_domain)),
            policy,
        }
    }

    /// Returns the restriction of an operation, if it has one.
    pub(super) fn of_operation(&self, operation: &Operation<'_>) -> Option<Untranslated> {
        if let Some(whole) = &self.whole {
            return Some(whole.clone());
        }
        let policy = self.policy.as_ref()?;
        let about = match policy.restricts(operation) {
            Restricts::No => return None,
            Restricts::Yes => "",
            Restricts::Unread => "it is too long for so many operations",
        };
        Some(Untranslated::new(Code::ResourcePolicy, policy.place, about))
    }

    /// Returns the places of all restrictions, with their names.
    pub(super) fn all(&self) -> Vec<Untranslated> {
        let whole = self.whole.iter().map(|one| (one.place, one.code.name()));
        let policy = self.policy.iter();
        let policy = policy.filter(|policy| !policy.is_plain());
        let policy = policy.map(|policy| (policy.place, Code::ResourcePolicy.name()));
        let all = whole.chain(policy);
        all.map(|(place, name)| Untranslated::new(Code::PolicyAccepted, place, name))
            .collect()
    }
}

/// Returns the restriction of an endpoint.
fn endpoint(node: &Node, has_own_domain: bool) -> Option<Untranslated> {
    let fail = |code| Some(Untranslated::new(code, node.place, ""));
    if node.elsewhere().is_some() {
        return fail(Code::UnresolvedFunction);
    }
    match node.kind {
        Kind::Map(_) => {}
        Kind::Null => return None,
        _ => return fail(Code::PrivateEndpoint),
    }
    if let Some(code) = node.entries().iter().find_map(seclusion) {
        return fail(code);
    }
    let disabled = node.get("disableExecuteApiEndpoint")?;
    match disabled.flag() {
        Some(false) => None,
        _ if has_own_domain => None,
        _ => fail(Code::DisabledEndpoint),
    }
}

/// Returns the reason for which an entry of an endpoint's configuration makes the API private, or
/// may make it private.
fn seclusion(entry: &Entry) -> Option<Code> {
    let value = &entry.value;
    let items = match &value.kind {
        Kind::Null => return None,
        Kind::List(items) => &**items,
        _ => std::slice::from_ref(value),
    };
    let is_public = |item: &Node| match entry.key.to_ascii_lowercase().as_str() {
        "types" | "type" => item.text().is_some_and(|kind| {
            kind.eq_ignore_ascii_case("edge") || kind.eq_ignore_ascii_case("regional")
        }),
        "vpcendpointids" => false,
        _ => true,
    };
    let item = items.iter().find(|item| !is_public(item))?;
    Some(match item.elsewhere() {
        Some(_) => Code::UnresolvedFunction,
        None => Code::PrivateEndpoint,
    })
}

/// Returns whether a host is a name of its own for the API in the network.
fn is_own_domain(host: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let is_local = host.ends_with(".localhost") || host.parse::<Ipv4Addr>().is_ok();
    let is_name = host.contains('.') && host.bytes().all(is_part) && !is_local;
    is_name && !host.to_ascii_lowercase().contains(DEFAULT_HOST)
}

/// Whether a policy restricts an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restricts {
    No,
    Yes,
    /// More patterns would have to be compared than the limit allows.
    Unread,
}

impl Policy {
    fn of(node: &Node, api: &Api<'_>) -> Self {
        let statements = statements(node);
        let all = statements.iter().flatten();
        let resources = all.flat_map(|statement| &statement.resources);
        Self {
            place: node.place,
            length: resources.map(Resource::length).sum(),
            statements,
            address: Address::of(api),
            left: Cell::new(MAX_COMPARISONS),
        }
    }

    /// Returns whether the policy allows every request of everybody.
    fn is_plain(&self) -> bool {
        let Some(statements) = &self.statements else {
            return false;
        };
        let mut statements = statements.iter();
        statements
            .all(|one| one.is_allow && one.is_plain && self.address.allows(one, &every_request()))
            && self.statements.as_ref().is_some_and(|all| !all.is_empty())
    }

    /// Returns whether some callers may not send some request of an operation: no plain `Allow`
    /// covers it whole, or a `Deny` may be about it.
    fn restricts(&self, operation: &Operation<'_>) -> Restricts {
        let Some(statements) = &self.statements else {
            return Restricts::Yes;
        };
        let resource = resource(operation);
        let work = self.length * (resource.len() + LONGEST_OWNER);
        let Some(left) = self.left.get().checked_sub(work) else {
            return Restricts::Unread;
        };
        self.left.set(left);
        let mut allows = statements.iter().filter(|one| one.is_allow && one.is_plain);
        let is_allowed = allows.any(|one| self.address.allows(one, &resource));
        let mut denies = statements.iter().filter(|one| !one.is_allow);
        let is_denied = denies.any(|one| denies_some(one, &resource));
        match !is_allowed || is_denied {
            true => Restricts::Yes,
            false => Restricts::No,
        }
    }
}

impl Address {
    fn of(api: &Api<'_>) -> Self {
        let host = api.servers.first().map_or("", Server::host);
        let Some((id, rest)) = host.split_once(DEFAULT_HOST) else {
            return Self::default();
        };
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let region = rest.split_once('.').map(|(region, _)| region.to_owned());
        // A character of control would stand for a value that is not known.
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let region = region.filter(|region| region.bytes().all(is_part));
        Self {
            region,
            api: is_id.then(|| id.to_owned()),
        }
    }

    /// Returns whether a statement is for every request of `within`, which is what follows the API
    /// in their names. What the document does not state about the owner of the API is what the
    /// policy spells; an API that it does not state is met by a star alone.
    fn allows(&self, statement: &Statement, within: &str) -> bool {
        let unknown = UNKNOWN.to_string();
        statement.resources.iter().any(|resource| match resource {
            Resource::Name(pattern) => {
                let [partition, region, account] = resource.owner();
                let partition = partition.filter(|name| *name == "aws" || name.starts_with("aws-"));
                let account = account.filter(|id| id.bytes().all(|b| b.is_ascii_digit()));
                let region = self.region.as_deref().or(region);
                let api = self.api.as_deref();
                let [partition, region, account, api] =
                    [partition, region, account, api].map(|part| part.unwrap_or(&unknown));
                let name = format!("arn:{partition}:execute-api:{region}:{account}:{api}/{within}");
                covers(pattern, &name)
            }
            Resource::WithinApi(pattern) => covers(pattern, within),
            Resource::Unreadable => false,
        })
    }
}

/// Returns whether a statement may be for some request of `within`: what is not known may be
/// anything.
fn denies_some(statement: &Statement, within: &str) -> bool {
    statement.resources.iter().any(|resource| match resource {
        Resource::Name(pattern) => {
            let name = format!("arn:{UNKNOWN}:execute-api:{UNKNOWN}:{UNKNOWN}:{UNKNOWN}/{within}");
            touches(pattern, &name)
        }
        Resource::WithinApi(pattern) => touches(pattern, within),
        Resource::Unreadable => true,
    })
}

/// Returns every stage, method and path.
fn every_request() -> String {
    format!("{UNKNOWN}/{UNKNOWN}/{UNKNOWN_REST}")
}

/// Returns an operation as policies name it: `stage/METHOD/path`.
fn resource(operation: &Operation<'_>) -> String {
    let mut out = format!("{UNKNOWN}/");
    match operation.method {
        Method::Any => out.push(UNKNOWN),
        method => out.push_str(method.as_str()),
    }
    if operation.is_default_route() {
        out.extend(['/', UNKNOWN_REST]);
        return out;
    }
    for segment in operation.path.trim_start_matches('/').split('/') {
        out.push('/');
        match parameter(segment) {
            Some((_, true)) => out.push(UNKNOWN_REST),
            Some((_, false)) => out.push(UNKNOWN),
            None => out.push_str(segment),
        }
    }
    out
}

fn statements(policy: &Node) -> Option<Vec<Statement>> {
    if policy.elsewhere().is_some() {
        return None;
    }
    let node = policy.get("Statement")?;
    let nodes = match node.is_list() {
        true => node.items(),
        false => std::slice::from_ref(node),
    };
    nodes.iter().map(statement).collect()
}

/// Reads a statement; `None` if it has a part that is not known.
fn statement(node: &Node) -> Option<Statement> {
    let known = [
        "Sid",
        "Effect",
        "Principal",
        "Action",
        "Resource",
        "Condition",
    ];
    let mut keys = node.entries().iter().map(|entry| &*entry.key);
    if !node.is_map() || !keys.all(|key| known.contains(&key)) {
        return None;
    }
    let is_allow = match node.get("Effect")?.text()? {
        "Allow" => true,
        "Deny" => false,
        _ => return None,
    };
    let is_for_all = match node.get("Principal") {
        Some(principal) => is_everybody(principal),
        None => false,
    };
    let actions = texts(node.get("Action")?)?;
    let is_invoke = actions
        .iter()
        .any(|action| matches!(*action, "execute-api:Invoke" | "execute-api:*" | "*"));
    let resources = texts(node.get("Resource")?)?;
    let resources = resources.into_iter().map(Resource::parse);
    Some(Statement {
        is_allow,
        is_plain: is_for_all && is_invoke && node.get("Condition").is_none(),
        resources: resources.collect(),
    })
}

fn is_everybody(principal: &Node) -> bool {
    let of_aws = principal
        .get("AWS")
        .filter(|_| principal.entries().len() == 1);
    let principals = texts(of_aws.unwrap_or(principal));
    principals.is_some_and(|all| all.contains(&"*"))
}

/// Returns the texts of a string, or of a list of strings.
fn texts(node: &Node) -> Option<Vec<&str>> {
    match node.is_list() {
        true => node.items().iter().map(Node::text).collect(),
        false => Some(vec![node.text()?]),
    }
}
