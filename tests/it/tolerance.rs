//! *Tolerant reading*: a scoped route beside a wider one stays closed even if the application reads
//! paths loosely.

use crate::support::{Key, Pair, Request, Upstream};

/// `[[routes]]` of a path, with more lines.
fn route(path: &str, lines: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\n{lines}\n")
}

fn pair(routes: &[String]) -> Pair {
    Pair::start(&Key::ed25519("key-1"), "", &routes.concat())
}

const EVERYTHING: &str = "allow = \
                          [\"encoded-slash\", \"encoded-backslash\", \"backslash\", \"double-encoding\", \
                          \"empty-segment\", \"matrix\"]";

#[test]
fn no_loose_spelling_reaches_a_scoped_path_by_a_wider_route() {
    for wide in [
        "public = true".to_owned(),
        format!("public = true\n{EVERYTHING}"),
    ] {
        let pair = pair(&[route("/admin", "scopes = \"admin\""), route("/**", &wide)]);
        let ask = |target: &str| pair.ask(&Request::get(target));
        for target in [
            "/Admin",
            "/ADMIN",
            "/admin/",
            "/Admin/",
            "/admin.",
            "/admin..",
            "/admin%20",
            "/admin%3Fx",
            "/admin%23x",
        ] {
            let answer = ask(target).refused("shadowed_path");
            assert!(
                !answer.problem()["detail"].to_string().contains("admin"),
                "{answer:?}"
            );
        }
        for target in [
            "//admin",
            "/%2fadmin",
            "/admin;a",
            "/admin%3ba",
            "/%2561dmin",
            "/%5cadmin",
            "/admin%2f",
            "/admin;a/",
            "/admin;x%2fy",
        ] {
            ask(target).refused("ambiguous_path");
        }
        ask("/%61dmin").refused("missing_token");
        for target in [
            "/administrator",
            "/admin/x",
            "/x/admin",
            "/Other/",
            "/x.",
            "/a%20b",
            "/",
        ] {
            assert_eq!(ask(target).forwarded().target, target);
        }
        let request = Request::get("/admin").bearer(&pair.token("admin"));
        assert_eq!(pair.ask(&request).forwarded().target, "/admin");
        pair.check_counts();
    }
}

#[test]
fn no_loose_spelling_reaches_a_scoped_subtree_by_a_wider_route() {
    for wide in [
        "public = true".to_owned(),
        format!("public = true\n{EVERYTHING}"),
    ] {
        let pair = pair(&[
            route("/admin/**", "scopes = \"admin\"\nallow = [\"matrix\"]"),
            route("/**", &wide),
        ]);
        let ask = |target: &str| pair.ask(&Request::get(target));
        for target in ["/Admin", "/Admin/x", "/admin.", "/admin%20/x", "/admin%3Fx"] {
            ask(target).refused("shadowed_path");
        }
        for target in [
            "//admin/x",
            "/%2fadmin/x",
            "/admin;a/x",
            "/%2561dmin",
            "/admin%2fx",
            "/admin%5cx",
            "/x%2f..%2fadmin",
        ] {
            ask(target).refused("ambiguous_path");
        }
        for target in ["/%61dmin", "/admin/", "/admin/x;a", "/%61dmin/x;a"] {
            ask(target).refused("missing_token");
        }
        let request = Request::get("/admin/x;a").bearer(&pair.token("admin"));
        assert_eq!(pair.ask(&request).forwarded().target, "/admin/x;a");
        assert_eq!(ask("/Other/x.").forwarded().target, "/Other/x.");
    }
    // What the wider route allows it still allows elsewhere.
    let pair = pair(&[
        route("/admin/**", "scopes = \"admin\""),
        route("/**", &format!("public = true\n{EVERYTHING}")),
    ]);
    for target in ["//x", "/x%2fadmin", "/x;a/admin", "/%2578", "/x\\y"] {
        assert_eq!(pair.ask(&Request::get(target)).forwarded().target, target);
    }
    pair.ask(&Request::get("/admin/x;a"))
        .refused("ambiguous_path");
}

