//! Tests of variables: precedence, places, and that a value is text.

use crate::config::{Config, GivenVariables, Origin, Overrides, Problems};
use crate::telemetry::Reason;
use crate::token::Audience;

/// A configuration with an issuer and an upstream that variables describe.
const FILE: &str = r#"
[variables]
pool = "pool-1"
host = "orders.internal"

[issuers.idp]
issuer   = "https://idp.example.com/${pool}"
jwks_uri = "https://${host}/keys"
audience = ["${pool}", "b"]

[upstreams.orders]
url = "http://${host}:8080"

[[routes]]
path     = "/orders"
upstream = "orders"
methods  = { GET = "orders.read" }
"#;

fn load(text: &str, given: GivenVariables) -> Result<Config, Problems> {
    let overrides = Overrides {
        variables: given,
        ..Overrides::default()
    };
    Config::load_text(text, &overrides)
}

/// Values of `--var` and of the environment.
fn given(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> GivenVariables {
    let mut given = GivenVariables::default();
    for (name, value) in flags {
        given.flags.push(((*name).into(), (*value).into()));
    }
    for (name, value) in environment {
        let value = Some((*value).to_owned());
        given.environment.insert((*name).into(), value);
    }
    given
}

fn problems(text: &str, given: GivenVariables) -> Vec<String> {
    match load(text, given) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.lines().collect(),
    }
}

/// Returns the URL of the only upstream.
fn upstream(config: &Config) -> String {
    config.upstreams[0].url.to_string()
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let flag = [("host", "flag.internal")];
    let environment = [("HOST", "env.internal"), ("UNUSED", "x")];
    for (given, url, origin) in [
        (given(&[], &[]), "http://orders.internal:8080", Origin::File),
        (
            given(&[], &environment),
            "http://env.internal:8080",
            Origin::Environment,
        ),
        (
            given(&flag, &environment),
            "http://flag.internal:8080",
            Origin::Flag,
        ),
    ] {
        let config = load(FILE, given).unwrap();
        assert_eq!(upstream(&config).trim_end_matches('/'), url);
        let host = config.variables.iter().find(|one| &*one.name == "host");
        assert_eq!(host.unwrap().origin, origin);
        assert_eq!(config.variables.len(), 2);
        assert_eq!(
            &*config.issuers[0].entry.issuer,
            "https://idp.example.com/pool-1"
        );
    }
}

#[test]
fn a_variable_that_the_file_does_not_define_may_come_from_outside() {
    let text = FILE.replace("host = \"orders.internal\"\n", "");
    let problem = &problems(&text, given(&[], &[]))[0];
    assert!(
        problem.contains(":7:21: \"${host}\": there is no such variable"),
        "{problem}"
    );
    assert!(problem.contains("SCOPEGATE_VAR_HOST"), "{problem}");
    for given in [
        given(&[("host", "a.internal")], &[]),
        given(&[], &[("HOST", "a.internal")]),
    ] {
        let config = load(&text, given).unwrap();
        assert_eq!(
            upstream(&config).trim_end_matches('/'),
            "http://a.internal:8080"
        );
    }
}

#[test]
fn the_hash_changes_with_a_value_and_check_shows_it() {
    let mut hashes = Vec::new();
    for host in ["a.internal", "b.internal"] {
        for given in [given(&[("host", host)], &[]), given(&[], &[("HOST", host)])] {
            let config = load(FILE, given).unwrap();
            let policy = crate::config::effective_policy(&config);
            assert!(policy.contains(&format!("host  {host}")), "{policy}");
            hashes.push(config.hash);
        }
    }
    hashes.push(load(FILE, GivenVariables::default()).unwrap().hash);
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[2], hashes[3]);
    assert!(hashes[0] != hashes[2] && hashes[0] != hashes[4]);
}

#[test]
fn a_value_is_text_and_not_read_again() {
    let text = FILE.replace("/${pool}", "");
    let given = given(&[("pool", "${host}-$$-{tenant}")], &[]);
    let config = load(&text, given).unwrap();
    let Audience::OneOf(audience) = &config.issuers[0].rules.audience else {
        panic!("an audience");
    };
    assert_eq!(&*audience[0], "${host}-$$-{tenant}");
}

