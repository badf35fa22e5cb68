//! The table: the rule that wins, and the patterns that a group does not fall through to.

use http::Method;

use super::super::trial::{EVERY, GATEWAY, Line, rule, target};
use super::*;

fn table(rules: &[&str], fallthrough: bool) -> Table<Line> {
    let of_group = |(index, text): (usize, &&str)| Rule {
        method_fallthrough: fallthrough.then_some(0),
        ..rule(index, text)
    };
    Table::new(rules.iter().enumerate().map(of_group).collect()).unwrap()
}

/// Makes a table of rules with the group of each and the callers that it admits.
fn grouped(rules: &[(&str, Option<usize>, u8)]) -> Table<Line> {
    let of_group = |(index, (text, group, passes)): (usize, &(&str, Option<usize>, u8))| {
        let mut rule = rule(index, text);
        rule.method_fallthrough = *group;
        rule.value.passes = *passes;
        rule
    };
    Table::new(rules.iter().enumerate().map(of_group).collect()).unwrap()
}

fn find(table: &Table<Line>, request: &str) -> String {
    let (method, rest) = request.split_once(' ').unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match table.find(&target(
        &method,
        Some(if host.is_empty() { "h" } else { host }),
        path,
    )) {
        Ok(line) => line.text.clone(),
        Err(Miss::NotFound) => "404".to_owned(),
        Err(Miss::Method { allow, .. }) => format!("405 {allow}"),
        Err(Miss::Shadowed { by, .. }) => format!("shadowed by {}", by.text),
    }
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let table = table(
        &[
            "GET /**",
            "GET /{rest+}",
            "GET /a/{x}",
            "GET /a/b",
            "GET /a/{x}/c",
            "GET /a/b/{rest+}",
            "GET /a/b/",
        ],
        false,
    );
    for (request, rule) in [
        ("GET /", "GET /**"),
        ("GET /x", "GET /{rest+}"),
        ("GET /a", "GET /{rest+}"),
        ("GET /a/", "GET /{rest+}"),
        ("GET /a/b", "GET /a/b"),
        ("GET /a/%62", "GET /a/b"),
        ("GET /a/b/", "GET /a/b/"),
        ("GET /a/z", "GET /a/{x}"),
        ("GET /a/b/c", "GET /a/b/{rest+}"),
        ("GET /a/z/c", "GET /a/{x}/c"),
        ("GET /a/z/d", "GET /{rest+}"),
    ] {
        assert_eq!(find(&table, request), rule, "{request}");
    }
}

// Prefixes match only at the boundaries of segments.
#[test]
fn a_subtree_takes_its_root_and_everything_below() {
    let table = table(&["GET /admin/**", "GET /files/{rest+}"], false);
    for (request, rule) in [
        ("GET /admin", "GET /admin/**"),
        ("GET /admin/", "GET /admin/**"),
        ("GET /admin/a/b", "GET /admin/**"),
        ("GET /administrator", "404"),
        ("GET /files", "404"),
        ("GET /files/", "404"),
        ("GET /files/a/", "GET /files/{rest+}"),
    ] {
        assert_eq!(find(&table, request), rule, "{request}");
    }
}