#[test]
fn a_lesser_scope_is_a_wider_route_as_well() {
    let pair = pair(&[
        route("/users/admin", "scopes = \"admin\""),
        route("/users/{id}", "scopes = \"user\""),
        route("/reports", "methods = { GET = \"reports\" }"),
        route("/**", "authenticated = true"),
    ]);
    let token = pair.token("user");
    let ask = |target: &str| pair.ask(&Request::get(target).bearer(&token));
    for target in [
        "/users/Admin",
        "/users/admin.",
        "/Users/admin",
        "/users/ADMIN%20",
    ] {
        ask(target).refused("shadowed_path");
    }
    // Before the token is looked at.
    pair.ask(&Request::get("/users/Admin"))
        .refused("shadowed_path");
    ask("/users/admin").refused("insufficient_scope");
    assert_eq!(ask("/users/Bob").forwarded().target, "/users/Bob");
    assert_eq!(ask("/users/AdminX").forwarded().target, "/users/AdminX");
    // Who may not `POST /reports` by any token may not by another spelling.
    pair.ask(&Request::new("POST", "/reports/").bearer(&token))
        .refused("shadowed_path");
    pair.ask(&Request::new("OPTIONS", "/Reports").bearer(&token))
        .refused("shadowed_path");
    pair.ask(&Request::new("POST", "/reports").bearer(&token))
        .refused("method_not_allowed");
}

#[test]
fn a_route_that_lets_everybody_pass_stands_in_no_ones_way() {
    let pair = pair(&[
        route("/a/x", "scopes = { any = [\"a\", \"b\"] }"),
        route("/a/**", "scopes = \"a\""),
        route("/b/x", "public = true"),
        route("/b/**", "scopes = \"b\""),
        route("/c/x", "scopes = [\"c\", \"d\"]"),
        route(
            "/c/**",
            "scopes = { any = [\"c\", { all = [\"d\", \"e\"] }] }",
        ),
    ]);
    for (target, scope) in [("/a/X", "a"), ("/a/x/", "a"), ("/b/X", "b")] {
        let request = Request::get(target).bearer(&pair.token(scope));
        assert_eq!(pair.ask(&request).forwarded().target, target);
    }
    pair.ask(&Request::get("/c/X").bearer(&pair.token("c d")))
        .refused("shadowed_path");
}

#[test]
fn another_upstream_is_another_application() {
    let other = Upstream::start();
    let routes = [
        other.toml("other"),
        route("/admin", "scopes = \"admin\"\nupstream = \"other\""),
        route("/**", "public = true"),
    ];
    let pair = pair(&routes);
    for target in ["/Admin", "/admin/", "/admin."] {
        assert_eq!(pair.ask(&Request::get(target)).forwarded().target, target);
    }
    pair.ask(&Request::get("/admin")).refused("missing_token");
}

#[test]
fn another_host_has_a_table_of_its_own() {
    let pair = pair(&[
        route("/admin", "scopes = \"admin\"\nhost = \"a.test\""),
        route("/**", "public = true\nhost = \"a.test\""),
        route("/**", "public = true\nhost = \"b.test\""),
    ]);
    let ask = |host: &str| pair.ask(&Request::get("/Admin").field("host", host));
    ask("a.test").refused("shadowed_path");
    assert_eq!(ask("b.test").forwarded().target, "/Admin");
}

#[test]
fn a_wider_route_that_spells_a_path_serves_it() {
    let pair = pair(&[
        route("/admin", "scopes = \"admin\""),
        route("/Admin", "public = true"),
        route("/admin/", "public = true"),
        route("/{x}/y", "scopes = \"admin\""),
        route("/Z/{y}", "public = true"),
        route("/**", "public = true"),
    ]);
    for target in ["/Admin", "/admin/", "/Z/Y"] {
        assert_eq!(pair.ask(&Request::get(target)).forwarded().target, target);
    }
    for target in ["/ADMIN", "/Admin/", "/z/Y", "/admin."] {
        pair.ask(&Request::get(target)).refused("shadowed_path");
    }
}

