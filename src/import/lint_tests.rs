use super::*;
use crate::policy::{Rule as ScopeRule, Scope, Term};

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
            requirement,
            place,
        });
    }
    contract
}

/// Returns the differences as lines.
fn differences(routes: &str, contract: &Contract<usize>) -> Vec<String> {
    let config = Config::parse(&format!("{HEAD}{routes}"), "gateway.toml");
    let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let found = lint(&config, contract).unwrap();
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
    if let Some(route) = &difference.route {
        text.push_str(&format!(" by {route}"));
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
            "RouteWithoutOperation GET /a/**",
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
    assert_eq!(denied(&config, &document), Ok(2));
    assert_eq!(denied(&config, &contract(&["GET /a r"])), Ok(0));
}

// API Gateway looks further for a method that a path lacks, and this gateway does so in a group.
#[test]
fn a_method_is_looked_up_further_where_the_document_does_so() {
    let routes = "[[groups]]\nmethod_fallthrough = true\n\
                  [[groups.routes]]\npath = \"/a\"\nmethods = { GET = \"r\" }\n\
                  [[groups.routes]]\npath = \"/{rest+}\"\nmethods = \"ANY\"\nscopes = \"w\"\n";
    let mut document = contract(&["GET /a r", "ANY /{proxy+} w x"]);
    document.falls_through = true;
    assert_eq!(differences(routes, &document), ["UnusedScope  x at 1"]);
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
