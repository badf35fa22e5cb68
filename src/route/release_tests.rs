//! *Tolerant reading*: methods, groups, and the paths that a stricter route releases.

use http::Method;

use super::rule::pattern_of;
use super::trial::{Line, rule, target};
use super::{Distinct, Miss, Table};

/// Checks requests against a table: the rules with the callers that they admit, then the requests
/// with the expected results.
fn verdicts(lines: &[(&str, u8)], cases: &[(&str, &str)]) {
    let line = |(text, passes): &(&str, u8)| {
        let mut rule = rule(0, text);
        rule.value.passes = *passes;
        rule
    };
    let table = Table::new(lines.iter().map(line).collect()).unwrap();
    for (request, expected) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = match table.find(&target(&method, None, path)) {
            Ok(line) => line.text.clone(),
            Err(Miss::NotFound) => "404".into(),
            Err(Miss::Method { .. }) => "405".into(),
            Err(Miss::Shadowed { by, .. }) => format!("shadowed by {}", by.text),
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn a_method_that_the_stricter_route_lacks_lets_nobody_pass() {
    verdicts(
        &[
            ("GET /admin", 1),
            ("DELETE /admin", 2),
            ("ANY /**", 3),
            ("ANY /x/{id}", 1),
            ("GET /x/y", 1),
        ],
        &[
            ("POST /admin/", "shadowed by GET /admin"),
            ("GET /Admin", "shadowed by GET /admin"),
            ("OPTIONS /admin/", "shadowed by GET /admin"),
            ("POST /admin", "405"),
            ("POST /other/", "ANY /**"),
            ("GET /x/Y", "ANY /x/{id}"),
            ("HEAD /x/Y", "ANY /x/{id}"),
            ("POST /x/Y", "shadowed by GET /x/y"),
            ("GET /x/y/", "shadowed by ANY /x/{id}"),
            ("GET /x/z/", "shadowed by ANY /x/{id}"),
        ],
    );
}

// A client may hide a path behind more segments than are read.
#[test]
fn a_path_with_more_readings_than_are_made_is_refused_for_any_stricter_rule() {
    let junk = "a%253f;.%2f%5cb%23.".repeat(400);
    let hidden = format!("GET /{junk}/x/Users/5%3F/roles");
    let other = format!("GET /{junk}");
    verdicts(
        &[("ANY /{a}/{b}/users/{id}/roles", 1), ("ANY /**", 3)],
        &[
            (&hidden, "shadowed by ANY /{a}/{b}/users/{id}/roles"),
            (&other, "shadowed by ANY /{a}/{b}/users/{id}/roles"),
            ("GET /a/b/My%20File.pdf", "ANY /**"),
        ],
    );
    verdicts(
        &[("ANY /admin", 3), ("ANY /**", 3)],
        &[(&hidden, "ANY /**")],
    );
}

#[test]
fn a_route_is_released_by_the_stricter_one_alone() {
    let table = |which: usize, distinct| {
        let mut rules = ["ANY /admin", "ANY /{id}", "ANY /**"].map(|text| rule(0, text));
        rules[0].value.passes = 1;
        rules[which].distinct = distinct;
        Table::new(rules.into()).unwrap()
    };
    let found =
        |table: &Table<Line>, path: &str| table.find(&target(&Method::GET, None, path)).is_ok();
    let case = Distinct {
        case: true,
        slash: false,
    };
    let slash = Distinct {
        case: false,
        slash: true,
    };
    for (which, distinct, upper, slashed) in [
        (0, case, true, false),
        (0, slash, false, true),
        (1, case, false, false),
        (2, slash, false, false),
        (0, Distinct::default(), false, false),
    ] {
        let table = table(which, distinct);
        assert_eq!(
            (found(&table, "/Admin"), found(&table, "/admin/")),
            (upper, slashed),
            "{which} {distinct:?}"
        );
        assert!(!found(&table, "/admin.") && !found(&table, "/admin%20"));
    }
}

// A method that `/admin` lacks goes on to `/**` of its group; one that it has is compared.
#[test]
fn a_group_that_falls_through_is_compared_by_the_methods_that_a_path_has() {
    let table = |groups: [Option<usize>; 2], admin: u8, rest: u8| {
        let mut rules: Vec<_> = ["GET /admin", "ANY /**"]
            .iter()
            .map(|text| rule(0, text))
            .collect();
        for (rule, group) in rules.iter_mut().zip(groups) {
            rule.method_fallthrough = group;
        }
        rules[0].value.passes = admin;
        rules[1].value.passes = rest;
        Table::new(rules).unwrap()
    };
    let found = |table: &Table<Line>, method: &Method, path| {
        table.find(&target(method, None, path)).is_ok()
    };
    let one = table([Some(0), Some(0)], 1, 3);
    for (method, path, expected) in [
        (Method::GET, "/Admin", false),
        (Method::GET, "/admin/", false),
        (Method::GET, "/admin%20", false),
        (Method::GET, "//admin", false),
        (Method::GET, "/admin%2F", false),
        (Method::HEAD, "/admin/", false),
        (Method::GET, "/administrator", true),
        (Method::GET, "/admin/x", true),
        (Method::POST, "/admin/", true),
        (Method::POST, "/admin", true),
        (Method::POST, "/Admin", true),
    ] {
        assert_eq!(found(&one, &method, path), expected, "{method} {path}");
        for groups in [[Some(0), Some(1)], [Some(0), None], [None, None]] {
            let other = table(groups, 1, 3);
            let is_admin = path.to_ascii_lowercase().trim_end_matches('/') == "/admin";
            let expected = expected && !is_admin;
            assert_eq!(
                found(&other, &method, path),
                expected,
                "{groups:?} {method} {path}"
            );
        }
    }
    // A stricter `/**` refuses no path for the sake of a weaker one, nor does an equal one.
    for (admin, rest) in [(3, 1), (1, 1), (3, 3)] {
        let table = table([Some(0), Some(0)], admin, rest);
        for path in ["/Admin", "/admin/", "/admin", "/x/"] {
            assert!(found(&table, &Method::GET, path), "{admin} {rest} {path}");
        }
    }
    assert!(pattern_of::<Line>(&[], &[]).is_none());
}

// A path whose method falls through to a stricter rule, or to none, is no path of a weaker one that
// an application may take for it.
#[test]
fn a_spelling_of_a_path_that_falls_through_leads_to_no_weaker_rule() {
    let found = |rules: &[(&str, u8)], method: Method, path: &str| {
        let one = |(text, passes): &(&str, u8)| {
            let mut line = rule(0, text);
            line.value.passes = *passes;
            line.method_fallthrough = Some(0);
            line
        };
        let table = Table::new(rules.iter().map(one).collect()).unwrap();
        let found = table.find(&target(&method, None, path));
        found.map(|line| line.text.clone()).ok()
    };
    let tags = [
        ("GET /tags", 3),
        ("DELETE /tags/{tag}", 3),
        ("DELETE /**", 1),
    ];
    let admin = [("GET /admin", 0), ("POST /{a}/{rest+}", 3)];
    let split = [("DELETE /{id}", 3), ("GET /tags/{x}", 3), ("DELETE /**", 1)];
    let (delete, post) = (Method::DELETE, Method::POST);
    for (rules, method, path, expected) in [
        (tags.as_slice(), &delete, "/tags", Some("DELETE /**")),
        (&tags, &delete, "/tags/%20", None),
        (&tags, &delete, "/tags/%23rust", None),
        (&tags, &delete, "/tags/rust", Some("DELETE /tags/{tag}")),
        (&tags[..2], &delete, "/tags", None),
        (&tags[..2], &delete, "/tags/%3Fx", None),
        (&tags[..2], &delete, "/tags/...", None),
        (
            &tags[..2],
            &delete,
            "/tags/rust",
            Some("DELETE /tags/{tag}"),
        ),
        (&admin, &post, "/admin", None),
        (&admin, &post, "/admin/%20", None),
        (&admin, &post, "/admin%23/x", None),
        (&admin, &post, "/admin/x", Some("POST /{a}/{rest+}")),
        (&split, &delete, "/tags/x", Some("DELETE /**")),
        (&split, &delete, "/tags%2Fx", None),
        (&split, &delete, "/tags", Some("DELETE /{id}")),
    ] {
        let found = found(rules, method.clone(), path);
        assert_eq!(found.as_deref(), expected, "{rules:?} {method} {path}");
    }
}

// A parameter protects its path with a slash as a literal does, and a `GET` without its `HEAD` does
// not protect `HEAD`.
#[test]
fn a_parameter_of_a_group_that_falls_through_is_compared() {
    let mut rules: Vec<_> = ["GET /orders/{id}", "ANY /{rest+}"]
        .iter()
        .map(|text| rule(0, text))
        .collect();
    rules[0].value.passes = 1;
    for rule in &mut rules {
        rule.method_fallthrough = Some(0);
        rule.head = false;
    }
    let table = Table::new(rules).unwrap();
    let is_found = |method, path| table.find(&target(&method, None, path)).is_ok();
    assert!(is_found(Method::GET, "/orders/5"));
    assert!(!is_found(Method::GET, "/orders/5/"));
    assert!(!is_found(Method::GET, "/Orders/5"));
    assert!(is_found(Method::GET, "/orders/5/lines"));
    assert!(is_found(Method::HEAD, "/orders/5/"));
    assert!(is_found(Method::PUT, "/orders/5/"));
}

// To an application that ignores case `/X/admin%2Fy` is a path of `/x/{id}`, which lacks POST. To
// one that splits at the escaped slash as well it is a path of the group's public route. The first
// answers 405, whatever the second does.
#[test]
fn another_route_of_a_group_answers_for_none_that_lacks_the_method() {
    let mut rules: Vec<_> = ["GET /x/{id}", "ANY /x/admin/{rest+}", "ANY /**"]
        .iter()
        .map(|text| rule(0, text))
        .collect();
    for (rule, passes) in rules.iter_mut().zip([1, 3, 3]) {
        rule.value.passes = passes;
    }
    rules[0].method_fallthrough = Some(0);
    rules[1].method_fallthrough = Some(0);
    let table = Table::new(rules).unwrap();
    let is_found = |method, path| table.find(&target(&method, None, path)).is_ok();
    assert!(!is_found(Method::POST, "/X/admin%2Fy"));
    assert!(!is_found(Method::GET, "/X/admin%2Fy"));
    assert!(is_found(Method::POST, "/y/admin"));
}

// The two paths differ in a segment that the matched route does not spell. It does not matter that
// the route spells another segment.
#[test]
fn a_route_is_released_where_it_spells_all_that_differs() {
    verdicts(
        &[("ANY /{page}/", 3), ("ANY /admin", 1)],
        &[
            ("GET /admin/", "ANY /{page}/"),
            ("GET /Admin/", "shadowed by ANY /admin"),
            ("GET /admin./", "shadowed by ANY /admin"),
            ("GET /About/", "ANY /{page}/"),
        ],
    );
    verdicts(
        &[
            ("ANY /{tenant}/{page}/", 3),
            ("ANY /{tenant}", 1),
            ("ANY /{lang}/admin", 1),
        ],
        &[
            ("GET /acme/.../", "shadowed by ANY /{tenant}"),
            ("GET /en/admin/", "ANY /{tenant}/{page}/"),
            ("GET /en/Admin/", "shadowed by ANY /{lang}/admin"),
            ("GET /EN/admin/", "ANY /{tenant}/{page}/"),
            ("GET /en/About/", "ANY /{tenant}/{page}/"),
        ],
    );
    verdicts(
        &[("ANY /{t}/admin/**", 3), ("ANY /Admin/**", 1)],
        &[
            ("GET /.../admin/x", "shadowed by ANY /Admin/**"),
            ("GET /x/admin/y", "ANY /{t}/admin/**"),
        ],
    );
    verdicts(
        &[("ANY /{t}/Admin/**", 3), ("ANY /admin/**", 1)],
        &[
            ("GET /%20/Admin/x", "shadowed by ANY /admin/**"),
            ("GET /T/Admin/x", "ANY /{t}/Admin/**"),
        ],
    );
    verdicts(
        &[("ANY /{lang}/Admin", 3), ("ANY /{lang}/admin", 1)],
        &[
            ("GET /EN/Admin", "ANY /{lang}/Admin"),
            ("GET /EN/admin", "ANY /{lang}/admin"),
        ],
    );
}

// For this path the operator has put the laxer route before the stricter one. In well-known APIs
// identifiers hold escaped slashes and begin with `#`.
#[test]
fn a_stricter_route_that_matches_the_path_itself_is_not_compared() {
    verdicts(
        &[("ANY /projects/{id}", 3), ("ANY /projects/**", 1)],
        &[
            ("GET /projects/group%2Fproject", "ANY /projects/{id}"),
            ("GET /projects/5%3F", "ANY /projects/{id}"),
            ("GET /Projects/5", "404"),
        ],
    );
    verdicts(
        &[
            ("ANY /room/{alias}", 3),
            ("ANY /**", 1),
            ("ANY /{a}/c%23/{x}", 3),
            ("ANY /{p}/x", 1),
        ],
        &[
            ("GET /room/%23room:example.org", "ANY /room/{alias}"),
            ("GET /Room/x", "ANY /{p}/x"),
            ("GET /a/c%23/x", "ANY /{a}/c%23/{x}"),
        ],
    );
}

// A literal that vanishes for some readers, or ends the path for them, does not tell paths apart.
#[test]
fn a_literal_that_may_vanish_releases_nothing() {
    verdicts(
        &[
            ("ANY /tags/{t}/c%23/{id}", 3),
            ("ANY /tags/{x}", 1),
            ("ANY /tags/{x}/c%23", 1),
        ],
        &[
            ("GET /tags/a%3F/c%23/5", "shadowed by ANY /tags/{x}"),
            ("GET /tags/a/c%23/5.", "shadowed by ANY /tags/{x}/c%23"),
        ],
    );
}

#[test]
fn a_plain_path_is_compared_however_long_it_is() {
    let long = format!("GET /files{}", "/a".repeat(400));
    let capitals = format!("GET /files/A{}", "/a".repeat(400));
    verdicts(
        &[("ANY /files/{id}/", 1), ("ANY /files/**", 3)],
        &[
            (&long, "ANY /files/**"),
            (&capitals, "shadowed by ANY /files/{id}/"),
        ],
    );
}

#[test]
fn literals_of_dots_and_letters_of_other_scripts_are_compared() {
    verdicts(
        &[
            ("ANY /.../**", 1),
            ("ANY /i%CC%87stanbul", 1),
            ("ANY /admin", 1),
            ("ANY /**", 3),
        ],
        &[
            ("GET /...%3F", "shadowed by ANY /.../**"),
            ("GET /%C4%B0stanbul", "shadowed by ANY /i%CC%87stanbul"),
            ("GET /istanbul", "shadowed by ANY /i%CC%87stanbul"),
            ("GET /admin%EF%BB%BF", "shadowed by ANY /admin"),
            ("GET /admin%E2%80%8B", "shadowed by ANY /admin"),
            ("GET /admin%2500.css", "shadowed by ANY /admin"),
            ("GET /admin.css", "ANY /**"),
        ],
    );
}

// In many frameworks every route ends in a slash.
#[test]
fn a_plain_path_is_compared_with_routes_that_end_in_a_slash() {
    verdicts(
        &[
            ("ANY /admin/", 1),
            ("ANY /x/{id}/", 1),
            ("ANY /**", 3),
            ("ANY /x/{a}/{b}", 3),
        ],
        &[
            ("GET /admin", "shadowed by ANY /admin/"),
            ("GET /x/1", "shadowed by ANY /x/{id}/"),
            ("GET /x/1/2", "ANY /x/{a}/{b}"),
            ("GET /static/app.js", "ANY /**"),
            ("GET /administration", "ANY /**"),
        ],
    );
}
