//! The page for those who move from API Gateway, held against the importer.

use std::collections::BTreeMap;

use scopegate::import::{Code, Level};

use crate::support::Folder;

const PAGE: &str = "docs/migrating-from-api-gateway.md";
const SECTION: &str = "\n## The findings of the importer\n";

/// Returns the names in the first column of each table of findings, with the heading of the table.
fn rows() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, page) = page.split_once(SECTION).unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let (mut rows, mut heading) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("**") {
            heading = title.split(':').next().unwrap().to_owned();
        }
        if let Some(row) = line.strip_prefix("| `") {
            let column = row.split(" |").next().unwrap();
            for name in column.split(", ") {
                let names = rows.entry(name.trim_matches('`').to_owned()).or_default();
                names.push(heading.clone());
            }
        }
    }
    rows
}

#[test]
fn the_guide_says_what_to_do_with_each_finding() {
    let mut rows = rows();
    for code in Code::ALL {
        let heading = match code.level() {
            Level::Error => "Errors",
            Level::Warning => "Warnings",
            Level::Info => "Infos",
        };
        let found = rows.remove(code.name());
        assert_eq!(
            found,
            Some(vec![heading.to_owned()]),
            "{PAGE}: {}",
            code.name()
        );
    }
    assert!(
        rows.is_empty(),
        "{PAGE} has findings that there are not: {rows:?}"
    );
}

/// An export whose authorizer names its user pool by what nothing resolves.
const POOL_UNKNOWN: &str = "\
openapi: 3.0.1
info: {title: orders, version: '1'}
paths:
  /orders:
    get:
      security: [{pool: [orders/read]}]
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: \
      'https://orders.example.com/'}
components:
  securitySchemes:
    pool:
      type: apiKey
      name: Authorization
      in: header
      x-amazon-apigateway-authtype: cognito_user_pools
      x-amazon-apigateway-authorizer: {type: cognito_user_pools, providerARNs: [THE_POOL]}
";

// The advice of the finding is what the guide says, and it works.
#[test]
fn a_pool_that_the_document_does_not_name_is_named_by_its_issuer() {
    let issuer = "pool=https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Orders001";
    let import = |arn: &str, more: &[&str]| {
        let folder = Folder::new();
        folder.write("api.yaml", &POOL_UNKNOWN.replace("THE_POOL", arn));
        let output = folder.run(&[&["import", "apigateway", "api.yaml"], more].concat(), &[]);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    for arn in [
        "'arn:aws:cognito-idp:eu-west-1:userpool'",
        "'${stageVariables.pool}'",
        "{Ref: Pool}",
    ] {
        let (code, text) = import(arn, &[]);
        assert!(
            code == Some(2) && text.contains("deny = true"),
            "{arn}: {text}"
        );
        let (code, text) = import(arn, &["--issuer", issuer]);
        assert_eq!(code, Some(0), "{arn}: {text}");
        assert!(
            text.contains(
                "issuer = \"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Orders001\""
            ),
            "{text}"
        );
        assert!(
            text.contains("token_use = \"access\"") && !text.contains("deny"),
            "{text}"
        );
        // An issuer that is no user pool has no such tokens.
        let (code, _) = import(arn, &["--issuer", "pool=https://idp.example.com"]);
        assert_eq!(code, Some(2), "{arn}");
    }
    // What the document names is not replaced.
    let own = "'arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_Other0001'";
    let (code, text) = import(own, &["--issuer", issuer]);
    assert!(
        code == Some(0) && text.contains("eu-west-1_Other0001"),
        "{text}"
    );
}