#[test]
fn a_spelled_difference_hides_no_other_one() {
    let pair = pair(&[
        route(
            "/{org}/{repo}/readme/",
            "public = true\nallow = [\"encoded-slash\"]",
        ),
        route("/admin/{kind}/{id}", "scopes = \"admin\""),
        route("/{tenant}/Docs/{doc}/raw", "public = true"),
        route("/admin/docs/**", "scopes = \"admin\""),
        route("/Help/**", "public = true"),
        route("/help/**", "scopes = \"help\""),
    ]);
    let ask = |target: &str| pair.ask(&Request::get(target));
    for target in ["/admin/users%2F5%3F/readme/", "/admin/users%2F5%23/readme/"] {
        ask(target).refused("ambiguous_path");
    }
    for target in ["/admin/Docs/secret%3F/raw", "/admin/Docs/%23/raw"] {
        ask(target).refused("shadowed_path");
    }
    // The routes spell these differences: the last slash and the case of their literals.
    for target in [
        "/admin/users/readme/",
        "/admin/Docs/secret/raw",
        "/Help/A%20",
        "/Help/a%3Fb",
        "/eu/Docs/secret%3F/raw",
    ] {
        assert_eq!(ask(target).forwarded().target, target);
    }
}

#[test]
fn a_query_a_fragment_and_a_blank_hide_no_dot_segment() {
    let pair = pair(&[
        route("/users/{id}", "scopes = \"users\""),
        route("/users/{id}/avatar/{file}", "public = true"),
        route("/public/**", "public = true"),
        route("/admin/**", "scopes = \"admin\""),
    ]);
    for target in [
        "/users/5/avatar/..",
        "/users/5/avatar/..%3F",
        "/users/5/avatar/..%23x",
        "/users/5/avatar/.%3Fa=b",
        "/public/..%C2%85/admin/x",
        "/public/..%EF%BB%BF/admin/x",
        "/public/..%E2%80%8B/admin/x",
        "/public/%E1%A0%8E../admin/x",
    ] {
        pair.ask(&Request::get(target)).refused("ambiguous_path");
    }
    for target in ["/users/5/avatar/me.png%3Fv", "/public/what%3F../x"] {
        let request = Request::get(target);
        assert_eq!(pair.ask(&request).forwarded().target, target);
    }
}

#[test]
fn the_stricter_route_releases_what_its_application_tells_apart() {
    let table = |strict: &str, wide: &str| {
        pair(&[
            route("/admin", &format!("scopes = \"admin\"\n{strict}")),
            route("/**", &format!("public = true\n{wide}")),
        ])
    };
    let both = table("distinct = [\"slash\", \"case\"]", "");
    for target in ["/Admin", "/admin/", "/ADMIN/"] {
        assert_eq!(both.ask(&Request::get(target)).forwarded().target, target);
    }
    for target in ["/admin.", "/admin%20", "/admin%3Fx"] {
        both.ask(&Request::get(target)).refused("shadowed_path");
    }
    let slash = table("distinct = \"slash\"", "");
    assert_eq!(
        slash.ask(&Request::get("/admin/")).forwarded().target,
        "/admin/"
    );
    slash.ask(&Request::get("/Admin")).refused("shadowed_path");
    // The wider one releases nothing, and a default is for both.
    table("", "")
        .ask(&Request::get("/Admin"))
        .refused("shadowed_path");
}

#[test]
fn a_group_that_falls_through_protects_the_methods_that_a_path_has() {
    let group = |lines: &str| format!("[[groups]]\n{lines}\n");
    let member =
        |path: &str, lines: &str| format!("[[groups.routes]]\npath = \"{path}\"\n{lines}\n");
    let pair = pair(&[
        group("prefix = \"/g\"\nmethod_fallthrough = true"),
        member("/admin", "methods = { GET = \"admin\" }"),
        member("/**", "public = true"),
    ]);
    for target in ["/g/Admin", "/g/admin/", "/g/admin%20"] {
        pair.ask(&Request::get(target)).refused("shadowed_path");
    }
    for target in ["/g/admin", "/g/admin/", "/g/Admin"] {
        pair.ask(&Request::new("POST", target)).forwarded();
    }
    pair.ask(&Request::get("/g/admin/x")).forwarded();
    pair.ask(&Request::get("/g/admin")).refused("missing_token");
}

