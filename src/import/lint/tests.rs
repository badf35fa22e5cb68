use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::*;
use crate::policy::{Requirement, Rule as ScopeRule, Scope, Term};
use crate::route::{MethodPattern, Pattern};

const HEAD: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                    [upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\n";

fn any(scopes: &[&str]) -> Requirement {
    let terms = scopes
        .iter()
        .map(|scope| Term::Scope(Scope::parse(scope).unwrap()));
    Requirement::Scopes(ScopeRule::Any(terms.collect()))
}

/// A contract of operations: a method and a path, and the scopes of which one is asked; `public`,
/// `token`, or `?` for what cannot be translated. The place is the number of the line.
fn contract(lines: &[&str]) -> Contract<usize> {
    let mut contract = Contract::default();
    for (place, line) in lines.iter().enumerate() {
        let words: Vec<_> = line.split(' ').collect();
        let requirement = match words[2..] {
            ["public"] => Some(Requirement::Public),
            ["token"] => Some(Requirement::Authenticated),
            ["?"] => None,
            ref scopes => Some(any(scopes)),
        };
        contract.operations.push(Operation {
            method: MethodPattern::parse(words[0]).unwrap(),
            pattern: Pattern::parse(words[1]).unwrap(),
            callers: Callers {
                requirement,
                ..Callers::default()
            },
            place,
        });
    }
    contract
}

/// Returns the differences as lines.
fn differences(routes: &str, contract: &Contract<usize>) -> Vec<String> {
    let config = Config::parse(&format!("{HEAD}{routes}"), "gateway.toml");
    let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let found = compare(&config, contract).unwrap().differences;
    found.iter().map(line).collect()
}

fn line(difference: &Difference<usize>) -> String {
    let methods: Vec<_> = difference.methods.iter().map(Method::as_str).collect();
    let mut text = format!(
        "{:?} {} {}",
        difference.kind,
        methods.join(","),
        difference.subject
    );
    if let Some(path) = &difference.example {
        text.push_str(&format!(" such as {path}"));
    }
    let is_subject = difference.kind == Kind::RouteWithoutOperation;
    if let Some(route) = difference.route.as_ref().filter(|_| !is_subject) {
        text.push_str(&format!(" by {}", route.path));
    }
    if let Some([document, route]) = &difference.asked {
        text.push_str(&format!(": {document} > {route}"));
    }
    if let Some(place) = &difference.place {
        text.push_str(&format!(" at {place}"));
    }
    text
}

fn route(path: &str, more: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\n{more}\n")
}

#[test]
fn a_configuration_that_asks_for_the_same_has_no_difference() {
    let routes = route(
        "/orders",
        "methods = { GET = { any = [\"r\", \"a\"] }, POST = \"w\" }",
    ) + &route("/open", "methods = [\"GET\"]\npublic = true");
    let document = contract(&["GET /orders r a", "POST /orders w", "GET /open public"]);
    assert_eq!(differences(&routes, &document), [""; 0]);
}

#[test]
fn a_route_is_weaker_if_it_admits_one_caller_more() {
    for (asked, methods, weaker) in [
        ("r", "GET = \"r\"", None),
        ("r a", "GET = \"r\"", None),
        ("r a", "GET = [\"r\", \"a\"]", None),
        ("r", "GET = { any = [\"r\", \"a\"] }", Some("r > r or a")),
        ("r", "GET = \"w\"", Some("r > w")),
        ("public", "GET = \"r\"", None),
        ("token", "GET = \"r\"", None),
    ] {
        let routes = route("/a", &format!("methods = {{ {methods} }}"));
        let found = differences(&routes, &contract(&[&format!("GET /a {asked}")]));
        let weaker = weaker.map(|text| format!("WeakerRoute GET /a by /a: {text} at 0"));
        let found = found.into_iter().find(|line| line.starts_with("Weaker"));
        assert_eq!(found, weaker, "{asked} {methods}");
    }
    for (asked, authorization, weaker) in [
        ("r", "authenticated = true", Some("r > any valid token")),
        ("r", "public = true", Some("r > public")),
        ("token", "public = true", Some("any valid token > public")),
        ("token", "authenticated = true", None),
        ("public", "public = true", None),
        (
            "?",
            "public = true",
            Some("a requirement that no route has > public"),
        ),
        ("?", "authenticated = true", None),
    ] {
        let routes = route("/a", &format!("methods = [\"GET\"]\n{authorization}"));
        let found = differences(&routes, &contract(&[&format!("GET /a {asked}")]));
        let weaker = weaker.map(|text| format!("WeakerRoute GET /a by /a: {text} at 0"));
        let found = found.into_iter().find(|line| line.starts_with("Weaker"));
        assert_eq!(found, weaker, "{asked} {authorization}");
    }
}

#[test]
fn a_special_route_inside_of_an_operation_counts() {
    let routes = route("/a/{id}", "methods = { GET = \"r\" }")
        + &route("/a/new", "methods = [\"GET\"]\npublic = true");
    assert_eq!(
        differences(&routes, &contract(&["GET /a/{name} r"])),
        ["WeakerRoute GET /a/{name} by /a/new: r > public at 0"]
    );
    // The other way round: a special operation that a wider route answers.
    let routes = route("/a/**", "methods = [\"GET\"]\npublic = true");
    assert_eq!(
        differences(
            &routes,
            &contract(&["GET /a/{id} public", "GET /a/secret s"])
        ),
        [
            "WeakerRoute GET /a/secret by /a/**: s > public at 1",
            "RouteWithoutOperation GET /a/** such as /a",
            "UnusedScope  s at 1",
        ]
    );
}

#[test]
fn what_one_of_them_has_alone_is_named() {
    let routes = route("/a", "methods = { GET = \"r\", DELETE = \"r\" }")
        + &route("/c", "methods = \"ANY\"\nscopes = \"r\"");
    assert_eq!(
        differences(
            &routes,
            &contract(&["GET /a r", "POST /a r", "GET /b r", "ANY /c r"])
        ),
        [
            "OperationWithoutRoute POST /a at 1",
            "OperationWithoutRoute GET /b at 2",
            "RouteWithoutOperation DELETE /a",
        ]
    );
    assert_eq!(
        differences(
            &route("/c", "methods = \"ANY\"\nscopes = \"r\""),
            &contract(&["GET /c r"])
        ),
        ["RouteWithoutOperation POST,PUT,PATCH,DELETE,OPTIONS /c"]
    );
}

#[test]
fn options_that_cors_answers_has_its_route() {
    let routes = route(
        "/a",
        "methods = { GET = \"r\" }\ncors = { origins = [\"https://app.example.com\"] }",
    );
    let document = contract(&["GET /a r", "OPTIONS /a public"]);
    assert_eq!(differences(&routes, &document), [""; 0]);
}

#[test]
fn scopes_that_only_one_of_them_knows_are_named() {
    let routes = route("/a", "methods = { GET = \"r\", POST = \"typo\" }");
    let mut document = contract(&["GET /a r", "POST /a w"]);
    document.defined = BTreeMap::from([("r".to_owned(), 10), ("spare".to_owned(), 11)]);
    assert_eq!(
        differences(&routes, &document),
        [
            "WeakerRoute POST /a by /a: w > typo at 1",
            "UnknownScope  typo by /a",
            "UndefinedScope  w at 1",
            "UnusedScope  spare at 11",
            "UnusedScope  w at 1",
        ]
    );
}

// The path of a stage and the same path with a slash are one resource.
#[test]
fn a_group_answers_its_root_with_a_slash_or_without() {
    let group = |bare: &str, root: &str| {
        format!(
            "[[groups]]\nprefix = \"/my-stage\"\n\
             [[groups.routes]]\npath = \"\"\n{bare}\n\
             [[groups.routes]]\npath = \"/\"\n{root}\n"
        )
    };
    let (read, open) = (
        "methods = { GET = \"r\" }",
        "methods = [\"GET\"]\npublic = true",
    );
    let mut document = contract(&["GET /my-stage/ r"]);
    document.root = Some(Pattern::parse("/my-stage").unwrap());
    assert_eq!(differences(&group(read, read), &document), [""; 0]);
    assert_eq!(
        differences(&group(open, read), &document),
        ["WeakerRoute GET /my-stage/ by /my-stage: r > public at 0"]
    );
    let more = "methods = { GET = \"r\", PUT = \"r\" }";
    assert_eq!(
        differences(&group(more, read), &document),
        ["RouteWithoutOperation PUT /my-stage"]
    );
    // Where nothing says that they are one, they are two.
    document.root = None;
    assert_eq!(
        differences(&group(read, read), &document),
        ["RouteWithoutOperation GET /my-stage"]
    );
}

#[test]
fn operations_that_a_route_denies_are_counted() {
    let routes = route("/a", "methods = { GET = \"r\", POST = { deny = true } }")
        + &route("/b", "methods = { GET = { deny = true } }");
    let document = contract(&["GET /a r", "POST /a r", "GET /b ?"]);
    let config = Config::parse(&format!("{HEAD}{routes}"), "gateway.toml").unwrap();
    assert_eq!(compare(&config, &document).unwrap().denied, 2);
    let other = contract(&["GET /a r"]);
    assert_eq!(compare(&config, &other).unwrap().denied, 0);
}

// API Gateway looks further for a method that a path lacks, and this gateway does so in a group.
#[test]
fn a_method_is_looked_up_further_where_the_document_does_so() {
    let routes = "[[groups]]\nmethod_fallthrough = true\n\
                  [[groups.routes]]\npath = \"/a\"\nmethods = { GET = \"r\" }\n\
                  [[groups.routes]]\npath = \"/{rest+}\"\nmethods = \"ANY\"\nscopes = \"w\"\n";
    let mut document = contract(&["GET /a r", "ANY /{proxy+} w x"]);
    document.falls_through = true;
    // There HEAD is looked up further, too, and GET answers it in the group.
    let weaker = "WeakerRoute HEAD /{proxy+} by /a: w or x > r at 1";
    let unused = "UnusedScope  x at 1";
    assert_eq!(differences(routes, &document), [weaker, unused]);
    let routes = routes.replacen("method_fallthrough", "head = false\nmethod_fallthrough", 1);
    assert_eq!(differences(&routes, &document), [unused]);
}

#[test]
fn the_hosts_of_the_document_are_compared_if_routes_name_them() {
    let on = |host: &str, scope: &str| {
        route(
            "/a",
            &format!("host = \"{host}\"\nmethods = {{ GET = \"{scope}\" }}"),
        )
    };
    let routes = on("api.example.com", "r") + &on("old.example.com", "w");
    let mut document = contract(&["GET /a r"]);
    let weaker = "WeakerRoute GET /a by old.example.com/a: r > w at 0";
    let unknown = "UnknownScope  w by old.example.com/a";
    assert_eq!(differences(&routes, &document), [weaker, unknown]);
    document.hosts = vec!["api.example.com".to_owned()];
    assert_eq!(differences(&routes, &document), [unknown]);
    document.hosts = vec!["elsewhere.example.com".to_owned()];
    assert_eq!(differences(&routes, &document), [weaker, unknown]);
}

// A server answers HEAD with the fields of the response to GET.
#[test]
fn head_is_judged_like_get_where_no_operation_describes_it() {
    let weaker = "WeakerRoute HEAD /a by /a: r > public at 0";
    for (methods, expected) in [
        ("GET = \"r\"", None),
        ("GET = \"r\", HEAD = \"r\"", None),
        ("GET = \"r\", HEAD = { deny = true }", None),
        ("GET = \"r\", HEAD = { public = true }", Some(weaker)),
        ("HEAD = { public = true }", Some(weaker)),
        ("GET = \"r\", ANY = { public = true }", None),
        (
            "GET = { public = true }, HEAD = { public = true }",
            Some("WeakerRoute GET /a by /a: r > public at 0"),
        ),
    ] {
        for falls_through in [false, true] {
            let mut document = contract(&["GET /a r"]);
            document.falls_through = falls_through;
            let routes = route("/a", &format!("methods = {{ {methods} }}"));
            let found = differences(&routes, &document);
            let found = found.into_iter().find(|line| line.starts_with("Weaker"));
            assert_eq!(found.as_deref(), expected, "{methods}");
        }
    }
    // Without `head`, ANY answers it.
    let routes = route(
        "/a",
        "head = false\nmethods = { GET = \"r\", ANY = { public = true } }",
    );
    assert_eq!(differences(&routes, &contract(&["GET /a r"]))[0], weaker);
    let any = contract(&["ANY /a r"]);
    let routes = route("/a", "methods = { ANY = \"r\", HEAD = { public = true } }");
    assert_eq!(differences(&routes, &any), [weaker]);
    // The more specific HEAD of a document is compared with its own route.
    let own = contract(&["GET /a r", "HEAD /a public"]);
    let routes = route("/a", "methods = { GET = \"r\", HEAD = { public = true } }");
    assert_eq!(differences(&routes, &own), [""; 0]);
}

// In a group that falls through, HEAD of a path without it is that of a wider path.
#[test]
fn a_head_that_falls_through_to_a_public_route_is_weaker() {
    let routes = "[[groups]]\nmethod_fallthrough = true\nhead = false\n\
                  [[groups.routes]]\npath = \"/a\"\nmethods = { GET = \"r\" }\n\
                  [[groups.routes]]\npath = \"/{rest+}\"\nmethods = \"ANY\"\npublic = true\n";
    let mut document = contract(&["GET /a r", "ANY /{proxy+} public"]);
    let weaker = "WeakerRoute HEAD /a by /{rest+}: r > public at 0";
    assert_eq!(differences(routes, &document)[0], weaker);
    // On API Gateway it falls through as well.
    document.falls_through = true;
    assert_eq!(differences(routes, &document), [""; 0]);
}

#[test]
fn methods_that_the_configuration_has_alone_are_named() {
    let document = contract(&["ANY /a r"]);
    let more =
        "methods = { ANY = \"r\", OPTIONS = { public = true }, PROPFIND = { public = true } }";
    assert_eq!(
        differences(&route("/a", more), &document),
        [
            "WeakerRoute OPTIONS /a by /a: r > public at 0",
            "RouteWithoutOperation PROPFIND /a",
        ]
    );
}

// A route that is less specific on the shortest path speaks for longer ones.
#[test]
fn a_wide_route_behind_a_special_one_is_compared() {
    let closed = route("/{id}", "methods = \"ANY\"\nscopes = \"r\"");
    let open = route("/**", "methods = \"ANY\"\npublic = true");
    let document = contract(&["ANY /{proxy+} r"]);
    assert_eq!(
        differences(&(closed.clone() + &open), &document),
        [
            "WeakerRoute GET,POST,PUT,PATCH,DELETE,OPTIONS /{proxy+} by /**: r > public at 0",
            "RouteWithoutOperation GET,POST,PUT,PATCH,DELETE,OPTIONS /** such as /",
        ]
    );
    assert_eq!(
        differences(&closed, &document),
        ["OperationWithoutRoute GET,POST,PUT,PATCH,DELETE,OPTIONS /{proxy+} such as /x/x at 0"]
    );
    let below = route("/a/**", "methods = [\"GET\"]\npublic = true");
    assert_eq!(
        differences(&below, &contract(&["GET /a public"])),
        ["RouteWithoutOperation GET /a/** such as /a/x"]
    );
}

#[test]
fn a_restriction_of_the_whole_api_makes_public_routes_weaker() {
    let with = |line: &str, restriction| {
        let mut document = contract(&[line]);
        document.operations[0].callers.restriction = restriction;
        document
    };
    let policy = Some("a caller whom the policy allows");
    let open = route("/a", "methods = [\"GET\"]\npublic = true");
    let token = route("/a", "methods = [\"GET\"]\nauthenticated = true");
    let document = with("GET /a public", policy);
    assert_eq!(
        differences(&open, &document),
        ["WeakerRoute GET /a by /a: a caller whom the policy allows > public at 0"]
    );
    assert_eq!(differences(&token, &document), [""; 0]);
    assert_eq!(differences(&open, &with("GET /a public", None)), [""; 0]);
    assert_eq!(
        differences(&token, &with("GET /a r", policy))[0],
        "WeakerRoute GET /a by /a: r, and for a caller whom the policy allows > any valid token at 0"
    );
}

#[test]
fn other_issuers_and_other_kinds_of_tokens_are_differences_of_their_own() {
    let compared = |issuer: &str, more: &str, known: &str, tokens| {
        let text = format!(
            "[issuers.idp]\nissuer = \"{issuer}\"\naudience = \"api\"\n{more}\n\
             [upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\n{}",
            route("/a", "methods = { GET = \"r\" }")
        );
        let config = Config::parse(&text, "gateway.toml");
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let mut document = contract(&["GET /a r"]);
        let callers = &mut document.operations[0].callers;
        callers.issuers = (!known.is_empty()).then(|| BTreeSet::from([known.to_owned()]));
        callers.tokens = tokens;
        let found = compare(&config, &document).unwrap().differences;
        found.iter().map(line).collect::<Vec<_>>()
    };
    let (own, other) = ("https://a.example.com", "https://b.example.com");
    assert_eq!(compared(own, "", own, None), [""; 0]);
    assert_eq!(compared(own, "", "", None), [""; 0]);
    assert_eq!(
        compared(own, "", other, None),
        ["OtherIssuer GET /a by /a: https://b.example.com > https://a.example.com at 0"]
    );
    let (access, id) = (Some(TokenKind::Access), Some(TokenKind::Id));
    let takes_id = "token_use = \"id\"";
    for (more, tokens, expected) in [
        ("", access, None),
        ("token_use = \"access\"\ntyp = \"any\"", access, None),
        (
            "typ = \"any\"",
            access,
            Some("access tokens > access tokens and ID tokens"),
        ),
        (takes_id, access, Some("access tokens > ID tokens")),
        ("", id, Some("ID tokens > access tokens")),
        (takes_id, id, None),
        (takes_id, Some(TokenKind::Both), None),
    ] {
        let expected = expected.map(|text| format!("OtherTokens GET /a by /a: {text} at 0"));
        let found = compared(own, more, own, tokens);
        assert_eq!(found.first(), expected.as_ref(), "{more}");
    }
}

#[test]
fn a_scope_of_a_denied_operation_is_used() {
    let mut document = contract(&["GET /a r", "GET /b w"]);
    document.defined = BTreeMap::from([("r".to_owned(), 10), ("w".to_owned(), 11)]);
    let asks = route("/a", "methods = { GET = \"r\" }");
    let denies = asks.clone() + &route("/b", "methods = { GET = { deny = true } }");
    assert_eq!(differences(&denies, &document), [""; 0]);
    // A route that asks for another scope leaves it unused.
    let other = asks + &route("/b", "methods = { GET = \"r\" }");
    let unused = "UnusedScope  w at 11";
    assert!(
        differences(&other, &document)
            .iter()
            .any(|line| line == unused)
    );
    // So does an operation that is not there, beside a scope that the document defines alone.
    document.operations.pop();
    assert!(
        differences(&denies, &document)
            .iter()
            .any(|line| line == unused)
    );
}