// A value cannot add to the file: it is a part of one string.
#[test]
fn a_value_takes_part_in_the_checks_of_its_key() {
    for (value, words) in [
        (
            "a b",
            "the value from --var has \" \", which is no part of the host",
        ),
        ("x\"\n[upstreams.evil]", "has a control character"),
        ("x/../y", "the value from --var has \"/\""),
        ("", "is empty"),
        ("user:secret@x", "the value from --var has \"@\""),
        ("{tenant}", "${host}"),
    ] {
        let found = problems(FILE, given(&[("host", value)], &[]));
        assert!(!found.is_empty(), "{value:?}");
        for problem in found {
            assert!(problem.contains(words), "{value:?}: {problem}");
            assert!(problem.contains(".toml") || problem.contains("standard input:"));
        }
    }
    let placeholder = problems(FILE, given(&[("pool", "{tenant}")], &[]));
    assert!(placeholder[0].contains("has a brace"), "{placeholder:?}");
    let mut broken = given(&[], &[]);
    broken.environment.insert("HOST".into(), None);
    assert!(problems(FILE, broken)[0].contains("SCOPEGATE_VAR_HOST is not UTF-8"));
}

#[test]
fn a_name_of_the_command_line_is_one_of_the_configuration() {
    let found = problems(FILE, given(&[("hots", "a"), ("POOL", "b")], &[]));
    assert_eq!(
        found,
        [
            "--var hots: the configuration has no variable \"hots\"; did you mean \"host\"?",
            "--var POOL: the configuration has no variable \"POOL\"; did you mean \"pool\"?",
        ]
    );
    let twice = problems(FILE, given(&[("host", "a"), ("host", "b")], &[]));
    assert_eq!(twice, ["--var host is given twice: keep one of them"]);
}

#[test]
fn a_reference_stands_in_its_places_alone() {
    for (from, to) in [
        ("path     = \"/orders\"", "path = \"/${pool}\""),
        (
            "path     = \"/orders\"",
            "host = \"${host}\"\npath = \"/orders\"",
        ),
        ("upstream = \"orders\"", "upstream = \"${pool}\""),
        ("GET = \"orders.read\"", "GET = \"${pool}.read\""),
        (
            "GET = \"orders.read\"",
            "GET = { any = [\"a\", \"${pool}\"] }",
        ),
        ("GET = \"orders.read\"", "\"${pool}\" = \"orders.read\""),
        (
            "methods  =",
            "forward = { \"x-user\" = \"${pool}\" }\nmethods =",
        ),
        ("[upstreams.orders]", "[upstreams.\"${pool}\"]"),
        (
            "audience =",
            "required_claims = { pool = \"${pool}\" }\naudience =",
        ),
        (
            "[[routes]]",
            "[server]\nlisten = \"${host}:80\"\n[[routes]]",
        ),
    ] {
        assert!(FILE.contains(from), "{from}");
        let found = problems(&FILE.replace(from, to), GivenVariables::default());
        let problem = found
            .iter()
            .find(|line| line.contains("takes no variables"));
        let problem = problem.unwrap_or_else(|| panic!("{to}: {found:?}"));
        assert!(
            problem.contains("variables may stand in \"url\""),
            "{problem}"
        );
    }
}