#[test]
fn a_group_goes_on_within_itself_alone() {
    let group = |prefix: &str| {
        format!("[[groups]]\nmethod_fallthrough = true\nstrip = false\nprefix = \"{prefix}\"\n")
    };
    let member =
        |path: &str, lines: &str| format!("[[groups.routes]]\npath = \"{path}\"\n{lines}\n");
    let pair = pair(&[
        group("/a"),
        member("/x", "methods = { GET = \"x\" }"),
        group("/a"),
        member("/**", "public = true"),
        group("/b"),
        member("/x", "methods = { GET = \"x\" }"),
        member("/**", "methods = { POST = { public = true } }"),
        route("/b/{id}", "scopes = \"b\""),
        group("/c"),
        member("/x", "methods = { GET = \"x\" }"),
        member("/**", "methods = { POST = \"c\" }"),
        route("/c/{id}", "public = true"),
    ]);
    let refused = pair
        .ask(&Request::new("POST", "/a/x"))
        .refused("method_not_allowed");
    assert_eq!(refused.field("allow"), Some("GET, HEAD"));
    pair.ask(&Request::new("POST", "/a/y")).forwarded();
    // Past a stricter route of others it does not go, past one that lets everybody pass it does.
    pair.ask(&Request::new("POST", "/b/x"))
        .refused("method_not_allowed");
    pair.ask(&Request::new("POST", "/b/x/y")).forwarded();
    pair.ask(&Request::new("POST", "/c/x").bearer(&pair.token("c")))
        .forwarded();
}

#[test]
fn a_path_without_a_route_is_not_said_to_be_forbidden() {
    let pair = pair(&[
        route(
            "/a/{id}/b",
            "public = true\nallow = [\"empty-segment\", \"matrix\"]",
        ),
        route("/f/{rest+}", "public = true\nallow = [\"empty-segment\"]"),
        route("/e/{id}", "public = true\nallow = [\"matrix\"]"),
    ]);
    let detail = |target: &str| {
        let answer = pair.ask(&Request::get(target)).refused("ambiguous_path");
        answer.problem()["detail"].as_str().unwrap().to_owned()
    };
    // `{id}` and the first segment of `{rest+}` are not empty, whatever is allowed.
    for target in ["/a//b", "/f//x"] {
        let expected = "The path can be read in more than one way (empty-segment), and nothing \
                        here answers to it.";
        assert_eq!(detail(target), expected, "{target}");
    }
    assert_eq!(
        detail("/a/x%2f/b"),
        "The path can be read in more than one way (encoded-slash), which is not allowed here."
    );
    assert_eq!(
        pair.ask(&Request::get("/f/x//y")).forwarded().target,
        "/f/x//y"
    );
    // An escaped `;` is a `;`, and what follows one is looked at, too.
    assert_eq!(
        pair.ask(&Request::get("/e/x%3Ba")).forwarded().target,
        "/e/x%3Ba"
    );
    assert!(detail("/f/x%3Ba").contains("(matrix)"));
    assert!(detail("/e/x;..").contains("(dot-segment)"));
    assert!(detail("/e/x%09").contains("(control-character)"));
    assert!(detail("/e/..%20").contains("(dot-segment)"));
}

#[test]
fn any_is_the_common_methods_alone() {
    let pair = pair(&[route("/x", "public = true\nmethods = \"ANY\"")]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        pair.ask(&Request::new(method, "/x")).forwarded();
    }
    for method in ["PROPFIND", "BREW", "get", "TRACE"] {
        let refused = pair
            .ask(&Request::new(method, "/x"))
            .refused("method_not_allowed");
        assert_eq!(
            refused.field("allow"),
            Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
        );
    }
}

#[test]
fn a_parameter_beside_a_public_subtree_keeps_its_last_slash_closed() {
    let pair = pair(&[
        route("/{id}", "scopes = \"read\""),
        route("/**", "public = true"),
    ]);
    pair.ask(&Request::get("/x/")).refused("shadowed_path");
    pair.ask(&Request::get("/x")).refused("missing_token");
    assert_eq!(pair.ask(&Request::get("/x/y/")).forwarded().target, "/x/y/");
}

