//! Upstreams that may be one application.

use super::*;

const FUNCTION: &str = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/\
                        arn:aws:lambda:eu-west-1:123456789012:function:NAME/invocations";

fn integration(target: &str) -> String {
    match target.contains("://") {
        true => format!(
            "x-amazon-apigateway-integration: {{type: http_proxy, \
             httpMethod: ANY, uri: '{target}'}}"
        ),
        false => format!(
            "x-amazon-apigateway-integration: {{type: aws_proxy, uri: '{}'}}",
            FUNCTION.replace("NAME", target)
        ),
    }
}

/// Returns the findings about twins in a document with a protected path and a public greedy one.
fn found(path: &str, protection: &str, [own, other]: [&str; 2]) -> Vec<String> {
    let paths = format!(
        " {path}: {{get: {{{protection}, {}}}}}\n \
         /{{proxy+}}: {{x-amazon-apigateway-any-method: {{{}}}}}",
        integration(own),
        integration(other)
    );
    let imported = apigateway(export(&paths, "").as_bytes(), &options());
    let imported = imported.unwrap_or_else(|error| panic!("{own} {other}: {error}"));
    let findings = imported.findings.iter();
    let twins = findings.filter(|finding| finding.code == Code::TwinUpstream);
    twins
        .map(|finding| {
            format!(
                "{} {}",
                finding.operation.as_deref().unwrap(),
                finding.about
            )
        })
        .collect()
}

#[test]
fn upstreams_that_may_be_one_application_are_told() {
    let protection = "security: [{pool: [a]}]";
    for (upstreams, names) in [
        (["f:prod", "f"], ["f", "f-prod"]),
        (["f:1", "f:2"], ["f-2", "f-1"]),
        (
            ["http://a.example/x", "https://a.example/{proxy}"],
            ["a-example-2", "a-example"],
        ),
        (
            ["https://a.example:8443/x", "https://A.example/{proxy}"],
            ["a-example", "a-example-8443"],
        ),
        (
            ["https://a.example./x", "https://a.example/{proxy}"],
            ["a-example-2", "a-example"],
        ),
    ] {
        let [by, own] = names;
        let expected =
            format!("GET /admin \"/dev/admin/\" is ANY /{{proxy+}}, on {by:?} and not on {own:?}");
        assert_eq!(found("/admin", protection, upstreams), [expected]);
    }
    // The same upstream, whose routes are compared, or another application.
    for upstreams in [
        ["f:prod", "f:prod"],
        ["f:$LATEST", "f"],
        ["f", "g"],
        ["https://a.example:443/x", "HTTPS://A.EXAMPLE/{proxy}"],
        ["https://a.example/prod/x", "https://a.example/dev/{proxy}"],
        ["https://a.example/x", "https://b.example/{proxy}"],
        ["f", "https://f/{proxy}"],
    ] {
        assert!(
            found("/admin", protection, upstreams).is_empty(),
            "{upstreams:?}"
        );
    }
}

#[test]
fn a_twin_counts_only_where_it_admits_more() {
    let upstreams = ["f:prod", "f"];
    // Nobody is refused.
    assert!(found("/admin", "security: []", upstreams).is_empty());
    // An operation that is denied is one more reason.
    let denied = found("/admin", "security: [{function: []}]", upstreams);
    assert_eq!(denied.len(), 1);
    let denied = found("/a/{id}", "security: [{pool: [a]}]", upstreams);
    assert!(denied[0].contains("/0any0value0/"), "{denied:?}");
    // No spelling of the root is a path of the greedy one.
    assert!(found("/", "security: [{pool: [a]}]", upstreams).is_empty());
}
