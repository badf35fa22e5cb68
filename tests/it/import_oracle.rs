//! What the requirements of a document let pass, from the rules of documents alone: an upper bound,
//! which is exact for requirements that an export can have.
//!
//! An operation's own `security` replaces the root's, also an empty one. Everything that stands in
//! it is asked, as on AWS, where a method has one authorizer and perhaps a key beside it. A list of
//! scopes is any of them; without scopes a Cognito authorizer of a REST API takes ID tokens, and a
//! JWT authorizer any token. What is no list of requirements, or asks for something that is neither
//! of the two, lets nobody pass.

use serde_json::Value;

/// A caller: nobody known, or one with a token of the pool `pool`.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Anonymous,
    IdToken,
    AccessToken(Vec<&'static str>),
}

/// Returns whether a requirement of this document lets a caller pass.
pub(crate) fn may_pass(document: &Value, operation: &Value, caller: &Caller) -> bool {
    let security = operation.get("security").or(document.get("security"));
    match security {
        None => true,
        Some(Value::Array(members)) => members.iter().all(|member| meets(document, member, caller)),
        Some(_) => false,
    }
}

fn meets(document: &Value, member: &Value, caller: &Caller) -> bool {
    let Value::Object(schemes) = member else {
        return false;
    };
    let mut schemes = schemes.iter();
    schemes.all(|(name, scopes)| match scopes {
        Value::Array(scopes) => authorizes(document, name, scopes, caller),
        _ => false,
    })
}

fn authorizes(document: &Value, name: &str, scopes: &[Value], caller: &Caller) -> bool {
    let schemes = document
        .pointer("/components/securitySchemes")
        .or(document.get("securityDefinitions"));
    let authorizer = &schemes.unwrap()[name]["x-amazon-apigateway-authorizer"];
    if !scopes.iter().all(Value::is_string) {
        return false;
    }
    match (name, authorizer["type"].as_str()) {
        // How templates of SAM say that an operation has no authorizer.
        ("NONE", None) => scopes.is_empty(),
        ("pool", Some("cognito_user_pools")) => match caller {
            Caller::Anonymous => false,
            Caller::IdToken => scopes.is_empty(),
            Caller::AccessToken(granted) => has_one(granted, scopes),
        },
        ("pool", Some("jwt")) => match caller {
            Caller::Anonymous => false,
            Caller::IdToken => scopes.is_empty(),
            Caller::AccessToken(granted) => scopes.is_empty() || has_one(granted, scopes),
        },
        _ => false,
    }
}

fn has_one(granted: &[&str], scopes: &[Value]) -> bool {
    scopes
        .iter()
        .any(|scope| granted.iter().any(|granted| scope == granted))
}
