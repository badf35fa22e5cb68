//! Documents of many parts. Work that is not about linear in them takes minutes here; where it cannot
//! be, a limit is an error with its place.

use super::*;

const MANY: usize = 2_000;

/// Returns many texts in one line.
fn many(count: usize, one: impl Fn(usize) -> String) -> String {
    let all: Vec<_> = (0..count).map(one).collect();
    all.join(", ")
}

const MOCK: &str = "x-amazon-apigateway-integration: {type: mock, responses: {default: {statusCode: '200', \
                    responseParameters: {method.response.header.Access-Control-Allow-Origin: \"'https://a.example'\"}}}}";

#[test]
fn many_operations_with_all_that_is_looked_up_for_each() {
    let paths = many(MANY, |n| {
        let function = format!("arn:aws:lambda:eu-west-1:1:function:f{n}");
        format!(
            "/p{n}: {{post: {{security: [], {FORWARD}}}, get: {{security: [{{pool: [s{n}]}}], \
             x-amazon-apigateway-integration: {{type: aws_proxy, uri: '{function}'}}}}, options: {{{MOCK}}}}}"
        )
    });
    let schemes = many(MANY, |n| {
        format!("k{n}: {{type: oauth2, flows: {{a: {{scopes: {{s{n}: x}}}}}}}}")
    });
    let servers = many(MANY, |n| format!("{{url: 'https://h{n}.example/dev'}}"));
    let pool = format!(
        "pool: {{type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: \
         {{type: cognito_user_pools, providerARNs: ['{POOL}']}}}}"
    );
    let text = format!(
        "openapi: 3.0.1\nservers: [{servers}]\ntags: [{}]\npaths: {{{paths}}}\ncomponents: {{securitySchemes: {{{pool}, {schemes}}}}}\n",
        many(MANY, |n| format!("{{name: t{n}}}"))
    );
    let imported = import(&text);
    assert_eq!(lines(&imported, "path").len(), 2 * MANY);
    assert_eq!(lines(&imported, "url").len(), MANY + 1);
    assert_eq!(lines(&imported, "cors").len(), 2 * MANY);
    let open = imported
        .findings
        .iter()
        .filter(|one| one.code == Code::OpenWrite);
    assert_eq!(open.count(), MANY);
}

#[test]
fn many_requirements_at_the_root_are_inherited_within_a_limit() {
    let text = |scopes: usize, operations: usize| {
        let paths = many(operations, |n| format!("/p{n}: {{get: {{{FORWARD}}}}}"));
        let scopes = many(scopes, |n| format!("s{n}"));
        export("", &format!("security: [{{pool: [{scopes}]}}]"))
            .replace("paths:\n", &format!("paths: {{{paths}}}\n"))
    };
    let imported = import(&text(5_000, 2));
    assert!(imported.toml.contains("\"s4999\""));
    assert!(error(&text(5_000, 50)).contains("inherit more than"));
}

#[test]
fn many_references_lead_to_many_nodes_within_a_limit() {
    let text = |references: usize, nodes: usize| {
        let paths = many(references, |n| format!("/p{n}: {{$ref: '#/x-items/i{n}'}}"));
        let items = many(references, |n| {
            format!("i{n}: {{get: {{$ref: '#/x-get'}}}}")
        });
        let notes = many(nodes, |n| format!("x{n}"));
        format!(
            "openapi: 3.0.1\npaths: {{{paths}}}\nx-items: {{{items}}}\nx-get: {{x-notes: [{notes}], {FORWARD}}}\n"
        )
    };
    assert_eq!(lines(&import(&text(MANY, 10)), "path").len(), MANY);
    assert!(error(&text(MANY, 1_000)).contains("stand for more than"));
    let chain = many(30, |n| format!("c{n}: {{$ref: '#/x-c/c{}'}}", n + 1));
    let text = format!(
        "openapi: 3.0.1\npaths: {{/a: {{$ref: '#/x-c/c0'}}}}\nx-c: {{{chain}, c30: {{get: {{{FORWARD}}}}}}}\n"
    );
    assert_eq!(lines(&import(&text), "path").len(), 1);
}

#[test]
fn many_patterns_of_a_policy_are_compared_within_a_limit() {
    let text = |patterns: usize, operations: usize| {
        let paths = many(operations, |n| format!("/p{n}: {{get: {{{FORWARD}}}}}"));
        let patterns = many(patterns, |n| format!("'execute-api:/*a{n}'"));
        let statements = format!(
            "[{{Effect: Allow, Principal: '*', Action: '*', Resource: '*'}}, \
             {{Effect: Deny, Principal: '*', Action: '*', Resource: [{patterns}]}}]"
        );
        format!(
            "openapi: 3.0.1\nx-amazon-apigateway-policy: {{Statement: {statements}}}\npaths: {{{paths}}}\n"
        )
    };
    assert!(!import(&text(100, 20)).has(Level::Error));
    // A policy of API Gateway has 8 KiB; this one has so much more that the limit is reached.
    let long = format!("'execute-api:/{}'", "x".repeat(4_000_000));
    let imported = import(&text(1, 4).replace("'execute-api:/*a0'", &long));
    let restricted = imported
        .findings
        .iter()
        .filter(|one| one.code == Code::ResourcePolicy);
    assert!(restricted.clone().count() > 0);
    assert!(
        restricted
            .clone()
            .all(|one| &*one.about == "it is too long for so many operations")
    );
}

#[test]
fn a_long_text_of_a_document_is_shortened_in_messages() {
    let long = "x".repeat(100_000);
    let imported = import(&secured(&format!("[{{{long}: []}}]")));
    assert!(imported.toml.len() < 4_000 && imported.findings[0].render("a").len() < 1_000);
    let text = export(&format!(" /{long}: {{get: {{{FORWARD}}}}}"), "");
    assert!(error(&text).len() < 1_000);
}
