//! The registration of clients (RFC 7591), which clients of the Model Context Protocol need.

use serde_json::{Map, Value, json};

use super::grant_error::GrantError;
use super::memory::{Memory, Registration};
use super::recent::new_name;
use super::redirect::RedirectRules;
use crate::clock::UnixTime;
use crate::config::Secret;

/// Registers a client and returns what was registered. Redirect URIs that the rules do not allow
/// are left out: clients that run in several places register all of them at once.
pub(super) fn register(
    body: &[u8],
    rules: &RedirectRules,
    memory: &mut Memory,
    now: UnixTime,
) -> Result<Value, GrantError> {
    let asked: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| GrantError::RegistrationBody)?;
    let redirect_uris = redirect_uris(&asked, rules)?;
    let method = match asked.get("token_endpoint_auth_method") {
        None | Some(Value::Null) => "client_secret_basic",
        Some(Value::String(method)) => known_method(method)?,
        Some(_) => return Err(GrantError::RegistrationBody),
    };
    let secret = (method != "none").then(new_name);
    let id = memory.registrations.add(Registration {
        secret: secret.as_deref().map(Secret::new),
        redirect_uris: redirect_uris.clone(),
    });
    let mut answer = Map::new();
    answer.insert("client_id".into(), (*id).into());
    answer.insert("client_id_issued_at".into(), now.0.into());
    if let Some(secret) = secret {
        answer.insert("client_secret".into(), (*secret).into());
        answer.insert("client_secret_expires_at".into(), 0.into());
    }
    answer.insert("token_endpoint_auth_method".into(), method.into());
    answer.insert("redirect_uris".into(), json!(redirect_uris));
    answer.insert("grant_types".into(), json!(granted_types(method)));
    answer.insert("response_types".into(), json!(["code"]));
    for name in ["client_name", "client_uri", "scope"] {
        if let Some(Value::String(text)) = asked.get(name) {
            answer.insert(name.into(), text.as_str().into());
        }
    }
    Ok(Value::Object(answer))
}

/// Returns the redirect URIs that the rules allow. A client that asks for codes needs one.
fn redirect_uris(
    asked: &Map<String, Value>,
    rules: &RedirectRules,
) -> Result<Vec<Box<str>>, GrantError> {
    let grant_types = strings(asked, "grant_types")?;
    let has_codes = grant_types.is_none_or(|types| types.contains(&"authorization_code"));
    let mut allowed = Vec::new();
    for uri in strings(asked, "redirect_uris")?.unwrap_or_default() {
        if rules.allow(uri) {
            allowed.push(uri.into());
        }
    }
    match has_codes && allowed.is_empty() {
        true => Err(GrantError::Registration),
        false => Ok(allowed),
    }
}

fn known_method(method: &str) -> Result<&'static str, GrantError> {
    match method {
        "none" => Ok("none"),
        "client_secret_basic" => Ok("client_secret_basic"),
        "client_secret_post" => Ok("client_secret_post"),
        _ => Err(GrantError::RegistrationBody),
    }
}

fn granted_types(method: &str) -> &'static [&'static str] {
    match method {
        "none" => &["authorization_code"],
        _ => &["authorization_code", "client_credentials"],
    }
}

/// Returns the strings of a member; `None` if it is absent.
fn strings<'a>(
    asked: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<Vec<&'a str>>, GrantError> {
    let list = match asked.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(GrantError::RegistrationBody),
    };
    let mut strings = Vec::new();
    for value in list {
        strings.push(value.as_str().ok_or(GrantError::RegistrationBody)?);
    }
    Ok(Some(strings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value) -> Result<Value, GrantError> {
        let rules = RedirectRules::default();
        let mut memory = Memory::default();
        register(
            body.to_string().as_bytes(),
            &rules,
            &mut memory,
            UnixTime(7),
        )
    }

    #[test]
    fn a_client_keeps_the_redirect_uris_that_are_allowed() {
        let answer = ask(&json!({
            "client_name": "editor",
            "redirect_uris": ["https://editor.example.com/r", "http://127.0.0.1:33418/"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            "logo_uri": "https://editor.example.com/logo",
        }))
        .unwrap();
        let id = answer["client_id"].as_str().unwrap();
        assert_eq!(
            answer,
            json!({
                "client_id": id,
                "client_id_issued_at": 7,
                "client_name": "editor",
                "redirect_uris": ["http://127.0.0.1:33418/"],
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            })
        );
    }

    #[test]
    fn a_client_that_does_not_say_otherwise_has_a_secret() {
        let answer = ask(&json!({ "redirect_uris": ["http://localhost/"] })).unwrap();
        assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
        assert!(answer["client_secret"].as_str().unwrap().len() >= 32);
        let machine = json!({ "grant_types": ["client_credentials"] });
        assert!(ask(&machine).unwrap()["client_secret"].is_string());
    }

    #[test]
    fn what_is_no_client_is_refused() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "redirect_uris": ["http://127.0.0.1/"] });
            body[name] = value;
            ask(&body).err()
        };
        let body = Some(GrantError::RegistrationBody);
        assert_eq!(ask(&json!([])).err(), body);
        assert_eq!(with("redirect_uris", json!("http://127.0.0.1/")), body);
        assert_eq!(with("grant_types", json!([1])), body);
        let method = "token_endpoint_auth_method";
        assert_eq!(with(method, json!("private_key_jwt")), body);
        let foreign = json!(["https://example.com/", "http://127.0.0.1@example.com/"]);
        let redirect = Some(GrantError::Registration);
        assert_eq!(with("redirect_uris", foreign), redirect);
        assert_eq!(ask(&json!({})).err(), redirect);
    }
}