/// One tolerant reading of these paths has another number of segments, and no longer the scoped
/// route's. An application that folds nothing but case, or the last slash, still takes them for
/// that route.
#[test]
fn an_application_that_folds_less_reaches_no_scoped_path() {
    let wide = "public = true".to_owned();
    let wide_open = format!("public = true\n{EVERYTHING}");
    for wide in [&wide, &wide_open] {
        let pair = pair(&[
            route("/users/{id}/roles", "scopes = \"admin\""),
            route("/orders/{id}/cancel", "methods = { POST = \"admin\" }"),
            route("/files/{rest+}", "scopes = \"admin\""),
            route("/t/{id}/**", "scopes = \"admin\""),
            route("/**", wide),
        ]);
        for target in [
            "/Users/5%3F/roles",
            "/users/5%3F/roles/",
            "/users/5%3F/Roles",
            "/Users/5%23/roles",
            "/Users/%20/roles",
            "/users/.../roles/",
            "/Files/%3F",
            "/Files/%20",
            "/T/%3Fx/y",
            "/Users/5%23/roles%3Fx",
            "/users/.../roles%20",
        ] {
            pair.ask(&Request::get(target)).refused("shadowed_path");
        }
        pair.ask(&Request::new("POST", "/Orders/5%3F/cancel"))
            .refused("shadowed_path");
        for target in [
            "/Users/5%2Fx/roles",
            "/users/5\\x/Roles",
            "/Users/%3B/roles;y",
        ] {
            pair.ask(&Request::get(target)).refused("ambiguous_path");
        }
        // No application takes these for one of the scoped routes.
        for target in [
            "/Users",
            "/Users/5/role",
            "/Users/5%3Fx",
            "/X%3F/5/roles",
            "/Files/",
            "/",
        ] {
            assert_eq!(pair.ask(&Request::get(target)).forwarded().target, target);
        }
    }
    let pair = pair(&[
        route("/{id}/", "scopes = \"admin\""),
        route("/**", "public = true"),
    ]);
    for target in ["/...", "/%20", "/x"] {
        pair.ask(&Request::get(target)).refused("shadowed_path");
    }
}

#[test]
fn an_application_that_keeps_an_escaped_slash_reaches_no_scoped_path() {
    for (allow, targets) in [
        ("encoded-slash", &["/Users/5%2Fx", "/users/5%2Fx/"][..]),
        ("encoded-backslash", &["/Users/5%5Cx"]),
        ("backslash", &["/Users/5\\x", "/users/5\\x/"]),
        ("matrix", &["/Users/%3B", "/users/;a/"]),
    ] {
        let pair = pair(&[
            route("/users/{id}", "scopes = \"admin\""),
            route("/**", &format!("public = true\nallow = [\"{allow}\"]")),
        ]);
        for target in targets {
            pair.ask(&Request::get(target)).refused("ambiguous_path");
        }
    }
}

#[test]
fn an_application_that_decodes_before_it_cuts_reaches_no_scoped_path() {
    let pair = pair(&[
        route("/admin/x", "scopes = \"admin\""),
        route(
            "/**",
            "public = true\nallow = [\"matrix\", \"double-encoding\"]",
        ),
    ]);
    for target in ["/admin;b%252fx", "/admin%253bb%252fx", "/admin%252fx;b"] {
        pair.ask(&Request::get(target)).refused("ambiguous_path");
    }
    assert_eq!(
        pair.ask(&Request::get("/admin;b%252fy")).forwarded().target,
        "/admin;b%252fy"
    );
}

#[test]
fn a_route_that_takes_cookies_from_more_pages_is_a_wider_one() {
    let ask = |admin: &str, wide: &str, target: &str| {
        let cookie = |lines: &str| format!("scopes = \"a\"\ntoken_from = \"cookie:s\"\n{lines}");
        let pair = pair(&[route("/admin", &cookie(admin)), route("/**", &cookie(wide))]);
        let cookie = format!("s={}", pair.token("a"));
        let request = Request::new("POST", target).field("cookie", &cookie);
        pair.ask(&request.field("origin", "https://evil.test"))
    };
    let any = "cookie_origins = \"any\"";
    let evil = "cookie_origins = [\"https://evil.test\"]";
    let cors = "cors = { origins = [\"https://evil.test\"] }";
    for wide in [any, evil, cors] {
        ask("", wide, "/admin").refused("cross_site_request");
        ask("", wide, "/Admin").refused("shadowed_path");
        ask("", wide, "/other").forwarded();
    }
    ask(any, evil, "/Admin").forwarded();
    ask(cors, evil, "/Admin").forwarded();
    ask(any, "", "/Admin").refused("cross_site_request");
}