#[test]
fn a_dollar_is_written_twice_and_an_error_points_at_the_reference() {
    let text = FILE.replace("/${pool}\"", "/$$%7Bpool%7D$\"");
    let config = load(&text, GivenVariables::default()).unwrap();
    let issuer = &*config.issuers[0].entry.issuer;
    assert_eq!(issuer, "https://idp.example.com/$%7Bpool%7D$");
    for (reference, words) in [
        (
            "${pol}",
            ":7:37: \"${pol}\": there is no such variable; did you mean \"pool\"?",
        ),
        ("${Pool}", "did you mean \"pool\"?"),
        ("${pool", ":7:37: \"${\" without \"}\""),
        ("${claim:sub}", ":7:37: \"${claim:sub}\" cannot stand here"),
        ("${request_id}", "\"${request_id}\" cannot stand here"),
        ("${po-ol}", "is no reference"),
    ] {
        let text = FILE.replace("/${pool}", &format!("/${reference}").replace("/$$", "/$"));
        let found = problems(&text, GivenVariables::default());
        assert!(found[0].contains(words), "{reference}: {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn names_are_plain_free_and_unlike() {
    for (line, words) in [
        ("a-b = \"x\"", "\"a-b\" is no name of a variable"),
        ("request_id = \"x\"", "\"${request_id}\" is about a request"),
        ("Detail = \"x\"", "is about a request"),
        ("POOL = \"x\"", "\"POOL\" and \"pool\" differ in case alone"),
        ("n = 1", "variable \"n\" is a string, not an integer"),
        ("n = \"\"", "variable \"n\" is empty"),
        ("n = \"a\\tb\"", "variable \"n\" has a control character"),
    ] {
        let text = FILE.replace("[issuers.idp]", &format!("{line}\n[issuers.idp]"));
        let found = problems(&text, GivenVariables::default());
        assert!(found[0].contains(words), "{line}: {found:?}");
    }
    let text = format!("variables = \"x\"\n{FILE}").replace("[variables]\n", "");
    let found = problems(&text, GivenVariables::default());
    assert!(
        found.iter().any(|line| line.contains("not a table")),
        "{found:?}"
    );
}

#[test]
fn a_field_of_an_answer_takes_variables_and_its_body_takes_none() {
    let entry = |what: &str| format!("{FILE}[[errors.responses]]\nfor = \"4xx\"\n{what}\n");
    let field = entry(r#"headers = { x-pool = "${pool} ${request_id} $$" }"#);
    let config = load(&field, GivenVariables::default()).unwrap();
    let answer = config.errors.response(Reason::NoRoute, true).unwrap();
    assert_eq!(answer.headers[0].1.sample("id"), "pool-1 id $");
    // A value is no more than the file could have said in its place.
    let found = problems(&field, given(&[("pool", "é")], &[]));
    assert!(found[0].contains("printable ASCII"), "{found:?}");
    let typed = entry("headers = { content-type = \"text/${pool}\" }\nbody = \"a\"");
    assert!(load(&typed, GivenVariables::default()).is_ok());
    let body = entry("body = \"${pool}\"");
    let found = problems(&body, GivenVariables::default());
    assert!(
        found[0].contains("\"${pool}\" cannot stand here"),
        "{found:?}"
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_variable_that_nothing_refers_to_is_noted() {
    let text = FILE.replace("[issuers.idp]", "spare = \"x\"\n[issuers.idp]");
    let config = load(&text, GivenVariables::default()).unwrap();
    assert!(
        config.notes[0].contains("variable \"spare\" is used nowhere"),
        "{:?}",
        config.notes
    );
}

/// Returns the problems of a route that answers itself, with a field of this value.
fn answering(field: &str, more: &str) -> Vec<String> {
    let text = format!(
        "[[routes]]\npath = \"/x/**\"\npublic = true\nrespond = {{ headers = {{ {field} }} }}\n\
         {more}"
    );
    problems(&text, GivenVariables::default())
}

#[test]
fn the_whole_query_stands_at_the_end_of_a_url_alone() {
    let redirect = "location = \"https://${header:host}/{rest}?${query}\"";
    assert_eq!(answering(redirect, ""), [""; 0]);
    for field in [
        "location = \"/${query}\"",
        "location = \"${query}\"",
        "refresh = \"0; url=/?${query}\"",
        "x-query = \"?${query}\"",
        "set-cookie = \"a=${query}\"",
    ] {
        let found = answering(field, "");
        assert!(
            found.len() == 1 && found[0].contains("\"${query}\" stands behind"),
            "{field}: {found:?}"
        );
    }
    for place in ["request_headers", "response_headers"] {
        let rule = format!("{place} = {{ set = {{ x-a = \"${{query}}\" }} }}\n");
        let text = FILE.replace("methods  =", &format!("{rule}methods ="));
        let found = problems(&text, GivenVariables::default());
        assert!(
            found[0].contains("\"${query}\" cannot stand here"),
            "{found:?}"
        );
    }
    // A client that knows the one route sends its token to the other as well.
    let token = "[[routes]]\npath = \"/t\"\nupstream = \"orders\"\nmethods = { GET = \"a\" }\n\
                 token_from = [\"query:token\"]\n";
    let found = answering(
        redirect,
        &FILE.replace("[[routes]]", &format!("{token}[[routes]]")),
    );
    assert!(
        found[0].contains("\"${query}\" may hold a token"),
        "{found:?}"
    );
}

#[test]
fn no_value_of_a_request_stands_in_a_host() {
    let rule = |field: &str| {
        let rule = format!("response_headers = {{ set = {{ {field} }} }}\n");
        let text = FILE.replace(
            "path     = \"/orders\"",
            &format!("path = \"/orders/{{rest+}}\"\n{rule}"),
        );
        problems(&text, GivenVariables::default())
    };
    for field in [
        "location = \"https://a.test{rest}\"",
        "content-location = \"//{rest}\"",
        "refresh = \"0; url=https://a.test{rest}\"",
        "link = \"<https://${claim:sub}/x>; rel=next\"",
    ] {
        let found = rule(field);
        assert!(
            found.len() == 1 && found[0].contains("would be a part of a host"),
            "{found:?}"
        );
    }
    assert_eq!(rule("location = \"https://a.test/{rest}\""), [""; 0]);
    for field in [
        "refresh = \"0; url=https://a.test{rest}\"",
        "link = \"<//{rest}>\"",
    ] {
        let found = answering(field, "");
        assert!(
            found.len() == 1 && found[0].contains("would be a part of a host"),
            "{found:?}"
        );
    }
}

#[test]
fn a_value_stays_in_its_part_of_a_url() {
    for value in [
        "user@evil.test",
        "evil.test/",
        "evil.test?",
        "evil.test#",
        "a\\b",
        "a b",
        "a%2Fb",
    ] {
        for (from, to) in [
            ("http://${host}:8080", "http://${host}:8080"),
            ("http://${host}:8080", "http://orders.${host}"),
            ("https://idp.example.com/${pool}", "https://${host}/${pool}"),
            (
                "[[routes]]",
                "[server]\npublic_url = \"https://${host}\"\n[[routes]]",
            ),
        ] {
            let found = problems(&FILE.replace(from, to), given(&[("host", value)], &[]));
            let told = found
                .iter()
                .find(|line| line.contains("no part of the host of a URL"));
            assert!(told.is_some(), "{value} in {to}: {found:?}");
        }
    }
    let of_path = "no part of the path of a URL";
    for value in ["a?b", "a#b", "..", "a/../b", "a\\b", "%2e%2E", "a/.%2e/b"] {
        let found = problems(FILE, given(&[("pool", value)], &[]));
        assert!(found[0].contains(of_path), "{value}: {found:?}");
    }
    // A step may begin in the text before the value.
    let begun = FILE.replace(
        "https://idp.example.com/${pool}",
        "https://idp.example.com/.${pool}",
    );
    let found = problems(&begun, given(&[("pool", "./a")], &[]));
    assert!(found[0].contains(of_path), "{found:?}");
    assert_eq!(problems(&begun, given(&[("pool", "pool-2")], &[])), [""; 0]);
    let socket = FILE.replace("http://${host}:8080", "unix:/run/${dir}/x.sock");
    for value in ["..", "../x", "a/../../x"] {
        let found = problems(&socket, given(&[("dir", value)], &[]));
        assert!(found[0].contains(of_path), "{value}: {found:?}");
    }
    assert_eq!(problems(&socket, given(&[("dir", "a/b")], &[])), [""; 0]);
    assert_eq!(
        problems(FILE, given(&[("pool", "a/b"), ("host", "h:1")], &[])).len(),
        1
    );
    let whole = FILE.replace("https://idp.example.com/${pool}", "${issuer}");
    let issuer = given(&[("issuer", "https://idp.example.com/a")], &[]);
    assert_eq!(problems(&whole, issuer), [""; 0]);
}

#[test]
fn a_value_stays_in_its_part_of_a_rewrite() {
    let with = |rewrite: &str, value: &str| {
        let rewrite = format!("rewrite = \"{rewrite}\"\n");
        let text = FILE.replace(
            "path     = \"/orders\"",
            &format!("path = \"/orders/{{id}}\"\n{rewrite}"),
        );
        load(&text, given(&[("base", value)], &[]))
    };
    for value in [
        "a?b=c", "a/../b", "..", ".", "{id}", "**", "a#b", "a%2Fb", "a\\b", "a;b", "a//b", "a/",
        "é",
    ] {
        let found = with("/${base}/{id}", value);
        let found: Vec<_> = found.unwrap_err().lines().collect();
        assert!(
            found[0].contains("value of \"${base}\" is not made of segments"),
            "{value}: {found:?}"
        );
    }
    for value in ["v2", "api/v2", "/api", "a.b", "a:b@c"] {
        assert!(with("/x${base}/{id}", value).is_ok(), "{value}");
    }
    let config = with("/x/{id}?tenant=${base}&b=1", "a&b=2#").unwrap();
    let rewrite = config.routes[0].heads.rewrite.as_ref().unwrap();
    assert_eq!(rewrite.query().names().collect::<Vec<_>>(), ["tenant", "b"]);
}

#[test]
fn the_texts_of_a_function_take_variables() {
    let text = FILE.replace(
        "url = \"http://${host}:8080\"\n",
        "url = \"http://${host}:8080\"\nlambda = { function = \"orders:${stage}\", account_id = \
         \"${account}\", api_id = \"${account}\", stage = \"${stage}\", stage_variables = { table \
         = \"orders-${stage}\", price = \"$$5\" } }\n",
    );
    let values = given(&[("stage", "prod"), ("account", "123456789012")], &[]);
    let config = load(&text, values).unwrap();
    let function = config.upstreams[0].lambda.as_ref().unwrap();
    assert_eq!(function.name.as_str(), "orders:prod");
    assert_eq!(&*function.account_id, "123456789012");
    assert_eq!(&*function.api_id, "123456789012");
    assert_eq!(function.stage.as_deref(), Some("prod"));
    let variables = function.stage_variables.iter();
    let variables: Vec<_> = variables.map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(variables, [("price", "$5"), ("table", "orders-prod")]);
    // A value is checked as if it stood there, and the name of a variable of the stage is a key.
    for (from, to) in [("orders:${stage}", "${stage}"), ("table", "\"${stage}\"")] {
        let found = problems(
            &text.replace(from, to),
            given(&[("stage", "a/b"), ("account", "1")], &[]),
        );
        assert!(!found.is_empty(), "{to}");
    }
}