#[test]
fn a_path_that_exists_for_other_methods_is_405_and_opens_nothing() {
    let table = table(&["GET /admin", "DELETE /admin", "ANY /**"], false);
    assert_eq!(find(&table, "GET /admin"), "GET /admin");
    assert_eq!(find(&table, "HEAD /admin"), "GET /admin");
    assert_eq!(find(&table, "POST /admin"), "405 DELETE, GET, HEAD");
    assert_eq!(find(&table, "OPTIONS /admin"), "405 DELETE, GET, HEAD");
    assert_eq!(find(&table, "get /admin"), "405 DELETE, GET, HEAD");
    assert_eq!(find(&table, "POST /x"), "ANY /**");
    assert_eq!(
        find(&table, "BREW /x"),
        "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    );
}

#[test]
fn api_gateways_first_recorded_set_matches_under_fallthrough() {
    let table = table(&["POST /test", "ANY /test/any", "OPTIONS /{proxy+}"], true);
    assert_eq!(find(&table, "OPTIONS /test"), "OPTIONS /{proxy+}");
    assert_eq!(find(&table, "POST /test"), "POST /test");
    assert_eq!(find(&table, "OPTIONS /test/any"), "ANY /test/any");
    assert_eq!(find(&table, "GET /test"), "405 OPTIONS, POST");
}

#[test]
fn what_one_group_passes_over_no_other_takes() {
    let table = grouped(&[("GET /admin", Some(0), 1), ("ANY /**", None, 1)]);
    assert_eq!(find(&table, "POST /admin"), "405 GET, HEAD");
    assert_eq!(find(&table, "POST /other"), "ANY /**");
    // The same holds for another group that falls through, whatever its prefix.
    let table = grouped(&[
        ("GET /a/x", Some(0), 1),
        ("ANY /a/**", Some(1), 3),
        ("GET /**", Some(0), 1),
    ]);
    assert_eq!(find(&table, "POST /a/x"), "405 GET, HEAD");
    assert_eq!(find(&table, "GET /a/x"), "GET /a/x");
    assert_eq!(find(&table, "POST /a/y"), "ANY /a/**");
}

#[test]
fn a_group_goes_past_no_stricter_route_of_others() {
    let table = |between: (&str, Option<usize>, u8)| {
        grouped(&[("GET /a/x", Some(0), 1), between, ("ANY /**", Some(0), 2)])
    };
    for (between, expected) in [
        (("ANY /a/{id}", None, 3), "ANY /**"),
        (("ANY /a/{id}", Some(1), 2), "ANY /**"),
        (("ANY /a/{id}", Some(0), 1), "ANY /a/{id}"),
        (("ANY /a/{id}", None, 1), "405 GET, HEAD"),
        (("ANY /a/{id}", Some(1), 1), "405 GET, HEAD"),
        // The pattern lacks the method, so it admits no caller.
        (("PUT /a/{id}", None, 3), "405 GET, HEAD, PUT"),
        (("PUT /a/{id}", Some(0), 3), "ANY /**"),
        // The pattern does not match the path.
        (("ANY /a/y", None, 1), "ANY /**"),
    ] {
        assert_eq!(find(&table(between), "POST /a/x"), expected, "{between:?}");
    }
}

#[test]
fn a_pattern_that_two_groups_share_does_not_fall_through() {
    for other in [None, Some(1)] {
        let table = grouped(&[
            ("GET /a", Some(0), 1),
            ("PUT /a", other, 1),
            ("ANY /**", Some(0), 3),
        ]);
        assert_eq!(find(&table, "PUT /a"), "PUT /a");
        assert_eq!(find(&table, "POST /a"), "405 GET, HEAD, PUT");
        // A look-up that falls through from a more specific pattern ends there, too.
        let rules = [
            ("GET /a/x", Some(0), 1),
            ("GET /a/{id}", Some(0), 1),
            ("PUT /a/{id}", other, 1),
            ("ANY /**", Some(0), 3),
        ];
        assert_eq!(find(&grouped(&rules), "POST /a/x"), "405 GET, HEAD");
    }
}

#[test]
fn the_first_host_that_has_any_route_is_final() {
    let table = table(&["GET a.x/1", "GET *.x/2", "GET /3"], false);
    assert_eq!(find(&table, "GET A.X./1"), "GET a.x/1");
    assert_eq!(find(&table, "GET a.x:443/2"), "404");
    assert_eq!(find(&table, "GET b.x/2"), "GET *.x/2");
    assert_eq!(find(&table, "GET c.b.x/2"), "404");
    assert_eq!(find(&table, "GET b.x/3"), "404");
    assert_eq!(find(&table, "GET x/3"), "GET /3");
}

#[test]
fn equal_rules_conflict_and_the_order_of_matching_can_be_listed() {
    let rule = |path: &str| rule(0, &format!("ANY {path}"));
    assert_eq!(
        Table::new(vec![rule("/a/{x}"), rule("/b"), rule("/a/{y}")]).unwrap_err(),
        Conflict(0, 2)
    );
    let table = table(
        &[
            "GET /**",
            "ANY /b/{x}",
            "GET /b/{x}",
            "GET /b/c",
            "GET h/z",
            "GET /b",
        ],
        false,
    );
    let order: Vec<_> = table
        .in_match_order()
        .iter()
        .map(|rule| rule.value.text.as_str())
        .collect();
    assert_eq!(
        order,
        [
            "GET h/z",
            "GET /b",
            "GET /b/c",
            "GET /b/{x}",
            "ANY /b/{x}",
            "GET /**"
        ]
    );
}

#[test]
fn a_long_path_visits_each_node_once() {
    let params: String = (0..20).map(|n| format!("{{p{n}}}/")).collect();
    let deep = format!("GET /{params}z");
    let table = table(&[&deep, "GET /a/**"], false);
    assert_eq!(
        find(&table, &format!("GET /{}", "a/".repeat(4000))),
        "GET /a/**"
    );
}

// The time of a look-up depends on the path and not on the number of routes.
#[test]
fn ten_thousand_routes_are_as_quick_as_one() {
    let names: Vec<_> = (0..10_000).map(|n| format!("GET /r{n}/{{id}}/x")).collect();
    let names: Vec<_> = names
        .iter()
        .map(String::as_str)
        .chain(["GET /a/**"])
        .collect();
    let table = table(&names, false);
    for (request, rule) in [
        ("GET /r9999/1/x".to_owned(), "GET /r9999/{id}/x"),
        ("GET /r9999/1/y".to_owned(), "404"),
        (format!("GET /a/{}", "../".repeat(2600)), "GET /a/**"),
        (format!("GET /r5000/{}", "a/".repeat(4000)), "404"),
    ] {
        let took = (0..20).map(|_| {
            let began = crate::clock::monotonic();
            assert_eq!(find(&table, &request), rule);
            crate::clock::monotonic().saturating_duration_since(began)
        });
        // A release build takes a tenth of it; ten thousand comparisons would take many times more.
        let least = took.min().unwrap_or_default();
        assert!(
            least < std::time::Duration::from_millis(10),
            "{request:.20} took {least:?}"
        );
    }
}

#[test]
fn a_denied_rule_answers_its_paths_and_allow_does_not_name_its_methods() {
    let table = grouped(&[
        ("GET /a", None, 1),
        ("PATCH /a", None, 0),
        ("ANY /b/**", None, 0),
        ("GET /b/{id}", None, 3),
        ("GET /c", Some(0), 0),
        ("ANY /d", None, 3),
        ("GET /d", None, 0),
        ("ANY /**", Some(0), 3),
    ]);
    for (request, rule) in [
        ("PATCH /a", "PATCH /a"),
        ("PUT /a", "405 GET, HEAD"),
        ("POST /b/1/2", "ANY /b/**"),
        ("POST /b/1", "405 GET, HEAD"),
        ("BREW /b", "405 "),
        // A denied method does not fall through, and others do.
        ("GET /c", "GET /c"),
        ("HEAD /c", "GET /c"),
        ("POST /c", "ANY /**"),
        ("HEAD /d", "GET /d"),
        ("BREW /d", "405 DELETE, OPTIONS, PATCH, POST, PUT"),
        ("GET /z", "ANY /**"),
    ] {
        assert_eq!(find(&table, request), rule, "{request}");
    }
}

#[test]
fn a_denied_rule_without_an_upstream_protects_every_upstream() {
    let table = |upstream: usize| {
        let mut rules = vec![rule(upstream, "ANY /admin/**"), rule(1, "ANY /{x}/{y}")];
        rules.extend([rule(GATEWAY, "ANY /{x}"), rule(2, "ANY /**")]);
        rules[0].value.passes = 0;
        Table::new(rules).unwrap()
    };
    let shadowed = "shadowed by ANY /admin/**";
    for (upstream, request, expected) in [
        (EVERY, "GET /admin/x", "ANY /admin/**"),
        (EVERY, "GET /Admin/x", shadowed),
        (EVERY, "GET /ADMIN/x/y", shadowed),
        // No application is behind this one.
        (EVERY, "GET /Admin", "ANY /{x}"),
        (1, "GET /Admin/x", shadowed),
        (1, "GET /Admin/x/y", "ANY /**"),
        (GATEWAY, "GET /Admin/x", "ANY /{x}/{y}"),
    ] {
        assert_eq!(
            find(&table(upstream), request),
            expected,
            "{upstream} {request}"
        );
    }
}

#[test]
fn get_answers_head_unless_its_rule_says_otherwise() {
    let table = |texts: &[&str], fallthrough: bool| {
        let mut rules = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            rules.push(Rule {
                head: !text.starts_with("GET"),
                method_fallthrough: fallthrough.then_some(0),
                ..rule(index, text)
            });
        }
        Table::new(rules).unwrap()
    };
    let alone = table(&["GET /a", "POST /a", "ANY /**"], false);
    assert_eq!(find(&alone, "GET /a"), "GET /a");
    assert_eq!(find(&alone, "HEAD /a"), "405 GET, POST");
    let falls = table(&["GET /a", "ANY /**"], true);
    assert_eq!(find(&falls, "HEAD /a"), "ANY /**");
    let any = table(&["GET /a", "ANY /a"], false);
    assert_eq!(find(&any, "HEAD /a"), "ANY /a");
    let named = table(&["GET /a", "HEAD /a"], false);
    assert_eq!(find(&named, "HEAD /a"), "HEAD /a");
}

#[test]
fn allow_has_every_method_that_a_group_answers_for_a_path() {
    let table = grouped(&[
        ("GET /a/b", Some(0), 3),
        ("POST /a/{x}", Some(0), 3),
        ("DELETE /a/**", Some(0), 3),
        ("PATCH /**", Some(0), 3),
        ("GET /b", Some(0), 3),
        ("PUT /b/**", None, 3),
        ("PATCH /b/{x}", Some(0), 3),
    ]);
    for (path, expected) in [
        ("/a/b", "405 DELETE, GET, HEAD, PATCH, POST"),
        ("/a/c", "405 DELETE, PATCH, POST"),
        ("/a", "405 DELETE, PATCH"),
        ("/c", "405 PATCH"),
        // A route outside of the group lies between, and has another method.
        ("/b", "405 GET, HEAD"),
        ("/b/c", "405 PATCH"),
    ] {
        assert_eq!(find(&table, &format!("OPTIONS {path}")), expected, "{path}");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            let is_named = expected.contains(&format!(" {method}"));
            let found = find(&table, &format!("{method} {path}"));
            assert_eq!(
                !found.starts_with("405"),
                is_named,
                "{method} {path}: {found}"
            );
        }
    }
}
