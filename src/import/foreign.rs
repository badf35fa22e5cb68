//! Files in other languages that describe an API, by their shape.

use std::fmt;

use super::document::Node;

/// A language that is not OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A template of the AWS Serverless Application Model.
    Sam,
    /// A template of CloudFormation.
    CloudFormation,
    /// A template that the AWS CDK wrote, or one of its own files.
    Cdk,
    /// A configuration, state or plan of Terraform.
    Terraform,
    /// A template of Terraform, or another one, whose directives have not run.
    Template,
    /// A service of the Serverless Framework.
    Serverless,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sam => "a SAM template",
            Self::CloudFormation => "a CloudFormation template",
            Self::Cdk => "a file of the AWS CDK",
            Self::Terraform => "a file of Terraform",
            Self::Template => "a template whose directives have not run",
            Self::Serverless => "a service of the Serverless Framework",
        })
    }
}

/// Recognizes a document by its keys.
pub(super) fn of_document(root: &Node) -> Option<Foreign> {
    let has = |key| root.get(key).is_some();
    if has("openapi") || has("swagger") {
        return None;
    }
    if has("Resources") {
        return Some(of_resources(root));
    }
    let is_terraform = has("resource") && (has("provider") || has("terraform"));
    if has("terraform_version") || is_terraform {
        return Some(Foreign::Terraform);
    }
    if has("provider") && (has("functions") || has("service")) {
        return Some(Foreign::Serverless);
    }
    let is_cdk = has("artifacts") && has("version") || has("app") && has("context");
    let is_cdk = is_cdk || has("tree") && has("version");
    is_cdk.then_some(Foreign::Cdk)
}

fn of_resources(root: &Node) -> Foreign {
    let resources = root.get("Resources").map_or(&[][..], Node::entries);
    let kinds = || {
        let kinds = resources
            .iter()
            .filter_map(|entry| entry.value.get("type").or(entry.value.get("Type")));
        kinds.filter_map(Node::text)
    };
    let has_path = |node: &Node| node.find(&["Metadata", "aws:cdk:path"]).is_some();
    let is_cdk = resources.iter().any(|entry| has_path(&entry.value));
    if is_cdk || kinds().any(|kind| kind == "AWS::CDK::Metadata") {
        return Foreign::Cdk;
    }
    let transforms = root.get("Transform");
    let transforms = transforms.map_or(&[][..], |node| match node.is_list() {
        true => node.items(),
        false => std::slice::from_ref(node),
    });
    let mut names = transforms.iter().filter_map(Node::text);
    let is_sam = names.any(|name| name.starts_with("AWS::Serverless"));
    match is_sam || kinds().any(|kind| kind.starts_with("AWS::Serverless::")) {
        true => Foreign::Sam,
        false => Foreign::CloudFormation,
    }
}

/// Recognizes a text that is neither JSON nor YAML, or that would be another document once its
/// directives have run.
pub(super) fn of_text(text: &str) -> Option<Foreign> {
    if text.contains("%{") {
        let directives = ["if ", "for ", "else", "endif", "endfor"];
        let mut after = text.split("%{").skip(1);
        let is_directive = after.any(|rest| {
            let rest = rest.trim_start_matches(['~', ' ']);
            directives.iter().any(|word| rest.starts_with(word))
        });
        if is_directive {
            return Some(Foreign::Template);
        }
    }
    let is_block = |line: &str| {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let named = words.next().is_some_and(|word| word.starts_with('"'));
        let kinds = [
            "resource", "data", "module", "variable", "provider", "output",
        ];
        let has_name = kinds.contains(&first) && named;
        let is_bare = matches!(first, "terraform" | "locals") && line.contains('{');
        (has_name || is_bare) && line.trim_end().ends_with(['{', '}'])
    };
    text.lines().any(is_block).then_some(Foreign::Terraform)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::document::Document;

    #[test]
    fn other_languages_are_known_by_their_shape() {
        for (text, expected) in [
            (
                "Transform: AWS::Serverless-2016-10-31\nResources: {}",
                Some(Foreign::Sam),
            ),
            (
                "Resources: {a: {Type: 'AWS::Serverless::Api'}}",
                Some(Foreign::Sam),
            ),
            (
                "AWSTemplateFormatVersion: '2010-09-09'\nResources: {a: {Type: 'AWS::ApiGateway::RestApi'}}",
                Some(Foreign::CloudFormation),
            ),
            (
                "Resources: {a: {Type: 'AWS::CDK::Metadata'}}",
                Some(Foreign::Cdk),
            ),
            (
                "Resources: {a: {Type: x, Metadata: {'aws:cdk:path': b}}}",
                Some(Foreign::Cdk),
            ),
            (
                "{\"version\": \"36.0.0\", \"artifacts\": {}}",
                Some(Foreign::Cdk),
            ),
            (
                "{\"app\": \"npx ts-node\", \"context\": {}}",
                Some(Foreign::Cdk),
            ),
            (
                "{\"version\": 4, \"terraform_version\": \"1.9\"}",
                Some(Foreign::Terraform),
            ),
            (
                "service: a\nprovider: {name: aws}\nfunctions: {}",
                Some(Foreign::Serverless),
            ),
            ("openapi: 3.0.1\nResources: {}", None),
            ("a: 1", None),
        ] {
            let document = Document::read(text.as_bytes()).unwrap();
            assert_eq!(of_document(document.root()), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_known_by_their_lines() {
        for (text, expected) in [
            (
                "paths:\n%{ if cors }\n  /a: {}\n%{ endif }",
                Some(Foreign::Template),
            ),
            ("%{~ for p in paths ~}\n/a: {}", Some(Foreign::Template)),
            (
                "resource \"aws_api_gateway_rest_api\" \"a\" {\n  name = \"a\"\n}",
                Some(Foreign::Terraform),
            ),
            ("terraform {\n}", Some(Foreign::Terraform)),
            ("description: 100%{a}", None),
            ("resource: \"a\"", None),
            ("openapi: 3.0.1", None),
        ] {
            assert_eq!(of_text(text), expected, "{text}");
        }
    }
}
