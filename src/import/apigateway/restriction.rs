//! Restrictions of the whole API that are no part of an operation: the resource policy, and an
//! endpoint that is private or turned off. They are access control.

use super::glob::{UNKNOWN, UNKNOWN_REST, covers, touches};
use crate::import::document::{Node, Place};
use crate::import::finding::{Code, Untranslated};
use crate::import::openapi::{Api, Method, Operation, Server};
use crate::import::path::parameter;

const POLICY: &str = "x-amazon-apigateway-policy";
const ENDPOINT: &str = "x-amazon-apigateway-endpoint-configuration";

/// The hosts of API Gateway itself.
const DEFAULT_HOST: &str = ".execute-api.";

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
}

#[derive(Debug)]
struct Statement {
    is_allow: bool,
    /// Whether it is for every caller, without a condition.
    is_plain: bool,
    resources: Vec<String>,
}

impl Restrictions {
    pub(super) fn of(api: &Api<'_>) -> Self {
        let root = api.root();
        let policy = root.get(POLICY).map(|node| Policy {
            place: node.place,
            statements: statements(node),
        });
        let servers = root.get("servers").map_or(&[][..], Node::items).iter();
        let mut endpoints = servers.chain([root]).filter_map(|node| node.get(ENDPOINT));
        Self {
            whole: endpoints.find_map(|node| endpoint(node, api)),
            policy,
        }
    }

    /// Returns the restriction of an operation, if it has one.
    pub(super) fn of_operation(&self, operation: &Operation<'_>) -> Option<Untranslated> {
        let policy = self.policy.as_ref();
        let by_policy = policy.filter(|policy| policy.restricts(operation));
        self.whole.clone().or_else(|| {
            by_policy.map(|policy| Untranslated::new(Code::ResourcePolicy, policy.place, ""))
        })
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
fn endpoint(node: &Node, api: &Api<'_>) -> Option<Untranslated> {
    let fail = |code| Some(Untranslated::new(code, node.place, ""));
    if node.intrinsic().is_some() {
        return fail(Code::UnresolvedFunction);
    }
    let is_private = |kind: &Node| {
        let text = kind.text().unwrap_or_default();
        text.eq_ignore_ascii_case("private")
    };
    let mut types = node.get("types").map_or(&[][..], Node::items).iter();
    let has_endpoints = node
        .get("vpcEndpointIds")
        .is_some_and(|ids| ids.is_list() && !ids.items().is_empty());
    if types.any(is_private) || has_endpoints || node.get("type").is_some_and(is_private) {
        return fail(Code::PrivateEndpoint);
    }
    let disabled = node.get("disableExecuteApiEndpoint")?;
    let mut hosts = api.servers.iter().map(Server::host);
    let has_own_domain = hosts.any(|host| !host.is_empty() && !host.contains(DEFAULT_HOST));
    match disabled.flag() {
        Some(false) => None,
        _ if has_own_domain => None,
        _ => fail(Code::DisabledEndpoint),
    }
}

impl Policy {
    /// Returns whether the policy allows every request of everybody.
    fn is_plain(&self) -> bool {
        let Some(statements) = &self.statements else {
            return false;
        };
        let mut statements = statements.iter();
        statements
            .all(|one| one.is_allow && one.is_plain && one.resources.iter().any(|r| is_all(r)))
            && self.statements.as_ref().is_some_and(|all| !all.is_empty())
    }

    /// Returns whether some callers may not send some request of an operation: no plain `Allow`
    /// covers it whole, or a `Deny` may be about it.
    fn restricts(&self, operation: &Operation<'_>) -> bool {
        let Some(statements) = &self.statements else {
            return true;
        };
        let resource = resource(operation);
        let mut allows = statements.iter().filter(|one| one.is_allow && one.is_plain);
        let is_allowed = allows.any(|one| one.resources.iter().any(|r| covers(r, &resource)));
        let mut denies = statements.iter().filter(|one| !one.is_allow);
        let is_denied = denies.any(|one| one.resources.iter().any(|r| touches(r, &resource)));
        !is_allowed || is_denied
    }
}

/// Returns whether the pattern of a resource is for every stage, method and path.
fn is_all(resource: &str) -> bool {
    covers(resource, &format!("{UNKNOWN}/{UNKNOWN}/{UNKNOWN_REST}"))
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
    let resources = resources.into_iter().map(within_api);
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

/// Returns the part of a resource's pattern after the name of the API. `*` alone, and patterns
/// whose star begins before it, are for everything.
fn within_api(resource: &str) -> String {
    let short = resource.strip_prefix("execute-api:/");
    let rest = short.or_else(|| {
        let parts: Vec<&str> = resource.splitn(6, ':').collect();
        let [_, _, _, _, _, name] = *parts else {
            return None;
        };
        name.split_once('/').map(|(_, rest)| rest)
    });
    match rest {
        Some(rest) => rest.to_owned(),
        None => "*".to_owned(),
    }
}
