//! The options of `scopegate token` for tokens that the gateway ought to refuse.

use clap::Args;
use serde_json::{Map, Value};

#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens that ought to be refused")]
pub(super) struct TokenChanges {
    /// A token that has ended
    #[arg(long, conflicts_with = "not_yet_valid")]
    expired: bool,
    /// A token that begins later
    #[arg(long)]
    not_yet_valid: bool,
    /// Another audience, in the claim that decides about it: the first of `audience_claims`; a list
    /// if it is repeated
    #[arg(long, value_name = "AUDIENCE")]
    aud: Vec<String>,
    /// Another issuer than the configured one
    #[arg(long, value_name = "ISSUER")]
    iss: Option<String>,
    /// Another claim, or another value of one: JSON, or else a text; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = member)]
    claim: Vec<Member>,
    /// A claim or a member of the header to leave out; may be repeated
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// The type in the header
    #[arg(long, value_name = "TYPE")]
    typ: Option<String>,
    /// The key id in the header
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// Another member of the header, such as crit=["exp"]; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = member)]
    header: Vec<Member>,
    /// Sign with a key that the issuer does not publish
    #[arg(long)]
    other_key: bool,
    /// Another algorithm: one of the issuer, one that it does not have, HS256, HS384, HS512 or none
    #[arg(long, value_name = "ALGORITHM")]
    alg: Option<String>,
}

/// A member of a JSON object.
#[derive(Clone, Debug, PartialEq)]
struct Member {
    name: String,
    value: Value,
}

impl TokenChanges {
    /// Returns the parameters of the token request by which the dev issuer makes the changes.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if self.expired {
            parameters.push(("time", "expired".to_owned()));
        }
        if self.not_yet_valid {
            parameters.push(("time", "not_yet_valid".to_owned()));
        }
        if self.other_key {
            parameters.push(("key", "other".to_owned()));
        }
        if let Some(alg) = &self.alg {
            parameters.push(("alg", alg.clone()));
        }
        if let Some(audience) = self.audience() {
            parameters.push(("aud", audience.to_string()));
        }
        for (name, members) in [("claims", self.claims()), ("header", self.header())] {
            if !members.is_empty() {
                parameters.push((name, Value::Object(members).to_string()));
            }
        }
        if !self.without.is_empty() {
            parameters.push(("omit", self.without.join(" ")));
        }
        parameters
    }

    fn audience(&self) -> Option<Value> {
        match self.aud.as_slice() {
            [] => None,
            [audience] => Some(audience.as_str().into()),
            audiences => Some(audiences.into()),
        }
    }

    fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        if let Some(issuer) = &self.iss {
            claims.insert("iss".into(), issuer.as_str().into());
        }
        extend(&mut claims, &self.claim);
        claims
    }

    fn header(&self) -> Map<String, Value> {
        let mut header = Map::new();
        for (name, value) in [("typ", &self.typ), ("kid", &self.kid)] {
            if let Some(value) = value {
                header.insert(name.into(), value.as_str().into());
            }
        }
        extend(&mut header, &self.header);
        header
    }
}

fn extend(members: &mut Map<String, Value>, others: &[Member]) {
    for member in others {
        members.insert(member.name.clone(), member.value.clone());
    }
}

fn member(text: &str) -> Result<Member, &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Member {
            name: name.into(),
            value: serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        }),
        _ => Err("not a name and a value like tenant=acme"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: TokenChanges,
    }

    fn parameters(line: &[&str]) -> Vec<(&'static str, String)> {
        let line = std::iter::once("token").chain(line.iter().copied());
        Line::parse_from(line).changes.parameters()
    }

    #[test]
    fn a_value_is_json_or_a_text() {
        for (text, value) in [
            ("n=7", json!(7)),
            ("n=\"7\"", json!("7")),
            ("n=acme", json!("acme")),
            ("n=", json!("")),
            ("n=a=b", json!("a=b")),
            ("n=null", Value::Null),
            ("n=[1,{\"a\":true}]", json!([1, { "a": true }])),
            ("n=1e400", json!("1e400")),
        ] {
            assert_eq!(member(text).unwrap().value, value, "{text}");
        }
        assert!(member("name").is_err() && member("=value").is_err());
    }

    #[test]
    fn each_option_is_a_parameter() {
        assert_eq!(parameters(&[]), []);
        let line = [
            "--aud",
            "a",
            "--iss",
            "i",
            "--claim",
            "roles=[1]",
            "--claim",
            "iss=x",
        ];
        let claims = json!({ "iss": "x", "roles": [1] }).to_string();
        let aud = json!("a").to_string();
        assert_eq!(parameters(&line), [("aud", aud), ("claims", claims)]);
        let line = [
            "--typ",
            "at+jwt",
            "--kid",
            "7",
            "--header",
            "crit=[\"b64\"]",
        ];
        let header = json!({ "typ": "at+jwt", "kid": "7", "crit": ["b64"] }).to_string();
        assert_eq!(parameters(&line), [("header", header)]);
        let line = [
            "--not-yet-valid",
            "--alg",
            "none",
            "--without",
            "exp",
            "--without",
            "kid",
        ];
        let expected = [
            ("time", "not_yet_valid"),
            ("alg", "none"),
            ("omit", "exp kid"),
        ];
        assert_eq!(
            parameters(&line),
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }
}
