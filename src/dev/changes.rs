//! Changes that a request for a token asks for, so that the gateway ought to refuse the token.
//!
//! Only tokens of the embedded issuer are made here, with keys that no other gateway knows.

use serde_json::{Map, Value};

use super::form::Form;
use super::grant_error::GrantError;
use crate::issuer::Algorithm;

/// The changes to an access token, all from parameters that are no standard.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// The signature, from `alg`; `None` for the first algorithm of the issuer.
    pub(super) signature: Option<Signature>,
    /// Set by `key=other` to sign with a key that the issuer does not publish.
    pub(super) is_other_key: bool,
    /// The times of the token, from `time`.
    pub(super) time: Time,
    /// The members of the header to set, from `header`.
    pub(super) header: Map<String, Value>,
    /// The audience to set, from `aud`, in the claim that decides about it.
    pub(super) audience: Option<Value>,
    /// The claims to set, from `claims`.
    pub(super) claims: Map<String, Value>,
    /// The claims and members of the header to leave out, from `omit`.
    pub(super) omit: Vec<String>,
}

/// The signature of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// A signature by a private key.
    Key(Algorithm),
    /// A signature whose secret is the public key, which a verifier that mixes up algorithms takes
    /// for good (RFC 8725 §2.1).
    Hmac(Hmac),
    /// No signature (RFC 7518 §3.6).
    None,
}

/// An algorithm of RFC 7518 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hmac {
    Sha256,
    Sha384,
    Sha512,
}

/// The times in a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Time {
    /// The token is valid now.
    #[default]
    Now,
    /// The token has ended.
    Expired,
    /// The token is valid from a later time.
    NotYetValid,
}

impl Changes {
    /// Reads the changes from the parameters of a token request.
    pub(super) fn parse(form: &Form) -> Result<Self, GrantError> {
        let omit = form.value("omit").unwrap_or_default();
        Ok(Self {
            signature: form.value("alg").map(Signature::parse).transpose()?,
            is_other_key: match form.value("key") {
                None => false,
                Some("other") => true,
                Some(_) => return Err(GrantError::Changes("key is not other")),
            },
            time: match form.value("time") {
                None => Time::Now,
                Some("expired") => Time::Expired,
                Some("not_yet_valid") => Time::NotYetValid,
                Some(_) => {
                    return Err(GrantError::Changes(
                        "time is neither expired nor not_yet_valid",
                    ));
                }
            },
            header: object(form.value("header"))
                .ok_or(GrantError::Changes("header is not a JSON object"))?,
            audience: match form.value("aud").map(serde_json::from_str) {
                None => None,
                Some(Ok(audience)) => Some(audience),
                Some(Err(_)) => return Err(GrantError::Changes("aud is not JSON")),
            },
            claims: object(form.value("claims"))
                .ok_or(GrantError::Changes("claims is not a JSON object"))?,
            omit: omit.split_ascii_whitespace().map(str::to_owned).collect(),
        })
    }

    /// Applies the changes to the header and the claims of a token, whose audience stands in
    /// `audience_claim`.
    pub(super) fn apply(
        &self,
        header: &mut Map<String, Value>,
        claims: &mut Map<String, Value>,
        audience_claim: &str,
    ) {
        header.extend(self.header.clone());
        if let Some(audience) = &self.audience {
            claims.insert(audience_claim.into(), audience.clone());
        }
        claims.extend(self.claims.clone());
        for name in &self.omit {
            header.remove(name);
            claims.remove(name);
        }
    }
}

impl Signature {
    fn parse(name: &str) -> Result<Self, GrantError> {
        match name {
            "none" => Ok(Self::None),
            "HS256" => Ok(Self::Hmac(Hmac::Sha256)),
            "HS384" => Ok(Self::Hmac(Hmac::Sha384)),
            "HS512" => Ok(Self::Hmac(Hmac::Sha512)),
            _ => match Algorithm::parse(name) {
                Some(algorithm) => Ok(Self::Key(algorithm)),
                None => Err(GrantError::Algorithm),
            },
        }
    }

    /// Returns the value of `alg`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Key(algorithm) => algorithm.name(),
            Self::Hmac(Hmac::Sha256) => "HS256",
            Self::Hmac(Hmac::Sha384) => "HS384",
            Self::Hmac(Hmac::Sha512) => "HS512",
            Self::None => "none",
        }
    }
}

/// Returns the members of a JSON object; none if there is no text.
fn object(text: Option<&str>) -> Option<Map<String, Value>> {
    match text {
        None => Some(Map::new()),
        Some(text) => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Changes, GrantError> {
        let mut form = Form::default();
        form.add(text.as_bytes()).unwrap();
        Changes::parse(&form)
    }

    #[test]
    fn without_parameters_nothing_is_changed() {
        let changes = parse("grant_type=client_credentials").unwrap();
        assert_eq!(changes, Changes::default());
        let mut members = Map::from_iter([("sub".to_owned(), json!("a"))]);
        let before = members.clone();
        changes.apply(&mut members.clone(), &mut members, "aud");
        assert_eq!(members, before);
    }

    #[test]
    fn members_are_set_and_left_out() {
        let text = "claims={\"aud\":[\"x\",\"y\"],\"sub\":null}&header={\"typ\":\"JWT\"}";
        let changes = parse(&format!("{text}&omit=iat+exp+kid")).unwrap();
        let mut header = Map::from_iter([("kid".to_owned(), json!("k"))]);
        let mut claims = Map::new();
        for name in ["aud", "sub", "iat", "exp", "iss"] {
            claims.insert(name.into(), json!(name));
        }
        changes.apply(&mut header, &mut claims, "aud");
        assert_eq!(Value::from(header), json!({ "typ": "JWT" }));
        let expected = json!({ "aud": ["x", "y"], "sub": null, "iss": "iss" });
        assert_eq!(Value::from(claims), expected);
    }

    #[test]
    fn an_audience_stands_in_the_claim_that_decides() {
        let changes = parse("aud=[\"x\"]&claims={\"sub\":\"b\"}").unwrap();
        let mut claims = Map::from_iter([("aud".to_owned(), json!("own"))]);
        changes.apply(&mut Map::new(), &mut claims, "client_id");
        let expected = json!({ "aud": "own", "client_id": ["x"], "sub": "b" });
        assert_eq!(Value::from(claims), expected);
    }

    #[test]
    fn each_algorithm_has_its_name() {
        for name in ["none", "HS256", "HS384", "HS512", "RS256", "EdDSA"] {
            assert_eq!(Signature::parse(name).unwrap().name(), name);
        }
        assert_eq!(Signature::parse("RS1").err(), Some(GrantError::Algorithm));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "alg=RS1",
            "key=mine",
            "time=yesterday",
            "claims=[]",
            "claims={",
            "aud=x",
            "header=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
